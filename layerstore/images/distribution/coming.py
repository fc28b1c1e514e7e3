"""A layer that is on its way into the store, and where it comes from.

Owns when its source is opened, and what is told of the bytes that came.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import IO, Protocol

from msgspec import Struct

from layerstore.archive.image import ArchivedLayer
from layerstore.archive.open import write_all
from layerstore.asking.later import Later
from layerstore.asking.source import Pump, Readable
from layerstore.drivers.errors import (
    CallerError,
    IntegrityError,
    InvalidImage,
    InvalidTar,
    LayerStoreError,
)
from layerstore.drivers.model.ids import ChainID, DiffID, algorithm_of, hex_of
from layerstore.operations.blocking import Layer

_CHUNK = 1 << 20
_BETWEEN_REPORTS = 0.05
"""Seconds."""
_IN_PIPES = 4 << 20
"""Bytes that can be handed in without anybody's reading them; pipes hold a quarter of that."""


class Provider(Protocol):
    """Where layers come from."""

    label: str

    def open_layer(self, name: str) -> contextlib.AbstractContextManager[Readable]:
        """Give a layer's blob as it comes. Raises LayerStoreError."""


class Coming(Struct, eq=False, kw_only=True):
    """A layer of the image that isn't there yet."""

    place: int
    archived: ArchivedLayer
    diff: DiffID
    parent: ChainID | None
    twin: ChainID | None
    """A layer that is there with the same content, on another one."""
    begun: int = 0
    fetching: Future[None] | None = None
    later: Later[Layer] | None = None
    is_given_up: bool = False
    """Whether what comes of `later` is nobody's."""
    source: Opening | None = None

    def __lt__(self, other: Coming) -> bool:
        return self.place < other.place

    @property
    def called(self) -> str:
        """What it is called where somebody watches."""
        return called_in_progress(self.archived, self.diff)


class Opening:
    """What is opened when it is first read, and tells now and then how much came of it."""

    def __init__(
        self,
        opened: Callable[[], contextlib.AbstractContextManager[Readable]],
        watch: Callable[[int], None] | None,
        check: Callable[[], None],
        promised: str | None = None,
    ) -> None:
        """`check` raises what ends the reading; `promised` is the digest of all."""
        self._opened = opened
        self._check = check
        self._watch = watch
        self.failed = False
        """Whether reading it has raised something, which whoever reads it is about to tell."""
        self._held = contextlib.ExitStack()
        self._source: Readable | None = None
        self._done = 0
        self._told_at = 0.0
        self._promised = promised
        self._digest = hashlib.new(algorithm_of(promised)) if promised is not None else None

    def read(self, size: int, /) -> bytes:
        """Read what comes next, at most so many bytes."""
        try:
            self._check()
            if self._source is None:
                self._source = self._held.enter_context(self._opened())
            chunk = self._source.read(size)
        except BaseException:
            self.failed = True
            raise
        self._done += len(chunk)
        if self._digest is not None:
            if self._done <= _IN_PIPES:
                self._digest.update(chunk)
            else:
                self._digest = None
        if self._watch is not None and time.monotonic() - self._told_at > _BETWEEN_REPORTS:
            self._told_at = time.monotonic()
            self._watch(self._done)
        return chunk

    def is_what_was_promised(self, size: int) -> bool:
        """Whether a blob that was handed in whole, for a layer that is there, has its digest.

        Who unpacks looks into that; but if somebody else made the layer, nobody unpacks it.
        """
        if self._done != size or self._promised is None:
            return False
        if self._digest is None:
            return True  # somebody has read it: it is more than pipes hold
        return f"{algorithm_of(self._promised)}:{self._digest.hexdigest()}" == self._promised

    def close(self) -> None:
        """Close what was opened."""
        self._held.close()


def pump_from(pump: Pump | None, source: Opening) -> None:
    """Hand a blob in; raises the source's own error."""
    try:
        if pump is not None:
            pump.run(lambda: None)
    except CallerError as error:
        if isinstance(error.__cause__, LayerStoreError):
            raise error.__cause__ from None
        raise
    finally:
        source.close()


def spool(source: Opening, file: IO[bytes]) -> None:
    """Copy a layer to a raw file; raises the source's own error, DriverError."""
    with contextlib.closing(source):
        while chunk := source.read(_CHUNK):
            write_all(file, chunk, "a layer")


def called_in_progress(archived: ArchivedLayer, diff: DiffID) -> str:
    """Return what a layer is called where somebody watches: the start of its blob's digest."""
    return hex_of(archived.digest or diff)[:12]


def named(archived: ArchivedLayer, label: str, error: BaseException) -> BaseException:
    """Have an error say which layer of what it is about, where it doesn't."""
    what = f"layer {archived.digest or archived.blob} of {label}"
    if isinstance(error, IntegrityError):
        return IntegrityError(what, error.expected, error.actual)
    if isinstance(error, InvalidTar):
        return InvalidImage(what, str(error))
    return error
