"""Metadata is read in a quick way, and told apart in a careful one, to the same end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from layerstore import DriverError, InvalidMetadata
from layerstore.drivers.records.reading import Listing, listed, read_directory

LIMITS = {"a": 4096, "b": 4096, "long": 1 << 20}
ODD: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: path,
    "empty": lambda path: path.write_bytes(b""),
    "a line": lambda path: path.write_bytes(b"text"),
    "as long as a piece": lambda path: path.write_bytes(b"x" * 448),
    "as long as allowed": lambda path: path.write_bytes(b"x" * 4096),
    "too long": lambda path: path.write_bytes(b"x" * 4097),
    "no text": lambda path: path.write_bytes(b"\xff"),
    "a directory": lambda path: path.mkdir(),
    "a link": lambda path: path.symlink_to("a"),
    "a link that leads nowhere": lambda path: path.symlink_to("nowhere"),
    "a pipe": os.mkfifo,
    "a device": lambda path: os.mknod(path, 0o20666, os.makedev(1, 3)),
    "a device without a driver": lambda path: os.mknod(path, 0o60666, os.makedev(1, 5)),
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / "d").mkdir(parents=True)
    (home / "d/a").write_bytes(b"first")
    (home / "e").mkdir()
    (home / "e/long").write_bytes("ä".encode() * 5000)
    (home / "d/other").write_bytes(b"\xff")
    (home / "file").write_bytes(b"x")
    (home / "link").symlink_to("d")
    return home


def outcome(listing: Listing, name: str) -> object:
    try:
        return read_directory(listing, name, LIMITS)
    except (InvalidMetadata, DriverError) as error:
        return type(error), str(error)


@pytest.mark.root
@pytest.mark.parametrize("odd", ODD)
def test_both_ways_tell_the_same_of_what_is_there(home: Path, odd: str) -> None:
    ODD[odd](home / "d/b")
    with listed(str(home)) as listing:
        assert listing.names == ["d", "e", "file", "link"]
        assert listing.quick == {"d", "e"}
        careful = structs.replace(listing, quick=frozenset())
        for name in (*listing.names, "gone"):
            assert outcome(listing, name) == outcome(careful, name)
        found = outcome(listing, "d")
        if odd in ("nothing", "empty", "a line", "as long as a piece", "as long as allowed"):
            assert isinstance(found, dict)
            assert found["a"] == "first"
            assert found.keys() <= LIMITS.keys()
        else:
            assert isinstance(found, tuple)
            assert found[0] is InvalidMetadata
            assert str(home / "d/b") in found[1]
        assert outcome(listing, "e") == {"long": "ä" * 5000}
        assert outcome(listing, "link")[0] is InvalidMetadata  # type: ignore[index]


@pytest.mark.root
def test_no_device_is_opened_and_no_access_noted(home: Path) -> None:
    """One without a driver says ENXIO where it is opened, and that the kernel was asked for it."""
    os.mknod(home / "d/null", 0o20666, os.makedev(1, 3))
    os.mknod(home / "d/none", 0o60666, os.makedev(1, 5))
    os.utime(home / "d/a", ns=(0, 0))
    with listed(str(home)) as listing:
        for name in ("d/null", "d/none"):
            with pytest.raises(PermissionError):
                os.open(name, os.O_RDONLY | os.O_NONBLOCK, dir_fd=listing.fd)
        with open(os.open("d/a", os.O_RDONLY, dir_fd=listing.fd), "rb") as file:
            assert file.read() == b"first"
        assert (home / "d/a").stat().st_atime_ns == 0
    (home / "d/a").read_bytes()
    assert (home / "d/a").stat().st_atime_ns > 0


@pytest.mark.root
def test_a_directory_that_goes_meanwhile_is_missing(home: Path) -> None:
    (home / "empty").mkdir()
    with listed(str(home)) as listing:
        assert outcome(listing, "empty") == {}
        (home / "empty").rmdir()
        with pytest.raises(InvalidMetadata, match="No such file"):
            read_directory(listing, "empty", LIMITS)


def test_a_place_that_is_not_there_is_empty_and_one_that_is_no_directory_is_told(
    home: Path,
) -> None:
    with listed(str(home / "nowhere")) as listing:
        assert listing.names == []
    with pytest.raises(DriverError, match="file"), listed(str(home / "file")):
        pass
    before = len(os.listdir("/proc/self/fd"))
    with listed(str(home)):
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before
