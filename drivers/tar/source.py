"""Where an applied tar's bytes come from: a descriptor, a window of it, compressed or not.

Owns reading and inflating and the digest of the bytes as given. It knows nothing of tar; what is
wrong with the compression is told as InvalidTar at an offset of the inflated stream.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import lzma
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Self, cast

import zstandard
from isal import igzip

from layerstore.drivers import work
from layerstore.drivers.errors import IntegrityError, InvalidTar, JobCancelled, LimitExceeded
from layerstore.drivers.model.ids import algorithm_of
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.tar.gzip_errors import BROKEN_GZIP

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed import WriteableBuffer

_CHUNK = 1 << 18
_MAX_ZSTD_WINDOW = 1 << 27
_CONFIRMATION = b"\x01"


def _open_zstd(raw: io.BufferedReader) -> BinaryIO:
    reader = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW).stream_reader(
        raw, read_size=_CHUNK, read_across_frames=True, closefd=False
    )
    return cast("BinaryIO", reader)


_INFLATERS: tuple[tuple[bytes, Callable[[io.BufferedReader], BinaryIO]], ...] = (
    (b"\x1f\x8b\x08", lambda raw: cast("BinaryIO", igzip.GzipFile(fileobj=raw, mode="rb"))),
    (b"\x28\xb5\x2f\xfd", _open_zstd),
    (b"BZh", lambda raw: cast("BinaryIO", bz2.BZ2File(raw))),
    (b"\xfd7zXZ\x00", lambda raw: cast("BinaryIO", lzma.LZMAFile(raw))),  # noqa: SIM115
)
_BROKEN: tuple[type[Exception], ...] = (*BROKEN_GZIP, zstandard.ZstdError, lzma.LZMAError)


class _Given(io.RawIOBase):
    """The bytes as given, from a window of a descriptor, hashed where a digest is expected."""

    def __init__(self, fd: int, source: work.TarSource) -> None:
        self._fd = fd
        self._positioned = source.size is not None
        self._offset = source.offset
        self._left = source.size if source.size is not None else 0
        expected = source.expected_digest
        self._hash = hashlib.new(algorithm_of(expected)) if expected is not None else None
        self.taken = 0
        """Bytes read so far."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        if self._positioned:
            count = os.preadv(self._fd, [view[: self._left]], self._offset) if self._left else 0
            self._offset += count
            self._left -= count
        else:
            count = os.readv(self._fd, [view])
        self.taken += count
        if self._hash is not None:
            self._hash.update(view[:count])
        return count

    def digest(self) -> str:
        """Read what is left and return everything's digest, of the expected one's algorithm."""
        if self._hash is None:
            raise ValueError("no digest was asked for")
        buffer = bytearray(_CHUNK)
        while self.readinto(buffer):
            pass
        return f"{self._hash.name}:{self._hash.hexdigest()}"


class _Inflated(io.RawIOBase):
    """An inflated stream whose errors are this package's."""

    def __init__(self, inflater: BinaryIO, given: _Given, limits: Limits) -> None:
        self._inflater = inflater
        self._given = given
        self._offset = 0
        self._limits = limits

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        try:
            count = self._inflater.readinto(buffer)  # type: ignore[attr-defined]
        except _BROKEN as error:
            raise InvalidTar(self._offset, f"the compressed stream is broken: {error}") from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise InvalidTar(self._offset, f"the compressed stream is broken: {error}") from error
        self._offset += count
        self._check_size()
        return int(count)

    def _check_size(self) -> None:
        limits = self._limits
        if self._offset > limits.max_bytes:
            what = "the inflated tar's size in bytes"
            raise LimitExceeded(what, limits.max_bytes, "max_bytes")
        if self._offset > max(limits.ratio_from, limits.max_ratio * self._given.taken):
            what = "the inflated tar's ratio to its compressed size"
            raise LimitExceeded(what, limits.max_ratio, "max_ratio")


def _recognised(given: _Given, limits: Limits) -> BinaryIO:
    buffered: io.BufferedReader = io.BufferedReader(given, _CHUNK)
    start = buffered.peek(8)
    for magic, inflater in _INFLATERS:
        if start.startswith(magic):
            raw = _Inflated(inflater(buffered), given, limits)
            return cast("BinaryIO", io.BufferedReader(raw, _CHUNK))
    return cast("BinaryIO", buffered)


class _Promised(io.RawIOBase):
    """A stream whose last read, which finds its end, tells whether it was as promised."""

    def __init__(self, stream: BinaryIO, check: Callable[[], None]) -> None:
        self._stream = stream
        self._check = check
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        count: int = self._stream.readinto(buffer)  # type: ignore[attr-defined]
        if not count and not self._ended:
            self._ended = True
            self._check()
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


class OpenSource:
    """A tar being read: `stream` yields it.

    Its end raises IntegrityError where the digest of the bytes as given isn't the expected one,
    JobCancelled where the giver went away or failed.
    """

    def __init__(
        self, source: work.TarSource, descriptors: work.Descriptors, limits: Limits
    ) -> None:
        self._source = source
        self._confirmation = descriptors[1].fileno() if source.confirmed else None
        self._given = _Given(descriptors[0].fileno(), source)
        self.stream = cast("BinaryIO", self._given)
        if source.inflate:
            self.stream = _recognised(self._given, limits)
        if source.expected_digest is not None or source.confirmed:
            self.stream = cast("BinaryIO", _Promised(self.stream, self._check))

    def _check(self) -> None:
        actual = self._given.digest() if self._source.expected_digest is not None else None
        # Who failed has not promised that the digest is that of what came.
        if self._confirmation is not None and os.read(self._confirmation, 1) != _CONFIRMATION:
            raise JobCancelled("the tar's source")
        if actual is not None and actual != self._source.expected_digest:
            raise IntegrityError("the layer's digest", str(self._source.expected_digest), actual)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stream.close()


def open_source(
    source: work.TarSource, descriptors: work.Descriptors, limits: Limits
) -> OpenSource:
    """Open what a job's first descriptor gives; the descriptors stay the caller's."""
    return OpenSource(source, descriptors, limits)
