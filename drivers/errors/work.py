"""Errors of the store's own life: locked, closed, busy, late, and what became of a worker.

Owns their words only.
"""

from __future__ import annotations

import errno as errno_codes
import os
import signal

from layerstore.drivers.errors.base import LayerStoreError, NamedError


class StoreLocked(LayerStoreError):
    """Another process has this root open; `pid` is its process ID, or 0 if it isn't known.

    `LayerStore.attach` works with a store that another process has open.
    """

    def __init__(self, root: str, pid: int) -> None:
        super().__init__(root, pid)
        self.root = root
        self.pid = pid

    def __str__(self) -> str:
        owner = f"process {self.pid}" if self.pid else "another process"
        return (
            f"store {self.root} is in use by {owner}; where that listens, LayerStore.attach works"
        )


class StoreDoesNotExist(NamedError):
    """There is no store at a path, and what was asked for makes none."""

    _sentence = "there is no store at {name}"


class CannotAttach(LayerStoreError):
    """There is nobody to attach to who has the root open, listens and speaks the same protocol."""

    def __init__(self, root: str, reason: str) -> None:
        super().__init__(root, reason)
        self.root = root
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot attach to the store {self.root}: {self.reason}"


class OwnersAlone(LayerStoreError):
    """Asked of an attached store is what only the process can do that has the root open (`pid`)."""

    def __init__(self, what: str, root: str, pid: int) -> None:
        super().__init__(what, root, pid)
        self.what = what
        self.root = root
        self.pid = pid

    def __str__(self) -> str:
        return f"{self.what}: only process {self.pid} can, which has the store {self.root} open"


class StoreClosed(NamedError):
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


def end_of_process(code: int) -> str:
    """Say how a process has ended, whose exit code is less than 0 where a signal has killed it."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time one
        return f"killed by signal {-code}"


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


class JobCancelled(NamedError):
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
