"""What a process that is gone has left: its history, and what may have become of its last call.

What it held is let go. A call that it had no answer to was done, or it wasn't; if it made something
and the owner hadn't answered yet, that is undone. So there is more than one history that may have
been.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tests.ordeals.histories.clients.client import Entry
from tests.ordeals.histories.linearizability import Operation

_ID = 64
_GETS = ("create", "get", "register")


class _Any:
    """A mount ID that nobody has been told: it is any."""

    def __eq__(self, other: object) -> bool:
        return other is self or (isinstance(other, str) and len(other) == _ID)

    def __hash__(self) -> int:
        return 0


ANY = _Any()
Alternatives = list[list[Operation]]


@dataclass(frozen=True, slots=True)
class Remains:
    """The history of a process that is gone, by key."""

    history: dict[str, list[Operation]]
    last: str | None
    """The key of the call without an answer."""
    alternatives: Alternatives
    """What may have become of that."""

    def of(self, key: str) -> Alternatives:
        """Return the histories of a key, one of which has been."""
        known = self.history.get(key, [])
        return [known + more for more in self.alternatives] if key == self.last else [known]


def remains(log: Iterable[Entry], gone: int, settled: int) -> Remains:
    """Read a log; what its process held was let go between `gone` and `settled`."""
    history: dict[str, list[Operation]] = {}
    held: Counter[str] = Counter()
    begun: Entry | None = None
    for entry in log:
        operation = entry.operation
        if operation is None or entry.word == "closing":
            begun = None
        elif entry.word == "begun":
            begun = entry
        else:
            begun = None
            history.setdefault(entry.key, []).append(operation)
            held[entry.key] += _change(operation)
    alternatives: Alternatives = [[]]
    if begun is not None and begun.operation is not None:
        if begun.operation.kind == "release":
            held[begun.key] -= 1
        alternatives = _alternatives(replace(begun.operation, end=settled), gone)
    for key, count in held.items():
        for number in range(count):
            let_go = Operation("let go", number, None, gone, settled)
            history.setdefault(key, []).append(let_go)
    return Remains(history, begun.key if begun is not None else None, alternatives)


def _change(operation: Operation) -> int:
    """Return how many references more a process has by an operation."""
    if operation.kind == "release":
        return -1
    failed = isinstance(operation.outcome, str) and operation.outcome[:1].isupper()
    return 1 if operation.kind in _GETS and not failed else 0


def _alternatives(last: Operation, gone: int) -> Alternatives:
    """Return what may have become of a call whose answer nobody has seen."""

    def after(kind: str) -> Operation:
        return Operation(kind, "last", None, gone, last.end)

    match last.kind:
        case "create":
            made = replace(last, outcome=ANY)
            failed = replace(last, outcome="CallerError")
            return [[], [failed], [made, after("let go")], [made, after("undo")]]
        case "register":
            made = replace(last, outcome="ok")
            return [[], [made, after("let go")], [made, after("undo")]]
        case "get":
            return [[], [replace(last, outcome="ok"), after("let go")]]
        case "release":
            done = [[replace(last, outcome=removed)] for removed in (True, False)]
            return [[after("let go")], *done]
        case "mount":
            return [[], [replace(last, outcome=True)]]
        case "unmount":
            return [[], [replace(last, outcome="ok")]]
    return [[]]
