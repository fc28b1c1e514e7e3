"""What a confined process can't do, tried from inside: leave its layer, call what is denied."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from layerstore.drivers.confine.detached import detached, lay, only_to_read
from layerstore.drivers.confine.narrow import (
    see_given,
    see_only_root,
    see_only_tree,
    seeing_nothing,
)
from layerstore.drivers.confine.seccomp import forbid, forbid_in_container, forbidding_in_turn
from layerstore.drivers.system.syscalls import PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, mount, prctl
from tests.graph.btrfs.layers import make_read_only, make_snapshot, make_subvolume

pytestmark = pytest.mark.root


def in_fork(attempt: Callable[[], None]) -> str:
    """Run something in a fork of this process; return nothing, or the OSError that it met."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        answer = ""
        try:
            attempt()
        except OSError as error:
            answer = error.strerror or "?"
        except ValueError as error:
            answer = repr(error)
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as said:
        answer = said.read()
    os.waitpid(pid, 0)
    return answer


def narrowed(top: str) -> tuple[str, str]:
    """See a tree and one below it, as a process that was forked for them; return where."""
    see_only_root(top)
    see_only_tree(f"{top}/tree", [f"{top}/below"])
    return f"{top}/tree", f"{top}/below"


def narrowed_ahead(top: str) -> tuple[str, str]:
    """The same for a process that was forked before it was known for which."""
    see_only_root(top)
    tree = detached(f"{top}/tree", writable=True)
    below = detached(f"{top}/below", writable=False)
    seeing_nothing(top).make()
    see_given(tree, f"{top}/tree", top)
    os.close(tree)
    return f"{top}/tree", f"/proc/self/fd/{below}"


READ, MAKE = os.O_RDONLY, os.O_WRONLY | os.O_CREAT
NOWHERE = "No such file or directory"
READ_ONLY = "Read-only file system"
ATTEMPTS: dict[str, tuple[Callable[[str, str], object], str]] = {
    "read elsewhere": (lambda _tree, _below: os.open("/etc/passwd", READ), NOWHERE),
    "climb out": (lambda tree, _: os.stat(f"{tree}/../other"), NOWHERE),
    "climb out from below": (lambda _, below: os.stat(f"{below}/../other"), NOWHERE),
    "write below": (lambda _, below: os.open(f"{below}/new", MAKE), READ_ONLY),
    "write at the top": (lambda _tree, _below: os.mkdir("/new"), READ_ONLY),
    "open a device": (lambda tree, _: os.open(f"{tree}/null", READ), "Permission denied"),
    "open a device below": (lambda _, below: os.open(f"{below}/null", READ), "Permission denied"),
    "look at processes": (lambda _tree, _below: os.listdir("/proc/1"), NOWHERE),
    "write in the layer": (lambda tree, _: os.open(f"{tree}/new", MAKE), ""),
    "read below": (lambda _, below: os.open(f"{below}/file", READ), ""),
}


@pytest.mark.parametrize("narrow", [narrowed, narrowed_ahead])
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_from_a_layer_nothing_else_can_be_reached(
    attempt: str, narrow: Callable[[str], tuple[str, str]], tmp_path: Path
) -> None:
    tree, below = tmp_path / "tree", tmp_path / "below"
    for place in (tree, below, tmp_path / "other"):
        place.mkdir()
    for place in (tree, below):
        os.mknod(place / "null", 0o20666, os.makedev(1, 3))
    (below / "file").touch()
    act, expected = ATTEMPTS[attempt]

    def try_it() -> None:
        act(*narrow(str(tmp_path)))

    assert in_fork(try_it) == expected


def test_a_file_that_is_only_to_be_read_can_not_be_opened_to_write(tmp_path: Path) -> None:
    (tmp_path / "tar").write_bytes(b"whose")
    with open(tmp_path / "tar", "rb") as file:
        number = only_to_read(file.fileno())
        assert number is not None
        try:
            assert os.pread(number, 5, 0) == b"whose"
            with pytest.raises(OSError, match="Read-only file system"):
                os.open(f"/proc/self/fd/{number}", os.O_RDWR)
        finally:
            os.close(number)
    reader, writer = os.pipe()
    assert only_to_read(reader) is None
    os.close(reader)
    os.close(writer)


def raw(number: int, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


DENIED: dict[str, Callable[[], object]] = {
    "mount": lambda: mount("tmpfs", "/proc", "tmpfs", 0, ""),
    "move_mount": lambda: lay(0, "/proc"),
    "open_tree": lambda: detached("/proc", writable=False),
    "clone": os.fork,
    "kill": lambda: os.kill(os.getppid(), 0),
    "execve": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606
    "socket": socket.socket,
    "ptrace": lambda: raw(101 if os.uname().machine == "x86_64" else 117, 16, os.getppid(), 0, 0),
    "fcntl F_SETOWN": lambda: fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid()),
    "fcntl F_SETSIG": lambda: fcntl.fcntl(0, 10, 9),
    "fcntl F_SETOWN_EX": lambda: fcntl.fcntl(0, 15, bytes(8)),
    "ioctl FIOSETOWN": lambda: fcntl.ioctl(0, 0x8901, bytes(4)),
    "ioctl FIFREEZE": lambda: fcntl.ioctl(0, 0xC0045877, 0),
    "prctl PR_SET_PDEATHSIG": lambda: prctl(PR_SET_PDEATHSIG, 0),
    "bpf": lambda: raw(321 if os.uname().machine == "x86_64" else 280, 0, 0, 0),
}


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("name", DENIED)
def test_the_filter_denies(name: str, ahead: bool) -> None:
    def try_it() -> None:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        if ahead:
            for forbidding in forbidding_in_turn():
                forbidding.make()
        else:
            forbid(unpacking=True)
        thread = threading.Thread(target=lambda: None)  # threads still start
        thread.start()
        thread.join()
        DENIED[name]()

    assert in_fork(try_it) == "Operation not permitted"


@pytest.mark.parametrize("denied", [False, True])
def test_a_container_makes_no_subvolumes_of_btrfs(denied: bool, btrfs_directory: Path) -> None:
    """What is written there doesn't count for its layer's quota."""
    place = Path(make_subvolume(str(btrfs_directory / f"layer-{denied}")))

    def try_it() -> None:
        if denied:
            prctl(PR_SET_NO_NEW_PRIVS, 1)
            forbid_in_container()
        for act in (make_subvolume, partial(make_snapshot, str(place)), make_read_only):
            with contextlib.suppress(PermissionError) if denied else contextlib.nullcontext():
                act(str(place) if act is make_read_only else f"{place}/{len(os.listdir(place))}")

    assert in_fork(try_it) == ""
    assert len(os.listdir(place)) == (0 if denied else 2)
    assert os.access(place, os.W_OK) == denied


@pytest.mark.parametrize("family", [socket.AF_ALG, socket.AF_VSOCK, socket.AF_UNIX, 16, 37])
def test_a_container_has_no_sockets_of_the_whole_machine(family: int) -> None:
    """The kernel's cryptography, and virtual machines' way to their host (CVE-2026-31431)."""

    def make(high_bits: int) -> str:
        number = 41 if os.uname().machine == "x86_64" else 198

        def try_it() -> None:
            prctl(PR_SET_NO_NEW_PRIVS, 1)
            forbid_in_container()
            raw(number, family | high_bits, socket.SOCK_RAW, 0)

        return in_fork(try_it)

    denied = family in (socket.AF_ALG, socket.AF_VSOCK)
    for high_bits in (0, 1 << 32):
        assert (make(high_bits) == "Operation not permitted") == denied
