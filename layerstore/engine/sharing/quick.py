"""A link with lines: whoever waits for one answer reads it itself.

Owns which questions go by a line, and what becomes of one that isn't answered.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from layerstore.actors import messages as m
from layerstore.actors.runtime.base import Refused
from layerstore.actors.runtime.futures import Latch, Notifying
from layerstore.drivers.errors import InternalError
from layerstore.drivers.system.frames import BadFrame, EndOfFrames
from layerstore.drivers.work import Descriptors
from layerstore.engine.sharing.answers import answer_frame
from layerstore.engine.sharing.lines import Lines
from layerstore.engine.sharing.link import Link
from layerstore.engine.sharing.wire import fields_of, pack_question

if TYPE_CHECKING:
    from layerstore.drivers.system.keeping import Line

_FIRST = 10
"""Questions that go by the link: a short command is over by then, and needs no line."""
_NOTICING = 10.0
"""Seconds for the link's thread to see that the owner is gone, which it does at once."""


class AskedByLine:
    """A request whose answer its caller reads."""

    def __init__(
        self, link: QuickLink, line: Line, number: int, message: m.Message, frame: bytes
    ) -> None:
        self._link = link
        self._line = line
        self._number = number
        self._message = message
        self._frame = frame

    def answer(self, timeout: float | None, deadline: float | None) -> Any:
        """Ask, wait for the answer and return it; see Call."""
        link, message, whole = self._link, self._message, False
        try:
            self._line.send(self._frame)
            frame = link.lines.hear(self._line, type(message).__name__, timeout, deadline)
            answer = link.heard_by_line(self._number, message, frame)
            whole = True
        except EndOfFrames as error:
            link.known_lost.wait(_NOTICING)
            raise link.lost() from error
        except BadFrame as error:
            raise InternalError(type(message).__name__, f"its owner answers: {error}") from error
        finally:
            if whole:
                link.lines.give_back(self._line)
            else:
                link.lines.drop(self._line, message.number)
        if isinstance(answer, Refused):
            raise answer.error
        link.note(message)
        return answer


class QuickLink(Link):
    """A connection to the owner of a root, with lines beside it."""

    def __init__(self, root: str, sock: socket.socket, pid: int, timeout: float) -> None:
        """See Link."""
        self.lines = Lines()
        self.known_lost = Latch()
        """Open once it is known that the owner is gone."""
        super().__init__(root, sock, pid, timeout)

    def ask_by_line(self, actor: str, message: m.Message) -> AskedByLine | None:
        """Ask an actor by a line; None where the link has to do it.

        Raises InvalidArgument, LimitExceeded.
        """
        descriptors: Descriptors = getattr(message, "descriptors", ())
        if getattr(message, "init", None) is not None or descriptors:
            return None
        number = next(self._numbers)
        if number <= _FIRST:
            return None
        name = type(message).__name__
        frames = pack_question(number, ["ask", number, actor, name, fields_of(message), 0])
        line = self._line() if len(frames) == 1 else None
        return None if line is None else AskedByLine(self, line, number, message, frames[0])

    def _line(self) -> Line | None:
        """Return a line that nobody uses; where there is none have one more made for the next."""
        line = self.lines.take()
        if line is None and (made := self.lines.new()) is not None:
            new, theirs = made
            taken = self._ask("line", lambda number: ["line", number], (theirs,))
            taken.when_set(lambda answer: self._line_taken(new, answer))
        return line

    def _line_taken(self, line: Line, answer: Notifying[Any]) -> None:
        if isinstance(answer.get(timeout=0), Refused):  # the link's end, which all will hear of
            self.lines.drop(line, None)
        else:
            self.lines.give_back(line)

    def heard_by_line(self, number: int, message: m.Message, frame: object) -> Any:
        """Return what a frame answers, or Refused. Raises BadFrame."""
        answer = answer_frame(frame[0] if isinstance(frame, list) and frame else None, frame)
        if answer.number != number:
            raise BadFrame(f"it answers {answer.number} on a line that was asked {number}")
        return self._meant(message, answer)

    def note(self, message: m.Message) -> None:
        """Take note of what has been done."""
        self._note(message)

    def _ending(self) -> None:
        super()._ending()
        self.known_lost.open()

    def _over(self) -> None:
        self.lines.close()
        super()._over()
