"""A named read-write layer, as one reference to it sees it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

from layerstore.actors import messages as m
from layerstore.drivers.ids import ChainID
from layerstore.drivers.protocol import Change
from layerstore.drivers.work import TarSource
from layerstore.source import Source
from layerstore.stream import TarStream

if TYPE_CHECKING:
    from types import TracebackType

    from layerstore.core import Core


class RWLayer:
    """A held read-write layer: a name, a mount and the changes made beneath it.

    Every `create_rw_layer` and `get_rw_layer` makes an RWLayer, which is one reference. Releasing
    the last one removes the layer; so does leaving a `with` block over it. moby: layer.RWLayer.
    """

    __slots__ = ("_core", "_facts", "_owner", "_reference")

    def __init__(self, core: Core, facts: m.MountMetadata, reference: int, owner: object) -> None:
        self._core = core
        self._owner = owner  # a store is closed when nobody has it any more
        self._facts = facts
        self._reference = reference

    @property
    def name(self) -> str:
        """The name it was created under."""
        return self._facts.name

    @property
    def mount_id(self) -> str:
        """The graph driver's ID of it."""
        return self._facts.mount_id

    @property
    def parent(self) -> ChainID | None:
        """Chain ID of the layer beneath, None where there is none."""
        return self._facts.parent

    def mount(self, mount_label: str = "") -> str:
        """Mount it once more and return its path; each mount wants one unmount.

        `mount_label` is an SELinux context. Raises NotPermitted without the privilege to mount.
        moby: RWLayer.Mount.
        """
        message = m.Mount(reference=self._reference, name=self.name, mount_label=mount_label)
        path: str = self._core.call(self._core.mounts, message)
        return path

    def unmount(self) -> None:
        """Undo one mount; the last one unmounts. Raises NotMounted. moby: RWLayer.Unmount."""
        self._core.call(self._core.mounts, m.Unmount(reference=self._reference, name=self.name))

    @contextlib.contextmanager
    def mounted(self, mount_label: str = "") -> Iterator[str]:
        """Mount it for the length of a `with` block, which gets the path."""
        path = self.mount(mount_label)
        try:
            yield path
        finally:
            self.unmount()

    def changes(self) -> list[Change]:
        """Return every path that differs from the parent (from the init layer, if there is one).

        Ordered by path, as `docker diff`. moby: RWLayer.Changes.
        """
        changes: list[Change] = self._work("changes")
        return changes

    def size(self) -> int:
        """Return the bytes of its own files, each inode counted once. moby: RWLayer.Size."""
        size: int = self._work("size")
        return size

    def apply_diff(self, source: Source) -> int:
        """Unpack a layer tar (plain, gzip or zstd) over it and return its size in bytes.

        Raises InvalidTar; what was unpacked until then stays. moby: RWLayer.ApplyDiff.
        """
        size: int = self._core.hand_in(
            self._core.mounts,
            source,
            TarSource(inflate=True),
            lambda given: m.WorkOnMount(
                reference=self._reference,
                name=self.name,
                what="apply",
                source=given.source,
                descriptors=given.descriptors,
            ),
        )
        return size

    def tar_stream(self) -> TarStream:
        """Stream its changes as a layer tar. moby: TarStreamer.TarStream."""
        return self._core.stream(
            self._core.mounts,
            lambda descriptors: m.WorkOnMount(
                reference=self._reference, name=self.name, what="read", descriptors=descriptors
            ),
        )

    def metadata(self) -> dict[str, str]:
        """Return the graph driver's own facts of it. moby: RWLayer.Metadata."""
        found: dict[str, str] = self._work("inspect")
        return found

    def _work(self, what: m.MountWork) -> Any:
        message = m.WorkOnMount(reference=self._reference, name=self.name, what=what)
        return self._core.call(self._core.mounts, message)

    def belongs_to(self, core: Core) -> bool:
        """Whether the reference is one of this open store's."""
        return self._core is core

    def release(self) -> list[m.LayerMetadata]:
        """Give the reference back; see LayerStore.release_rw_layer."""
        message = m.ReleaseRWLayer(reference=self._reference, name=self.name)
        removed: list[m.LayerMetadata] = self._core.call(self._core.mounts, message)
        return removed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<RWLayer {self.name}>"
