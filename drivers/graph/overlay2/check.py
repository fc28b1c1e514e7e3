"""Whether overlay2's directories, short links and lower files fit the metadata; mending links.

Owns the comparison. A layer's `link` file says which short link is its own; everything else follows
from that and from who is whose parent. The facts are those of moby's daemon/graphdriver/overlay2.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping

from layerstore.drivers.errors import DriverError, LayerStoreError, is_passing
from layerstore.drivers.graph.overlay2.layout import Layout
from layerstore.drivers.model.faults import Fault, FaultKind
from layerstore.drivers.model.ids import is_layer_store_id
from layerstore.drivers.system.durable import sync_directory


class OverlayCheck:
    """One comparison of an overlay2 home with the layers that should lie there."""

    def __init__(self, layout: Layout, layers: Mapping[str, str | None]) -> None:
        """Compare `layers`: each layer's ID with its parent's, None for none, "" if unknown."""
        self._layout = layout
        self._expected = layers
        self._linked = is_directory(layout.links)
        self._layers = {
            layer: parent for layer, parent in layers.items() if is_directory(layout.path(layer))
        }
        self._links: dict[str, str] = {}
        self._reasons: dict[str, str] = {}
        for layer_id in {*layout.ids(), *self._layers}:
            self._read_link(layer_id)
        self._claims = Counter(self._links.values())

    def _read_link(self, layer_id: str) -> None:
        try:
            self._links[layer_id] = self._layout.link(layer_id)
        except LayerStoreError as error:
            if is_passing(error):
                raise
            missing = not os.path.lexists(f"{self._layout.home}/{layer_id}/link")
            self._reasons[layer_id] = "missing" if missing else str(error)

    def faults(self) -> Iterator[Fault]:
        """Tell what is wrong, layer by layer, and then among the short links."""
        for layer_id in sorted(self._layers):
            yield from self._of_layer(layer_id)
        if self._linked:
            yield from self._stray_links()
        elif os.path.lexists(self._layout.links):
            reason = "it should be the directory of the short links"
            yield _fault(FaultKind.OVERLAY_STRAY_LINK, self._layout.links, reason, "")

    def _of_layer(self, layer_id: str) -> Iterator[Fault]:
        path = self._layout.path(layer_id)
        yield from self._of_link(layer_id, f"{path}/link")
        if not is_directory(f"{path}/diff"):
            yield _fault(FaultKind.OVERLAY_DIFF, f"{path}/diff", "no directory", layer_id)
        if self._layers[layer_id] and not is_directory(f"{path}/work"):
            yield _fault(FaultKind.OVERLAY_WORK, f"{path}/work", "no directory", layer_id)
        reason = self._of_lower(layer_id)
        if reason is not None:
            yield _fault(FaultKind.OVERLAY_LOWER, f"{path}/lower", reason, layer_id)

    def _of_link(self, layer_id: str, path: str) -> Iterator[Fault]:
        link = self._links.get(layer_id)
        if link is None:
            yield _fault(FaultKind.OVERLAY_LINK, path, self._reasons[layer_id], layer_id)
        elif self._claims[link] > 1:
            reason = f"another layer has the short link {link} too"
            yield _fault(FaultKind.OVERLAY_LINK, path, reason, layer_id)
        else:
            place = f"{self._layout.links}/{link}"
            target = _target(place) if self._linked else None
            if target != link_target(layer_id):
                reason = "missing" if target is None else f"leads to {target!r}"
                reason += f", not to {link_target(layer_id)}"
                yield _fault(FaultKind.OVERLAY_SHORT_LINK, place, reason, layer_id)

    def _of_lower(self, layer_id: str) -> str | None:
        """Return what is wrong with a lower file; None too where it isn't known what is right."""
        try:
            lowers = self._layout.lowers(layer_id)
        except LayerStoreError as error:
            if is_passing(error):
                raise
            return str(error)
        expected = self._lowers_of(layer_id)
        if expected is None or lowers == expected:
            return None
        if not lowers:
            return "missing"
        known = {f"l/{link}" for link in self._claims}
        strange = next((lower for lower in lowers if lower not in known), None)
        if strange is not None:
            return f"{strange} in it is nobody's short link"
        return "it lists other layers than the parents"

    def _lowers_of(self, layer_id: str) -> list[str] | None:
        lowers: list[str] = []
        parent = self._layers[layer_id]
        seen = {layer_id}
        while parent is not None:
            if parent in seen or parent not in self._links or parent not in self._layers:
                return None
            seen.add(parent)
            lowers.append(f"l/{self._links[parent]}")
            parent = self._layers[parent]
        return lowers

    def _stray_links(self) -> Iterator[Fault]:
        for name, layer_id in self._layout.short_links():
            if name in self._claims or (layer_id is not None and not is_layer_store_id(layer_id)):
                continue
            if layer_id in self._expected and layer_id not in self._layers:
                continue  # its layer's directory is what is missing
            if layer_id is None:
                reason = "not the short link of a layer"
            elif not os.path.lexists(f"{self._layout.home}/{layer_id}"):
                reason = f"a short link to layer {layer_id}, which is not there"
            elif layer_id in self._links:
                reason = f"a second short link to layer {layer_id}"
            else:
                continue  # its layer has lost its link file
            about = layer_id or ""
            yield _fault(
                FaultKind.OVERLAY_STRAY_LINK, f"{self._layout.links}/{name}", reason, about
            )


def mend_short_link(layout: Layout, layer_id: str) -> None:
    """Make the short link that a layer's link file names, replacing one that leads elsewhere."""
    path = f"{layout.links}/{layout.link(layer_id)}"
    temporary = f"{layout.links}/.{os.urandom(8).hex()}"
    try:
        os.makedirs(layout.links, mode=0o700, exist_ok=True)
        os.symlink(link_target(layer_id), temporary)
        try:
            os.rename(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise DriverError.from_os_error("symlink", path, error) from error
    sync_directory(layout.links)


def mend_work(layout: Layout, layer_id: str) -> None:
    """Make a layer's work directory."""
    path = layout.path(layer_id)
    try:
        os.mkdir(f"{path}/work", 0o700)
    except OSError as error:
        raise DriverError.from_os_error("mkdir", f"{path}/work", error) from error
    sync_directory(path)


def is_directory(path: str) -> bool:
    """Whether a directory itself, no link to one, is there."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def link_target(layer_id: str) -> str:
    """Return where a layer's short link leads."""
    return f"../{layer_id}/diff"


def _target(path: str) -> str | None:
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return None
    except OSError:
        return "something that is no link"


def _fault(kind: FaultKind, path: str, reason: str, layer_id: str) -> Fault:
    return Fault(kind=kind, path=path, reason=reason, about=(layer_id,))
