"""Errors about content from outside: tars, images, metadata, settings, traces.

Owns their words only.
"""

from __future__ import annotations

from layerstore.drivers.errors.base import LayerStoreError


class InvalidTar(LayerStoreError):
    """The stream is not a tar that can be applied; `offset` is in bytes of the uncompressed tar."""

    def __init__(self, offset: int, reason: str, entry: str | None = None) -> None:
        super().__init__(offset, reason, entry)
        self.offset = offset
        self.reason = reason
        self.entry = entry

    def __str__(self) -> str:
        where = f" in entry {self.entry[:200]!r}" if self.entry is not None else ""
        return f"invalid tar at offset {self.offset}{where}: {self.reason}"


class InvalidImage(LayerStoreError):
    """An image archive, manifest or configuration is malformed or incomplete."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(source, reason)
        self.source = source
        self.reason = reason

    def __str__(self) -> str:
        return f"invalid image {self.source}: {self.reason}"


class InvalidMetadata(LayerStoreError):
    """A file of the store's own metadata does not hold what its format says."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"invalid metadata in {self.path}: {self.reason}"


class InvalidSettings(LayerStoreError):
    """A file of docker's or containers' settings or credentials isn't as its format says.

    `reason` names the line or the field; it never holds what is secret there.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"invalid settings in {self.path}: {self.reason}"


class InvalidTrace(LayerStoreError):
    """A file is no journal of a trace, or holds what none has; `offset` is in bytes."""

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(path, offset, reason)
        self.path = path
        self.offset = offset
        self.reason = reason

    def __str__(self) -> str:
        return f"invalid trace {self.path} at offset {self.offset}: {self.reason}"


class IntegrityError(LayerStoreError):
    """Content does not have the digest that its name promises; `what` names the content."""

    def __init__(self, what: str, expected: str, actual: str) -> None:
        super().__init__(what, expected, actual)
        self.what = what
        self.expected = expected
        self.actual = actual

    def __str__(self) -> str:
        return f"{self.what} should be {self.expected} but is {self.actual}"


class LimitExceeded(LayerStoreError):
    """Input from outside is larger than allowed: by `option`, a field of Limits, where it is named.

    `entry` is the name of the tar's entry, where the limit is about one.
    """

    def __init__(
        self, what: str, limit: int, option: str | None = None, entry: str | None = None
    ) -> None:
        super().__init__(what, limit, option, entry)
        self.what = what
        self.limit = limit
        self.option = option
        self.entry = entry

    def __str__(self) -> str:
        where = f" at entry {self.entry[:200]!r}" if self.entry is not None else ""
        more = f" (--limit {self.option}=N sets another)" if self.option is not None else ""
        return f"{self.what} exceeds the limit of {self.limit}{where}{more}"


class OutputExceeded(LimitExceeded):
    """A command has written more than was to be taken; it is killed.

    `stdout` and `stderr` are what was taken until then, None where that was no pipe.
    """

    stdout: bytes | None = None
    stderr: bytes | None = None

    def __init__(self, limit: int) -> None:
        LayerStoreError.__init__(self, limit)
        self.what = "bytes of a command's output"
        self.limit = limit
        self.option = "most_output"
        self.entry = None

    def __str__(self) -> str:
        return f"a command's output exceeds most_output, {self.limit} bytes"
