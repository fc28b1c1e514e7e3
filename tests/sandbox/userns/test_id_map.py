"""A map of IDs says whose is whose, or why there can't be such a map."""

from __future__ import annotations

import pytest

from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.userns.id_map import IdMap, IdRange, kernel_text


def test_a_map_tells_who_stands_for_whom() -> None:
    found = IdMap.parse("0:1000:1,1:100000:65536")
    assert found.uids == found.gids == (IdRange(0, 1000, 1), IdRange(1, 100000, 65536))
    assert (found.user(0), found.user(1), found.user(65536)) == (1000, 100000, 165535)
    assert found.group(65537) is None
    assert str(found) == "0:1000:1,1:100000:65536"
    assert kernel_text(found.uids) == "0 1000 1\n1 100000 65536\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0:1",
        "0:1:0",
        "0:1:-1",
        "a:1:1",
        "0:0:4294967296",
        "4294967295:0:1",
        "0:100:10,5:200:10",
        "0:100:10,10:105:10",
        "0:1:1,",
        ",".join(f"{n}:{n}:1" for n in range(341)),
        "٣:1:1",
    ],
)
def test_what_is_no_map_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        IdMap.parse(text)
