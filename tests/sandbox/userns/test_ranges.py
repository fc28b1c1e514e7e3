"""Which IDs may be handed out, and that nobody gets what another has."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerstore.actors.books.id_ranges import IdRanges
from layerstore.drivers.errors import IdsExhausted, InvalidArgument
from layerstore.drivers.userns.id_map import IdMap
from layerstore.drivers.userns.ranges import UNUSED, IdPool, id_pool, ranges_refused

SIZE = 65_536


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Like /etc/subuid and /etc/subgid, of two users, who have the same users and groups."""
    for name in ("subuid", "subgid"):
        (tmp_path / name).write_text(f"ann:100000:{SIZE}\nbob:{UNUSED[0]}:10\nbroken:1\n#\n")
    return str(tmp_path / "subuid"), str(tmp_path / "subgid")


def test_by_default_it_is_what_nobody_is_known_to_have(files: tuple[str, str]) -> None:
    assert id_pool(files=files).ranges == ((UNUSED[0] + 10, UNUSED[1] - 10),)
    assert id_pool(files=("/nowhere", "/nowhere/else")).ranges == (UNUSED,)


def test_an_own_entry_goes_before_that(files: tuple[str, str]) -> None:
    for path, ranges in zip(files, ("500000:100", "500050:100"), strict=True):
        Path(path).write_text(f"layerstore:{ranges}\nann:100000:{SIZE}\n")
    pool = id_pool(files=files)
    assert pool.ranges == ((500_050, 50),)  # those that are both users' and groups'
    assert pool.source == f"layerstore in {files[0]} and {files[1]}"


def test_a_caller_chooses(files: tuple[str, str]) -> None:
    assert id_pool("ann", files).ranges == ((100_000, SIZE),)
    assert id_pool("carl", files).ranges == ()
    assert id_pool("5:5,1:4,20:1").ranges == ((1, 9), (20, 1))


@pytest.mark.parametrize("text", ["", "1", "1:0", "4294967295:1", "1:2,", "-1:5", "a b", "٣:1"])
def test_what_is_no_range_and_no_user_is_told(text: str) -> None:
    assert ranges_refused(text) is not None
    with pytest.raises(InvalidArgument, match="FIRST:COUNT"):
        id_pool(text)


def test_ranges_are_handed_out_once_and_again_when_they_are_given_back() -> None:
    ranges = IdRanges(IdPool(((1000, 100), (5000, 30)), "here"))
    found = []
    for _ in range(5):
        found.append(ranges.resolve("auto:size=25"))
        ranges.take(found[-1])
    assert found == [f"0:{first}:25" for first in (1000, 1025, 1050, 1075, 5000)]
    with pytest.raises(IdsExhausted, match="no 25 IDs in a row are left of here"):
        ranges.resolve("auto:size=25")
    ranges.give_back(found[2])
    assert ranges.resolve("auto:size=25") == found[2]
    assert ranges.resolve("auto:size=5") == "0:1050:5"


def test_a_range_that_a_caller_chose_is_not_handed_out() -> None:
    ranges = IdRanges(IdPool(((1000, 100),), "here"))
    ranges.take("0:990:20,20:1050:1/0:1005:7")
    assert ranges.resolve("auto:size=30") == "0:1012:30"
    assert ranges.resolve("auto:size=49") == "0:1051:49"
    same = ranges.resolve("0:1000:5")  # whoever says so has it with others
    assert same == "0:1000:5"
    ranges.take(same)
    ranges.give_back("0:990:20,20:1050:1/0:1005:7")
    assert ranges.resolve("auto:size=30") == "0:1005:30"


@pytest.mark.parametrize("text", ["auto:", "auto:size=0", "auto:size=x", "auto:16", "host", ""])
def test_what_is_no_way_to_ask_for_a_range_is_told(text: str) -> None:
    with pytest.raises(InvalidArgument):
        IdRanges(IdPool((), "here")).resolve(text)


def test_users_and_groups_may_have_maps_of_their_own() -> None:
    found = IdMap.parse("0:1000:5/0:2000:7")
    assert (found.user(1), found.group(1), found.user(6), found.group(6)) == (
        1001,
        2001,
        None,
        2006,
    )
    assert str(found) == "0:1000:5/0:2000:7"
    assert found.outside == ((1000, 5), (2000, 7))
    assert str(IdMap.parse("0:1000:5/0:1000:5")) == "0:1000:5"
    with pytest.raises(InvalidArgument):
        IdMap.parse("0:1:1/")
