"""How a connection to an owner begins: who is there, and whether both speak the same protocol.

Owns the wait for that, which ends with the caller's time.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from layerstore.drivers.errors import CannotAttach
from layerstore.drivers.system.frames import BadFrame, EndOfFrames, convert
from layerstore.drivers.work import OwnedDescriptor
from layerstore.engine.sharing.channel import Channel
from layerstore.engine.sharing.wire import PROTOCOL, Owner

Polled = Channel | OwnedDescriptor


def greet(
    channel: Channel,
    root: str,
    deadline: float,
    timeout: float,
    heard: Callable[[object], Owner | None],
    *,
    watched: OwnedDescriptor | None = None,
) -> Owner:
    """Say hello, and return who is there, as `heard` takes it from the frames that come.

    `deadline` is in seconds of the monotonic clock, `timeout` what is told of it; `watched` is
    readable once nobody is there any more. Raises
    CannotAttach, and what `heard` raises.
    """
    channel.put(["hello", PROTOCOL])
    try:
        channel.flush()
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not _wait(channel, watched, left):
                raise CannotAttach(root, f"its owner took no call for {timeout:.3g} s")
            frames = channel.receive()
            if not frames and watched is not None and _wait(watched, None, 0.0):
                raise EndOfFrames
            for frame in frames:
                owner = heard(frame)
                if owner is not None:
                    return owner
    except (EndOfFrames, OSError) as error:
        raise CannotAttach(root, "its owner has closed it") from error
    except BadFrame as error:
        raise CannotAttach(root, f"its owner doesn't make sense: {error}") from error


def owner_of(frame: object, root: str) -> Owner:
    """Return who is there, as the frame says. Raises CannotAttach, BadFrame."""
    match frame:
        case ["owner", facts]:
            owner = convert(facts, Owner)
            if owner.protocol == PROTOCOL:
                return owner
            raise CannotAttach(
                root,
                f"its owner, layerstore {owner.version}, speaks protocol {owner.protocol}, "
                f"not {PROTOCOL}",
            )
        case ["bad", str(reason)]:
            raise CannotAttach(root, reason)
    raise BadFrame("it doesn't say who it is")


def _wait(first: Polled, second: Polled | None, seconds: float) -> bool:
    poll = select.poll()
    for each in (first, second):
        if each is not None:
            poll.register(each, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
