"""An ordinary user of this machine, made for tests, and processes of it.

Owns the account and its home, and what such a process sees: the interpreter and the checkout lie
where root may have put them, so it has a mount namespace in which the way to them is open.
"""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

from layerstore.drivers.system import syscalls as sc
from tests.project.documents import HERE

PROGRAM = (
    sys.executable, "-c", "import sys, layerstore_command; sys.exit(layerstore_command.main())",
    "--durability", "relaxed",
)  # fmt: skip


class World(TypedDict, total=False):
    """What is different for one process."""

    env: Mapping[str, str]
    replaced: Mapping[str, str | Path]
    """Files, and what is in their places."""
    namespaces: bool
    """False has nobody make a user namespace."""


@dataclass(frozen=True)
class Ordinary:
    """A user with a home directory and, usually, ranges of subordinate IDs."""

    name: str
    uid: int
    gid: int
    home: Path

    def run(
        self, command: Sequence[str | Path], *, given: bytes = b"", **world: Unpack[World]
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as the user."""
        done = subprocess.run(
            [os.fspath(word) for word in command],
            input=given,
            capture_output=True,
            check=False,
            env=self.environment(world),
            preexec_fn=functools.partial(self.become, world),
        )
        out, err = (os.fsdecode(text) for text in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def begin(
        self, command: Sequence[str | Path], **world: Unpack[World]
    ) -> subprocess.Popen[bytes]:
        """Begin a command as the user, with pipes to it and from it."""
        return subprocess.Popen(
            [os.fspath(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.environment(world),
            preexec_fn=functools.partial(self.become, world),  # noqa: PLW1509 - see become
        )

    def layerstore(
        self, *words: str | Path, status: int = 0, given: bytes = b"", **world: Unpack[World]
    ) -> subprocess.CompletedProcess[str]:
        """Run the command as the user, which ends with this status."""
        done = self.run([*PROGRAM, *words], given=given, **world)
        assert done.returncode == status, (done.stdout, done.stderr)
        return done

    def environment(self, world: World) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(HERE),
            "CONTAINERS_REGISTRIES_CONF": os.environ["CONTAINERS_REGISTRIES_CONF"],
            **world.get("env", {}),
        }

    def become(self, world: World) -> None:
        """Make this process, a fork, one of the user's, for good.

        It needs no lock that another thread might have had when this was forked.
        """
        if not world.get("namespaces", True):
            _forbid_namespaces()
        sc.unshare(sc.CLONE_NEWNS)
        sc.mount("none", "/", "", sc.MS_REC | sc.MS_PRIVATE, "")
        _open_ways(sys.prefix, sys.base_prefix, str(HERE))
        for path, instead in world.get("replaced", {}).items():
            sc.mount(os.fspath(instead), path, "", sc.MS_BIND, "")
        os.setgroups([self.gid])
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
        os.chdir(self.home)

    def write(self, name: str, content: bytes) -> Path:
        """Write a file into the user's home, as its own."""
        path = self.home / name
        path.write_bytes(content)
        os.chown(path, self.uid, self.gid)
        return path


def _open_ways(*paths: str) -> None:
    """Have paths be reached where a directory above them is closed to others."""
    opened = {path: os.open(path, os.O_PATH) for path in paths}
    covered: set[str] = set()
    for path, fd in opened.items():
        above = [path[:at] for at, char in enumerate(path) if char == "/" and at]
        closed = [at for at in above if at in covered or not os.stat(at).st_mode & stat.S_IXOTH]
        if not closed:
            continue
        if closed[0] not in covered:
            sc.mount("layerstore-tests", closed[0], "tmpfs", sc.MS_NOSUID, "mode=755,size=1m")
            covered.add(closed[0])
        os.makedirs(path, 0o755, exist_ok=True)
        sc.mount(f"/proc/self/fd/{fd}", path, "", sc.MS_BIND | sc.MS_REC, "")


def _forbid_namespaces() -> None:
    """Be in a user namespace like the machine's own, where nobody makes another."""
    ready, go = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(go)
        os.read(ready, 1)
        for kind in ("uid", "gid"):
            Path(f"/proc/{os.getppid()}/{kind}_map").write_text("0 0 4294967295\n")
        os._exit(0)
    sc.unshare(sc.CLONE_NEWUSER)
    os.write(go, b"1")
    assert not os.waitpid(pid, 0)[1]
    os.close(ready)
    os.close(go)
    Path("/proc/sys/user/max_user_namespaces").write_text("0\n")


def make_user(name: str, home: Path, *, subordinate: bool = True) -> Ordinary:
    """Make an account with a home that only it may look into."""
    more = [] if subordinate else ["-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0"]
    command = ["useradd", "--create-home", "--home-dir", str(home), *more, name]
    subprocess.run(command, check=True, capture_output=True)
    status = home.stat()
    os.chmod(home, 0o700)
    return Ordinary(name, status.st_uid, status.st_gid, home)


def remove_those_left(prefix: str) -> None:
    """Remove accounts whose names end with the ID of a process that was killed before it did so."""
    for entry in pwd.getpwall():
        number = entry.pw_name.removeprefix(prefix)
        if number.isdecimal() and number != entry.pw_name and not Path("/proc", number).exists():
            subprocess.run(["userdel", entry.pw_name], check=False, capture_output=True)


def remove_user(user: Ordinary) -> None:
    """Remove the account with all that it has left."""
    subprocess.run(["userdel", user.name], check=True, capture_output=True)
    shutil.rmtree(user.home)
