"""Records of running commands in a root, by which another process finds them.

Owns `<root>/layerstore/running/<name of the read-write layer>.json`: written while the layer's name
is its writer's alone. What is read is believed in nothing that the kernel doesn't say as well: a
number may be another process's by now, and a file may be anybody's who can write there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import msgspec

from layerstore.drivers.cgroup.place import keeper_of
from layerstore.drivers.cgroup.processes import pid_namespace, process_of
from layerstore.drivers.errors import InvalidMetadata, InvalidName, LayerStoreError, NotRunning
from layerstore.drivers.model.ids import check_mount_name
from layerstore.drivers.sandbox.spec import RunSpec, Started
from layerstore.drivers.system.durable import make_directories, write_file
from layerstore.drivers.system.small_file import names_in, read_metadata
from layerstore.sandbox.reachable import Member
from layerstore.sandbox.running import Running

_ENDING = ".json"
_MAX_RECORD = 4 << 20
"""Bytes; the variables of a command are in it, of which the kernel takes no more."""


class _Record(msgspec.Struct, frozen=True):
    """What is written: the container's first process, the one beside it, and what was run."""

    pid: int
    start_time: int
    keeper: int
    keeper_start_time: int
    namespace: int
    """In which these numbers count."""
    root: str
    argv: tuple[str, ...]
    env: dict[str, str]
    workdir: str
    user: str
    hostname: str


@contextlib.contextmanager
def recorded(root: str, name: str, running: Running) -> Iterator[None]:
    """Have others find a command for a `with` block, from when it is executed; it may end before.

    Raises DriverError where the record can't be written.
    """
    path = _path(root, name)
    record = _record_of(running)
    if record is None:
        yield
        return
    make_directories(os.path.dirname(path), durable=False)
    write_file(path, msgspec.json.encode(record), durable=False)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _record_of(running: Running) -> _Record | None:
    """Return what is to be written, None where the command doesn't run."""
    try:
        with running.member() as member:
            keeper = process_of(running.pid)
            if keeper is None:
                return None
            spec = member.spec
            return _Record(
                pid=member.started.pid,
                start_time=member.started.start_time,
                keeper=keeper.pid,
                keeper_start_time=keeper.start_time,
                namespace=pid_namespace(),
                root=spec.root,
                argv=spec.argv,
                env=dict(spec.env),
                workdir=spec.workdir,
                user=spec.user,
                hostname=spec.hostname,
            )
    except NotRunning:
        return None


@contextlib.contextmanager
def member_of(root: str, name: str) -> Iterator[Member]:
    """Have hold of the first process of a command that runs in a read-write layer, by its name.

    Raises NotRunning where none does, InvalidMetadata for a record that is none, DriverError.
    """
    record = _read(root, name)
    if record is None:
        raise NotRunning(name)
    if record.namespace != pid_namespace():
        reason = "it runs where this process can't see it, in another process namespace"
        raise InvalidName(name, reason)
    try:
        pidfd = os.pidfd_open(record.pid)
    except (OverflowError, OSError) as error:
        raise NotRunning(name) from error
    try:
        member = Member(Started(pid=record.pid, start_time=record.start_time), pidfd, _spec(record))
        if not _is_so(record) or not _is_kept(member, record):
            raise NotRunning(name)
        member.check()
        yield member
    finally:
        os.close(pidfd)


def _is_so(record: _Record) -> bool:
    """Whether the numbers are still those processes', which are this user's."""
    first, keeper = process_of(record.pid), process_of(record.keeper)
    return (
        first is not None
        and keeper is not None
        and first.start_time == record.start_time
        and keeper.start_time == record.keeper_start_time
        and first.parent == keeper.pid
        and _is_ours(record.keeper)
        and _is_apart(record.pid)
    )


def _is_ours(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return os.stat(f"/proc/{pid}").st_uid == os.geteuid()
    return False


def _is_apart(pid: int) -> bool:
    """Whether a process has a process namespace of its own, as every run's first one has."""
    with contextlib.suppress(OSError):
        return os.stat(f"/proc/{pid}/ns/pid").st_ino != pid_namespace()
    return False


def _is_kept(member: Member, record: _Record) -> bool:
    """Whether its control group, where it has one, is that which its keeper has made."""
    keepers = [keeper_of(place) for place in member.group().directories]
    return all(keeper is not None and keeper.pid == record.keeper for keeper in keepers)


def running_in(root: str) -> list[str]:
    """Return the names of the read-write layers in which commands run; stale records go."""
    found = []
    for entry in names_in(os.path.dirname(_path(root, "xx"))):
        name = entry.removesuffix(_ENDING)
        if name == entry:
            continue
        try:
            with member_of(root, name):
                found.append(name)
        except LayerStoreError:
            _remove_stale(root, name)
    return found


def _remove_stale(root: str, name: str) -> None:
    """Remove a record of numbers that are no run's any more, however they came to be there."""
    try:
        record = _read(root, name)
        seen = record is not None and record.namespace != pid_namespace()
        if seen or (record is not None and _is_so(record)):
            return
        os.unlink(_path(root, name))
    except (LayerStoreError, OSError):  # whoever asks for it by its name is told
        return


def _read(root: str, name: str) -> _Record | None:
    path = _path(root, name)
    content = read_metadata(path, _MAX_RECORD)
    if content is None:
        return None
    try:
        record = msgspec.json.decode(content, type=_Record)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidMetadata(path, str(error)) from error
    if not record.argv or record.pid <= 1 or record.keeper <= 1:
        raise InvalidMetadata(path, "it is of no command")
    return record


def _spec(record: _Record) -> RunSpec:
    return RunSpec(
        root=record.root,
        argv=record.argv,
        env=record.env,
        workdir=record.workdir,
        user=record.user,
        hostname=record.hostname,
    )


def _path(root: str, name: str) -> str:
    return f"{root}/layerstore/running/{check_mount_name(name)}{_ENDING}"
