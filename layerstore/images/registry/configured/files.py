"""Reading files that people write: of bounded size, as data of a known shape.

Owns how their mistakes are told: file, and line or field. What is in a file is never part of that,
since it may be secret.
"""

from __future__ import annotations

import errno
import json
import os
import tomllib
from typing import Any, TypeVar

import msgspec

from layerstore.drivers.errors import DriverError, InvalidSettings
from layerstore.drivers.system.small_file import read_small

_MOST = 4 << 20
"""Bytes; a larger file is none that somebody wrote."""
_ATTEMPTS = 100
_SHAPE = TypeVar("_SHAPE")


def read_json(path: str, shape: type[_SHAPE]) -> _SHAPE | None:
    """Return what a JSON file holds, None where there is none.

    Raises InvalidSettings, and DriverError where it can't be read.
    """
    content = read_bytes(path)
    return None if content is None else shaped(path, parse_json(path, content), shape)


def read_toml(path: str, shape: type[_SHAPE]) -> _SHAPE | None:
    """Return what a TOML file holds, None where there is none. Raises as read_json."""
    content = read_bytes(path)
    if content is None:
        return None
    try:
        found = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidSettings(path, f"it is no TOML: {_reason(error)}") from None
    return shaped(path, found, shape)


def parse_json(path: str, content: bytes) -> Any:
    """Return what a file's content says; nothing at all says nothing. Raises InvalidSettings."""
    try:
        return json.loads(content) if content.strip() else {}
    except (ValueError, RecursionError) as error:
        raise InvalidSettings(path, f"it is no JSON: {_reason(error)}") from None


def shaped(path: str, found: Any, shape: type[_SHAPE]) -> _SHAPE:
    """Return what was parsed in its shape. Raises InvalidSettings, which names the field."""
    try:
        return msgspec.convert(found, shape)
    except msgspec.ValidationError as error:
        raise InvalidSettings(path, str(error).replace("`$.", "`")) from None
    except UnicodeEncodeError:
        raise InvalidSettings(path, "a text in it holds half a character") from None


def read_bytes(path: str) -> bytes | None:
    """Return a file's content, None where there is none. Raises as read_json."""
    try:
        content = _read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DriverError.from_os_error("read", path, error) from error
    if len(content) > _MOST:
        raise InvalidSettings(path, f"it is longer than {_MOST} bytes")
    return content


def _read(path: str) -> bytes:
    """Read a file that others may replace meanwhile, as those do that log in."""
    for _ in range(_ATTEMPTS):
        try:
            # Administrators link such files to where they keep them.
            return read_small(os.path.realpath(path), _MOST + 1)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            replaced = error
    raise replaced


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is no UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (at line {error.lineno}, column {error.colno})"
    return str(error)
