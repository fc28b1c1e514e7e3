"""The arguments of each instruction, as its own syntax has them: JSON, words, pairs or one string.

Source: the Dockerfile reference; buildkit: the line parsers. Go's JSON isn't Python's: it has
neither NaN nor numbers that are too large. What follows the array is nobody's business.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from layerstore.images.dockerfile.bad import SPACES, BadInstruction
from layerstore.images.dockerfile.lines import Instruction, instruction
from layerstore.images.dockerfile.words import split_words

_GAP = re.compile(r"[\t\v\f\r ]+")
_FIRST = re.compile(rf"([^{SPACES}]*)[{SPACES}]*", re.DOTALL)
_LONE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Arguments:
    """The words of an instruction, and whether they were written as a JSON array."""

    words: tuple[str, ...]
    as_json: bool = False


def arguments_of(given: Instruction, escape: str) -> Arguments:
    """Read an instruction by its own syntax; one that isn't known has no arguments.

    Raises BadInstruction.
    """
    syntax = _SYNTAXES.get(given.name)
    return syntax(given.rest, escape) if syntax is not None else Arguments(())


def well_formed(text: str) -> str:
    """Return a text with U+FFFD, as Go has it, for halves of surrogate pairs and bad bytes."""
    return _LONE.sub("\ufffd", text)


def _number(text: str) -> float:
    found = float(text)
    if math.isinf(found):
        raise ValueError("a number that is too large")
    return found


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


_JSON = json.JSONDecoder(parse_int=_number, parse_float=_number, parse_constant=_no_constant)


def _array(rest: str) -> Arguments | None:
    """Return a JSON array's strings; None where it isn't JSON. Raises BadInstruction for others."""
    if not rest.startswith("["):
        return None
    try:
        found, _ = _JSON.raw_decode(rest)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in found):
        raise BadInstruction("a JSON array here has strings only")
    return Arguments(tuple(well_formed(item) for item in found), as_json=True)


def _string(rest: str, _escape: str) -> Arguments:
    return Arguments((rest,) if rest else ())


def _spaced(rest: str, _escape: str) -> Arguments:
    return Arguments(tuple(_GAP.split(rest)) if rest else ())


def _array_or_string(rest: str, escape: str) -> Arguments:
    return _array(rest) or _string(rest, escape)


def _array_or_spaced(rest: str, escape: str) -> Arguments:
    return _array(rest) or _spaced(rest, escape)


def _pairs(rest: str, escape: str) -> Arguments:
    """Read `KEY=VALUE ...`, or the old form `KEY VALUE`: keys and values by turns."""
    words = split_words(rest, escape)
    if words and "=" not in words[0]:
        key, *value = _GAP.split(rest, maxsplit=1)
        if not value:
            raise BadInstruction("KEY=VALUE ... follows the instruction, or KEY and VALUE")
        return Arguments((key, *value))
    found: list[str] = []
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise BadInstruction(f"there is no = in {word!r}")
        found += (key, text)
    return Arguments(tuple(found))


def _health(rest: str, escape: str) -> Arguments:
    kind = _FIRST.match(rest)
    if kind is None or not kind[1]:
        return Arguments(())
    command = _array_or_string(rest[kind.end() :], escape)
    return Arguments((kind[1], *command.words), command.as_json)


def _on_build(rest: str, escape: str) -> Arguments:
    if not rest:
        return Arguments(())
    inner = instruction(rest)
    return Arguments((inner.name, *arguments_of(inner, escape).words))


def _words(rest: str, escape: str) -> Arguments:
    return Arguments(tuple(split_words(rest, escape)))


_SYNTAXES: dict[str, Callable[[str, str], Arguments]] = {
    "add": _array_or_spaced,
    "arg": _words,
    "cmd": _array_or_string,
    "copy": _array_or_spaced,
    "entrypoint": _array_or_string,
    "env": _pairs,
    "expose": _spaced,
    "from": _spaced,
    "healthcheck": _health,
    "label": _pairs,
    "maintainer": _string,
    "onbuild": _on_build,
    "run": _array_or_string,
    "shell": _array_or_string,
    "stopsignal": _string,
    "user": _string,
    "volume": _array_or_spaced,
    "workdir": _string,
}
