"""Several short jobs for one message: what goes to the child and what comes back.

In threads of this process such jobs wait for each other at every system call (whoever made one
needs the interpreter's lock again, which another thread has taken meanwhile); a child does them one
after another without. Owns the form of the two frames. It knows no process and no socket.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

from msgspec import Struct, structs, to_builtins

from layerstore.drivers import work
from layerstore.drivers.errors import DriverError, LayerStoreError, Wire, from_wire, to_wire
from layerstore.drivers.root.creation import creating
from layerstore.drivers.root.disk import Disk, near
from layerstore.drivers.root.removal import remove_mounts
from layerstore.drivers.system.collected_log import Lines, collected, log_again
from layerstore.drivers.system.frames import BadFrame, convert
from layerstore.drivers.system.retry import retries
from layerstore.drivers.worker.perform import perform

NAME = "together"


class _Reply(Struct, frozen=True):
    """What became of one job; `left` if this process must not do it."""

    begun: int
    ended: int
    retries: int = 0
    left: bool = False
    error: Wire | None = None


class _Replies(Struct, frozen=True):
    """In the order of the jobs, and what there was to log: level and text."""

    replies: list[_Reply]
    lines: Lines


def pack(jobs: Sequence[work.Job], *, quiet: bool) -> tuple[str, object]:
    """Return what asks a child for jobs that join.

    `quiet` is whether others have written so little that the file system can be synced at once.
    """
    packed = [(type(job).__name__, structs.asdict(job)) for job in jobs]
    return NAME, {"jobs": packed, "quiet": quiet}


def perform_packed(disk: Disk, fields: dict[str, Any]) -> dict[str, Any]:
    """Do what `pack` asked for, and return the frame to answer with. In the child."""
    jobs = [_job(*pair) for pair in convert(fields.get("jobs"), list[tuple[str, dict[str, Any]]])]
    quiet = convert(fields.get("quiet"), bool)
    with collected() as lines, contextlib.ExitStack() as stack:
        with contextlib.suppress(DriverError):  # then paths are just longer
            disk = stack.enter_context(near(disk))
        replies = _perform_jobs(disk, jobs, quiet=quiet)
    return cast("dict[str, Any]", to_builtins(_Replies(replies, lines), builtin_types=(bytes,)))


def _job(name: str, fields: dict[str, Any]) -> work.Job:
    cls = work.JOINING_JOBS.get(name)
    if cls is None:
        raise BadFrame(f"no such job: {name!r}")
    return convert(fields, cls)


def _perform_jobs(disk: Disk, jobs: Sequence[work.Job], *, quiet: bool) -> list[_Reply]:
    creations = [job for job in jobs if isinstance(job, work.CreateMount)]
    created = iter(_create(disk, creations, quiet=quiet) if creations else ())
    removals = [job for job in jobs if isinstance(job, work.RemoveMount)]
    removed = iter(_remove(disk, removals) if removals else ())
    return [next(created if isinstance(job, work.CreateMount) else removed) for job in jobs]


def _may_be_mounted(disk: Disk, job: work.RemoveMount) -> bool:
    # A confined child sees none of the mounts that it would have to undo.
    layers = [job.mount_id, job.init_id] if job.init_id is not None else [job.mount_id]
    return any(disk.driver.may_be_mounted(layer) for layer in layers)


def _create(disk: Disk, creations: Sequence[work.CreateMount], *, quiet: bool) -> list[_Reply]:
    """Make read-write layers; what is done for all of them at once counts as the last's."""
    times = [time.monotonic_ns()]
    repeated = [retries()]
    at_once = quiet and len(creations) > 1
    with creating(disk, at_once=at_once) as making:
        for job in creations:
            making.make(job)
            times.append(time.monotonic_ns())
            repeated.append(retries())
        errors = making.finish()
    times[-1] = time.monotonic_ns()
    return [
        _Reply(begun, ended, after - before, error=_wire(errors.get(job.transaction)))
        for job, (begun, ended), (before, after) in zip(
            creations, pairwise(times), pairwise(repeated), strict=True
        )
    ]


def _remove(disk: Disk, removals: Sequence[work.RemoveMount]) -> list[_Reply]:
    """Remove read-write layers; what is done for all of them at once counts as the first's."""
    left = {job.transaction for job in removals if _may_be_mounted(disk, job)}
    gone = [job for job in removals if job.transaction not in left]
    removed = remove_mounts(disk, gone, unmounted=True)
    replies = []
    begun = time.monotonic_ns()
    for job in removals:
        error = next(removed) if job.transaction not in left else None
        ended = time.monotonic_ns()
        replies.append(_Reply(begun, ended, left=job.transaction in left, error=_wire(error)))
        begun = ended
    return replies


def _wire(error: LayerStoreError | None) -> Wire | None:
    return to_wire(error, "worker") if error is not None else None


def unpack(frame: object, jobs: Sequence[work.Job], child: int) -> list[work.Performed | None]:
    """Return what became of each job; None for one that the child has left.

    Logs what the child had to log. Raises BadFrame.
    """
    answer = convert(frame, _Replies)
    if len(answer.replies) != len(jobs):
        raise BadFrame(f"{len(answer.replies)} answers for {len(jobs)} jobs")
    log_again(answer.lines, child)
    return [
        None
        if reply.left
        else work.Performed(
            error=from_wire(reply.error) if reply.error is not None else None,
            begun=reply.begun,
            ended=reply.ended,
            retries=reply.retries,
            child=child,
        )
        for reply in answer.replies
    ]


def perform_here(disk: Disk, job: work.Job, *, again: bool) -> work.Performed:
    """Do a job that joins in this process; `again` if a child died that may have begun with it."""
    if again and isinstance(job, work.CreateMount | work.RemoveMount):
        job = structs.replace(job, again=True)
    begun, before = time.monotonic_ns(), retries()
    error = None
    try:
        perform(disk, job, ())
    except LayerStoreError as caught:
        error = caught
    return work.Performed(
        error=error,
        begun=begun,
        ended=time.monotonic_ns(),
        retries=retries() - before,
    )
