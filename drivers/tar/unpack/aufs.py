"""Hard links of aufs whose file lies in another branch: the members beneath `.wh..wh.plnk`.

Owns what such members hold until the tar is unpacked: they are put nowhere themselves, but a hard
link to one makes a file with its content, owner and times, each link its own. A layer that docker
made with aufs may have them. Source: moby's archive.UnpackLayer.
"""

from __future__ import annotations

import io
import posixpath
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Self

from layerstore.drivers.tar import header as th
from layerstore.drivers.tar.header import Header
from layerstore.drivers.tar.names import clean
from layerstore.drivers.tar.unpack.content import Content

if TYPE_CHECKING:
    from types import TracebackType

_PLACE = b".wh..wh.plnk"
_IN_MEMORY = 1 << 24
_CHUNK = 1 << 20


class PseudoLinks:
    """The members of one tar; what does not fit into memory lies in nameless files there."""

    def __init__(self, directory: str) -> None:
        self._spool = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=directory)  # noqa: SIM115
        self._kept: dict[bytes, tuple[Header, int]] = {}

    def keep(self, header: Header, path: bytes) -> Callable[[memoryview], object] | None:
        """Return what takes a member's content as it lies in the tar; None for other members."""
        if not path.startswith(_PLACE) or header.type != th.REGULAR:
            return None
        self._kept[posixpath.basename(path)] = header, self._spool.seek(0, io.SEEK_END)
        return self._spool.write

    def meant(self, header: Header) -> tuple[Header, Content] | None:
        """Return the member that a hard link is to, and its content; None for other links."""
        target = clean(header.linkname) if header.type == th.LINK else None
        if target is None or not target.startswith(_PLACE):
            return None
        kept = self._kept.get(posixpath.basename(target))
        return (kept[0], _Kept(self._spool, kept[1])) if kept is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._spool.close()


class _Kept:
    def __init__(self, spool: tempfile.SpooledTemporaryFile[bytes], start: int) -> None:
        self._spool = spool
        self._offset = start

    def pieces(self, count: int, entry: str) -> Iterator[memoryview]:
        del entry  # all of it was there when it was kept
        while count:
            self._spool.seek(self._offset)
            piece = self._spool.read(min(count, _CHUNK))
            self._offset += len(piece)
            count -= len(piece)
            yield memoryview(piece)
