"""Owners that are kept by an attribute: its forms, and of which files it is believed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from layerstore.drivers.tree.override import Kept, is_device, meant, parse

REGULAR, DIRECTORY = stat.S_IFREG, stat.S_IFDIR


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (b"1:2:0644", Kept(1, 2, REGULAR | 0o644)),  # containers-storage before types
        (b"1:2:100644", Kept(1, 2, REGULAR | 0o644)),  # fuse-overlayfs, with the type's bits
        (b"1:2:4755:file", Kept(1, 2, REGULAR | 0o4755)),
        (b"4294967294:0:0000:dir", Kept(4294967294, 0, DIRECTORY)),
        (b"0:6:0660:block-8-1", Kept(0, 6, stat.S_IFBLK | 0o660, os.makedev(8, 1))),
        (b"0:5:0620:char-5-1-more", Kept(0, 5, stat.S_IFCHR | 0o620, os.makedev(5, 1))),
        (b"", None),
        (b"1:2", None),
        (b"1:2:9", None),
        (b"-1:2:0", None),
        (b" 1:2:0", None),
        (b"4294967295:0:0:dir", None),
        (b"0:4294967295:0:dir", None),
        (b"0:0:0:pipe", None),
        (b"0:0:0:socket", None),
        (b"0:0:0:symlink", None),
        (b"0:0:0:char-4096-0", None),
        (b"0:0:0:char-0-1048576", None),
        (b"1:2:0644:file\n", None),
        ("\u0661:2:0644".encode(), None),
    ],
)
def test_forms_that_there_are(text: bytes, kept: Kept | None) -> None:
    assert parse(text, REGULAR) == kept
    assert is_device(text) == (kept is not None and bool(kept.device))


@pytest.mark.parametrize("kept", [Kept(1, 2, DIRECTORY | 0o2755), Kept(0, 5, stat.S_IFCHR, 1281)])
def test_what_is_written_is_read(kept: Kept) -> None:
    assert parse(kept.text(), REGULAR) == kept


def test_a_file_that_was_changed_since_is_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(mode=0o755)
    path.chmod(0o755)
    text = b"70000:70000:4755:file"
    assert meant(path.stat(), text) == Kept(70000, 70000, REGULAR | 0o4755)
    path.chmod(0o700)
    assert meant(path.stat(), text) == Kept(70000, 70000, REGULAR | 0o700)
    assert meant(tmp_path.stat(), text) is None  # a directory
    device = b"0:0:0755:block-8-0"
    found = meant(path.stat(), device)
    assert found is not None
    assert found.device == os.makedev(8, 0)
    path.write_bytes(b"x")
    assert meant(path.stat(), device) is None


@pytest.mark.root
def test_a_file_of_another_user_says_nothing_of_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    for owner in ((1000, 1000), (0, 1000), (1000, 0)):
        os.chown(path, *owner)
        assert meant(path.stat(), b"0:0:4755:file") is None
