"""Comparing the disk with the metadata: everything that is wrong beneath one root.

Owns what is compared with what. It changes nothing, and what is going on in an open store it does
not know: that something is just being made or removed is for its caller to find out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from layerstore.drivers.errors import InvalidMetadata, LayerStoreError
from layerstore.drivers.graph.overlay2.check import is_directory
from layerstore.drivers.model.faults import Fault, FaultKind
from layerstore.drivers.model.ids import ChainID, is_layer_store_id
from layerstore.drivers.records.imagedb import ImageDatabase
from layerstore.drivers.root.disk import Disk
from layerstore.drivers.upkeep.survey import (
    Removing,
    SurveyedLayer,
    SurveyedMount,
    survey_layers,
    survey_mounts,
    survey_removing,
)
from layerstore.drivers.upkeep.survey_images import (
    SurveyedImage,
    SurveyedNames,
    image_faults,
    survey_images,
    survey_names,
)

_UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything that was read."""

    layers: list[SurveyedLayer]
    removing: list[Removing]
    mounts: list[SurveyedMount]
    transactions: list[str]
    images: list[SurveyedImage]
    names: SurveyedNames
    directories: set[str]
    """IDs of the driver's directories that a layer store made."""
    mounted: dict[str, str | None]
    """Mount points beneath the root that are a layer's (its ID) or the store's own (None)."""

    def owners(self) -> dict[str, list[SurveyedLayer | SurveyedMount]]:
        """Return whose metadata names each of the driver's directories."""
        owners: dict[str, list[SurveyedLayer | SurveyedMount]] = defaultdict(list)
        for layer in self.layers:
            if layer.cache_id is not None:
                owners[layer.cache_id].append(layer)
        for mount in self.mounts:
            for layer_id in (mount.mount_id, mount.init_id):
                if layer_id is not None:
                    owners[layer_id].append(mount)
        return owners

    def all_ids_known(self) -> bool:
        """Whether no unreadable file may name a directory that seems to be nobody's."""
        return all(layer.cache_id is not None for layer in self.layers) and not any(
            mount.mount_id is None or _has(mount.faults, FaultKind.MOUNT_INIT_ID)
            for mount in self.mounts
        )

    def by_chain(self) -> dict[ChainID, SurveyedLayer]:
        """Return the layers that have a chain ID for a name."""
        return {layer.chain: layer for layer in self.layers if layer.chain is not None}


def survey(disk: Disk, mounted: Iterable[str]) -> Survey:
    """Read everything."""
    metadata, driver = disk.metadata, disk.driver
    database = ImageDatabase(disk.root, driver.name, durable=disk.durable)
    return Survey(
        layers=list(survey_layers(f"{metadata.home}/sha256")),
        removing=list(survey_removing(f"{metadata.home}/sha256")),
        mounts=list(survey_mounts(f"{metadata.home}/mounts")),
        transactions=metadata.transactions(),
        names=survey_names(database),
        images=list(survey_images(database)),
        directories={found for found in driver.ids() if is_layer_store_id(found)},
        mounted=_mounted(disk, mounted),
    )


def _mounted(disk: Disk, mounted: Iterable[str]) -> dict[str, str | None]:
    home, own = f"{disk.driver.home}/", f"{disk.root}/layerstore/"
    found: dict[str, str | None] = {}
    for path in mounted:
        if path.startswith(own):
            names = path.removeprefix(own).split("/")
            found[path] = next((name for name in names if _is_shown_at(disk, name, path)), None)
        elif path.startswith(home):
            layer_id = path.removeprefix(home).partition("/")[0]
            if is_layer_store_id(layer_id):
                found[path] = layer_id
    return found


def _is_shown_at(disk: Disk, name: str, path: str) -> bool:
    """Whether a name is that of a layer which its driver mounts at a path outside of its home."""
    if not is_layer_store_id(name):
        return False
    try:
        return disk.driver.metadata(name).get("MergedDir") == path
    except LayerStoreError:
        return False  # of a damaged layer, which others tell


def faults(disk: Disk, found: Survey) -> list[Fault]:
    """Tell everything that is wrong, ordered by what it concerns."""
    layers = found.by_chain()
    database = ImageDatabase(disk.root, disk.driver.name, durable=disk.durable)
    return [
        *_of_layers(found, layers),
        *_of_mounts(disk, found, layers),
        *_of_directories(disk, found),
        *disk.driver.faults(_expected(found, layers)),
        *image_faults(database, found.images, found.names, layers),
        *_left_over(disk, found),
    ]


def _of_layers(found: Survey, layers: dict[ChainID, SurveyedLayer]) -> Iterator[Fault]:
    for layer in found.layers:
        yield from layer.faults
        if layer.parent is not None and layer.parent not in layers:
            yield _parent_missing(FaultKind.LAYER_PARENT_MISSING, layer, f"sha256:{layer.name}")


def _of_mounts(disk: Disk, found: Survey, layers: dict[ChainID, SurveyedLayer]) -> Iterator[Fault]:
    for mount in found.mounts:
        yield from mount.faults
        if mount.mount_id is not None:
            try:
                disk.driver.id_map(mount.mount_id)
            except InvalidMetadata as error:
                kind, about = FaultKind.MOUNT_OPTIONS, (mount.name,)
                yield Fault(kind=kind, path=error.path, reason=error.reason, about=about)
        if mount.parent is not None and mount.parent not in layers:
            yield _parent_missing(FaultKind.MOUNT_PARENT_MISSING, mount, mount.name)


def _parent_missing(kind: FaultKind, what: SurveyedLayer | SurveyedMount, about: str) -> Fault:
    reason = f"its parent {what.parent} is not there"
    return Fault(kind=kind, path=what.path, reason=reason, about=(about,))


def _of_directories(disk: Disk, found: Survey) -> Iterator[Fault]:
    owners = found.owners()
    for layer_id, named_by in owners.items():
        path = f"{disk.driver.home}/{layer_id}"
        names = [_name(owner) for owner in named_by]
        if len(named_by) > 1:
            reason = f"the directory of several: {', '.join(names)}"
            yield Fault(
                kind=FaultKind.SHARED_ID, path=path, reason=reason, about=(layer_id, *names)
            )
        if not is_directory(path):
            kind = _role(named_by[0], layer_id)
            reason = f"no directory, though {names[0]} lies in it"
            yield Fault(kind=kind, path=path, reason=reason, about=(layer_id, *names))
    removing = {removal.cache_id for removal in found.removing}
    if found.all_ids_known():
        for layer_id in sorted(found.directories - owners.keys() - removing):
            yield Fault(
                kind=FaultKind.ORPHAN_DIRECTORY,
                path=f"{disk.driver.home}/{layer_id}",
                reason="no metadata names it",
                about=(layer_id,),
            )
    for path, mounted_id in found.mounted.items():
        known = mounted_id in owners or not found.all_ids_known()
        if mounted_id is None or not known:
            yield Fault(
                kind=FaultKind.ORPHAN_MOUNT,
                path=path,
                reason="mounted, though no metadata names it",
                about=(mounted_id,) if mounted_id is not None else (),
            )


def _role(owner: SurveyedLayer | SurveyedMount, layer_id: str) -> FaultKind:
    if isinstance(owner, SurveyedLayer):
        return FaultKind.LAYER_DIRECTORY
    is_init = layer_id == owner.init_id
    return FaultKind.INIT_DIRECTORY if is_init else FaultKind.MOUNT_DIRECTORY


def _name(owner: SurveyedLayer | SurveyedMount) -> str:
    return f"sha256:{owner.name}" if isinstance(owner, SurveyedLayer) else owner.name


def _expected(found: Survey, layers: dict[ChainID, SurveyedLayer]) -> dict[str, str | None]:
    """Return the driver's IDs of all that should be there, each with its parent's."""
    expected: dict[str, str | None] = {}

    def expect(layer_id: str, parent: str | None) -> None:
        expected[layer_id] = _UNKNOWN if layer_id in expected else parent

    def cache_of(parent: ChainID | None, what: Iterable[Fault]) -> str | None:
        if _has(what, FaultKind.LAYER_PARENT, FaultKind.LAYER_CHAIN, FaultKind.MOUNT_PARENT):
            return _UNKNOWN
        if parent is None:
            return None
        there = layers.get(parent)
        return (there.cache_id or _UNKNOWN) if there is not None else _UNKNOWN

    for layer in found.layers:
        if layer.cache_id is not None:
            expect(layer.cache_id, cache_of(layer.parent, layer.faults))
    for mount in found.mounts:
        below = cache_of(mount.parent, mount.faults)
        if mount.init_id is not None:
            expect(mount.init_id, below)
        if mount.mount_id is not None:
            unknown_init = _has(mount.faults, FaultKind.MOUNT_INIT_ID)
            expect(mount.mount_id, _UNKNOWN if unknown_init else mount.init_id or below)
    return expected


def _has(what: Iterable[Fault], *kinds: FaultKind) -> bool:
    return any(fault.kind in kinds for fault in what)


def _left_over(disk: Disk, found: Survey) -> Iterator[Fault]:
    for removal in found.removing:
        yield Fault(
            kind=FaultKind.LAYER_REMOVING,
            path=removal.path,
            reason="its removal was cut off",
            about=(removal.chain,),
        )
    for transaction in found.transactions:
        yield Fault(
            kind=FaultKind.TRANSACTION,
            path=disk.metadata.transaction_path(transaction),
            reason="never committed",
            about=(transaction,),
        )
