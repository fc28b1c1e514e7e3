"""A blob on its way: bytes as they come from the socket, from wherever they are to be had.

Owns going on after a connection that breaks, falls silent or crawls. It never gives more than the
blob's size. Whether it is the right blob is for the reader to find out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NoReturn, Self

from msgspec import structs

from layerstore.drivers.errors import LayerStoreError, RegistryError, RegistryUnreachable
from layerstore.images.registry.asker import Asker, Question
from layerstore.images.registry.places import Place
from layerstore.images.registry.wire.answers import Answer, BrokenAnswer
from layerstore.images.registry.wire.patience import PassingError, patiently

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\Z", re.ASCII)
_SKIPPED = 1 << 20


class BlobStream:
    """A blob of a known size, read once from its beginning; a context manager."""

    def __init__(
        self,
        asker: Asker,
        sources: Sequence[Question],
        size: int,
        passed_over: Callable[[Place, LayerStoreError], None],
    ) -> None:
        """Make one of where the blob may be had, in that order; one that fails is told of."""
        self.size = size
        self.position = 0
        """Bytes given so far."""
        self.came_from: list[Place] = []
        """Who has given some of it."""
        self._asker = asker
        self._sources = list(sources)
        self._passed_over = passed_over
        self._answer: Answer | None = None
        self._failures = 0
        self._mark = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Be done with it."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    def read(self, most: int = 1 << 20) -> bytes:
        """Read what comes next, at most so many bytes; nothing at the end.

        Raises RegistryUnreachable, RegistryError, NotInRegistry, AccessDenied, JobCancelled.
        """
        if self.position >= self.size or most <= 0:
            return b""
        try:
            part = self._next(most)
        except PassingError as error:
            part = self._again(most, error)
        self.position += len(part)
        if self.position == self.size:
            self._end()
        return part

    def _again(self, most: int, first: PassingError) -> bytes:
        """Go on after a failure: where it was, as often as patience allows, or elsewhere."""
        failed: list[PassingError] = [first]

        def attempt() -> bytes:
            if failed:  # that was the first
                raise failed.pop()
            return self._next(most)

        # However it goes, `_failed` ends it earlier than this.
        most_attempts = (self._asker.patience.attempts + 1) * len(self._sources) + 1
        stop, patience = self._asker.stop, self._asker.patience
        return patiently(attempt, self._sources[0].what, stop, patience, most_attempts)

    def _next(self, most: int) -> bytes:
        try:
            if self._answer is None:
                self._answer = self._opened()
            part = self._answer.read_some(min(most, self.size - self.position))
            if not part:
                raise BrokenAnswer("the connection ends")
            return part
        except BrokenAnswer as error:
            source = self._sources[0]
            self._asker.stop.check(source.what)
            reason = f"after {self.position} of {self.size} bytes: {error}"
            final = RegistryUnreachable(source.place.registry, source.what, reason)
            self._failed(PassingError(final), error)
        except PassingError as error:
            self._failed(error, error.__cause__)

    def _failed(self, error: PassingError, cause: BaseException | None) -> NoReturn:
        """Count a failure; raises it as passing as long as there is an attempt or a place left."""
        self.close()
        patience = self._asker.patience
        if self.position - self._mark >= min(patience.progress, self.size // 64 + 1):
            self._mark, self._failures = self.position, 0
        self._failures += 1
        if self._failures >= self._asker.attempts(self._sources[0].place):
            self._go_on_elsewhere(error.final, cause)
        raise error from cause

    def _opened(self) -> Answer:
        """Ask for what is left, where it is to be had."""
        while True:
            try:
                return self._from(self._sources[0])
            except RegistryError as error:
                self._go_on_elsewhere(error, error.__cause__)

    def _go_on_elsewhere(self, error: LayerStoreError, cause: BaseException | None) -> None:
        """Leave a place for the next one; raises its error if it was the last."""
        if len(self._sources) == 1:
            raise error from cause
        self._passed_over(self._sources.pop(0).place, error)
        self._failures = 0

    def _from(self, source: Question) -> Answer:
        if self.position:
            headers = {**source.headers, "Range": f"bytes={self.position}-"}
            source = structs.replace(source, headers=headers, fine=(200, 206))
        answer = self._asker.once(source)
        try:
            if answer.status == 206:
                self._check_range(answer, source)
            else:
                self._check_length(answer, source)
                self._skip(answer)
        except BaseException:
            answer.close()
            raise
        self.came_from.append(source.place)
        return answer

    def _check_range(self, answer: Answer, source: Question) -> None:
        said = answer.headers.get("Content-Range", "")
        found = _RANGE.match(said.strip())
        if found is None or int(found[1]) != self.position or found[3] not in ("*", str(self.size)):
            reason = f"asked for bytes from {self.position} of {self.size}, it sends {said[:100]!r}"
            raise RegistryError(source.place.registry, source.what, reason)

    def _check_length(self, answer: Answer, source: Question) -> None:
        if answer.length is not None and answer.length != self.size:
            reason = f"it has {answer.length} bytes rather than {self.size}"
            raise RegistryError(source.place.registry, source.what, reason)

    def _skip(self, answer: Answer) -> None:
        """Read over what was had before, from who knows no ranges."""
        left = self.position
        while left:
            part = answer.read_some(min(left, _SKIPPED))
            if not part:
                raise BrokenAnswer("the connection ends")
            left -= len(part)

    def _end(self) -> None:
        """See that there is no more where nothing has said how much there is."""
        answer = self._answer
        if answer is None or answer.length is not None:
            return
        source = self._sources[0]
        try:
            more = answer.read_some(1)
        except BrokenAnswer:
            more = b""  # all that was asked for is there
        self._asker.stop.check(source.what)
        if more:
            self.close()
            reason = f"it goes on after {self.size} bytes"
            raise RegistryError(source.place.registry, source.what, reason)
