"""The checker itself: what it accepts, and that it rejects what can't have happened."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.ordeals.histories.linearizability import Operation, is_linearizable

Call = tuple[str, int | None, int | None, int, int]


def register_step(state: int, operation: Operation, _step: int) -> int | None:
    """Specify a register that holds a number."""
    if operation.kind == "write":
        assert isinstance(operation.argument, int)
        return operation.argument
    return state if operation.outcome == state else None


def is_possible(calls: Sequence[Call], steps: int = 1) -> bool:
    return is_linearizable([Operation(*call) for call in calls], 0, lambda _: steps, register_step)


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([], True),
        ([("write", 1, None, 0, 10), ("read", None, 1, 20, 30)], True),
        ([("write", 1, None, 0, 10), ("read", None, 0, 20, 30)], False),
        ([("write", 1, None, 0, 10), ("read", None, 0, 5, 30)], True),
        ([("write", 1, None, 0, 10), ("read", None, 1, 5, 6)], True),
        # Two readers may not see a write in turns, new value first.
        (
            [
                ("write", 1, None, 0, 100),
                ("read", None, 1, 10, 20),
                ("read", None, 0, 30, 40),
            ],
            False,
        ),
        (
            [
                ("write", 1, None, 0, 100),
                ("write", 2, None, 0, 100),
                ("read", None, 2, 10, 20),
                ("read", None, 1, 30, 40),
                ("read", None, 1, 110, 120),
            ],
            True,
        ),
        (
            [
                ("write", 1, None, 0, 10),
                ("write", 2, None, 20, 30),
                ("read", None, 1, 40, 50),
            ],
            False,
        ),
    ],
)
def test_a_history_of_a_register(calls: list[Call], expected: bool) -> None:
    assert is_possible(calls) is expected


def two_steps(state: str, operation: Operation, step: int) -> str | None:
    """Specify a door that is ajar between the two steps of opening it."""
    if operation.kind == "open":
        return {0: "ajar", 1: "open"}[step]
    return state if operation.outcome == state else None


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (["ajar", "open"], True),
        (["shut", "ajar"], True),
        (["open", "ajar"], False),
        (["open", "shut"], False),
    ],
)
def test_an_operation_may_take_two_steps(seen: list[str], expected: bool) -> None:
    looks = [Operation("look", None, what, 10 + n * 10, 15 + n * 10) for n, what in enumerate(seen)]
    history = [Operation("open", None, None, 0, 100), *looks]
    steps = {"open": 2, "look": 1}
    found = is_linearizable(history, "shut", lambda operation: steps[operation.kind], two_steps)
    assert found is expected


def test_a_long_history_of_many_threads_is_decided_quickly() -> None:
    calls: list[Call] = []
    for number in range(60):
        start = number * 10
        calls.append(("write", number, None, start, start + 45))
        calls.append(("read", None, number, start + 1, start + 44))
    assert is_possible(calls)
    calls.append(("read", None, -1, 10_000, 10_001))
    assert not is_possible(calls)
