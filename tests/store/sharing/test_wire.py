"""What travels: every message that is shared, whole and checked, and no other."""

from __future__ import annotations

import json
import zlib

import pytest

from layerstore.actors import messages as m
from layerstore.drivers.errors import LimitExceeded
from layerstore.drivers.system.frames import BadFrame
from layerstore.engine.sharing.wire import (
    MAX_QUESTION,
    PIECE,
    PROTOCOL,
    SHARED,
    checked_fields,
    fields_of,
    pack_question,
    travelling,
)

_TRAVELS = {8: 3153179100}
"""Protocol -> checksum of what is asked and answered by it; a change wants another number."""


def test_another_message_or_field_is_another_protocol() -> None:
    assert {PROTOCOL: zlib.crc32(json.dumps(travelling(), sort_keys=True).encode())} == _TRAVELS


def test_only_what_callers_may_ask_is_shared() -> None:
    own = {"CloseBooks", "CutOff", "Restore", "UnmountAll"}
    public = {
        name
        for name, kind in vars(m).items()
        if isinstance(kind, type) and issubclass(kind, m.Message) and kind.public
    }
    assert public - SHARED.keys() == own
    assert SHARED.keys() <= public


def test_names_that_are_no_text_travel_as_they_are() -> None:
    message = m.GetMountID(name="web\udcff")
    assert checked_fields(m.GetMountID, fields_of(message)) == {"name": "web\udcff"}


def test_a_question_is_cut_into_small_pieces_and_is_bounded() -> None:
    frames = pack_question(1, ["ask", "x" * 5 * PIECE])
    assert len(frames) == 6
    assert max(map(len, frames)) < PIECE + 100
    with pytest.raises(LimitExceeded):
        pack_question(1, ["ask", "x" * MAX_QUESTION])


@pytest.mark.parametrize("text", ["sha256:" + "A" * 64, "sha256:" + "0" * 64 + "\n", "", "../" * 9])
def test_what_is_no_digest_goes_nowhere(text: str) -> None:
    with pytest.raises(BadFrame, match="chain_id"):
        checked_fields(m.GetLayer, {"reference": 1, "chain_id": text})
