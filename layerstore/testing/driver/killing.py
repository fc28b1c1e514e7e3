"""Killing a process before each call of a method that Python tells of (PEP 578, audit events).

Owns the count. What is counted is every call that opens, makes, renames, links, removes or lists
something, or starts a process; what C code does by itself between two of them isn't.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable

_COUNTED = ("os.", "open", "shutil.", "subprocess.", "ctypes.", "tempfile.")
_FAILED = 70


def killed_before(number: int, action: Callable[[], object]) -> bool:
    """Do something in a fork that is killed before its call `number`, from 1; whether it was.

    False where it has fewer calls, and was done. Fails with AssertionError where it raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork of a process with threads
        child = os.fork()
    if not child:
        _die_before(number)
        try:
            action()
        except BaseException:  # noqa: BLE001 - the fork ends here, whatever it was
            traceback.print_exc()
            os._exit(_FAILED)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "it fails: see what was written to the standard error"
    return False


def _die_before(number: int) -> None:
    seen = 0

    def count(event: str, _arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event.startswith(_COUNTED):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
