"""Every error layerstore raises, in the words of what the caller would do about it.

Errors cross the process boundary as their class name and positional arguments
(`to_wire`, `from_wire`), so every constructor takes plain strings, integers and None only.
"""

from __future__ import annotations

import errno as errno_codes
import os
from typing import ClassVar


class LayerStoreError(Exception):
    """The root of every error that layerstore raises on purpose."""

    _registry: ClassVar[dict[str, type[LayerStoreError]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        LayerStoreError._registry[cls.__name__] = cls


class _Named(LayerStoreError):
    """An error about one named thing; subclasses give the sentence."""

    _sentence: ClassVar[str] = "{name}"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return self._sentence.format(name=self.name)


class LayerDoesNotExist(_Named):
    """No layer with this chain ID is in the store; `name` is the chain ID."""

    _sentence = "layer {name} does not exist"


class LayerNotRetained(_Named):
    """The reference was released before, or belongs to another store."""

    _sentence = "layer {name} is not retained by this reference"


class MountDoesNotExist(_Named):
    """No read-write layer has this name (or it is still being created)."""

    _sentence = "mount {name} does not exist"


class MountNameConflict(_Named):
    """The name belongs to a read-write layer, or to one that is being made or removed."""

    _sentence = "mount name {name} is already in use"


class NotMounted(_Named):
    """An unmount was asked of a read-write layer that is not mounted."""

    _sentence = "mount {name} is not mounted"


class ImageDoesNotExist(_Named):
    """No image has this name, ID or ID prefix."""

    _sentence = "image {name} does not exist"


class ImageInUse(LayerStoreError):
    """An image is kept by read-write layers or by further names; force removes it all the same."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"image {self.name} is in use: {self.reason}"


class InvalidName(LayerStoreError):
    """A name or an ID does not match its grammar; nothing was touched."""

    def __init__(self, name: str, grammar: str) -> None:
        super().__init__(name, grammar)
        self.name = name
        self.grammar = grammar

    def __str__(self) -> str:
        return f"invalid {self._kind} {self.name[:200]!r}: {self.grammar}"

    _kind = "name"


class InvalidArgument(InvalidName):
    """Something that was given, other than a name, does not match its grammar."""

    _kind = "argument"


class MaxDepthExceeded(LayerStoreError):
    """The parent is already as deep as a chain of layers may be."""

    def __init__(self, chain_id: str, limit: int) -> None:
        super().__init__(chain_id, limit)
        self.chain_id = chain_id
        self.limit = limit

    def __str__(self) -> str:
        return f"a layer on {self.chain_id} would exceed the depth limit of {self.limit}"


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
    """Input from outside is larger than an option of the store allows."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(what, limit)
        self.what = what
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.what} exceeds the limit of {self.limit}"


class DriverError(LayerStoreError):
    """The operating system refused; `operation`, `path` and `errno` say what, where and why."""

    def __init__(self, operation: str, path: str, errno: int, detail: str = "") -> None:
        super().__init__(operation, path, errno, detail)
        self.operation = operation
        self.path = path
        self.errno = errno
        self.detail = detail

    def __str__(self) -> str:
        more = f" ({self.detail})" if self.detail else ""
        return f"{self.operation} {self.path}: {os.strerror(self.errno)}{more}"

    @staticmethod
    def from_os_error(
        operation: str, path: str | bytes, error: OSError, detail: str = ""
    ) -> DriverError:
        """Make the most specific class for an OSError; `error` should become its cause."""
        code = error.errno if error.errno is not None else errno_codes.EIO
        cls = _BY_ERRNO.get(code, DriverError)
        return cls(operation, os.fsdecode(path), code, detail)

    @staticmethod
    def from_os_error_in(operation: str, directory: str, error: OSError) -> DriverError:
        """Make it for a failure somewhere beneath a directory.

        Where the failed call was given a name beneath a descriptor, that name alone tells nobody
        where it lies: then the directory is the path, and the name a detail.
        """
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
        if name.startswith("/") and not name.startswith("/proc/self/fd/"):
            return DriverError.from_os_error(operation, name, error)
        detail = f"at {os.path.basename(name)}" if name else ""
        return DriverError.from_os_error(operation, directory, error, detail)


class StorageFull(DriverError):
    """No space, inodes or quota left beneath the root: free some, then try again."""


class ReadOnlyStorage(DriverError):
    """The file system beneath the root is read-only."""


class NotPermitted(DriverError):
    """The process lacks a privilege, usually CAP_SYS_ADMIN for mounts: run as root."""


_BY_ERRNO: dict[int, type[DriverError]] = {
    errno_codes.ENOSPC: StorageFull,
    errno_codes.EDQUOT: StorageFull,
    errno_codes.EROFS: ReadOnlyStorage,
    errno_codes.EPERM: NotPermitted,
    errno_codes.EACCES: NotPermitted,
}


_PASSING = {errno_codes.EMFILE, errno_codes.ENFILE, errno_codes.ENOMEM}


def is_passing(error: BaseException) -> bool:
    """Whether an error tells nothing of the disk, but that the system has run out of something."""
    return isinstance(error, OSError | DriverError) and error.errno in _PASSING


class DriverNotSupported(LayerStoreError):
    """The named graph driver does not exist or cannot work on this root."""

    def __init__(self, driver: str, root: str, reason: str) -> None:
        super().__init__(driver, root, reason)
        self.driver = driver
        self.root = root
        self.reason = reason

    def __str__(self) -> str:
        return f"graph driver {self.driver} cannot be used on {self.root}: {self.reason}"


class StoreLocked(LayerStoreError):
    """Another process has this root open; `pid` is its process ID, or 0 if it isn't known."""

    def __init__(self, root: str, pid: int) -> None:
        super().__init__(root, pid)
        self.root = root
        self.pid = pid

    def __str__(self) -> str:
        owner = f"process {self.pid}" if self.pid else "another process"
        return f"store {self.root} is in use by {owner}"


class StoreClosed(_Named):
    """The store is closed or closing, or was opened before a fork; `name` is its root."""

    _sentence = "store {name} is closed"


class StoreRestarted(LayerStoreError):
    """An actor of the store died (`actor`), and all are made anew from what is on the disk.

    Layers that were being registered and read-write layers that were being made are undone; whether
    anything else was carried out isn't known: look, and ask again. What was held stays held, what
    was mounted stays mounted.
    """

    def __init__(self, actor: str) -> None:
        super().__init__(actor)
        self.actor = actor

    def __str__(self) -> str:
        return f"{self.actor} died, and the store is made anew from its disk: look, and ask again"


class StoreBusy(LayerStoreError):
    """As much work is queued as the store admits; try again later."""

    def __init__(self, queued: int) -> None:
        super().__init__(queued)
        self.queued = queued

    def __str__(self) -> str:
        return f"the store is busy: {self.queued} jobs are queued"


class CallTimeout(LayerStoreError, TimeoutError):
    """No answer within the caller's timeout in seconds; what was begun is undone or finished."""

    def __init__(self, operation: str, seconds: float) -> None:
        super().__init__(operation, seconds)
        self.operation = operation
        self.seconds = seconds

    def __str__(self) -> str:
        return f"{self.operation} gave no answer within {self.seconds:g} s"


class CommandNotRun(LayerStoreError):
    """The program of a run can't be executed in its root file system; `errno` says why."""

    def __init__(self, program: str, errno: int, detail: str = "") -> None:
        super().__init__(program, errno, detail)
        self.program = program
        self.errno = errno
        self.detail = detail

    @property
    def status(self) -> int:
        """Exit status of shells and docker: 127 for no such program, 126 for one that can't run."""
        missing = self.errno in (errno_codes.ENOENT, errno_codes.ENOTDIR)
        return 127 if missing else 126

    def __str__(self) -> str:
        more = f" ({self.detail})" if self.detail else ""
        return f"{self.program} can't be run: {os.strerror(self.errno)}{more}"


class WorkerDied(LayerStoreError):
    """The child process that did the work ended in the middle of it; nothing half-made stays."""

    def __init__(self, job: str, pid: int, status: str) -> None:
        super().__init__(job, pid, status)
        self.job = job
        self.pid = pid
        self.status = status

    def __str__(self) -> str:
        return f"worker process {self.pid} ended ({self.status}) during {self.job}"


class NotConfined(LayerStoreError):
    """The store was opened with confine="required", and the kernel doesn't let it be done whole."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"worker processes can't be confined as required: {self.reason}"


class JobCancelled(_Named):
    """The caller gave up before the work was done, and it was undone."""

    _sentence = "{name} was cancelled"


class CallerError(LayerStoreError):
    """Something that the caller handed in (an init function, a tar source) raised an exception."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what} failed: {self.reason}"


class InternalError(LayerStoreError):
    """A bug in layerstore: an exception that has no class of its own here."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        return f"internal error in {self.where}: {self.reason}"


Wire = list[str | int | float | None]


def to_wire(error: BaseException, where: str) -> Wire:
    """Flatten an error to its class name and arguments; a foreign one becomes InternalError."""
    if isinstance(error, LayerStoreError):
        return [type(error).__name__, *error.args]
    if isinstance(error, OSError):
        name = error.filename if isinstance(error.filename, str | bytes) else ""  # or a descriptor
        found = DriverError.from_os_error(where, name, error)
        return [type(found).__name__, *found.args]
    return [InternalError.__name__, where, f"{type(error).__name__}: {error}"]


def from_wire(wire: Wire) -> LayerStoreError:
    """Make the error again; anything that does not fit a known class becomes InternalError."""
    name, *arguments = wire or [""]
    cls = LayerStoreError._registry.get(str(name))
    if cls is None:
        return InternalError("worker reply", f"unknown error {name!r}")
    try:
        return cls(*arguments)
    except TypeError:
        return InternalError("worker reply", f"bad arguments for error {name!r}")
