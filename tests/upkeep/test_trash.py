"""The trash is emptied, whatever lies in it."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from layerstore import JobCancelled, LayerStore
from layerstore.command import main
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.root.disk import DiskConfig, make_disk
from layerstore.drivers.root.trash import MORE_NAMES, holds_little, sweep, trash_path
from layerstore.drivers.tree.delete import delete_tree
from layerstore.drivers.work import SweepTrash
from layerstore.drivers.worker.sweeper import empty, leave_trash
from layerstore.drivers.worker.sweeping_hands import SweepingHands
from tests.support.waiting import wait_until

DEEP = 3000


def test_trees_deeper_than_any_path_is_long_are_deleted(tmp_path: Path) -> None:
    """As a process in a container makes them, one name after the other."""
    trash = tmp_path / "trash"
    trash.mkdir()
    at = os.open(trash, os.O_RDONLY)
    for number in range(DEEP):
        os.mkdir("name", dir_fd=at)
        below = os.open("name", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
        if number % 500 == 0:
            os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=at))
    os.close(at)
    try:
        assert sweep(str(trash)) == 1
        assert list(trash.iterdir()) == []
    finally:  # what fails here, pytest couldn't delete either
        subprocess.run(["rm", "-rf", str(trash)], check=True)


def test_links_are_deleted_and_what_they_lead_to_is_not(tmp_path: Path) -> None:
    trash, kept = tmp_path / "trash", tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("kept")
    (trash / "layer").mkdir(parents=True)
    for link in (trash / "link", trash / "layer/link"):
        link.symlink_to(kept)
    assert sweep(str(trash)) == 2
    assert list(trash.iterdir()) == []
    assert (kept / "file").read_text() == "kept"


def test_little_is_told_from_much_without_following_links(tmp_path: Path) -> None:
    trash = tmp_path / "trash"
    assert holds_little(str(trash))
    (trash / "layer/below").mkdir(parents=True)
    (trash / "layer/out").symlink_to("/usr")
    (trash / "layer/below/file").write_bytes(b"1")
    assert holds_little(str(trash))
    for number in range(250):
        (trash / f"layer/below/{number}").touch()
    assert not holds_little(str(trash))


def test_a_large_file_is_much(tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 100 << 20)
    assert not holds_little(str(tmp_path))


def much(root: Path) -> Path:
    """Put so much into a root's trash that it isn't deleted in passing."""
    trash = Path(trash_path(str(root)))
    (trash / "layer").mkdir(parents=True)
    for number in range(MORE_NAMES + 10):
        (trash / f"layer/{number}").touch()
    return trash


def test_much_is_left_at_closing_if_that_is_wanted_and_little_is_deleted(root_dir: Path) -> None:
    LayerStore(root_dir, driver="vfs").close()
    trash = much(root_dir)
    config = DiskConfig(root=str(root_dir), driver="vfs", durable=False, limits=Limits())
    hands = SweepingHands(make_disk(config), config, is_awaited=lambda: False)
    try:
        hands.retire()
        with pytest.raises(JobCancelled):
            hands.perform(SweepTrash(), ())
        for number in range(20):
            (trash / f"layer/{number}").unlink()
        assert hands.perform(SweepTrash(), ()) == 1
    finally:
        hands.close()
    assert list(trash.iterdir()) == []


def test_a_process_of_its_own_empties_the_trash_if_no_other_is_at_it(root_dir: Path) -> None:
    trash = much(root_dir)
    assert leave_trash(str(root_dir))
    wait_until(lambda: list(trash.iterdir()) == [])
    assert not leave_trash(str(root_dir))
    held = os.open(trash, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)  # which that process has until it is through
        (trash / "more").mkdir()
        empty(str(trash))
        assert [path.name for path in trash.iterdir()] == ["more"]
    finally:
        os.close(held)
    empty(str(trash))
    assert list(trash.iterdir()) == []


def test_a_root_without_a_trash_needs_nobody(tmp_path: Path) -> None:
    assert not leave_trash(str(tmp_path))


@pytest.mark.parametrize(
    ("words", "at_once"),
    [(["ls"], False), (["prune", "-f"], False), (["prune", "-f", "--wait"], True)],
)
def test_a_command_waits_for_the_trash_only_if_asked(
    root_dir: Path, capfd: pytest.CaptureFixture[str], words: list[str], at_once: bool
) -> None:
    LayerStore(root_dir, driver="vfs").close()
    trash = much(root_dir)
    assert main(["--root", str(root_dir), *words]) == 0
    assert capfd.readouterr().err == ""
    if at_once:
        assert list(trash.iterdir()) == []
    wait_until(lambda: list(trash.iterdir()) == [])


def test_what_lies_deep_is_much_however_deep(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(2_000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert not holds_little(str(tmp_path), MORE_NAMES)
    delete_tree(str(tmp_path / "d"))
