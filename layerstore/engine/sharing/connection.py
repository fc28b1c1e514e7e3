"""One attached process, as the owner sees it.

Owns the order of a conversation: who it is first, then questions, each with an answer. One thread
uses it; answers are put down in any thread, and looked at in that one.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections import deque
from collections.abc import Callable
from typing import Any

from layerstore.actors import messages as m
from layerstore.actors.runtime.futures import Notifying
from layerstore.drivers.errors import LayerStoreError, LimitExceeded, to_wire
from layerstore.drivers.system.frames import BadFrame, convert, pack_frame, unpack_frames
from layerstore.engine.core import Engine
from layerstore.engine.sharing.channel import Channel
from layerstore.engine.sharing.serving import Asked, Served
from layerstore.engine.sharing.watching import WORDS, Onlooker, Watching
from layerstore.engine.sharing.wire import (
    LOOKS,
    MAX_ANSWER,
    MAX_QUESTION,
    PIECE,
    PROTOCOL,
    Abandon,
    Ask,
    Hello,
    Look,
    NewLine,
    Owner,
    Piece,
    plain,
)

_MOST_AT_ONCE = 1 << 20
"""Bytes of a frame; longer questions come in pieces."""
_LITTLE = 10
"""Members of a list that is answered at once; actors have better to do than to pack long ones."""
_MOST_LINES = 16
_MOST_PILED = 2 * MAX_QUESTION


class Connection:
    """A connection to an attached process."""

    is_line = False
    """It is one more socket of a process that is attached, for questions alone."""
    greeted = False
    """It knows who we are, and speaks our protocol."""
    most_unread = 8 << 20
    """Bytes of answers that wait for it to read them; it is cut off at the next one."""

    def __init__(
        self,
        sock: socket.socket,
        engine: Engine,
        describe: Callable[[], Owner],
        ring: Callable[[Connection], None],
        watching: Watching,
        add: Callable[[Connection], None],
    ) -> None:
        """Take the socket over.

        `ring` is called with itself, in any thread, to be looked at, and `add` with a line of its
        to be served.
        """
        self._channel = Channel(sock, most_in=_MOST_AT_ONCE)
        self.number = self._channel.fileno()
        """Of the socket."""
        self.blocked = False
        """There is something to send, and no room for it."""
        self._engine = engine
        self._describe = describe
        self._ring = ring
        self._watching = watching
        self._add_line = add
        self.lines: list[Connection] = []
        """More sockets of the same process."""
        self._served = self._make_served(engine)
        self._onlooker = Onlooker(engine, watching, self._channel, self._note, lambda: ring(self))
        self._pieces: dict[int, bytearray] = {}
        self._piled = 0
        """Bytes in all of these."""
        self._news: deque[tuple[int, Notifying[Any] | list[Any] | bytes | None]] = deque()
        """Requests that are taken (None) or answered, and frames that are about none."""
        self.over = False
        """Nothing more is heard of it: it is closed once what there is room for is sent."""

    def _make_served(self, engine: Engine) -> Served:
        return Served(engine)

    # Questions

    def receive(self) -> None:
        """Do what has come. Raises BadFrame, EndOfFrames, OSError."""
        for frame in self._channel.receive():
            if self.over:
                return
            self._check_reads()
            self._heard(frame)

    def _heard(self, frame: object) -> None:
        word = frame[0] if isinstance(frame, list) and frame else None
        if not self.greeted:
            protocol = convert(frame, Hello).protocol
            if protocol != PROTOCOL:
                raise BadFrame(f"its owner speaks protocol {PROTOCOL}, not {protocol}")
            self.greeted = True
            self._channel.put(["owner", plain(self._describe())])
        elif word == "ask":
            self._ask(convert(frame, Ask))
        elif word in ("part", "last"):
            self._add(convert(frame, Piece))
        elif word == "abandon":
            self._served.abandon(convert(frame, Abandon).number)
        elif self.is_line:
            raise BadFrame("it says on a line what it should say elsewhere")
        elif word in WORDS:
            self._onlooker.heard(word, frame)
        elif word == "line":
            self._take_line(convert(frame, NewLine).number)
        else:
            self._heard_other(frame)

    def _heard_other(self, frame: object) -> None:
        look = convert(frame, Look)
        self._look(look.number, look.what)

    def _add(self, piece: Piece) -> None:
        """Put a long question together."""
        before = self._pieces.setdefault(piece.number, bytearray())
        before += piece.content
        self._piled += len(piece.content)
        if self._piled > _MOST_PILED:
            raise BadFrame("its questions are too long")
        if piece.word == "last":
            del self._pieces[piece.number]
            self._piled -= len(before)
            (question,) = unpack_frames(before, MAX_QUESTION) or [None]
            self._ask(convert(question, Ask))

    def _ask(self, frame: Ask) -> None:
        _, number, actor, name, fields, count = frame
        descriptors = self._channel.take(count)
        try:
            asked = self._served.ask(
                number, actor, name, fields, descriptors, lambda: self._taken(number, count)
            )
            asked.when_set(lambda future: self._note(number, future))
            self._served.begin(asked)
        except BaseException as error:
            for descriptor in descriptors:
                descriptor.close()
            if not isinstance(error, LayerStoreError):
                raise
            self._served.answered(number, error)
            self._put_error(number, error)

    def _look(self, number: int, what: str) -> None:
        engine = self._engine
        found: dict[str, Callable[[], Any]] = {
            "faults": lambda: [to_wire(fault, "the store") for fault in engine.faults],
            "waiting": engine.waiting,
            "slowest": engine.slowest,
            "trace": engine.records,
            "generation": lambda: engine.generation,
        }
        if what not in LOOKS:
            raise BadFrame(f"there is nothing to look at that is called {what[:40]}")
        self._put_answer(number, ["answer", number, plain(found[what]())])

    def _take_line(self, number: int) -> None:
        """Take one more socket of the process's over."""
        (descriptor,) = self._channel.take(1)
        if len(self.lines) >= _MOST_LINES:
            raise BadFrame("it has lines enough")
        status = os.fstat(descriptor.fileno())
        if not stat.S_ISSOCK(status.st_mode):
            raise BadFrame("a line is a socket")
        sock = socket.socket(fileno=descriptor.detach())
        if (sock.family, sock.type) != (socket.AF_UNIX, socket.SOCK_STREAM):
            sock.close()
            raise BadFrame("a line is a Unix stream socket")
        line = self._make_line(sock)
        self.lines.append(line)
        self._add_line(line)
        self._channel.put(["answer", number, None])

    def _make_line(self, sock: socket.socket) -> Connection:
        return Line(sock, self)

    # Answers

    def _taken(self, number: int, descriptors: int) -> None:
        """Say that a request is taken, where somebody waits for that to pump a tar."""
        if descriptors:
            self._news.append((number, None))
            self._ring(self)

    def _note(self, number: int, future: Notifying[Any] | None) -> None:
        """Answer a request, in any thread: at once if it is little and nothing is on its way."""
        packed = None if self._news or self.over else self._at_once(number, future)
        if packed is None:
            self._news.append((number, future))
        elif not self._sent(packed):
            self._news.append((number, packed))
        elif not self._channel.pending:
            return
        self._ring(self)

    def _at_once(self, number: int, future: Notifying[Any] | None) -> bytes | None:
        """Return the frame of an answer that is little, taking note of it; None for any other."""
        if not isinstance(future, Asked) or isinstance(future.message, m.Mount):
            return None
        failure: LayerStoreError | None = None
        try:
            try:
                value = future.get(timeout=0)
            except LayerStoreError as error:
                failure = error
                packed = pack_frame(["error", number, to_wire(error, "the store's owner")])
            else:
                if isinstance(value, list | dict) and len(value) > _LITTLE:
                    return None
                packed = pack_frame(["answer", number, plain(value)])
        except Exception:  # noqa: BLE001 - the thread comes to it as well, and will say so
            return None
        if len(packed) > PIECE:
            return None
        self._served.answered(number, failure)
        return packed

    def _sent(self, packed: bytes) -> bool:
        try:
            return self._channel.send_at_once(packed)
        except OSError:
            return True  # nobody is there to hear it, which the thread notices as well

    @property
    def pending(self) -> int:
        """How many frames are on their way to it, at most."""
        return len(self._news) + self._channel.pending

    @property
    def said_all(self) -> bool:
        """Whether what there was room for is sent."""
        return not self._channel.in_use

    def tell(self, frame: list[Any]) -> None:
        """Have a frame sent that answers nothing; from any thread."""
        self._news.append((0, frame))
        self._ring(self)

    def _check_reads(self) -> None:
        if self._channel.unsent > self.most_unread:
            raise BadFrame("it doesn't read its answers")

    def answer(self) -> None:
        """Queue the answers that there are by now. Raises BadFrame for one who reads none."""
        while self._news and not self.over:
            self._check_reads()
            number, future = self._news.popleft()
            if isinstance(future, bytes):
                self._channel.queue(future)
                continue
            if future is None or isinstance(future, list):
                self._channel.put(["taken", number] if future is None else future)
                continue
            try:
                value = future.get(timeout=0)
            except LayerStoreError as error:
                self._served.answered(number, error)
                self._put_error(number, error)
            else:
                self._put(number, self._served.answered(number, None), value)

    def _put(self, number: int, message: m.Message | None, value: Any) -> None:
        if isinstance(message, m.Mount):
            device, inode = 0, 0
            with contextlib.suppress(OSError):  # the other end will see that it isn't there
                status = os.stat(value)
                device, inode = status.st_dev, status.st_ino
            self._channel.put(["mounted", number, value, device, inode])
        else:
            self._put_answer(number, ["answer", number, plain(value)])

    def _put_answer(self, number: int, frame: list[Any]) -> None:
        try:
            self._channel.queue(pack_frame(frame, MAX_ANSWER))
        except BadFrame:
            self._put_error(number, LimitExceeded("an answer to another process", MAX_ANSWER))

    def _put_error(self, number: int, error: BaseException) -> None:
        self._channel.put(["error", number, to_wire(error, "the store's owner")])

    # Its end

    def flush(self) -> bool:
        """Send what there is room for; whether that was all. Raises OSError."""
        return self._onlooker.flush()

    def cut_off(self, reason: str) -> None:
        """Have it told why, if it reads, and hear no more of it."""
        if not self.over:
            self.over = True
            self._onlooker.end()
            self._served.end()
            self._channel.put(["bad", reason])

    def close(self) -> None:
        """End it, and undo and give back what is its own. Idempotent."""
        self.over = True
        self._onlooker.end()
        self._served.end()
        self._channel.close()


class Line(Connection):
    """One more socket of an attached process, by which one of its threads at a time asks."""

    is_line = True
    greeted = True

    def __init__(self, sock: socket.socket, main: Connection) -> None:
        """Take over a socket of the same process that `main` is a connection to."""
        self._main = main
        self.most_unread = main.most_unread
        super().__init__(
            sock, main._engine, main._describe, main._ring, main._watching, main._add_line
        )

    def _make_served(self, engine: Engine) -> Served:
        return self._main._served.by_line(engine)

    def close(self) -> None:
        """End it, and undo what is under way by it. Idempotent."""
        super().close()
        if self in self._main.lines:
            self._main.lines.remove(self)
