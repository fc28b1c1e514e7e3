"""A named read-write layer, as one reference to it sees it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from layerstore import requests
from layerstore.actors import messages as m
from layerstore.drivers.protocol import Change
from layerstore.handles import RWLayerHandle
from layerstore.source import Source
from layerstore.stream import TarStream

if TYPE_CHECKING:
    from types import TracebackType


class RWLayer(RWLayerHandle):
    """A held read-write layer: a name, a mount and the changes made beneath it.

    Every `create_rw_layer` and `get_rw_layer` makes an RWLayer, which is one reference. Releasing
    the last one removes the layer; so does leaving a `with` block over it. moby: layer.RWLayer.
    """

    __slots__ = ()

    def mount(self, mount_label: str = "") -> str:
        """Mount it once more and return its path; each mount wants one unmount.

        `mount_label` is an SELinux context. Raises NotPermitted without the privilege to mount.
        moby: RWLayer.Mount.
        """
        return self._core.ask(requests.mount(self._reference, self.name, mount_label))

    def unmount(self) -> None:
        """Undo one mount; the last one unmounts. Raises NotMounted. moby: RWLayer.Unmount."""
        self._core.ask(requests.unmount(self._reference, self.name))

    @contextlib.contextmanager
    def mounted(self, mount_label: str = "") -> Iterator[str]:
        """Mount it for the length of a `with` block, which gets the path."""
        path = self.mount(mount_label)
        try:
            yield path
        finally:
            self.unmount()

    def changes(self, *, timeout: float | None = None) -> list[Change]:
        """Return every path that differs from the parent (from the init layer, if there is one).

        Ordered by path, as `docker diff`. `timeout` is in seconds; raises CallTimeout.
        moby: RWLayer.Changes.
        """
        number = self._core.new_reference()
        return self._core.ask(requests.changes(self._reference, number, self.name), timeout)

    def size(self, *, timeout: float | None = None) -> int:
        """Return the bytes of its own files, each inode counted once.

        `timeout` is in seconds; raises CallTimeout. moby: RWLayer.Size.
        """
        number = self._core.new_reference()
        return self._core.ask(requests.size(self._reference, number, self.name), timeout)

    def apply_diff(self, source: Source, *, timeout: float | None = None) -> int:
        """Unpack a layer tar (plain, gzip or zstd) over it and return its size in bytes.

        `timeout` is in seconds. Raises InvalidTar, CallTimeout, WorkerDied; what was unpacked until
        then stays, and soon nothing more is. moby: RWLayer.ApplyDiff.
        """
        number = self._core.new_reference()
        request = requests.apply_diff(self._reference, number, self.name, source)
        return self._core.hand_in(request, timeout)

    def tar_stream(self) -> TarStream:
        """Stream its changes as a layer tar. moby: TarStreamer.TarStream."""
        number = self._core.new_reference()
        return self._core.stream(requests.read_rw(self._reference, number, self.name))

    def metadata(self) -> dict[str, str]:
        """Return the graph driver's own facts of it. moby: RWLayer.Metadata."""
        number = self._core.new_reference()
        return self._core.ask(requests.inspect_rw(self._reference, number, self.name))

    def release(self) -> list[m.LayerMetadata]:
        """Give the reference back; see LayerStore.release_rw_layer."""
        return self._core.ask(requests.release_rw(self._reference, self.name))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
