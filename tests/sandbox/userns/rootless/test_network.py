"""An ordinary user's run with a network of its own: who its program is, and what gets in."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore.drivers.system.proc_children import children_of
from tests.sandbox.userns.rootless.conftest import FAR
from tests.sandbox.userns.rootless.ordinary import PROGRAM, Ordinary

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("/bin/busybox", "useradd", "newuidmap", "slirp4netns", "/dev/net/tun"),
]


@pytest.fixture
def tun(base_directory: Path) -> Iterator[Path]:
    """The device as most machines have it: for everybody."""
    path = base_directory / "tun"
    os.mknod(path, stat.S_IFCHR, os.makedev(10, 200))
    path.chmod(0o666)
    yield path
    path.unlink()


@pytest.mark.parametrize("kind", ["own", "alone"])
def test_ports_lead_into_a_run_of_an_ordinary_user(
    request: pytest.FixtureRequest, tun: Path, kind: str
) -> None:
    user: Ordinary = request.getfixturevalue(kind)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["run", "--network", "private", "-p", f"127.0.0.1:{port}:80", FAR]
    script = "echo hello | nc -l -p 80; read"
    with user.begin(
        [*PROGRAM, *words[:1], "-i", *words[1:], "sh", "-c", script],
        replaced={"/dev/net/tun": tun},
    ) as begun:
        deadline, greeting = time.monotonic() + 60, b""
        while not greeting:
            assert time.monotonic() < deadline
            assert begun.poll() is None
            with (
                contextlib.suppress(ConnectionError),
                socket.create_connection(("127.0.0.1", port)) as sock,
            ):
                greeting = sock.recv(6)
        assert greeting == b"hello\n"
        (program,) = [pid for pid in _beneath(begun.pid) if _name(pid) == "slirp4netns"]
        status = Path(f"/proc/{program}/status").read_text()
        (uid,) = {int(word) for word in status.partition("Uid:\t")[2].splitlines()[0].split()}
        assert uid == user.uid if kind == "alone" else uid not in (0, user.uid, 65534)
        begun.communicate(b"\n")
        assert begun.returncode == 0
    assert not os.path.exists(f"/proc/{program}")


def _beneath(pid: int) -> Iterator[int]:
    with contextlib.suppress(FileNotFoundError):  # it has ended meanwhile
        for child in children_of(pid):
            yield child
            yield from _beneath(child)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it has ended meanwhile
