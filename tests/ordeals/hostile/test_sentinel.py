"""The sentinel notices every way to disturb it; else no attack could fail."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ordeals.hostile.arena import Arena
from tests.ordeals.hostile.attack import Applied, Refused, attack
from tests.ordeals.hostile.sentinel import SECRET, Disturbed, Sentinel
from tests.tar.corpus.builder import file, tar

pytestmark = pytest.mark.root


def _same_times(path: Path, change: Callable[[Path], object]) -> None:
    status = path.lstat()
    change(path)
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(path, ns=times, follow_symlinks=False)


def _read_a_byte(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        file.read(1)


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.rename(path)


def _make_and_remove(path: Path) -> None:
    path.touch()
    path.unlink()


DISTURBANCES: dict[str, Callable[[Path], object]] = {
    "reading a file": lambda top: (top / "secret").read_bytes(),
    "reading a byte": lambda top: _read_a_byte(top / "passwd"),
    "listing": os.listdir,
    "listing deeper": lambda top: os.listdir(top / "directory"),
    "reading a link": lambda top: os.readlink(top / "link"),
    "following a link": lambda top: (top / "link").read_bytes(),
    "writing": lambda top: (top / "secret").write_bytes(b"mine"),
    "writing the same": lambda top: (top / "secret").write_bytes(SECRET),
    "writing with the times set back": lambda top: _same_times(
        top / "secret", lambda path: path.write_bytes(SECRET)
    ),
    "replacing": lambda top: _replace(top / "secret"),
    "making": lambda top: (top / "new").touch(),
    "removing": lambda top: (top / "fifo").unlink(),
    "making and removing": lambda top: _make_and_remove(top / "new"),
    "hard-linking": lambda top: os.link(top / "secret", top.parent / "stolen"),
    "permissions": lambda top: (top / "directory").chmod(0o777),
    "an owner": lambda top: os.chown(top / "link", 5, 5, follow_symlinks=False),
    "an attribute": lambda top: os.setxattr(top / "secret", "trusted.x", b"1"),
    "times": lambda top: os.utime(top / "directory/inner", (1, 1)),
}


@pytest.mark.parametrize("disturb", DISTURBANCES.values(), ids=DISTURBANCES)
def test_a_disturbance_is_noticed(disturb: Callable[[Path], object], watched: Path) -> None:
    place = watched / f"place{len(os.listdir(watched))}"
    place.mkdir()
    sentinel = Sentinel(place / "outside")
    sentinel.check()
    sentinel.check()
    disturb(place / "outside")
    with pytest.raises(Disturbed):
        sentinel.check()


def test_an_attack_that_got_out_fails(watched: Path) -> None:
    with Arena(watched / "arena", "vfs", "off") as arena:
        harmless = attack("x", tar(file("f", b"x")), Applied({"f": b"x"}))
        arena.alone(harmless)
        for expected in (Applied({"f": b"y"}), Applied({"g": b"x"})):
            with pytest.raises(AssertionError):
                arena.alone(attack("x", tar(file("f", b"x")), expected))
        with pytest.raises(BaseException, match="DID NOT RAISE"):
            arena.mounted(attack("x", tar(file("f", b"x")), Refused(ValueError, "x")))  # type: ignore[arg-type]
        with pytest.raises(Disturbed), arena.unharmed():
            (watched / "arena/outside/secret").read_bytes()
