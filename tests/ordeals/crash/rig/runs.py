"""Making a scenario's calls: noting each in the answer log, and minding those that fail.

Runs in a process of its own, beside nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from layerstore import (
    CallerError,
    DriverError,
    DriverNotSupported,
    ImageDoesNotExist,
    LayerStore,
    LayerStoreError,
    StoreClosed,
)
from layerstore.drivers.system.durable import syncing_file_system
from tests.ordeals.crash.rig import seam
from tests.ordeals.crash.rig.reachability import problems
from tests.ordeals.crash.rig.state import State, listed, note

T = TypeVar("T")


@dataclass
class AnsweredRun:
    """A Run that is killed some time."""

    root: str
    driver: str
    inputs: str
    answers: str
    control: str
    options: dict[str, Any]
    state: State = field(default_factory=State)
    store: LayerStore | None = None

    def open(self, *during: State, recover: bool = True) -> LayerStore:
        """Open the store."""
        self.options = {**self.options, "recover": recover}
        self._begin("open", during)
        self.store = self._attempt("open", self._opened, [self.state], self.state)
        self._answered()
        return self.store

    def _opened(self) -> LayerStore:
        options = {"prespawn": False, **self.options}
        return LayerStore(self.root, driver=self.driver, **options)

    def _note(self, entry: dict[str, Any]) -> None:
        note(self.answers, {**entry, "at": seam.seen(self.control).count})

    def do(
        self,
        what: str,
        call: Callable[[LayerStore], T],
        *during: State,
        then: Callable[[T], State] | None = None,
    ) -> T:
        """Make a call."""
        self._begin(what, during)
        before = self.state
        after = during[-1] if during else before
        answer = self._attempt(what, lambda: call(self._open_store), [before, *during], after)
        self.state = then(answer) if then is not None else after
        self._answered()
        return answer

    @property
    def _open_store(self) -> LayerStore:
        assert self.store is not None
        return self.store

    def write(self, path: str, content: str) -> None:
        """Write a file in a mount."""
        Path(path).write_text(content)

    def damage(self, repair: str, hand: Callable[[], object]) -> None:
        """Damage the disk by hand, and for good."""
        with seam.exempt(self.control):
            hand()
            with syncing_file_system(self.root) as sync:
                sync()
        self.state = replace(self.state, damaged=repair)
        self._answered()

    def close(self, *, keep_mounts: bool = False) -> None:
        """Close the store."""
        store = self._open_store
        before = self.state
        after = before if keep_mounts else State(**{**vars(before), "mounted": frozenset()})
        # Mounts are taken down one after another.
        self._begin("close", (after,))
        self._attempt("close", lambda: store.close(keep_mounts=keep_mounts), [before, after], after)
        self.store, self.state = None, after
        self._answered()

    def _begin(self, what: str, during: tuple[State, ...]) -> None:
        states = [state.to_json() for state in (self.state, *during)]
        self._note({"begin": what, "states": states})

    def _answered(self) -> None:
        self._note({"states": [self.state.to_json()]})

    def _attempt(  # the arguments are what a failure is judged by
        self, _what: str, call: Callable[[], T], _allowed: list[State], _after: State
    ) -> T:
        return call()


@dataclass
class FailingRun(AnsweredRun):
    """A Run one of whose system calls fails: it looks at what then is, and asks again."""

    failed: str = ""
    """What the failure did to the call in which it was."""

    def _opened(self) -> LayerStore:
        store = super()._opened()
        if store.faults:  # what couldn't be read is told, and left alone
            told = [str(fault) for fault in store.faults]
            assert not self.failed, told
            assert any(self.root in text for text in told), told
            self.failed = f"open: {told}"
            store.close(keep_mounts=True)
            seam.disarm(self.control)
            store = super()._opened()
            assert store.faults == []
        return store

    def _attempt(
        self, _what: str, call: Callable[[], T], _allowed: list[State], _after: State
    ) -> T:
        what, allowed, after = _what, _allowed, _after
        try:
            answer = call()
        except LayerStoreError as error:
            if self.failed:
                raise AssertionError(f"{what} failed again: {error!r}") from error
            self._look(what, error, allowed)
            return self._again(what, call)
        if not self.failed and seam.seen(self.control).hits:
            seam.disarm(self.control)
            self.failed = f"{what} went well all the same{self._retries()}"
            if what.startswith("repair"):
                answer = self._repair_again(call)
            self._compare(what, [after])
        return answer

    def _retries(self) -> str:
        """What the trace says of retries."""
        records = self.store.trace() if self.store is not None else []
        told = [record.summary for record in records if " after " in record.summary]
        return f" ({', '.join(told)})" if told else ""

    def write(self, path: str, content: str) -> None:
        """Write a file in a mount, again where that is what fails."""
        try:
            super().write(path, content)
        except OSError:
            seam.disarm(self.control)
            self.failed = "a write of the scenario's own"
            super().write(path, content)

    def _repair_again(self, call: Callable[[], T]) -> T:
        """Repair what a repair could not see, or could not read when it opened the store anew."""
        told = [str(fault) for fault in self._open_store.faults]
        if told:
            assert any(self.root in text for text in told), told
            self._open_store.close(keep_mounts=True)
            self.store = super()._opened()
        return call()

    def _open_again(self) -> None:
        """Open the store once more where a repair could not."""
        try:
            self._open_store.mounts()
        except StoreClosed:
            self.store = super()._opened()

    def _again(self, what: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except ImageDoesNotExist:
            assert what.startswith("removal of"), what  # it is gone; the rest goes at the end
            return cast("T", None)

    def _look(self, what: str, error: LayerStoreError, allowed: list[State]) -> None:
        seam.disarm(self.control)
        self.failed = f"{what}: {type(error).__name__}: {error}"
        assert self.root in str(error), f"{what}: {error!r} names no path"
        if not isinstance(error, DriverNotSupported | CallerError):  # which say it in a sentence
            assert isinstance(error, DriverError), f"{what}: {error!r} names no operation"
            assert error.operation in str(error), f"{what}: {error}"
        if what.startswith("repair"):
            self._open_again()
        self._compare(what, allowed)

    def _compare(self, what: str, allowed: list[State]) -> None:
        if self.store is None or what == "close":
            return
        found = listed(self.store)
        objections = [state.objection(found, mounts_survive=True) for state in allowed]
        if all(objections):
            raise AssertionError(f"{self.failed}: then: " + " | or: ".join(objections))
        if any(state.damaged for state in allowed):
            return
        told = problems(self.store, drained=False)
        assert told == [], f"{self.failed}: then: {told}"
