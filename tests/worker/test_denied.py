"""What a confined process can't do, tried from inside: leave its layer, call what is denied."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore.drivers.confine.narrow import see_only_root, see_only_tree
from layerstore.drivers.confine.seccomp import forbid, forbid_in_container
from layerstore.drivers.system.syscalls import PR_SET_NO_NEW_PRIVS, mount, prctl

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


def narrowed(tree: Path, below: Path) -> None:
    see_only_root(str(tree.parent))
    see_only_tree(str(tree), [str(below)])


READ, MAKE = os.O_RDONLY, os.O_WRONLY | os.O_CREAT
ATTEMPTS: dict[str, tuple[Callable[[str], object], str]] = {
    "read elsewhere": (lambda _: os.open("/etc/passwd", READ), "No such file or directory"),
    "climb out": (lambda top: os.stat(f"{top}/tree/../other"), "No such file or directory"),
    "write below": (lambda top: os.open(f"{top}/below/new", MAKE), "Read-only file system"),
    "write at the top": (lambda _: os.mkdir("/new"), "Read-only file system"),
    "open a device": (lambda top: os.open(f"{top}/tree/null", READ), "Permission denied"),
    "look at processes": (lambda _: os.listdir("/proc/1"), "No such file or directory"),
    "write in the layer": (lambda top: os.open(f"{top}/tree/new", MAKE), ""),
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_from_a_layer_nothing_else_can_be_reached(attempt: str, tmp_path: Path) -> None:
    tree, below = tmp_path / "tree", tmp_path / "below"
    for place in (tree, below, tmp_path / "other"):
        place.mkdir()
    os.mknod(tree / "null", 0o20666, os.makedev(1, 3))
    act, expected = ATTEMPTS[attempt]

    def try_it() -> None:
        narrowed(tree, below)
        act(str(tmp_path))

    assert in_fork(try_it) == expected


def raw(number: int, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


DENIED: dict[str, Callable[[], object]] = {
    "mount": lambda: mount("tmpfs", "/proc", "tmpfs", 0, ""),
    "clone": os.fork,
    "kill": lambda: os.kill(os.getppid(), 0),
    "execve": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606
    "socket": socket.socket,
    "ptrace": lambda: raw(101 if os.uname().machine == "x86_64" else 117, 16, os.getppid(), 0, 0),
    "bpf": lambda: raw(321 if os.uname().machine == "x86_64" else 280, 0, 0, 0),
}


@pytest.mark.parametrize("name", DENIED)
def test_the_filter_denies(name: str) -> None:
    def try_it() -> None:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        forbid(unpacking=True)
        thread = threading.Thread(target=lambda: None)  # threads still start
        thread.start()
        thread.join()
        DENIED[name]()

    assert in_fork(try_it) == "Operation not permitted"


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
