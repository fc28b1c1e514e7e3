"""What an image says about the process that is to run from it, and what a caller says instead.

Pure functions over a configuration. Source: OCI image specification, "config" (Cmd, Entrypoint,
Env, WorkingDir, User); docker run for how arguments replace them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from layerstore.drivers.errors import InvalidImage

_SHELL_LESS = "it names no command, so one has to be given"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProcess:
    """A command with its surroundings."""

    argv: tuple[str, ...]
    env: dict[str, str]
    workdir: str
    user: str


def image_process(
    config: Mapping[str, Any], argv: Sequence[str] = (), *, entrypoint: str | None = None
) -> ImageProcess:
    """Return what to run from an image with this configuration.

    `argv` stands for the image's Cmd, which follows its Entrypoint; `entrypoint` stands for that,
    and then Cmd doesn't count. Raises InvalidImage where nothing is left to run, or where a value
    isn't of the type that it should be.
    """
    inner = config.get("config") or {}
    if not isinstance(inner, Mapping):
        raise InvalidImage("configuration", "its config is no object")
    command = list(argv)
    if entrypoint is not None:
        start = [entrypoint] if entrypoint else []
    else:
        start = _strings(inner, "Entrypoint")
        command = command or _strings(inner, "Cmd")
    whole = (*start, *command)
    if not whole or not whole[0]:
        raise InvalidImage("configuration", _SHELL_LESS)
    env = dict(entry.partition("=")[::2] for entry in _strings(inner, "Env"))
    return ImageProcess(
        argv=whole,
        env=env,
        workdir=_string(inner, "WorkingDir") or "/",
        user=_string(inner, "User"),
    )


def _strings(config: Mapping[str, Any], key: str) -> list[str]:
    found = config.get(key) or []
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise InvalidImage("configuration", f"{key} is no list of strings")
    return found


def _string(config: Mapping[str, Any], key: str) -> str:
    found = config.get(key) or ""
    if not isinstance(found, str):
        raise InvalidImage("configuration", f"{key} is no string")
    return found
