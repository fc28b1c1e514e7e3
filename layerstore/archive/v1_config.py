"""Making an image's configuration of the JSON that Docker had for each layer before 1.10.

Owns what becomes of that JSON, to the byte that docker makes of it, so that the image has the same
ID there and here. Source: moby's image/v1 (HistoryFromConfig, MakeConfigFromV1Config),
image.V1Image and container.Config of 20.10, and Go's encoding/json.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from layerstore.drivers.errors import InvalidImage
from layerstore.drivers.model.go_json import folded
from layerstore.drivers.model.ids import DiffID
from layerstore.drivers.model.image_config import HistoryEntry, parse_json
from layerstore.drivers.model.times import parse_time

_DROPPED = ("id", "parent", "Size", "parent_id", "layer_id", "throwaway")
_KEPT_AS_IT_IS = (1, 8, 3)
"""The first version whose JSON docker takes as it is; of older ones it takes what it knows."""
_NO_TIME = "0001-01-01T00:00:00Z"
_TIME = re.compile(r"(.*?)(?:(\.\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)\Z")
_SPACES = re.compile(rb'("(?:[^"\\]|\\.)*+")|[ \t\r\n]+')
_ESCAPED = {b"<": rb"\u003c", b">": rb"\u003e", b"&": rb"\u0026",
            "\u2028".encode(): rb"\u2028", "\u2029".encode(): rb"\u2029"}  # fmt: skip


class _Process(msgspec.Struct, rename="pascal"):
    """In the order in which docker writes it; what is unset is left out, or is Go's zero."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    tty: bool = False
    open_stdin: bool = msgspec.field(default=False, name="OpenStdin")
    stdin_once: bool = False
    env: list[str] | None = None
    cmd: list[str] | str | None = None
    args_escaped: bool | msgspec.UnsetType = msgspec.UNSET
    image: str = ""
    volumes: dict[str, Any] | None = None
    working_dir: str = ""
    entrypoint: list[str] | str | None = None
    network_disabled: bool | msgspec.UnsetType = msgspec.UNSET
    mac_address: str | msgspec.UnsetType = msgspec.UNSET
    on_build: list[str] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | msgspec.UnsetType = msgspec.UNSET


class V1Image(msgspec.Struct):
    """What docker reads of the JSON of one layer."""

    parent: str | None = None
    comment: str | None = None
    created: str | None = None
    container: str | None = None
    container_config: _Process | None = None
    docker_version: str | None = None
    author: str | None = None
    config: _Process | None = None
    architecture: str | None = None
    variant: str | None = None
    os: str | None = None


def read_v1(content: bytes, what: str) -> V1Image:
    """Read a layer's JSON. Raises InvalidImage, LimitExceeded."""
    document = _without_nulls(parse_json(content, what))
    if isinstance(document, dict):
        document = {key: _without_nulls(value) for key, value in document.items()}
    try:
        image = msgspec.convert(folded(document, V1Image), V1Image)
    except msgspec.ValidationError as error:
        raise InvalidImage(what, str(error)) from error
    if image.created is not None and parse_time(image.created) is None:
        raise InvalidImage(what, f"{image.created[:100]!r} is no time of RFC 3339")
    return image


def _without_nulls(document: Any) -> Any:
    """Leave out what Go leaves as it is: any field may be null."""
    if not isinstance(document, dict):
        return document
    return {key: value for key, value in document.items() if value is not None}


def step_of(image: V1Image) -> HistoryEntry:
    """Return the step of history that a layer is."""
    command = image.container_config.cmd if image.container_config is not None else None
    return HistoryEntry(
        created=_go_time(image.created),
        author=image.author or None,
        created_by=(command if isinstance(command, str) else " ".join(command or ())) or None,
        comment=image.comment or None,
    )


def config_of_v1(
    content: bytes, image: V1Image, diffs: Sequence[DiffID], history: Sequence[HistoryEntry]
) -> bytes:
    """Return the configuration of the image whose top layer has this JSON, which was read."""
    if _version(image.docker_version) < _KEPT_AS_IT_IS:
        content = msgspec.json.encode(_as_docker_knows_it(image))
    document: dict[str, Any] = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    for key in _DROPPED:
        document.pop(key, None)
    document["rootfs"] = {"type": "layers", "diff_ids": diffs}
    document["history"] = history
    made = _SPACES.sub(rb"\1", msgspec.json.encode(dict(sorted(document.items()))))
    for character, escaped in _ESCAPED.items():
        made = made.replace(character, escaped)
    return made


def _version(text: str | None) -> tuple[int, ...]:
    """Read a version as docker compares it: what is no number is 0."""
    parts = (text or "").split(".")
    return tuple(int(part[:9]) if part.isascii() and part.isdigit() else 0 for part in parts)


def _as_docker_knows_it(image: V1Image) -> dict[str, Any]:
    texts = ("comment", "container", "docker_version", "author", "architecture", "variant", "os")
    document: dict[str, Any] = {key: getattr(image, key) for key in texts if getattr(image, key)}
    document["created"] = _go_time(image.created)
    document["container_config"] = _known(image.container_config or _Process())
    if image.config is not None:
        document["config"] = _known(image.config)
    return document


def _known(process: _Process) -> _Process:
    """Write a process's settings as Go does: maps ordered, commands as lists."""
    for name in ("cmd", "entrypoint"):
        if isinstance(value := getattr(process, name), str):
            setattr(process, name, [value])
    for name in ("exposed_ports", "volumes", "labels"):
        if isinstance(value := getattr(process, name), dict):
            setattr(process, name, dict(sorted(value.items())))
    for name in ("exposed_ports", "args_escaped", "network_disabled", "mac_address", "stop_signal"):
        if not getattr(process, name):
            setattr(process, name, msgspec.UNSET)
    return process


def _go_time(text: str | None) -> str:
    """Write a time of RFC 3339 as Go does: no zeros behind the second's fraction."""
    match = _TIME.match(text or _NO_TIME)
    if match is None:
        return _NO_TIME
    fraction = (match[2] or "").rstrip("0").rstrip(".")
    zone = "Z" if match[3] in ("z", "+00:00", "-00:00") else match[3]
    return f"{match[1].upper()}{fraction}{zone}"
