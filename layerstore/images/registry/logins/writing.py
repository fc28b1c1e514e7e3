"""Changing a file of credentials: a login is kept, or forgotten.

Owns that nobody but the file's owner reads a secret, and that all else in the file stays, whatever
it is, whoever has written it. A file that can't be understood isn't changed. Source: docker/cli:
cli/config/configfile.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable
from functools import partial
from typing import Any

from layerstore.drivers.errors import DriverError, InvalidSettings
from layerstore.drivers.system.durable import (
    create,
    make_directories,
    move,
    temporary_beside,
)
from layerstore.images.registry.configured.files import parse_json, read_bytes, shaped
from layerstore.images.registry.logins.files import AuthFile, encoded
from layerstore.images.registry.logins.keys import key_of, normal_key
from layerstore.images.registry.logins.login import Login
from layerstore.images.registry.logins.programs import forget, keep
from layerstore.images.registry.logins.turns import turn

_PRIVATE = 0o600
_ATTEMPTS = 100
"""How often a file is changed anew that others change, too."""


def store_login(path: str, registry: str, login: Login) -> str | None:
    """Keep a login in a file, or where the file says; returns the program that has it, if one.

    Raises InvalidSettings for a file that isn't as its format says, RegistryError for a program
    that fails, DriverError.
    """
    program = _program(path, registry)
    if program is not None:
        keep(*program, login)
    # docker/cli: an entry without a secret says that there is one elsewhere.
    entry = _entry(login) if program is None else {}

    def put(auths: dict[str, Any]) -> bool:
        _remove(auths, registry)
        auths[key_of(registry)] = entry
        return True

    make_directories(os.path.dirname(os.path.realpath(path)), durable=True)
    _change(path, put, private=program is None)
    return program[0] if program is not None else None


def erase_login(path: str, registry: str) -> bool:
    """Forget a registry's login; returns whether there was one. Raises as store_login."""
    program = _program(path, registry)
    known = program is not None and forget(*program)
    if read_bytes(path) is None:
        return known
    return _change(path, lambda auths: _remove(auths, registry), private=False) or known


def _program(path: str, registry: str) -> tuple[str, str] | None:
    """Return the program that keeps a registry's logins, and by which key it does."""
    return shaped(path, _parsed(path, read_bytes(path)), AuthFile).helper(registry)


def _parsed(path: str, content: bytes | None) -> Any:
    return parse_json(path, content or b"")


def _change(path: str, change: Callable[[dict[str, Any]], bool], *, private: bool) -> bool:
    """Change what a file has of registries, if there is something to `change`; returns whether.

    Others may change it meanwhile, and take no turns: then it is begun anew with what they wrote.
    """
    try:
        with turn(os.path.dirname(os.path.realpath(path))):
            for _ in range(_ATTEMPTS):
                before = read_bytes(path)
                content = _parsed(path, before)
                shaped(path, content, AuthFile)
                if not change(_auths(path, content)):
                    return False
                if _write(path, before, content, private=private):
                    return True
    except OSError as error:
        raise DriverError.from_os_error("write", path, error) from error
    raise DriverError("write", path, errno.EBUSY)


def _auths(path: str, content: dict[str, Any]) -> dict[str, Any]:
    if content.get("auths") is None:
        content["auths"] = {}
    auths = content["auths"]
    if not isinstance(auths, dict):
        raise InvalidSettings(path, "auths is no object")
    return auths


def _remove(auths: dict[str, Any], registry: str) -> bool:
    """Remove the registry's own entries, and not those of repositories in it."""
    found = [key for key in auths if normal_key(key) == registry]
    for key in found:
        del auths[key]
    return bool(found)


def _entry(login: Login) -> dict[str, str]:
    entry = {"auth": encoded(login)} if login.user or login.secret else {}
    if login.identity_token:
        entry["identitytoken"] = login.identity_token
    if login.registry_token:
        entry["registrytoken"] = login.registry_token
    return entry


def _write(path: str, before: bytes | None, content: dict[str, Any], *, private: bool) -> bool:
    """Replace a file, where it really lies; with `private` only its owner can read it then.

    Returns False where that isn't any more what it was before. Raises OSError, DriverError.
    """
    place = os.path.realpath(path)
    temporary = temporary_beside(place)
    try:
        dress = partial(_take_after, place, private=private)
        create(temporary, _text(content), durable=True, mode=_PRIVATE, dress=dress)
        if read_bytes(path) != before:
            return False
        move(temporary, place, durable=True)
        return True
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _text(content: dict[str, Any]) -> bytes:
    # As docker indents it; escaped, since JSON may hold what UTF-8 can't.
    return json.dumps(content, indent="\t").encode()


def _take_after(place: str, new: int, *, private: bool) -> None:
    """Give the new file, which is open, the owner and the mode of the old one.

    It isn't named: where the directory is somebody else's, the name may lead to another file.
    """
    try:
        old = os.stat(place)
    except FileNotFoundError:
        return
    made = os.fstat(new)
    if (made.st_uid, made.st_gid) != (old.st_uid, old.st_gid):
        os.fchown(new, old.st_uid, old.st_gid)
    mode = stat.S_IMODE(old.st_mode)
    os.fchmod(new, mode & _PRIVATE if private else mode)
