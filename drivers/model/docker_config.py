"""Whether docker can read an image configuration: it refuses a whole root's list for one it can't.

Owns the types of the fields that docker decodes strictly; unknown ones it skips. Source: moby's
image.Image and container.Config, and Go's encoding/json, which takes null for anything.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from layerstore.drivers.errors import InvalidImage
from layerstore.drivers.model.go_json import folded
from layerstore.drivers.model.image_config import HistoryEntry, parse_json
from layerstore.drivers.model.times import is_gos

_Int = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
"""A number that Go's int has room for."""


class _Health(msgspec.Struct, rename="pascal"):
    test: list[str | None] | None = None
    interval: _Int | None = None
    timeout: _Int | None = None
    start_period: _Int | None = None
    start_interval: _Int | None = None
    retries: _Int | None = None


class _Process(msgspec.Struct, rename="pascal"):
    hostname: str | None = None
    domainname: str | None = None
    user: str | None = None
    attach_stdin: bool | None = None
    attach_stdout: bool | None = None
    attach_stderr: bool | None = None
    exposed_ports: dict[str, dict[str, Any] | None] | None = None
    tty: bool | None = None
    open_stdin: bool | None = None
    stdin_once: bool | None = None
    env: list[str | None] | None = None
    cmd: list[str | None] | str | None = None
    args_escaped: bool | None = None
    image: str | None = None
    entrypoint: list[str | None] | str | None = None
    network_disabled: bool | None = None
    mac_address: str | None = None
    volumes: dict[str, dict[str, Any] | None] | None = None
    working_dir: str | None = None
    labels: dict[str, str | None] | None = None
    stop_signal: str | None = None
    stop_timeout: _Int | None = None
    on_build: list[str | None] | None = None
    shell: list[str | None] | str | None = None
    healthcheck: _Health | None = None


_NAMES = {
    "image_id": "id",
    "os_name": "os",
    "os_version": "os.version",
    "os_features": "os.features",
    "size": "Size",
}


class _Image(msgspec.Struct, rename=_NAMES):
    image_id: str | None = None
    parent: str | None = None
    container: str | None = None
    size: _Int | None = None
    created: str | None = None
    author: str | None = None
    architecture: str | None = None
    variant: str | None = None
    os_name: str | None = None
    os_version: str | None = None
    os_features: list[str | None] | None = None
    comment: str | None = None
    docker_version: str | None = None
    config: _Process | None = None
    container_config: _Process | None = None
    history: list[HistoryEntry | None] | None = None


def check_for_docker(config: bytes, what: str) -> None:
    """Raise InvalidImage where docker, which lists all images or none, can't read one."""
    try:
        image = msgspec.convert(folded(parse_json(config, what), _Image), _Image)
    except msgspec.ValidationError as error:
        raise InvalidImage(what, f"docker can't read this configuration: {error}") from error
    times = [image.created, *(step.created for step in image.history or () if step is not None)]
    for text in times:
        if text is not None and not is_gos(text):
            reason = f"docker can't read this configuration: {text[:100]!r} is no time of RFC 3339"
            raise InvalidImage(what, reason)


_OF_WORDS = ("Cmd", "Entrypoint", "Shell")


def process_of(document: Any) -> dict[str, Any]:
    """Return what a decoded configuration says of processes: its `config`, with docker's keys.

    A command that is a string is one word; a null among words is an empty one. Unknown keys stay.
    Raises InvalidImage where docker can't read it. moby: strslice.StrSlice.
    """
    found = folded(document, _Image).get("config") or {}
    try:
        msgspec.convert(found, _Process)
    except msgspec.ValidationError as error:
        reason = f"docker can't read its config: {error}"
        raise InvalidImage("configuration", reason) from error
    words: dict[str, Any] = {}
    for key in _OF_WORDS:
        value = found.get(key)
        if value is not None:
            words[key] = [value] if isinstance(value, str) else [word or "" for word in value]
    return {**found, **words}
