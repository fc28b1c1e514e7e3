"""The first process of a container, where that is one of ours: what it passes on, and reaps.

Owns that process. It has given up its privileges, imports nothing any more, and can't be looked
into by what runs in the container. Sources: pid_namespaces(7), "The namespace init process";
proc_pid_cmdline(5), proc_pid_stat(5) on arg_start and arg_end.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from functools import cache
from typing import NoReturn

from layerstore.drivers.sandbox.spec import PASSED_ON
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.readable import stat_of

_NAME = b"layerstore"
_ALL = signal.valid_signals()


def be_first_process(report: socket.socket, *, terminal: bool) -> None:
    """Fork: the child goes on; this process passes signals on to it, and reaps whatever ends."""
    signals = {*PASSED_ON, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    # Where fs.suid_dumpable is set, becoming another user has made it so again.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    forget_arguments()
    theirs, ours = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        os.close(ours)
        os.read(theirs, 1)  # until the report is this process's alone, whose exec closes it
        os.setpgid(0, 0)
        if terminal:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
            os.tcsetpgrp(0, os.getpgrp())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTTOU})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        return
    _let_go(report)
    os.close(ours)
    while True:
        number = signal.sigwait(signals)
        if number == signal.SIGCHLD:
            _reap_all(child)
        else:
            os.kill(child, number)


def hold(report: socket.socket) -> NoReturn:
    """Keep the container there for those who join it, until this process is killed."""
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    forget_arguments()
    _let_go(report)
    signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)
    while True:
        signal.sigwait({signal.SIGCHLD})
        _reap_all(None)


@cache
def forget_arguments() -> None:
    """Have /proc tell no arguments of this process any more, whoever asks; nor of its forks.

    They name directories of this machine. What is in them was read when the interpreter began.
    """
    start, end = (int(field) for field in stat_of("self")[47:49])
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, _NAME, min(len(_NAME), end - start))


def _let_go(report: socket.socket) -> None:
    """Close what is the command's alone; who waits for the report hears that it is executed."""
    for fd in (0, 1, 2):
        os.close(fd)
    report.close()


def _reap_all(child: int | None) -> None:
    """Reap what has ended; end as `child` has, if that is among it."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
        if pid == 0:
            return
