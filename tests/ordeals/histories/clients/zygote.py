"""A process that has all imported, and forks another for each task: starting Python takes longer.

`python -m tests.ordeals.histories.clients.zygote DESCRIPTOR`. It has no threads, and ends with the
connection.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

from tests.ordeals.histories.clients.client import run


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel is to forget those that end
    asked: Connection[Any, Any] = Connection(int(sys.argv[1]))
    with contextlib.suppress(EOFError):
        while True:
            task = asked.recv()
            pid = os.fork()
            if not pid:
                asked.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # those that it has are its own
                run(task)
                os._exit(0)
            asked.send(pid)


if __name__ == "__main__":
    main()
