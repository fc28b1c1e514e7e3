"""Writing a tar-split while a tar is applied, so that the replay is exact whatever the tar does.

Owns the records until they are complete. A member's content is replayed from the tree, unless the
tree won't have it: content that is never a file of its own is put in as raw bytes at once, and
content that a later member overwrites or removes is saved and put in at the end.
Source: vbatts/tar-split, tar/asm.NewInputTarStream, for which records come when.
"""

from __future__ import annotations

import io
import os
import stat
import tempfile
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from fastcrc import crc64

from layerstore.drivers.errors import InvalidTar
from layerstore.drivers.tar.split.hashed_out import Nowhere
from layerstore.drivers.tar.split.layer_files import LayerFiles
from layerstore.drivers.tar.split.records import FILE, Record, file_line, read_records, segment_line
from layerstore.drivers.tar.split.replay_bytes import assemble

if TYPE_CHECKING:
    from types import TracebackType

_IN_MEMORY = 1 << 24
_CHUNK = 1 << 20
_Lost = dict[tuple[int, bytes], int]
"""Size and CRC of content that the tree no longer has, and where it begins in the saved file."""


class Recorder:
    """Collects records and hands them to `out` when all are known.

    What does not fit into memory lies in nameless files beneath `directory`.
    """

    def __init__(self, out: BinaryIO, directory: str) -> None:
        self._out = out
        self._directory = directory
        self._records = self._spool()
        self._saved = self._spool()
        self._lost: _Lost = {}
        self._sizes: set[int] = set()
        """Of members whose content is to be replayed."""
        self._position = 0

    def segment(self, raw: bytes | memoryview) -> None:
        """Add raw bytes of the tar."""
        self._records.write(segment_line(raw, self._position))
        self._position += 1

    def file(self, name: bytes, size: int = 0, crc: int | None = None) -> None:
        """Add a member; with a CRC, its content is to be replayed from the tree."""
        if crc is not None:
            self._sizes.add(size)
        self._records.write(file_line(name, size, crc, self._position))
        self._position += 1

    def save(self, directory: int, name: bytes, status: os.stat_result) -> None:
        """Keep the content of a file that is about to be removed from the tree.

        Not of one that no member's content can be, such as a huge file of a sparse member.
        """
        if not stat.S_ISREG(status.st_mode) or status.st_size not in self._sizes:
            return
        start = self._saved.seek(0, io.SEEK_END)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, dir_fd=directory)
        crc = 0
        try:
            while piece := os.read(fd, _CHUNK):
                crc = crc64.go_iso(piece, crc)
                self._saved.write(piece)
        finally:
            os.close(fd)
        self._lost[status.st_size, crc.to_bytes(8, "big")] = start

    def finish(self, root: str, diff_id: str, *, aliased: bool) -> None:
        """Hand over the records. Raises InvalidTar for a tar that could not be given back.

        `aliased` says that some names led through symbolic links, which may have changed since.
        """
        self._records.seek(0)
        if self._lost or aliased:
            with self._spool() as rewritten:
                size = self._rewrite(root, rewritten)
                self._prove(root, rewritten, diff_id, size)
                self._hand_over(rewritten)
        else:
            self._hand_over(self._records)

    def _hand_over(self, records: BinaryIO) -> None:
        records.seek(0)
        while piece := records.read(_CHUNK):
            self._out.write(piece)

    def _rewrite(self, root: str, into: BinaryIO) -> int:
        """Put content in the place of files that no longer have it, or that docker can't reach.

        Returns the size of the tar in bytes.
        """
        position = offset = 0
        # Docker knows no root of a layer.
        with LayerFiles(root) as ours, LayerFiles(root, chroot=False) as dockers:
            for record in read_records(self._records, "tar-split"):
                if record.type != FILE or not record.size or _holds(dockers, record):
                    into.write(_moved(record, position))
                    position += 1
                elif self._put_in(ours, record, into, position):
                    position += 2 + (record.size - 1) // _CHUNK
                else:
                    reason = "its content cannot be kept: its name leads elsewhere in the end"
                    raise InvalidTar(offset, reason, os.fsdecode(record.file_name))
                offset += record.size if record.type == FILE else len(record.payload or b"")
        return offset

    def _put_in(self, files: LayerFiles, record: Record, into: BinaryIO, position: int) -> bool:
        """Write a member and its content, a line for each chunk; whether the content was found."""
        start = self._lost.get((record.size, record.payload or b""))
        if start is not None:
            self._saved.seek(start)
            _write_raw(self._saved, record, into, position)
            return True
        if not _holds(files, record):
            return False
        fd = files.open(record.file_name, record.size)
        if fd is None:
            return False
        with open(fd, "rb") as content:
            _write_raw(content, record, into, position)
        return True

    def _prove(self, root: str, records: BinaryIO, diff_id: str, size: int) -> None:
        records.seek(0)
        if assemble(records, root, cast("BinaryIO", Nowhere())) != diff_id:
            reason = "it cannot be given back: members of one size and CRC-64 replace each other"
            raise InvalidTar(size, reason)

    def _spool(self) -> BinaryIO:
        spool = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=self._directory)  # noqa: SIM115
        return cast("BinaryIO", spool)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._records.close()
        self._saved.close()


def _moved(record: Record, position: int) -> bytes:
    if record.type != FILE:
        return segment_line(record.payload or b"", position)
    crc = int.from_bytes(record.payload, "big") if record.payload else None
    return file_line(record.file_name, record.size, crc, position)


def _write_raw(content: BinaryIO, record: Record, into: BinaryIO, position: int) -> None:
    """Write a member and its content; were that short, the proof of the whole would show it."""
    into.write(file_line(record.file_name, 0, None, position))
    left = record.size
    while left and (piece := content.read(min(_CHUNK, left))):
        position += 1
        into.write(segment_line(piece, position))
        left -= len(piece)


def _holds(files: LayerFiles, record: Record) -> bool:
    """Whether the member's content is where its name leads."""
    fd = files.open(record.file_name, record.size)
    if fd is None:
        return False
    crc = 0
    try:
        while piece := os.read(fd, _CHUNK):
            crc = crc64.go_iso(piece, crc)
    finally:
        os.close(fd)
    return crc.to_bytes(8, "big") == record.payload
