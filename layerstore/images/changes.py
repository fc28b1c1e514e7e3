"""Changes to an image's configuration, written as instructions of a Dockerfile.

Owns the grammar of `--change`: the instructions that docker import and docker commit know of and
that say something about the processes that run from the image. Source: the Dockerfile reference,
and OCI image specification, section "config".
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from layerstore.drivers.errors import InvalidArgument

_KEY = re.compile(r"[^\s=]+\Z")
_PORT = re.compile(r"\d{1,5}(?:/(?:tcp|udp|sctp))?\Z")


def changed_config(config: bytes, changes: Iterable[str]) -> bytes:
    """Return a configuration with instructions such as `CMD ["sh"]` and `ENV A=1` applied.

    Raises InvalidArgument for an instruction that isn't known or is malformed.
    """
    document: dict[str, Any] = msgspec.json.decode(config)
    inner = dict(document.get("config") or {})
    for change in changes:
        word, _, rest = change.strip().partition(" ")
        apply = _INSTRUCTIONS.get(word.upper())
        if apply is None:
            known = ", ".join(sorted(_INSTRUCTIONS))
            raise InvalidArgument(change, f"a change begins with one of {known}")
        if not rest.strip():
            raise InvalidArgument(change, "nothing follows the instruction")
        apply(inner, change, rest.strip())
    document["config"] = inner
    return msgspec.json.encode(document, order="sorted")


def _command(key: str) -> Callable[[dict[str, Any], str, str], None]:
    def apply(config: dict[str, Any], change: str, rest: str) -> None:
        config[key] = _strings(change, rest) if rest.startswith("[") else ["/bin/sh", "-c", rest]

    return apply


def _strings(change: str, rest: str) -> list[str]:
    try:
        found = json.loads(rest)
    except ValueError as error:
        raise InvalidArgument(change, f"not a JSON array: {error}") from error
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise InvalidArgument(change, "not a JSON array of strings")
    return found


def _words(change: str, rest: str) -> list[str]:
    if rest.startswith("["):
        return _strings(change, rest)
    try:
        return shlex.split(rest)
    except ValueError as error:
        raise InvalidArgument(change, str(error)) from error


def _pairs(change: str, rest: str) -> dict[str, str]:
    """Return `KEY=VALUE ...`, or the old form `KEY VALUE`."""
    words = _words(change, rest)
    if "=" not in words[0]:
        key, _, value = rest.partition(" ")
        words = [f"{key}={value.strip()}"]
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not _KEY.match(key):
            raise InvalidArgument(change, "KEY=VALUE ... follows the instruction")
        found[key] = value
    return found


def _env(config: dict[str, Any], change: str, rest: str) -> None:
    config["Env"] = merged_env(config.get("Env") or [], _pairs(change, rest))


def merged_env(env: Iterable[str], new: Mapping[str, str]) -> list[str]:
    """Return `KEY=VALUE` strings with some replaced or added, the order kept."""
    values = dict(entry.partition("=")[::2] for entry in env)
    return [f"{key}={value}" for key, value in {**values, **new}.items()]


def _label(config: dict[str, Any], change: str, rest: str) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **_pairs(change, rest)}


def _expose(config: dict[str, Any], change: str, rest: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for port in _words(change, rest):
        if not _PORT.match(port):
            raise InvalidArgument(change, f"{port!r} is no port")
        ports[port if "/" in port else f"{port}/tcp"] = {}
    config["ExposedPorts"] = ports


def _volume(config: dict[str, Any], change: str, rest: str) -> None:
    volumes: dict[str, Any] = {path: {} for path in _words(change, rest)}
    config["Volumes"] = {**(config.get("Volumes") or {}), **volumes}


def _word(key: str) -> Callable[[dict[str, Any], str, str], None]:
    def apply(config: dict[str, Any], change: str, rest: str) -> None:
        if key == "WorkingDir" and not rest.startswith("/"):
            raise InvalidArgument(change, "a working directory begins with /")
        config[key] = rest

    return apply


_INSTRUCTIONS: dict[str, Callable[[dict[str, Any], str, str], None]] = {
    "CMD": _command("Cmd"),
    "ENTRYPOINT": _command("Entrypoint"),
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": _label,
    "STOPSIGNAL": _word("StopSignal"),
    "USER": _word("User"),
    "VOLUME": _volume,
    "WORKDIR": _word("WorkingDir"),
}
