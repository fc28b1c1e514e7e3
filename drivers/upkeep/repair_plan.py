"""Planning a repair: which steps, in which order, see to which faults.

Owns what goes with what: with a layer go the layers, mounts and images on it. The order is such
that a crash between any two steps leaves only faults that the next repair or open sees to: names go
before their image, images and mounts before their layers, layers before those beneath them,
metadata before the directories that it names. It changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator

from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.model.faults import Fault, FaultKind
from layerstore.drivers.model.ids import ChainID, check_mount_name
from layerstore.drivers.model.repair_step import Action, RepairStep
from layerstore.drivers.root.disk import Disk
from layerstore.drivers.upkeep.check import Survey
from layerstore.drivers.upkeep.survey import SurveyedLayer, SurveyedMount
from layerstore.drivers.upkeep.survey_images import SurveyedImage

_FILES_ONLY = frozenset(
    {
        FaultKind.LAYER_DESCRIPTOR,
        FaultKind.IMAGE_PARENT,
        FaultKind.IMAGE_RECORD,
        FaultKind.NAMES,
    }
)
"""Faults for which a file that nothing else depends on goes, and what it belongs to stays."""


def plan(
    disk: Disk, found: Survey, faults: Iterable[Fault], busy: Container[str]
) -> list[RepairStep]:
    """Return the steps that see to `faults`, those that need force among them, in order.

    `busy` are IDs of what is just being made or removed, which is left alone.
    """
    return list(_Plan(disk, found, list(faults), busy).steps())


class _Plan:
    def __init__(
        self, disk: Disk, found: Survey, faults: list[Fault], busy: Container[str]
    ) -> None:
        self._disk = disk
        self._found = found
        self._faults = faults
        self._busy = busy
        self._layers: dict[str, str] = {}
        self._mounts: dict[str, str] = {}
        self._images: dict[str, str] = {}
        """Names of what goes -> why."""
        self._condemn()
        self._condemn_dependents()

    # What goes

    def _condemn(self) -> None:
        owners = self._found.owners()
        layers = {f"sha256:{layer.name}": layer for layer in self._found.layers}
        mounts = {mount.name: mount for mount in self._found.mounts}
        for fault in self._faults:
            if fault.repairable or fault.kind in _FILES_ONLY:
                continue
            reason = f"{fault.reason} ({fault.kind})"
            if fault.kind.startswith("image-"):
                self._images.setdefault(fault.about[0].removeprefix("sha256:"), reason)
                continue
            for about in fault.about:
                if fault.kind.startswith("mount-") and about in mounts:
                    self._mounts.setdefault(about, reason)
                elif fault.kind.startswith("layer-") and about in layers:
                    self._layers.setdefault(layers[about].name, reason)
                for owner in owners.get(about, ()):
                    goes = self._layers if isinstance(owner, SurveyedLayer) else self._mounts
                    goes.setdefault(owner.name, reason)

    def _condemn_dependents(self) -> None:
        above: dict[ChainID, list[SurveyedLayer]] = defaultdict(list)
        for layer in self._found.layers:
            if layer.parent is not None:
                above[layer.parent].append(layer)
        waiting = [layer for layer in self._found.layers if layer.name in self._layers]
        while waiting:
            below = waiting.pop()
            for layer in above.get(below.chain, ()) if below.chain is not None else ():
                if layer.name not in self._layers:
                    self._layers[layer.name] = f"its parent {below.chain} goes"
                    waiting.append(layer)
        gone = {f"sha256:{name}" for name in self._layers}
        for mount in self._found.mounts:
            if mount.parent in gone:
                self._mounts.setdefault(mount.name, f"its parent {mount.parent} goes")
        for image in self._found.images:
            lost = next((chain for chain in image.chains if chain in gone), None)
            if lost is not None:
                self._images.setdefault(image.name, f"its layer {lost} goes")

    # The steps

    def steps(self) -> Iterator[RepairStep]:
        yield from self._of_kind(*_FILES_ONLY, action=Action.SET_ASIDE, force=True)
        yield from self._of_kind(FaultKind.NAME_DANGLING, action=Action.REMOVE_NAME)
        for image in self._found.images:
            if image.name in self._images:
                yield self._image_step(image)
        yield from self._of_kind(FaultKind.UNFINISHED_FILE, action=Action.SET_ASIDE)
        for mount in self._found.mounts:
            if mount.name in self._mounts:
                yield self._mount_step(mount)
        for layer in self._top_first():
            yield self._layer_step(layer)
        for fault in reversed([f for f in self._faults if f.kind is FaultKind.ORPHAN_MOUNT]):
            yield _step(fault, Action.UNMOUNT)
        named = self._found.owners().keys()
        for removal in self._found.removing:
            for fault in self._faults:
                if fault.kind is FaultKind.LAYER_REMOVING and fault.path == removal.path:
                    known = removal.cache_id is not None and removal.cache_id not in named
                    ids = (removal.cache_id,) if known and removal.cache_id else ()
                    yield _step(fault, Action.FINISH_REMOVAL, ids=ids)
        yield from self._of_kind(FaultKind.TRANSACTION, action=Action.DISCARD_TRANSACTION)
        yield from self._directories()
        yield from self._of_kind(FaultKind.OVERLAY_STRAY_LINK, action=Action.SET_ASIDE)
        for kind in (FaultKind.OVERLAY_SHORT_LINK, FaultKind.OVERLAY_WORK):
            yield from self._of_kind(kind, action=Action.MEND)

    def _of_kind(
        self, *kinds: FaultKind, action: Action, force: bool = False
    ) -> Iterator[RepairStep]:
        for fault in self._faults:
            if fault.kind in kinds:
                yield _step(fault, action, force=force)

    def _image_step(self, image: SurveyedImage) -> RepairStep:
        known = image.image_id is not None
        return RepairStep(
            action=Action.REMOVE_IMAGE if known else Action.SET_ASIDE,
            path=image.path,
            reason=self._images[image.name],
            force=True,
            target=image.image_id or "",
        )

    def _mount_step(self, mount: SurveyedMount) -> RepairStep:
        whole = mount.mount_id is not None and _is_mount_name(mount.name)
        ids = (mount.mount_id or "", *((mount.init_id,) if mount.init_id is not None else ()))
        return RepairStep(
            action=Action.REMOVE_MOUNT if whole else Action.SET_ASIDE,
            path=mount.path,
            reason=self._mounts[mount.name],
            force=True,
            target=mount.name,
            ids=ids if whole else (),
        )

    def _layer_step(self, layer: SurveyedLayer) -> RepairStep:
        is_directory = all(fault.kind is not FaultKind.LAYER_NAME for fault in layer.faults)
        whole = layer.cache_id is not None and is_directory
        return RepairStep(
            action=Action.REMOVE_LAYER if whole else Action.SET_ASIDE,
            path=layer.path,
            reason=self._layers[layer.name],
            force=True,
            target=f"sha256:{layer.name}",
            ids=(layer.cache_id,) if whole and layer.cache_id is not None else (),
        )

    def _top_first(self) -> list[SurveyedLayer]:
        """Return the layers that go, every one after those on it."""
        going = {layer.chain: layer for layer in self._found.layers if layer.name in self._layers}
        nameless = [layer for layer in self._found.layers if layer.chain is None]
        ordered: dict[ChainID, SurveyedLayer] = {}
        for layer in going.values():
            path: dict[ChainID, SurveyedLayer] = {}
            below: SurveyedLayer | None = layer
            while below is not None and below.chain is not None and below.chain not in ordered:
                if below.chain in path:
                    break  # damaged metadata may lead in a circle
                path[below.chain] = below
                below = going.get(below.parent) if below.parent is not None else None
            ordered.update(reversed(path.items()))
        going_nameless = [layer for layer in nameless if layer.name in self._layers]
        return [*going_nameless, *reversed(ordered.values())]

    def _directories(self) -> Iterator[RepairStep]:
        """Remove what nothing names, and what nothing will name once the steps above are done."""
        told = {f.about[0]: f for f in self._faults if f.kind is FaultKind.ORPHAN_DIRECTORY}
        handled = {removal.cache_id for removal in self._found.removing}
        gone = {layer.name for layer in self._found.layers if layer.name in self._layers}
        for layer_id, owners in self._found.owners().items():
            for owner in owners:
                goes = self._mounts if isinstance(owner, SurveyedMount) else gone
                if owner.name not in goes or self._takes_directory(owner):
                    handled.add(layer_id)
        if not self._found.all_ids_known() or self._layers or self._mounts:
            losing = sorted(self._found.directories - handled - told.keys())
        else:
            losing = []
        yield from (_step(fault, Action.REMOVE_DIRECTORY, ids=(i,)) for i, fault in told.items())
        for layer_id in losing:
            if layer_id not in self._busy:
                yield RepairStep(
                    action=Action.REMOVE_DIRECTORY,
                    path=f"{self._disk.driver.home}/{layer_id}",
                    reason="nothing that is left names it",
                    force=True,
                    ids=(layer_id,),
                )

    def _takes_directory(self, owner: SurveyedLayer | SurveyedMount) -> bool:
        if isinstance(owner, SurveyedLayer):
            return self._layer_step(owner).action is Action.REMOVE_LAYER
        return self._mount_step(owner).action is Action.REMOVE_MOUNT


def _step(
    fault: Fault, action: Action, *, force: bool = False, ids: tuple[str, ...] | None = None
) -> RepairStep:
    about = fault.about[:1]
    return RepairStep(
        action=action,
        path=fault.path,
        reason=fault.reason,
        force=force,
        target=about[0] if about else "",
        ids=ids if ids is not None else about,
        kind=fault.kind,
    )


def _is_mount_name(name: str) -> bool:
    try:
        check_mount_name(name)
    except LayerStoreError:
        return False
    return True
