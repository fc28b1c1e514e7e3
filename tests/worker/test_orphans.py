"""A fork that was stopped before it could ask to end with its parent is ended all the same."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys

import pytest

from layerstore.drivers.confine.stopped import wait_for_child
from layerstore.drivers.system.proc_children import children_of
from layerstore.drivers.worker.orphans import await_forks, command_of
from tests.support.processes import ends

_FORKS = """
import os, signal
if not os.fork():
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(0)
os.waitid(os.P_ALL, 0, os.WSTOPPED)
os.write(1, b"forked")
os.read(0, 1)
"""


def test_what_a_dead_child_has_left_is_ended() -> None:
    alive, held = socket.socketpair()
    inode = os.fstat(held.fileno()).st_ino
    with held:
        child = subprocess.Popen(
            [sys.executable, "-c", _FORKS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[held.fileno()],
        )
    with child, alive:
        assert child.stdout is not None
        assert child.stdout.read(6) == b"forked"
        (fork,) = children_of(child.pid)
        command = command_of(child.pid)
        child.send_signal(signal.SIGKILL)
        assert wait_for_child(child.pid, [(alive, select.POLLIN)], pytest.fail) == []
        child.wait()
        await_forks(alive, inode, command)
        assert ends(fork, 60)
