"""Checking that a recorded concurrent history could have happened one step after another.

An operation takes effect in one or two steps, in order, each at some moment between its start and
its end. A history is linearizable if there is an order of all steps that a sequential
specification allows with the outcomes that were recorded. The search is that of Wing and Gong
("Testing and Verifying Concurrent Objects", 1993) with Lowe's memory of states that led nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

State = TypeVar("State", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Operation:
    """One call, with its times in nanoseconds of the monotonic clock."""

    kind: str
    argument: Hashable
    outcome: Hashable
    start: int
    end: int


Step = Callable[[State, Operation, int], State | None]
"""The specification: from a state, by an operation's step (0, 1, ...), to the next state; None
where that can't happen with the recorded outcome."""
Steps = Callable[[Operation], int]
"""How many steps an operation takes, as its outcome says."""


def is_linearizable(
    history: Sequence[Operation], initial: State, steps: Steps, step: Step[State]
) -> bool:
    """Whether an order of all steps exists that the specification allows."""
    operations = sorted(history, key=lambda operation: operation.start)
    counts = tuple(steps(operation) for operation in operations)
    done = tuple(0 for _ in operations)
    stack: list[tuple[tuple[int, ...], State]] = [(done, initial)]
    seen = {(done, initial)}
    while stack:
        done, state = stack.pop()
        if done == counts:
            return True
        for index in _possible(operations, counts, done):
            following = step(state, operations[index], done[index])
            if following is None:
                continue
            taken = (*done[:index], done[index] + 1, *done[index + 1 :])
            if (taken, following) not in seen:
                seen.add((taken, following))
                stack.append((taken, following))
    return False


def _possible(
    operations: Sequence[Operation], counts: tuple[int, ...], done: tuple[int, ...]
) -> list[int]:
    """Return whose step may be next: of those that started before any unfinished one ended."""
    open_ones = [index for index, count in enumerate(counts) if done[index] < count]
    first_end = min(operations[index].end for index in open_ones)
    return [index for index in open_ones if operations[index].start <= first_end]
