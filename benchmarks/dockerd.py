"""A dockerd of one's own, for benchmarks and tests to compare with, spoken to over its HTTP API.

Owns one daemon process and the directory it works in. Never touches another daemon, the network
or the machine's own Docker data. What tests ask of it beyond this is tests/docker/api.py's.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from layerstore.drivers.system.mountinfo import mount_points

_API = "/v1.41"
_START_SECONDS = 60
_ATTEMPTS = 3
_SLOW = "timeout waiting for containerd"
_STOP_SECONDS = 30
_RUN = "/run"
"""Where its sockets lie: their paths may have no more than 107 bytes, and `place` may be long."""
_PIECE = 1 << 20
_NOBODY = "e30="
"""No credentials: base64 of `{}`."""


class DockerdUnavailable(Exception):
    """No dockerd runs here; the message says why."""


class DockerdRefused(Exception):
    """It answered a request with an error; the message is its own."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("dockerd", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Dockerd:
    """The API of one daemon; every call has a connection of its own, so threads may share it."""

    def __init__(self, address: str) -> None:
        self.address = address
        """Path of its unix socket."""

    def load(self, archive: str) -> None:
        """Load a docker-archive. API: POST /images/load."""
        with open(archive, "rb") as body:
            answer = self.call("POST", "/images/load?quiet=1", body, "application/x-tar")
        if b'"error"' in answer:
            raise DockerdRefused(answer.decode())

    def pull(self, name: str) -> bytes:
        """Pull an image whose name says its registry and its tag; returns what it tells of that.

        API: POST /images/create.
        """
        repository, _, tag = name.rpartition(":")
        query = f"fromImage={quote(repository, safe='')}&tag={quote(tag)}"
        answer = self.call("POST", f"/images/create?{query}")
        if b'"error"' in answer:
            raise DockerdRefused(answer.decode())
        return answer

    def push(self, name: str) -> None:
        """Push an image, as nobody. API: POST /images/x/push."""
        repository, _, tag = name.rpartition(":")
        query = f"/images/{quote(repository)}/push?tag={quote(tag)}"
        with self.answer("POST", query, headers={"X-Registry-Auth": _NOBODY}) as told:
            answer = told.read()
        if b'"error"' in answer:
            raise DockerdRefused(answer.decode())

    def save(self, image: str) -> int:
        """Read an image's docker-archive and return its size. API: GET /images/x/get."""
        size = 0
        with self.answer("GET", f"/images/{quote(image)}/get") as answer:
            while piece := answer.read(_PIECE):
                size += len(piece)
        return size

    def remove_image(self, image: str) -> None:
        """Remove an image. API: DELETE /images/x."""
        self.call("DELETE", f"/images/{quote(image)}?force=1")

    def create(self, name: str, image: str) -> None:
        """Make a container that never runs. API: POST /containers/create."""
        body = json.dumps({"Image": image, "Cmd": ["/none"], "NetworkDisabled": True}).encode()
        self.call("POST", f"/containers/create?name={quote(name)}", body, "application/json")

    def upper_directory(self, name: str) -> str:
        """Return where a container's own files lie. API: GET /containers/x/json."""
        facts = json.loads(self.call("GET", f"/containers/{quote(name)}/json"))
        directory: str = facts["GraphDriver"]["Data"]["UpperDir"]
        return directory

    def remove(self, name: str) -> None:
        """Remove a container. API: DELETE /containers/x."""
        self.call("DELETE", f"/containers/{quote(name)}")

    def about(self) -> str:
        """Return its version and its graph driver. API: GET /info."""
        facts: dict[str, Any] = json.loads(self.call("GET", "/info"))
        return f"dockerd {facts['ServerVersion']}, {facts['Driver']}"

    def call(
        self, method: str, path: str, body: bytes | BinaryIO | None = None, kind: str = ""
    ) -> bytes:
        """Make one request and return its whole answer. Raises DockerdRefused."""
        with self.answer(method, path, body, kind) as answer:
            return answer.read()

    @contextlib.contextmanager
    def answer(
        self,
        method: str,
        path: str,
        body: bytes | BinaryIO | None = None,
        kind: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """Make one request, and give its answer to be read. Raises DockerdRefused."""
        connection = _UnixConnection(self.address, timeout=300)
        connection.blocksize = _PIECE
        with contextlib.closing(connection):
            about = {"Content-Type": kind} if kind else {}
            connection.request(method, _API + path, body, {**about, **(headers or {})})
            answer = connection.getresponse()
            if answer.status >= 400:
                reason = answer.read().decode()
                raise DockerdRefused(f"{method} {path}: {answer.status} {reason}")
            yield answer


@contextlib.contextmanager
def private_dockerd(
    place: str, *, data_root: str | None = None, driver: str | None = None
) -> Iterator[Dockerd]:
    """Run a dockerd with its data in a new directory in `place`, for a `with` block.

    With `data_root` its images and containers are there instead, and stay. `driver` names its
    storage driver. Raises DockerdUnavailable where it isn't installed or doesn't start.
    """
    program = shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise DockerdUnavailable("dockerd is not installed (Debian: docker.io)")
    if os.geteuid() != 0:
        raise DockerdUnavailable("dockerd needs root")
    directory = tempfile.mkdtemp(prefix="layerstore-d-", dir=_RUN)
    data = data_root or tempfile.mkdtemp(prefix="d-", dir=place)
    options = [f"--data-root={data}", *([f"--storage-driver={driver}"] if driver else [])]
    process = None
    try:
        process, daemon = _started(program, directory, options)
        yield daemon
    finally:
        if process is not None:
            _stop(process)
        for used in (directory, data):
            unmount_all(used)
        shutil.rmtree(directory)
        if data_root is None:
            shutil.rmtree(data)


def _started(
    program: str, directory: str, options: list[str], attempts: int = _ATTEMPTS
) -> tuple[subprocess.Popen[bytes], Dockerd]:
    """Start it, once more where its containerd took longer than it waits, as on a busy disk."""
    process = _start(program, directory, options)
    try:
        return process, _ready(directory)
    except BaseException as error:
        _stop(process)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its containerd
        os.unlink(f"{directory}/socket")
        if attempts == 1 or _SLOW not in str(error):
            raise
    return _started(program, directory, options, attempts - 1)


def _start(program: str, directory: str, options: list[str]) -> subprocess.Popen[bytes]:
    """Start it with a socket that listens already: a request waits until the daemon is up."""
    options = [
        *("--host=fd://", "--bridge=none", "--iptables=false", "--ip6tables=false"),
        *(f"--exec-root={directory}/exec", f"--pidfile={directory}/pid", *options),
    ]
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
        open(f"{directory}/log", "wb") as log,
    ):
        listener.bind(f"{directory}/socket")
        listener.listen(1024)
        # systemd's protocol, sd_listen_fds(3): descriptor 3, for the process named by LISTEN_PID.
        script = f'exec 3<&{listener.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        return subprocess.Popen(
            ["/bin/bash", "-c", script, "dockerd", program, *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )


def _ready(directory: str) -> Dockerd:
    connection = _UnixConnection(f"{directory}/socket", timeout=_START_SECONDS)
    try:
        with contextlib.closing(connection):
            connection.request("GET", "/_ping")
            connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        lines = Path(directory, "log").read_text(errors="replace").splitlines()
        last = lines[-1] if lines else str(error)
        raise DockerdUnavailable(f"dockerd doesn't start here: {last}") from error
    return Dockerd(f"{directory}/socket")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        # Its containerd is in the same session and would outlive it.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def unmount_all(directory: str) -> None:
    """Unmount everything on and beneath a directory, the newest first."""
    left = [point.path for point in mount_points() if f"{point.path}/".startswith(f"{directory}/")]
    for path in reversed(left):
        subprocess.run(["umount", path], check=True)
