"""The other end: how an attached process asks the owner's actors.

Owns the connection, one thread that reads and writes it, and who waits for which answer. Whatever
ends the connection answers everybody who waits: the store is closed.
"""

from __future__ import annotations

import itertools
import logging
import os
import select
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from layerstore.actors import messages as m
from layerstore.actors.runtime.base import Refused
from layerstore.actors.runtime.calls import deadline_of
from layerstore.actors.runtime.futures import Notifying
from layerstore.actors.runtime.ref import close_descriptors
from layerstore.drivers.errors import (
    CannotAttach,
    LayerStoreError,
    OwnersAlone,
    StoreBusy,
    StoreClosed,
    from_wire,
)
from layerstore.drivers.system.frames import BadFrame, EndOfFrames, convert, pack_frame
from layerstore.drivers.work import Descriptors, OwnedDescriptor
from layerstore.engine.sharing.answers import (
    Answer,
    Asked,
    Failed,
    MountedAt,
    Taken,
    checked,
    refused,
)
from layerstore.engine.sharing.channel import Channel
from layerstore.engine.sharing.wire import (
    INITS,
    MAX_ANSWER,
    PROTOCOL,
    Owner,
    fields_of,
    pack_question,
)

log = logging.getLogger("layerstore")

_MOST_UNSENT = 10_000
"""Frames that wait for the owner to read them."""


class Link:
    """A connection to the owner of a root."""

    _calls_back = False
    """Init functions are called in this process."""

    def __init__(self, root: str, sock: socket.socket, pid: int, timeout: float) -> None:
        """Take a connected socket over, and learn who is there, within `timeout` seconds.

        `pid` is the owner's, as the kernel knows it. Raises CannotAttach, DriverError,
        InvalidArgument.
        """
        deadline = deadline_of(timeout) or 0.0
        self._root = root
        self.pid = pid
        self._channel = Channel(sock, most_in=MAX_ANSWER)
        try:
            self.owner = self._greet(deadline, timeout)
            bell = OwnedDescriptor(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
            out = OwnedDescriptor(os.dup(self._channel.fileno()))
        except BaseException:
            self._channel.close()
            raise
        self._bell: OwnedDescriptor | None = bell
        self._out: OwnedDescriptor | None = out
        self.mounts: Counter[tuple[int, str]] = Counter()
        """How often this process has mounted what it holds, by reference and name."""
        self.ended = False
        """There is no owner any more, or nobody wants one."""
        self._pid = os.getpid()
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[Notifying[Any], Asked]] = {}
        self._to_send: deque[tuple[bytes, Descriptors]] = deque()
        """What there was no room for, or has descriptors; each stays in it until it is sent."""
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._thread.start()

    def _greet(self, deadline: float, timeout: float) -> Owner:
        self._channel.put(["hello", PROTOCOL])
        try:
            self._channel.flush()
            while True:
                left = deadline - time.monotonic()
                if left <= 0 or not _wait(self._channel, select.POLLIN, left):
                    raise CannotAttach(self._root, f"its owner took no call for {timeout:.3g} s")
                for frame in self._channel.receive():
                    owner = self._greeted(frame)
                    if owner is not None:
                        return owner
        except (EndOfFrames, OSError) as error:
            raise CannotAttach(self._root, "its owner has closed it") from error
        except BadFrame as error:
            raise CannotAttach(self._root, f"its owner doesn't make sense: {error}") from error

    def _greeted(self, frame: object) -> Owner | None:
        """Return who is there, once that is told."""
        match frame:
            case ["owner", facts]:
                owner = convert(facts, Owner)
                if owner.protocol == PROTOCOL:
                    return owner
                raise CannotAttach(
                    self._root,
                    f"its owner, layerstore {owner.version}, speaks protocol {owner.protocol}, "
                    f"not {PROTOCOL}",
                )
            case ["bad", str(reason)]:
                raise CannotAttach(self._root, reason)
        raise BadFrame("it doesn't say who it is")

    # Asking, from any thread

    def ask(self, actor: str, message: m.Message) -> Notifying[Any]:
        """Ask an actor of the owner's; the future holds the answer, a promise of it, or Refused."""
        init = getattr(message, "init", None)
        if init is not None and init not in INITS.values() and not self._calls_back:
            return refused(OwnersAlone("calling an init function", self._root, self.pid))
        descriptors: Descriptors = getattr(message, "descriptors", ())
        name, fields = type(message).__name__, fields_of(message)
        return self._ask(
            message,
            lambda number: ["ask", number, actor, name, fields, len(descriptors)],
            descriptors,
        )

    def look(self, what: str) -> Notifying[Any]:
        """Have the owner look at itself; see LOOKS."""
        return self._ask(what, lambda number: ["look", number, what])

    def abandon(self, number: int) -> None:
        """Have undone what was asked for by this number."""
        self._send([pack_frame(["abandon", number])], ())

    def _ask(
        self, asked: Asked, frame: Callable[[int], object], descriptors: Descriptors = ()
    ) -> Notifying[Any]:
        number = next(self._numbers)
        future: Notifying[Any] = Notifying()
        try:
            packed = pack_question(number, frame(number))
            if len(self._to_send) > _MOST_UNSENT:
                raise StoreBusy(len(self._to_send))
        except LayerStoreError as error:
            close_descriptors(asked)
            return refused(error)
        self._asked[number] = (future, asked)
        self._send(packed, descriptors)
        if self.ended:  # perhaps before it knew of this one
            self._fail(number)
        return future

    def _send(self, frames: Sequence[bytes], descriptors: Descriptors) -> None:
        """Send frames, at once where there is room: to wake a thread for it takes longer.

        Several threads may be here. None is short of a whole frame then: the kernel takes one that
        is so small in one piece, or none of it.
        """
        bell, out = self._bell, self._out  # neither is closed as long as anybody has it
        if bell is None or out is None or os.getpid() != self._pid:
            return
        if len(frames) == 1 and not descriptors and not self._to_send:
            try:
                os.write(out.fileno(), frames[0])
            except BlockingIOError:
                pass
            except OSError:
                return  # the other thread sees it, too
            else:
                return
        for frame in frames[:-1]:
            self._to_send.append((frame, ()))
        self._to_send.append((frames[-1], descriptors))
        os.eventfd_write(bell.fileno(), 1)

    def _fail(self, number: int) -> None:
        future, asked = self._asked.pop(number, (None, None))
        if future is not None:
            close_descriptors(asked)
            future.set(Refused(self.lost()))

    def lost(self) -> LayerStoreError:
        """Return what is raised where there is no owner any more."""
        return StoreClosed(self._root)

    def close(self) -> None:
        """End the connection; whoever waits has its answer then. Idempotent."""
        bell = self._bell
        if bell is None or os.getpid() != self._pid:
            return
        self.ended = True
        os.eventfd_write(bell.fileno(), 1)
        self._thread.join()
        self._let_go()

    def _let_go(self) -> None:
        """Close what is left, once nobody uses it any more."""
        self._bell = self._out = None

    # The thread

    def _run(self) -> None:
        try:
            self._carry()
        except (EndOfFrames, OSError) as error:
            log.debug("the owner of the store %s is gone: %s", self._root, error)
        except BadFrame as error:
            log.warning("the owner of the store %s doesn't make sense: %s", self._root, error)
        finally:
            self._ending()
            self.ended = True
            self._channel.close()
            for number in list(self._asked):
                self._fail(number)
            self._to_send.clear()
            self._over()

    def _ending(self) -> None:
        """Do what must be done before anybody hears that the owner is gone; in the thread."""

    def _over(self) -> None:
        """Do what comes last in the thread."""

    def _carry(self) -> None:
        channel, bell, blocked = self._channel.fileno(), self._bell, False
        with select.epoll() as poll:
            if bell is not None:
                poll.register(bell, select.EPOLLIN | select.EPOLLET)
            poll.register(channel, select.EPOLLIN)
            while not self.ended:
                for fd, events in poll.poll():
                    if fd == channel and events & ~select.EPOLLOUT:
                        for frame in self._channel.receive():
                            self._heard(frame)
                was, blocked = blocked, not self._flush()
                if blocked is not was:
                    wanted = select.EPOLLIN | (select.EPOLLOUT if blocked else 0)
                    poll.modify(channel, wanted)

    def _flush(self) -> bool:
        """Send what waits for that; whether that was all."""
        while self._to_send:
            if not self._channel.send_whole(*self._to_send[0]):
                return False
            self._to_send.popleft()
        return True

    def _heard(self, frame: object) -> None:
        word = frame[0] if isinstance(frame, list) and frame else None
        match word:
            case "taken":
                future, asked = self._asked.get(convert(frame, Taken).number, (None, None))
                if future is not None and future.promise is None and asked is not None:
                    promise: Notifying[Any] = Notifying()
                    self._asked[convert(frame, Taken).number] = (promise, asked)
                    future.set(promise)
            case "answer":
                answer = convert(frame, Answer)
                self._answered(answer.number, lambda asked: checked(asked, answer.value))
            case "mounted":
                mounted = convert(frame, MountedAt)
                self._answered(mounted.number, lambda asked: self._seen(asked, mounted))
            case "error":
                error = convert(frame, Failed)
                self._answered(
                    error.number, lambda asked: self._refusal(asked, from_wire(error.error))
                )
            case "bad":
                raise BadFrame(f"it answers {str(frame)[:400]}")
            case _:
                self._heard_other(word, frame)

    def _heard_other(self, word: object, frame: object) -> None:  # noqa: ARG002
        raise BadFrame("an answer has no such word")

    def _answered(self, number: int, answer: Callable[[Asked], Any]) -> None:
        future, asked = self._asked.pop(number, (None, None))
        if future is None or asked is None:
            raise BadFrame(f"nobody waits for an answer {number}")
        try:
            found = answer(asked)
        except BadFrame:
            future.set(Refused(StoreClosed(self._root)))
            raise
        if not isinstance(found, Refused):
            self._note(asked)
        future.set(found)

    def _refusal(self, asked: Asked, error: LayerStoreError) -> Refused:  # noqa: ARG002
        return Refused(error)

    def _note(self, asked: Asked) -> None:
        """Take note of what is mounted for this process."""
        match asked:
            case m.Mount():
                self.mounts[asked.reference, asked.name] += 1
            case m.Unmount():
                self.mounts[asked.reference, asked.name] -= 1
            case m.ReleaseRWLayer():
                self.mounts.pop((asked.reference, asked.name), None)

    def _seen(self, asked: Asked, mounted: MountedAt) -> object:
        """Return a mount's path, where this process sees the same there as the owner."""
        try:
            status = os.stat(mounted.path)
            here = (status.st_dev, status.st_ino) == (mounted.device, mounted.inode)
        except OSError:
            here = False
        if here:
            return mounted.path
        if isinstance(asked, m.Mount):
            self.ask("mounts", m.Unmount(reference=asked.reference, name=asked.name))
        what = f"{mounted.path} is mounted where this process doesn't see it"
        return Refused(OwnersAlone(what, self._root, self.pid))


def _wait(channel: Channel, events: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(channel, events)
    return bool(poll.poll(seconds * 1000))
