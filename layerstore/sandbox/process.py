"""What an image says about the process that is to run from it, and what a caller says instead.

Pure functions over a configuration. Source: OCI image specification, "config" (Cmd, Entrypoint,
Env, WorkingDir, User, Volumes); docker run for how arguments replace them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from layerstore.drivers.errors import InvalidImage
from layerstore.drivers.model.docker_config import process_of
from layerstore.sandbox.runnable import cleaned_target, wrong_target

_SHELL_LESS = "it names no command, so one has to be given"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProcess:
    """A command with its surroundings."""

    argv: tuple[str, ...]
    env: dict[str, str]
    workdir: str
    user: str
    volumes: tuple[str, ...] = ()
    """Absolute paths that are to have volumes; see `image_volumes`."""


def image_process(
    config: Mapping[str, Any], argv: Sequence[str] = (), *, entrypoint: str | None = None
) -> ImageProcess:
    """Return what to run from an image with this configuration.

    `argv` stands for the image's Cmd, which follows its Entrypoint; `entrypoint` stands for that,
    and then Cmd doesn't count. Raises InvalidImage where nothing is left to run, or where a value
    isn't of the type that it should be.
    """
    inner = process_of(config)
    command = list(argv)
    if entrypoint is not None:
        start = [entrypoint] if entrypoint else []
    else:
        start = list(inner.get("Entrypoint") or ())
        command = command or list(inner.get("Cmd") or ())
    whole = (*start, *command)
    if not whole or not whole[0]:
        raise InvalidImage("configuration", _SHELL_LESS)
    env = dict((entry or "").partition("=")[::2] for entry in inner.get("Env") or ())
    return ImageProcess(
        argv=whole,
        env=env,
        workdir=inner.get("WorkingDir") or "/",
        user=inner.get("User") or "",
        volumes=_volumes(inner),
    )


def _volumes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths, cleaned as docker cleans them, each once."""
    targets = list(dict.fromkeys(cleaned_target(path) for path in config.get("Volumes") or ()))
    for target in targets:
        if (why := wrong_target(target)) is not None:
            raise InvalidImage("configuration", f"it asks for a volume at {target!r}, but {why}")
    return tuple(targets)
