"""What the grammar of every verb is made of: its help, in the form of a manual page, and options.

Owns how help looks. Which verbs there are is others' business.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn, TypeAlias

Verb = Callable[..., int]
Commands: TypeAlias = "argparse._SubParsersAction[VerbParser]"
Adder: TypeAlias = Callable[[Commands, str], None]
"""Adds one verb, whose own module is imported only then: a command needs no other's."""
Verbs: TypeAlias = dict[str, tuple[str, Adder]]
"""What each is about, in a line, and what adds it."""
EXAMPLES = "examples:\n"
_WIDTH = 78
_COLUMNS = 80
"""Where there is no terminal."""
WRONG_USAGE = 2
_MOST_SECONDS = 1e9
_LEAST_SECONDS = 0.1


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"


class Page(argparse.HelpFormatter):
    """As wide as the terminal; argparse would import shutil to look at it, for each argument."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def end_in_a_line(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """End the process for wrong usage, and say where there is help."""
    parser.exit(WRONG_USAGE, f"{parser.prog}: {message}\nSee '{parser.prog} --help'.\n")


class VerbParser(argparse.ArgumentParser):
    """The parser of one verb: what is wrong is told in a line, and what help there is."""

    def error(self, message: str) -> NoReturn:
        """End the process."""
        end_in_a_line(self, message)


class _ManualPage(Page, argparse.RawDescriptionHelpFormatter):
    pass


@functools.cache
def _columns() -> int:
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said):
        return int(said)
    try:
        found = os.get_terminal_size(sys.__stdout__.fileno()).columns if sys.__stdout__ else 0
    except (OSError, ValueError):  # it is no terminal, or closed
        found = 0
    return found or _COLUMNS


def add_verb(
    commands: Commands,
    name: str,
    run: Verb,
    about: str,
    *,
    details: str = "",
    examples: str = "",
    opens: bool = True,
    makes: bool = False,
    short_help: bool = True,
) -> argparse.ArgumentParser:
    """Add a verb. `run` gets the open store and the options, without `opens` the options alone.
    One that `makes` may begin a store; all others want one that is there.

    `details` are paragraphs of its manual page; `examples` are lines for a shell. Without
    `short_help` -h is free for an option of the verb's own.
    """
    paragraphs = [f"{about}.", *textwrap.dedent(details).strip().split("\n\n")]
    wrapped = [textwrap.fill(" ".join(paragraph.split()), _WIDTH) for paragraph in paragraphs]
    epilog = EXAMPLES + textwrap.indent(textwrap.dedent(examples).strip(), "  ")
    parser = commands.add_parser(
        name,
        help=about,
        description="\n\n".join(paragraph for paragraph in wrapped if paragraph),
        epilog=epilog if examples else None,
        formatter_class=_ManualPage,
        add_help=short_help,
    )
    if not short_help:
        parser.add_argument("--help", action="help", help="show this help message and exit")
    parser.set_defaults(run=run, recover=True, opens=opens, makes=makes, parser=parser)
    return parser


def no_command(name: str, known: Iterable[str]) -> str:
    """Say that there is no such verb, and which may be meant."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, 1)
    return f"there is no command {name!r}" + (f"; did you mean {near[0]}?" if near else "")


def duration(text: str) -> float:
    """Read a duration as Go's programs do, in seconds."""
    found = re.fullmatch("".join(f"(?:(?P<{unit}>{_NUMBER}){unit})?" for unit in _UNITS), text)
    if found is None or not text:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 24h or 1h30m")
    return sum(float(found[unit] or 0) * length for unit, length in _UNITS.items())


def size(text: str) -> int:
    """Read a size as docker does, in bytes: of thousands, or with an i of 1024."""
    found = re.fullmatch(f"(?P<number>{_NUMBER}) ?(?P<unit>[kmgtp]?)(?P<i>i?)b?", text, re.I)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 500MB or 20GB")
    base = 1024 if found["i"] else 1000
    return int(float(found["number"]) * base ** " kmgtp".index((found["unit"] or " ").lower()))


def seconds(text: str) -> float:
    """Read a number of seconds, 0 to 10^9."""
    try:
        found = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from error
    if not 0 <= found <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} seconds are not between 0 and 10^9")
    return found


def some_seconds(text: str) -> float:
    """Read a number of seconds, 0.1 to 10^9."""
    found = seconds(text)
    if found < _LEAST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} seconds are less than {_LEAST_SECONDS:g}")
    return found


def whole_number(text: str) -> int:
    """Read a decimal number, 0 or more."""
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def add_nothing(parser: argparse.ArgumentParser, *options: str, why: str) -> None:
    """Add an option of docker's that asks for nothing here."""
    parser.add_argument(
        *options, action="store_true", dest=argparse.SUPPRESS, help=f"docker's: {why}"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="print JSON, sizes in bytes")


def add_format(parser: argparse.ArgumentParser, fields: Sequence[str]) -> None:
    """Add --format, with the fields that a template may name."""
    parser.add_argument(
        "--format",
        metavar="FORM",
        help="'table', 'table TEMPLATE', 'json' or a TEMPLATE with {{.FIELD}} and {{json .FIELD}}; "
        f"fields: {', '.join(fields)}",
    )


def add_forms(parser: argparse.ArgumentParser, fields: Iterable[str]) -> None:
    """Add --format, with the fields that a template may name, and --json."""
    add_format(parser, list(fields))
    add_json(parser)


def add_filter(parser: argparse.ArgumentParser, known: Sequence[str]) -> None:
    """Add --filter with these keys."""
    from layerstore.command.output.filters import filter_of

    parser.add_argument(
        "-f",
        "--filter",
        dest="filters",
        action="append",
        default=[],
        type=filter_of(known),
        metavar="KEY=VALUE",
        help=f"only those for which it holds; keys: {', '.join(known)}",
    )


def add_ids(parser: argparse.ArgumentParser, what: str = "IDs") -> None:
    """Add --quiet and --no-trunc."""
    parser.add_argument("-q", "--quiet", action="store_true", help=f"print {what} only")
    parser.add_argument("--no-trunc", action="store_true", help="cut nothing short")


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Add --quiet for work that takes long."""
    parser.add_argument("-q", "--quiet", action="store_true", help="draw no progress bars")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add --output, and --quiet for the writing."""
    parser.add_argument("-o", "--output", metavar="FILE", help="(default: standard output)")
    add_quiet(parser)


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Add --wait, of verbs that remove."""
    parser.add_argument(
        "--wait",
        dest="wait_for_disk",
        action="store_true",
        help="until the disk is free, rather than leave that to a process in the background",
    )


def add_message(parser: argparse.ArgumentParser) -> None:
    """Add --message."""
    parser.add_argument("-m", "--message", default="", help="comment in the image's history")


def add_sparse(parser: argparse.ArgumentParser) -> None:
    """Add --sparse."""
    parser.add_argument(
        "--sparse",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="write files that are mostly holes as GNU tar --sparse does; dockerd unpacks such a "
        "layer, but can't save or push it",
    )


def add_changes(parser: argparse.ArgumentParser) -> None:
    """Add --change."""
    parser.add_argument(
        "-c",
        "--change",
        dest="changes",
        action="append",
        default=[],
        metavar="INSTRUCTION",
        help="of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, USER, "
        "VOLUME, WORKDIR",
    )
