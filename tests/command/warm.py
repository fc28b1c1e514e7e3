"""The command for scripts that call it often: forked from a process that has imported it already.

`python -m tests.command.warm DIRECTORY` writes a program `layerstore` there, prints a line once it
can be called, and serves until it is killed. Each call is the command itself, in a process of its
own, with the caller's arguments, directory, environment and descriptors. `layerstore serve` and
`unshare`, which are called seldom, are the program as ever.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from layerstore.command import main

_PROGRAM = """#!{python} -IS
import json, os, socket, sys
if {{"serve", "unshare"}} & set(sys.argv):  # signals are for the command itself
    os.execv({python!r}, [{python!r}, "-m", "layerstore.command", *sys.argv[1:]])
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    socket.send_fds(server, [len(request).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(request)
    status = server.recv(1)
sys.exit(status[0] if status else 255)
"""


def serve(directory: Path) -> NoReturn:
    """Write the program and serve its calls."""
    path = directory / "socket"
    program = directory / "layerstore"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        program.write_text(_PROGRAM.format(python=sys.executable, path=str(path)))
        program.chmod(0o755)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
        print("ready", flush=True)
        while True:
            call, _ = server.accept()
            with call:
                if os.fork() == 0:
                    server.close()
                    _answer(call)


def _answer(call: socket.socket) -> NoReturn:
    status = 255
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        size, fds, _, _ = socket.recv_fds(call, 4, 3)
        request = b""
        while len(request) < int.from_bytes(size, "big"):
            request += call.recv(1 << 16)
        arguments, place, environment = json.loads(request)
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
            os.close(fd)
        os.chdir(place)
        os.environ.clear()
        os.environ.update(environment)
        status = main(arguments)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        call.sendall(bytes([status]))
        os._exit(0)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
