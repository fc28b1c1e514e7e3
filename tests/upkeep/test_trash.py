"""The trash is emptied, whatever lies in it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from layerstore.drivers.root.trash import holds_little, sweep

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
