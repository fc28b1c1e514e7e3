"""The other end: how an attached process asks the owner's actors.

Owns the connection, one thread that reads and writes it, and who waits for which answer. Whatever
ends the connection answers everybody who waits: the store is closed.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from layerstore.actors import messages as m
from layerstore.actors.runtime.base import Refused
from layerstore.actors.runtime.calls import deadline_of
from layerstore.actors.runtime.futures import Notifying
from layerstore.actors.runtime.ref import close_descriptors
from layerstore.drivers.errors import (
    InvalidArgument,
    LayerStoreError,
    OwnersAlone,
    StoreBusy,
    StoreClosed,
    from_wire,
)
from layerstore.drivers.system.frames import BadFrame, EndOfFrames, convert, pack_frame
from layerstore.drivers.work import Descriptors, OwnedDescriptor
from layerstore.engine.sharing.answers import AnswerFrame, Asked, answer_frame, checked, refused
from layerstore.engine.sharing.channel import Channel
from layerstore.engine.sharing.following import Followers, Following, heard
from layerstore.engine.sharing.greeting import greet, owner_of
from layerstore.engine.sharing.wire import (
    INITS,
    MAX_ANSWER,
    Error,
    Mounted,
    Owner,
    Taken,
    fields_of,
    pack_question,
)

log = logging.getLogger("layerstore")

_MOST_UNSENT = 10_000
"""Frames that wait for the owner to read them."""


class Link:
    """A connection to the owner of a root."""

    _watched: OwnedDescriptor | None = None
    """What is readable once the owner has ended, whoever still has copies of its socket."""
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
            self.owner = greet(
                self._channel, root, deadline, timeout, self._greeted, watched=self._watched
            )
            bell = OwnedDescriptor(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
            out = OwnedDescriptor(os.dup(self._channel.fileno()))
        except BaseException:
            self._channel.close()
            raise
        self._bell: OwnedDescriptor | None = bell
        self._out: OwnedDescriptor | None = out
        self.mounts: dict[tuple[int, str], deque[None]] = {}
        """As many members as this process has mounted what it holds, by reference and name: what
        several threads count in steps that the interpreter doesn't divide."""
        self.followers = Followers()
        """Those who hear what the owner does."""
        self.ended = False
        """There is no owner any more, or nobody wants one."""
        self._pid = os.getpid()
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[Notifying[Any], Asked]] = {}
        self._to_send: deque[tuple[bytes, Descriptors]] = deque()
        """What there was no room for, or has descriptors; each stays in it until it is sent."""
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._thread.start()

    def _greeted(self, frame: object) -> Owner | None:
        """Return who is there, once a frame tells that; other frames are taken note of."""
        return owner_of(frame, self._root)

    # Asking, from any thread

    def ask(self, actor: str, message: m.Message) -> Notifying[Any]:
        """Ask an actor of the owner's; the future holds the answer, a promise of it, or Refused."""
        init = getattr(message, "init", None)
        if init is not None and init not in INITS.values() and not self._calls_back:
            return refused(OwnersAlone("calling an init function", self._root, self.pid))
        descriptors: Descriptors = getattr(message, "descriptors", ())
        name = type(message).__name__
        try:
            fields = fields_of(message)
        except InvalidArgument as error:
            close_descriptors(message)
            return refused(error)
        return self._ask(
            message,
            lambda number: ["ask", number, actor, name, fields, len(descriptors)],
            descriptors,
        )

    def look(self, what: str) -> Notifying[Any]:
        """Have the owner look at itself; see LOOKS."""
        return self._ask(what, lambda number: ["look", number, what])

    def order(self, what: str, argument: object) -> Notifying[Any]:
        """Have the owner do something by itself (unwatch, journal)."""
        return self._ask(what, lambda number: [what, number, argument])

    def watch(self, following: Following) -> Notifying[Any]:
        """Have the owner tell what it does, to be heard from its answer on."""
        return self._ask(following, lambda number: ["watch", number, following.watch])

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

    def join(self) -> None:
        """Wait until the thread has ended, which does whatever is left to do."""
        self._thread.join()

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
        self.followers.end()

    def _carry(self) -> None:
        channel, bell, watched = self._channel.fileno(), self._bell, self._watched
        blocked = False
        with select.epoll() as poll:
            if bell is not None:
                poll.register(bell, select.EPOLLIN | select.EPOLLET)
            poll.register(channel, select.EPOLLIN)
            if watched is not None:
                poll.register(watched, select.EPOLLIN)
            while not self.ended:
                for fd, events in poll.poll():
                    if fd == channel and events & ~select.EPOLLOUT:
                        self._hear()
                    elif watched is not None and fd == watched.fileno():
                        while self._hear():
                            pass  # what it has said before its end
                        raise EndOfFrames
                was, blocked = blocked, not self._flush()
                if blocked is not was:
                    wanted = select.EPOLLIN | (select.EPOLLOUT if blocked else 0)
                    poll.modify(channel, wanted)

    def _hear(self) -> bool:
        """Take what has come; whether there was a whole frame."""
        frames = self._channel.receive()
        for frame in frames:
            self._heard(frame)
        return bool(frames)

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
                future, _ = self._asked.get(convert(frame, Taken).number, (None, None))
                if future is not None:
                    future.take()
            case "answer" | "mounted" | "error":
                answer = answer_frame(word, frame)
                self._answered(answer.number, lambda asked: self._meant(asked, answer))
            case "records" | "lost":
                self.followers.tell(heard(word, frame))
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

    def _meant(self, asked: Asked, answer: AnswerFrame) -> object:
        """Return what a frame answers, or Refused. Raises BadFrame."""
        match answer:
            case Mounted():
                return self._seen(asked, answer)
            case Error():
                return self._refusal(asked, from_wire(answer.error))
        return checked(asked, answer.value)

    def _refusal(self, asked: Asked, error: LayerStoreError) -> Refused:  # noqa: ARG002
        return Refused(error)

    def _note(self, asked: Asked) -> None:
        """Take note of what is mounted for this process, and of who hears from now on."""
        match asked:
            case Following():
                self.followers.add(asked)
            case m.Mount():
                self.mounts.setdefault((asked.reference, asked.name), deque()).append(None)
            case m.Unmount():
                with contextlib.suppress(KeyError, IndexError):  # another process's mount
                    self.mounts[asked.reference, asked.name].pop()
            case m.ReleaseRWLayer():
                self.mounts.pop((asked.reference, asked.name), None)

    def _seen(self, asked: Asked, mounted: Mounted) -> object:
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
