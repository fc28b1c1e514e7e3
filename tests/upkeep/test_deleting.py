"""A tree is deleted whatever is in it, and whoever else is at it."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore import DriverError
from layerstore.drivers.root import trash as trash_module
from layerstore.drivers.root.trash import sweep
from layerstore.drivers.tree import delete
from layerstore.drivers.tree.delete import DIRECTORY, delete_entry, delete_tree

_SET_ATTRIBUTES = 0x40086602
"""FS_IOC_SETFLAGS of 64-bit machines; ioctl_iflags(2)."""
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20


@pytest.fixture
def trash(tmp_path: Path) -> Iterator[Path]:
    """Return an empty trash; what is left in it then, pytest couldn't delete."""
    path = tmp_path / "trash"
    path.mkdir()
    yield path
    subprocess.run(["rm", "-rf", str(path)], check=True)


def make_deep(place: Path, levels: int) -> None:
    at = os.open(place, DIRECTORY)
    for _ in range(levels):
        os.mkdir("name", dir_fd=at)
        below = os.open("name", DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


@pytest.mark.parametrize(
    ("levels", "many"), [(2_000, 3), pytest.param(30_000, 2, marks=pytest.mark.thorough)]
)
def test_several_delete_a_deep_tree_at_once_and_none_is_done_before_it_is_gone(
    trash: Path, levels: int, many: int
) -> None:
    (trash / "layer").mkdir()
    make_deep(trash / "layer", levels)
    top = os.open(trash, DIRECTORY)
    before = len(os.listdir("/proc/self/fd"))
    found: list[object] = []

    def delete_it() -> None:
        try:
            delete_entry(top, "layer")
            found.append(os.path.lexists(trash / "layer"))
        except OSError as error:
            found.append(error)

    threads = [threading.Thread(target=delete_it) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [False] * many
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(top)


def test_who_is_alone_looks_at_everything_once_however_deep_it_lies(
    trash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete, "_ROUNDS", 1)
    for name in ("layer", "layer/one", "layer/other"):
        (trash / name).mkdir()
    make_deep(trash / "layer/one", 300)
    make_deep(trash / "layer/other", 200)
    assert sweep(str(trash)) == 1
    assert list(trash.iterdir()) == []


HOSTILE = [
    b"\xff\xfe not text",
    b"new\nline",
    b"-rf",
    b"...",
    b" ",
    b"\\134",
    b"%s",
    b"x" * 255,
    "\u202e".encode(),
]


def test_whatever_a_name_and_whatever_it_names_is_deleted(trash: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("kept")
    layer = os.fsencode(trash / "layer")
    os.mkdir(layer)
    for name in HOSTILE:
        os.mkdir(layer + b"/" + name)
        below = layer + b"/" + name + b"/" + name
        os.mkdir(below)
        os.symlink(os.fsencode(kept), below + b"/to directory")
        os.symlink(b"/", below + b"/to root")
        os.symlink(b"loop", below + b"/loop")
        os.mkfifo(below + b"/fifo")
        os.link(kept / "file", below + b"/linked")
        with socket.socket(socket.AF_UNIX) as listening:
            at = os.open(below, DIRECTORY)
            listening.bind(f"/proc/self/fd/{at}/socket")
            os.close(at)
        if os.geteuid() == 0:
            os.mknod(below + b"/device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        os.mkdir(below + b"/closed", 0)
    for number, name in enumerate(HOSTILE):
        os.symlink(os.fsencode(kept), os.fsencode(trash) + b"/" + name)
        os.mkfifo(trash / f"fifo {number}")
    assert sweep(str(trash)) == 1 + 2 * len(HOSTILE)
    assert list(trash.iterdir()) == []
    assert (kept / "file").read_text() == "kept"
    assert (kept / "file").stat().st_nlink == 1


def set_attributes(path: Path, attributes: int) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(file, _SET_ATTRIBUTES, struct.pack("L", attributes))
    except OSError as error:
        pytest.skip(f"no attributes here: {error}")
    finally:
        os.close(file)


@pytest.mark.root
@pytest.mark.parametrize(
    ("attributes", "what"),
    [(_IMMUTABLE, "below/file"), (_APPEND_ONLY, "below/file"), (_IMMUTABLE, "below")],
)
def test_what_may_not_be_deleted_is_named_and_keeps_nothing_else(
    trash: Path, attributes: int, what: str
) -> None:
    for number in range(100):
        (trash / f"{number}/below").mkdir(parents=True)
        (trash / f"{number}/below/file").touch()
    set_attributes(trash / "50" / what, attributes)
    try:
        for hands in (1, 4):
            with pytest.raises(DriverError) as caught:
                sweep(str(trash), hands)
            assert (caught.value.path, caught.value.errno) == (f"{trash}/50", errno.EPERM)
            assert caught.value.detail == f"at {Path(what).name}"
            assert [path.name for path in trash.iterdir()] == ["50"]
    finally:
        set_attributes(trash / "50" / what, 0)
    assert sweep(str(trash)) == 1


def test_a_tree_that_is_not_there_is_no_tree_to_delete(trash: Path) -> None:
    with pytest.raises(FileNotFoundError):
        delete_tree(f"{trash}/none")
    (trash / "link").symlink_to(trash)
    with pytest.raises(NotADirectoryError):
        delete_tree(f"{trash}/link")
    top = os.open(trash, DIRECTORY)
    delete_entry(top, "none")
    os.close(top)


def test_who_makes_more_while_it_is_deleted_does_not_keep_it_going_for_ever(
    trash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process does whose working directory lies in there."""
    (trash / "layer").mkdir()
    inside = os.open(trash / "layer", DIRECTORY)
    remove = os.rmdir

    def more_is_made(name: str, dir_fd: int | None = None) -> None:
        os.close(os.open("more", os.O_CREAT | os.O_WRONLY, dir_fd=inside))
        remove(name, dir_fd=dir_fd)

    monkeypatch.setattr(delete, "_ROUNDS", 50)
    monkeypatch.setattr(os, "rmdir", more_is_made)
    with pytest.raises(DriverError) as caught:
        sweep(str(trash))
    assert caught.value.errno == errno.ENOTEMPTY
    monkeypatch.undo()
    os.close(inside)
    assert sweep(str(trash)) == 1


def test_as_many_threads_as_are_given_share_it_where_the_first_had_to_wait(
    trash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash_module, "_FIRST", 0)  # as if it had
    at_work: set[int] = set()
    all_there = threading.Barrier(4)
    remove = os.rmdir

    def noticed(name: str, dir_fd: int | None = None) -> None:
        me = threading.get_ident()
        if me not in at_work:
            at_work.add(me)
            all_there.wait(30)
        remove(name, dir_fd=dir_fd)

    for number in range(200):
        (trash / f"{number}").mkdir()
    monkeypatch.setattr(os, "rmdir", noticed)
    assert sweep(str(trash), 4) == 200
    assert len(at_work) == 4
    assert list(trash.iterdir()) == []
