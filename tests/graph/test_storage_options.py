"""Storage options are read as docker reads them; what a driver hasn't got is refused by name."""

from __future__ import annotations

import pytest

from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.graph.storage_options import StorageOptions, storage_options
from layerstore.drivers.model.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        ("1k", 1024),
        ("10G", 10 << 30),
        ("10GB", 10 << 30),
        ("10gib", 10 << 30),
        ("1.5 MiB", 3 << 19),
        ("32b", 32),
        ("1T", 1 << 40),
    ],
)
def test_a_size_is_of_powers_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "G", "-1", "0", "0.1", "1e3", "10X", "10 G B", "9" * 30, "٣", "1.G", "10G\n1"],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="size"):
        parse_size(text)


def test_options_are_those_that_a_driver_keeps() -> None:
    known = ("size", "scratch")
    asked = {"size": "1m", "scratch": "memory"}
    assert storage_options("fs", asked, known) == StorageOptions(1 << 20, "memory")
    assert storage_options("fs", None) == StorageOptions()


@pytest.mark.parametrize(
    ("asked", "known", "why"),
    [
        ({"size": "1m"}, (), "fs bounds no layer's size"),
        ({"scratch": "disk"}, ("size",), "fs has no storage option 'scratch'"),
        ({"scratch": "paper"}, ("scratch",), "scratch is one of disk, memory"),
        ({"size": "much"}, ("size",), "a size is a number"),
    ],
)
def test_others_are_refused_by_name(asked: dict[str, str], known: tuple[str], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        storage_options("fs", asked, known)
