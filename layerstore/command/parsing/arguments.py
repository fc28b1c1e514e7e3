"""The arguments of the command: what is said before the verb; the verbs are beside this.

Owns the parser as a whole, and that only the verb that was typed is made and imported. A parsed
namespace has the verb's function as `run`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NoReturn

from layerstore.command.parsing.dockers.answers import meant
from layerstore.command.parsing.grammar import (
    Page,
    VerbParser,
    Verbs,
    end_in_a_line,
    no_command,
    seconds,
)
from layerstore.command.parsing.images import IMAGE_VERBS
from layerstore.command.parsing.logins import LOGIN_VERBS
from layerstore.command.parsing.mounts import MOUNT_VERBS
from layerstore.command.parsing.registries import REGISTRY_VERBS
from layerstore.command.parsing.run import RUN_VERB
from layerstore.command.parsing.running import RUNNING_VERBS
from layerstore.command.parsing.shell import SHELL_VERB, adding_help
from layerstore.command.parsing.store import STORE_VERBS
from layerstore.command.parsing.trace import TRACE_VERB
from layerstore.command.parsing.unshare import UNSHARE_VERB
from layerstore.drivers.graph.builtin import PREFERENCE
from layerstore.drivers.model.limits import Limits

_ROOT = "/var/lib/layerstore"
_WAIT_SECONDS = 5.0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse arguments, by default the process's; ends the process for --help and wrong usage."""
    if "_ARGCOMPLETE" in os.environ:
        _complete()
    parser = _OneVerb()
    words = sys.argv[1:] if arguments is None else arguments
    options, unknown = parser.parse_known_args(meant(parser, parser.verb, words))
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


def _complete() -> None:
    from layerstore.command.parsing.completing import complete

    parser = _OneVerb()
    for name in _VERBS:
        parser.verb(name)
    complete(parser)


class _Parser(argparse.ArgumentParser):
    """The parser of what is said before the verb; the verbs are added to `commands`."""

    def __init__(self) -> None:
        super().__init__(
            prog="layerstore",
            formatter_class=Page,
            description="Images, layers and throw-away root file systems, without a daemon.",
            epilog="exit status: 0; 1 and a line on standard error where something failed, or "
            "where check found something; 2 for wrong usage; 128 + n where signal n ended it; run "
            "has its command's, or docker's 125, 126 and 127. 'layerstore help COMMAND' tells "
            "more.",
        )
        _add_options(self)
        self.commands = self.add_subparsers(
            prog=self.prog,  # else it is made of a whole usage
            title="commands",
            metavar="COMMAND",
            required=True,
            parser_class=VerbParser,
        )

    def name_all(self) -> None:
        """Add every verb by its name alone, for those that are looking for one."""
        for name, (about, _) in _VERBS.items():
            self.commands.add_parser(name, help=about)


class _OneVerb(_Parser):
    """The parser with the verb that is typed and no other: to make all takes longer than most do.

    Its help is that of all.
    """

    _unknown = ""
    """What was typed in the place of a verb."""

    def verb(self, name: str) -> argparse.ArgumentParser | None:
        """Return a verb's parser; None where there is none, and then it knows all names."""
        if name not in _VERBS:
            self._unknown = name
            self.name_all()
            return None
        about, add = _VERBS[name]
        add(self.commands, about)
        return self.commands.choices[name]

    def error(self, message: str) -> NoReturn:
        """End the process; a verb that there isn't is told in a line."""
        if not self._unknown or not message.startswith("argument COMMAND: "):
            super().error(message)
        end_in_a_line(self, no_command(self._unknown, _VERBS))

    def format_help(self) -> str:
        """Return the help of the whole command."""
        whole = _Parser()
        whole.name_all()
        return whole.format_help()


def _tell(name: str | None) -> None:
    parser = _OneVerb()
    (parser if name is None else parser.verb(name) or parser).print_help()


_VERBS: Verbs = {
    **IMAGE_VERBS,
    **MOUNT_VERBS,
    **REGISTRY_VERBS,
    **LOGIN_VERBS,
    **RUN_VERB,
    **RUNNING_VERBS,
    **UNSHARE_VERB,
    **STORE_VERBS,
    **TRACE_VERB,
    **SHELL_VERB,
}
"""In the order of the help."""
_VERBS["help"] = ("Tell about a command", adding_help([*_VERBS, "help"], _tell))


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-v", "--version", action=_Version, nargs=0, help="print the version")
    parser.add_argument(
        "--root",
        default=os.environ.get("LAYERSTORE_ROOT") or _root(),
        help=f"the store's directory (default: $LAYERSTORE_ROOT or {_ROOT}, of an ordinary user "
        "$XDG_DATA_HOME/layerstore or ~/.local/share/layerstore)",
    )
    parser.add_argument(
        "--driver",
        help=f"graph driver: {', '.join(PREFERENCE)}, or a package's (default: the best there)",
    )
    parser.add_argument(
        "--durability",
        choices=("durable", "relaxed"),
        help="relaxed: leave it to the kernel when changes get to the disk (default: durable)",
    )
    parser.add_argument(
        "--wait",
        type=seconds,
        default=_WAIT_SECONDS,
        metavar="SECONDS",
        help="how long to wait for another process that has the store open and lets nobody attach "
        "(default: %(default)g)",
    )
    parser.add_argument(
        "--limit",
        dest="limits",
        action="append",
        default=[],
        type=_limit,
        metavar="NAME=NUMBER",
        help="bound what one tar may unpack to, and chains of layers: "
        + ", ".join(f"{field.name} ({field.default})" for field in fields(Limits)),
    )
    parser.add_argument(
        "--confine",
        choices=("auto", "required", "off"),
        help="how far processes that unpack give up what they don't need; info tells "
        "(default: auto)",
    )
    parser.add_argument(
        "--id-ranges",
        metavar="FIRST:COUNT[,...]",
        help="what --userns auto hands out, or a user's that /etc/subuid has some for (default: "
        "$LAYERSTORE_ID_RANGES, if set; else layerstore's, or those that nobody is known to have)",
    )
    parser.add_argument(
        "--trace",
        metavar="FILE",
        help="write a journal of what is done (default: $LAYERSTORE_TRACE, if set), for trace",
    )


def _root() -> str:
    """Return where a user's store is. XDG Base Directory Specification, which wants whole paths."""
    if os.geteuid() == 0:
        return _ROOT
    data = os.environ.get("XDG_DATA_HOME", "")
    return f"{data if data.startswith('/') else os.path.expanduser('~/.local/share')}/layerstore"


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('layerstore')}")
        parser.exit()


def _limit(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in {field.name for field in fields(Limits)}:
        raise argparse.ArgumentTypeError(f"there is no limit {name!r}")
    if not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{number!r} is no number")
    return name, int(number)
