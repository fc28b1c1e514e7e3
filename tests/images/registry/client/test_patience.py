"""What is tried again is tried later and later, never for ever, and as the registry asks for."""

from __future__ import annotations

import itertools
import logging
import time

import pytest

from layerstore.drivers.errors import RegistryError
from layerstore.images.registry.stop import Stop
from layerstore.images.registry.wire.patience import (
    PassingError,
    Patience,
    patiently,
    seconds_asked,
    wait_before,
)

_NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("²", None),
        ("0", 0),
        (" 120 ", 120),
        ("9" * 1000, 999_999_999),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
        ("Sun, 99 Nov 1994 08:00:00 GMT", None),
    ],
)
def test_what_a_registry_asks_to_wait_is_seconds_or_a_date(
    text: str | None, seconds: float | None
) -> None:
    assert seconds_asked(text, _NOW) == seconds


def test_waits_grow_up_to_a_bound_and_differ() -> None:
    patience = Patience(first_wait=1, longest_wait=8)
    for number, longest in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (5000, 8)):
        waits = {wait_before(number, None, patience) for _ in range(20)}
        assert len(waits) > 1
        assert all(longest / 2 <= wait <= longest for wait in waits)
    assert 10.5 <= wait_before(1, 10, patience) <= 11


def test_what_passes_is_tried_as_often_as_patience_allows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried: list[float] = []
    patience = Patience(attempts=3, first_wait=0.02, longest_wait=0.02)

    def fail() -> None:
        tried.append(time.monotonic())
        raise PassingError(RegistryError("here", "this", "busy")) from ValueError("the cause")

    with caplog.at_level(logging.INFO, "layerstore"), pytest.raises(RegistryError) as caught:
        patiently(fail, "this", Stop(), patience)
    assert isinstance(caught.value.__cause__, ValueError)
    assert len(tried) == 3
    assert all(later - earlier >= 0.01 for earlier, later in itertools.pairwise(tried))
    assert [record.message for record in caplog.records if record.name == "layerstore"] == [
        f"this: attempt {number} failed, trying again: registry here: this: busy"
        for number in (1, 2)
    ]


def test_what_lasts_is_not_tried_again() -> None:
    tried: list[str] = []

    def fail() -> None:
        tried.append("")
        raise RegistryError("here", "this", "never")

    with pytest.raises(RegistryError):
        patiently(fail, "this", Stop(), Patience())
    assert len(tried) == 1
