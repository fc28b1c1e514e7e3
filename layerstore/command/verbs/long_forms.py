"""Docker's longer ways to say what a run gets: files of variables, and mounts by keys and values.

Owns how they are read. What becomes of it is `run`'s. Sources: docker run's reference, "--env-file"
and "--mount"; docker: opts.ParseEnvFile, opts.MountOpt.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from layerstore.drivers.errors import DriverError, InvalidArgument
from layerstore.drivers.sandbox.spec import Volume

_BYTE_ORDER_MARK = "\ufeff"
_SPACES = " \t\n\v\f\r\x85\xa0"
_MANY = 16 << 20
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")
_ASK_FOR_NOTHING = {"consistency": None, "bind-propagation": ("rprivate", "private")}
"""Keys of a mount that ask for nothing here, with these values or any."""
_OTHER_WORDS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}


def variables_of(path: str) -> Iterator[str]:
    """Give the variables of a file as -e takes them. Raises DriverError, InvalidArgument."""
    try:
        with open(path, "rb") as file:
            content = file.read(_MANY + 1)
    except OSError as error:
        raise DriverError.from_os_error("read", path, error) from error
    if len(content) > _MANY:
        raise InvalidArgument(path, f"a file of variables has at most {_MANY} bytes")
    try:
        text = content.decode().removeprefix(_BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        raise InvalidArgument(path, "a file of variables is UTF-8") from error
    for number, line in enumerate(text.split("\n"), 1):
        variable = line.removesuffix("\r").lstrip(_SPACES)
        name = variable.partition("=")[0]
        if not variable or variable.startswith("#"):
            continue
        if not name or set(name) & set(_SPACES):
            raise InvalidArgument(path, f"line {number} is no KEY=VALUE, KEY or comment")
        yield variable


def mount_of(text: str) -> Volume:
    """Return what `type=bind,source=...,target=...` stands for. Raises InvalidArgument."""
    given = _fields(text)
    kind = given.pop("type", "volume").lower()
    if kind != "bind":
        raise InvalidArgument(text, f"a mount here is of type=bind, not of {kind}")
    source, target = given.pop("source", ""), given.pop("target", "")
    read_only = given.pop("readonly", "false").lower()
    if not source.startswith("/") or not target.startswith("/"):
        raise InvalidArgument(text, "source and target of a mount begin with /")
    if read_only not in (*_TRUE, *_FALSE):
        raise InvalidArgument(text, "readonly is true or false")
    for key, value in given.items():
        values = _ASK_FOR_NOTHING.get(key, ())
        if values is not None and value not in values:
            raise InvalidArgument(text, f"{key}={value} can't be had of a mount here")
    return Volume(source=source, target=target, read_only=read_only in _TRUE)


def _fields(text: str) -> dict[str, str]:
    try:
        (row,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as error:
        raise InvalidArgument(text, "a mount is KEY=VALUE,... with quotes where needed") from error
    found: dict[str, str] = {}
    for field in row:
        key, equals, value = field.partition("=")
        key = _OTHER_WORDS.get(key.lower(), key.lower())
        if not equals and key != "readonly":
            raise InvalidArgument(text, f"{field!r} is no KEY=VALUE")
        found[key] = value if equals else "true"
    return found
