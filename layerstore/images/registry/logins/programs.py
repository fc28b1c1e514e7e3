"""Programs that keep credentials: `docker-credential-NAME`, asked through standard input.

Owns how they are found, spoken to and given up on. Nothing that they print gets into an error
where it could hold a secret. Source: docker/docker-credential-helpers: credentials.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import time
from typing import IO, Literal, cast

import msgspec
from msgspec import Struct

from layerstore.drivers.errors import InvalidArgument, RegistryError
from layerstore.drivers.system.printable import escaped
from layerstore.images.registry.logins.login import Login

_PREFIX = "docker-credential-"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*\Z")
SECONDS = 60.0
"""Somebody may be asked for a password."""
_MOST = 1 << 20
_READ = 64 << 10
_TOKEN_USER = "<token>"  # noqa: S105 - it is what stands where a user would
_UNKNOWN = ("credentials not found in native keychain", "no credentials server URL",
            "no credentials username")  # fmt: skip
_Action = Literal["get", "store", "erase"]


class _Kept(Struct, rename="pascal"):
    username: str | None = None
    secret: str | None = None


def got(name: str, server: str, seconds: float = SECONDS) -> Login | None:
    """Return what a program has for a server, None for nothing; it may take some seconds.

    Raises RegistryError.
    """
    status, said = _asked(name, "get", server, server, seconds)
    if status != 0 and said.decode(errors="replace").strip() in _UNKNOWN:
        return None
    _check(name, "get", server, status, said)
    try:
        found = msgspec.convert(json.loads(said), _Kept)
    except (ValueError, RecursionError):
        raise _failed(name, "get", server, "its answer isn't JSON of the protocol") from None
    user, secret = found.username or "", found.secret or ""
    try:
        if user == _TOKEN_USER:
            return Login(identity_token=secret)
        return Login(user=user, secret=secret) if secret else None
    except InvalidArgument:
        raise _failed(name, "get", server, "its answer holds half a character") from None


def keep(name: str, server: str, login: Login) -> None:
    """Have a program keep a login. Raises RegistryError."""
    user, secret = login.user, login.secret
    if login.identity_token:
        user, secret = _TOKEN_USER, login.identity_token
    message = {"ServerURL": server, "Username": user, "Secret": secret}
    status, said = _asked(name, "store", server, json.dumps(message))
    _check(name, "store", server, status, b"" if secret.encode() in said else said)


def forget(name: str, server: str) -> bool:
    """Have a program forget a server's; returns whether it knew any. Raises RegistryError."""
    known = got(name, server) is not None
    if known:
        status, said = _asked(name, "erase", server, server)
        _check(name, "erase", server, status, said)
    return known


def _check(name: str, action: _Action, server: str, status: int, said: bytes) -> None:
    if status == 0:
        return
    text = escaped(said[:200].decode(errors="replace").strip())
    # What begins so may be an answer with a secret in it.
    told = f": {text}" if text and "{" not in text else ""
    how = f"it was ended by signal {-status}" if status < 0 else f"it exited with {status}"
    raise _failed(name, action, server, how + told)


def _asked(
    name: str, action: _Action, server: str, words: str, seconds: float = SECONDS
) -> tuple[int, bytes]:
    """Run a program, and return its exit status and what it printed. Raises RegistryError."""
    program = _path(name, action, server)
    given = os.memfd_create("layerstore-credentials")
    try:
        # A file never blocks, whether it is read or not.
        os.write(given, words.encode())
        os.lseek(given, 0, os.SEEK_SET)
        child = subprocess.Popen(
            [program, action], stdin=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        raise _failed(name, action, server, error.strerror or "it can't be run") from error
    finally:
        os.close(given)
    with child:
        try:
            said = _said(child, seconds)
            if said is None:
                raise _failed(name, action, server, f"it didn't end within {seconds:g} seconds")
            if len(said) > _MOST:
                raise _failed(name, action, server, f"it printed more than {_MOST} bytes")
            return child.wait(), said
        finally:
            child.kill()


def _said(child: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """Return what a program has printed when it ends; None where it doesn't in time.

    What it has started and left in the background may keep its output open.
    """
    output = cast("IO[bytes]", child.stdout).fileno()
    os.set_blocking(output, False)
    ended = os.pidfd_open(child.pid)
    try:
        said = b""
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.register(output, select.POLLIN)
        while len(said) <= _MOST:
            ready = [fd for fd, _ in poll.poll(max(0.0, deadline - time.monotonic()) * 1000)]
            if not ready:
                return None
            if output in ready:
                piece = os.read(output, _READ)
                said += piece
                if not piece:
                    poll.unregister(output)
            elif ended in ready:
                break
        return said
    finally:
        os.close(ended)


def _path(name: str, action: _Action, server: str) -> str:
    if not _NAME.match(name):
        raise _failed("NAME", action, server, f"{name[:100]!r} is no program's name")
    found = shutil.which(_PREFIX + name)
    if found is None or not os.path.isabs(found):
        raise _failed(name, action, server, "there is no such program on PATH")
    return found


def _failed(name: str, action: _Action, server: str, reason: str) -> RegistryError:
    return RegistryError(server, f"credentials of {_PREFIX}{name} ({action})", reason)
