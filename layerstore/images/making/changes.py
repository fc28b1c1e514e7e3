"""Changes to an image's configuration, written as instructions of a Dockerfile.

Owns what each instruction of `--change` changes: those that docker import and docker commit know.
How they are written is `dockerfile`'s business. Source: the Dockerfile reference; moby:
BuildFromConfig, and merge in daemon/commit.go, which has the last word.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.model.docker_config import process_of
from layerstore.images.dockerfile.bad import BadInstruction, trimmed
from layerstore.images.dockerfile.health import health_of
from layerstore.images.dockerfile.lines import Instruction, instructions_of, values_of
from layerstore.images.dockerfile.ports import exposed
from layerstore.images.dockerfile.syntax import Arguments, arguments_of, well_formed
from layerstore.images.dockerfile.words import expanded, expanded_words

_SHELL = ("/bin/sh", "-c")
_NOT_ON_BUILD = ("ONBUILD", "MAINTAINER", "FROM")
_ON_BUILD = re.compile(r"\A[\t\n\f\r ]*ONBUILD[\t\n\f\r ]*", re.IGNORECASE | re.ASCII)


def changed_config(config: bytes, changes: Iterable[str]) -> bytes:
    """Return a configuration with instructions such as `CMD ["sh"]` and `ENV A=$B` applied.

    They are the lines of one text, as docker takes them. What they leave empty (`USER ""`,
    `ENTRYPOINT []`) is as it was. Raises InvalidArgument for what docker refuses, InvalidImage for
    a configuration that it couldn't read.
    """
    lines = list(changes)
    if not lines:
        return config
    document: dict[str, Any] = msgspec.json.decode(config)
    before = process_of(document)
    document["config"] = _filled_in(_applied(before, well_formed("\n".join(lines))), before)
    return msgspec.json.encode(document, order="sorted")


def _applied(process: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return what a configuration says of processes, changed. Raises InvalidArgument."""
    told = text
    try:
        given, escape = instructions_of(text)
        for one in given:
            if one.name not in _INSTRUCTIONS:
                known = ", ".join(sorted(_INSTRUCTIONS)).upper()
                raise InvalidArgument(one.text, f"a change begins with one of {known}")
        changing = _Changing(dict(process), escape)
        for one in given:
            told = one.text
            arguments = arguments_of(one, escape)
            if one.name != "healthcheck":  # which has flags, and NONE heeds none
                values_of(one.flags, ())
            _INSTRUCTIONS[one.name](changing, one, arguments)
    except BadInstruction as error:
        raise InvalidArgument(told, str(error)) from error
    return changing.config


def _filled_in(new: dict[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """Return a changed configuration, with what it was where nothing is said any more.

    moby: merge. What instructions only add to can't have become empty.
    """
    keys = ["User"]
    if not new.get("Entrypoint"):
        keys += ["Entrypoint"] if new.get("Cmd") else ["Cmd", "Entrypoint"]
    for key in keys:
        if not new.get(key) and key in old:
            new[key] = old[key]
    if old.get("Healthcheck") and new.get("Healthcheck"):
        said = {key: value for key, value in new["Healthcheck"].items() if value}
        new["Healthcheck"] = {**old["Healthcheck"], **said}
    return new


@dataclass(slots=True)
class _Changing:
    """A configuration while instructions are applied to it, one after another."""

    config: dict[str, Any]
    escape: str
    has_command: bool = False
    """Whether one of them was a CMD, which an ENTRYPOINT then keeps."""

    def variables(self) -> dict[str, str]:
        """Return what variables stand for; of several with a name the first one counts."""
        entries = reversed(self.config.get("Env") or ())
        return dict((entry or "").partition("=")[::2] for entry in entries)

    def expanded(self, words: Iterable[str]) -> list[str]:
        variables = self.variables()
        return [expanded(word, variables, self.escape) for word in words]

    def add(self, key: str, found: Mapping[str, Any]) -> None:
        self.config[key] = {**(self.config.get(key) or {}), **found}


def _line(arguments: Arguments) -> list[str]:
    """Return a command line: as it is where it is JSON, else for a shell."""
    return list(arguments.words) if arguments.as_json else [*_SHELL, *arguments.words]


def _cmd(changing: _Changing, _given: Instruction, arguments: Arguments) -> None:
    changing.config["Cmd"] = _line(arguments)
    changing.has_command = bool(arguments.words)


def _entrypoint(changing: _Changing, _given: Instruction, arguments: Arguments) -> None:
    changing.config["Entrypoint"] = _line(arguments) if arguments.words else []
    if not changing.has_command:
        changing.config["Cmd"] = []


def _pairs(changing: _Changing, arguments: Arguments) -> dict[str, str]:
    keys = arguments.words[::2]
    if not keys or not all(keys):
        raise BadInstruction("KEY=VALUE ... follows the instruction, and no KEY is empty")
    found = changing.expanded(arguments.words)
    return dict(zip(found[::2], found[1::2], strict=True))


def _env(changing: _Changing, _given: Instruction, arguments: Arguments) -> None:
    entries = [entry or "" for entry in changing.config.get("Env") or ()]
    for key, value in _pairs(changing, arguments).items():
        names = [entry.partition("=")[0] for entry in entries]
        at = names.index(key) if key in names else len(entries)
        entries[at : at + 1] = [f"{key}={value}"]
    changing.config["Env"] = entries


def _label(changing: _Changing, _given: Instruction, arguments: Arguments) -> None:
    changing.add("Labels", _pairs(changing, arguments))


def _expose(changing: _Changing, _given: Instruction, arguments: Arguments) -> None:
    if not arguments.words:
        raise BadInstruction("a port follows the instruction")
    variables = changing.variables()
    specs = [
        spec
        for word in arguments.words
        for spec in expanded_words(word, variables, changing.escape)
    ]
    changing.add("ExposedPorts", {port: {} for spec in specs for port in exposed(spec)})


def _volume(changing: _Changing, _given: Instruction, arguments: Arguments) -> None:
    words = [trimmed(word) for word in arguments.words]
    paths = changing.expanded(words)
    if not words or not all(words) or not all(paths):
        raise BadInstruction("paths follow the instruction, none of them empty")
    changing.add("Volumes", {path: {} for path in paths})


def _one(changing: _Changing, arguments: Arguments) -> str:
    if not arguments.words:
        raise BadInstruction("nothing follows the instruction")
    (word,) = changing.expanded(arguments.words)
    return word


def _user(changing: _Changing, _given: Instruction, arguments: Arguments) -> None:
    changing.config["User"] = _one(changing, arguments)


def _workdir(changing: _Changing, _given: Instruction, arguments: Arguments) -> None:
    path = _one(changing, arguments)
    if not path:
        raise BadInstruction("a directory follows the instruction")
    if not path.startswith("/"):
        joined = posixpath.normpath(f"{changing.config.get('WorkingDir') or ''}/{path}")
        path = "/" + joined.lstrip("/")
    changing.config["WorkingDir"] = path


def _healthcheck(changing: _Changing, given: Instruction, arguments: Arguments) -> None:
    changing.config["Healthcheck"] = health_of(given.flags, arguments)


def _onbuild(changing: _Changing, given: Instruction, arguments: Arguments) -> None:
    if not arguments.words:
        raise BadInstruction("an instruction follows it")
    if arguments.words[0].upper() in _NOT_ON_BUILD:
        raise BadInstruction(f"{arguments.words[0].upper()} can't be done then")
    trigger = _ON_BUILD.sub("", given.text)
    changing.config["OnBuild"] = [*(changing.config.get("OnBuild") or ()), trigger]


_INSTRUCTIONS: dict[str, Callable[[_Changing, Instruction, Arguments], None]] = {
    "cmd": _cmd,
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "healthcheck": _healthcheck,
    "label": _label,
    "onbuild": _onbuild,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
