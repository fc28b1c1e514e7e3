"""The members of a tar, one after the other, each with everything that was said about it.

Owns the order of blocks in the stream: headers in front of headers, content, padding, the end.
Every byte that isn't a member's content is kept for the tar-split until it is taken. It knows
nothing of files on a disk.
Sources: POSIX pax, section "pax Interchange Format"; behaviour of Go's archive/tar Reader.Next.
"""

from __future__ import annotations

from collections.abc import Iterator

from layerstore.drivers.errors import InvalidTar, LimitExceeded
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.tar import header as th
from layerstore.drivers.tar import pax as tar_pax
from layerstore.drivers.tar import sparse as tar_sparse
from layerstore.drivers.tar.bytes import BLOCK, TarBytes
from layerstore.drivers.tar.header import Header


class Members:
    """An iterator over a stream's members.

    Whoever iterates reads exactly `stored` bytes of content from the stream between two members,
    and takes the raw bytes of each, since they are kept in memory.
    """

    def __init__(self, stream: TarBytes, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        self._raw: list[bytes] = []
        self._raw_size = 0
        self._padding = 0

    def take_raw(self) -> bytes:
        """Give all bytes since the last member's content and up to this one's; then forget them."""
        raw = self._raw[0] if len(self._raw) == 1 else b"".join(self._raw)
        self._raw = []
        self._raw_size = 0
        return raw

    def __iter__(self) -> Iterator[Header]:
        while (header := self._next()) is not None:
            if header.type != th.PAX_GLOBAL:
                self._padding = -header.stored % BLOCK
            yield header

    def _next(self) -> Header | None:
        records: dict[bytes, bytes] | None = None
        long_name = long_link = b""
        while True:
            found = self._read_header()
            if found is None:
                if records is not None or long_name or long_link:
                    raise InvalidTar(
                        self._stream.offset, "the stream ends after the extended header of a member"
                    )
                return None
            header, block = found
            match header.type:
                case th.PAX_NEXT | th.PAX_GLOBAL:
                    start = self._stream.offset
                    records = tar_pax.parse_records(self._extension(header), start)
                    if header.type == th.PAX_GLOBAL:
                        header.name = records.get(b"path") or header.name
                        header.size = 0
                        return header
                case th.GNU_LONG_NAME:
                    long_name = self._extension(header).partition(b"\0")[0]
                case th.GNU_LONG_LINK:
                    long_link = self._extension(header).partition(b"\0")[0]
                case _:
                    if records is not None:
                        tar_pax.merge_records(header, records)
                    header.name = long_name or header.name
                    header.linkname = long_link or header.linkname
                    self._complete(header, block)
                    return header

    def _read_header(self) -> tuple[Header, bytes] | None:
        """Read a header block behind the padding of what came before it; None at the end."""
        if self._padding:
            self._keep(self._stream.at_most(self._padding))
            self._padding = 0
        offset = self._stream.offset
        block = self._raw_block()
        if block is None:
            return None
        if block == th.ZERO_BLOCK:
            self._read_end(offset)
            return None
        return th.parse_header(memoryview(block), offset), block

    def _read_end(self, offset: int) -> None:
        second = self._raw_block()
        if second is not None and second != th.ZERO_BLOCK:
            raise InvalidTar(offset, "one block of zeros is neither a header nor the end")

    def _raw_block(self) -> bytes | None:
        view = self._stream.block()
        if view is None:
            return None
        block = bytes(view)
        self._keep(block)
        return block

    def _keep(self, raw: bytes) -> None:
        # A name, a link, records and a sparse map, each as long as allowed, and never more of them.
        self._raw_size += len(raw)
        if self._raw_size > 5 * (self._limits.max_header + BLOCK):
            what = f"the size of all headers of a member at offset {self._stream.offset}"
            raise LimitExceeded(what, self._limits.max_header, "max_header")
        self._raw.append(raw)

    def _extension(self, header: Header) -> bytes:
        """Read the content of a header that describes the next one."""
        if header.size < 0:
            raise InvalidTar(header.offset, "the size is negative", header.entry)
        if header.size > self._limits.max_header:
            raise LimitExceeded(
                "the size of an extended header in bytes",
                self._limits.max_header,
                "max_header",
                header.entry,
            )
        content = self._stream.take(header.size, header.entry)
        self._keep(content)
        self._padding = -header.size % BLOCK
        return content

    def _complete(self, header: Header, block: bytes) -> None:
        if header.type in (th.REGULAR_OLD, th.CONTIGUOUS):
            legacy = header.type == th.REGULAR_OLD and header.name.endswith(b"/")
            header.type = th.DIRECTORY if legacy else th.REGULAR
        if header.size < 0:
            raise InvalidTar(header.offset, "the size is negative", header.entry)
        if header.type not in th.WITHOUT_CONTENT:
            header.stored = header.size
        most = self._limits.max_header
        if header.type == th.GNU_SPARSE:
            tar_sparse.read_old_gnu(header, block, self._next_block, most)
            header.type = th.REGULAR
        elif header.records and (version := tar_sparse.pax_version(header)) is not None:
            if header.type != th.REGULAR:
                raise InvalidTar(header.offset, "only regular files can be sparse", header.entry)
            tar_sparse.read_pax(header, version, self._next_block, most)
        longest = max(len(header.name), len(header.linkname))
        if longest > self._limits.max_path:
            what = "the length of a name in bytes"
            raise LimitExceeded(what, self._limits.max_path, "max_path", header.entry)

    def _next_block(self) -> bytes:
        block = self._raw_block()
        if block is None:
            raise InvalidTar(self._stream.offset, "the stream ends in the middle of a sparse map")
        return block
