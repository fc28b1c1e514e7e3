"""The arguments of the command: what is said before the verb; the verbs are beside this.

Owns the parser as a whole. A parsed namespace has the verb's function as `run`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from layerstore.command.parsing.dockers.answers import meant
from layerstore.command.parsing.grammar import Commands, seconds
from layerstore.command.parsing.images import add_images
from layerstore.command.parsing.mounts import add_mounts
from layerstore.command.parsing.run import add_run
from layerstore.command.parsing.shell import add_shell
from layerstore.command.parsing.store import add_store
from layerstore.command.parsing.trace import add_trace
from layerstore.drivers.graph.choose import PREFERENCE
from layerstore.drivers.model.limits import Limits

_ROOT = "/var/lib/layerstore"
_WAIT_SECONDS = 5.0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse arguments, by default the process's; ends the process for --help and wrong usage."""
    parser, verbs = _parser()
    if "_ARGCOMPLETE" in os.environ:
        # Only here: a shell asks for what may come next, and nothing is run.
        from layerstore.command.parsing.completing import complete  # noqa: PLC0415

        complete(parser)
    words = sys.argv[1:] if arguments is None else arguments
    return parser.parse_args(meant(parser, verbs, words))


def _parser() -> tuple[argparse.ArgumentParser, Commands]:
    parser = argparse.ArgumentParser(
        prog="layerstore",
        description="Images, layers and throw-away root file systems, without a daemon.",
        epilog="exit status: 0; 1 and a line on standard error where something failed, or where "
        "check found something; 2 for wrong usage; 128 + n where signal n ended it; run has its "
        "command's, or docker's 125, 126 and 127. 'layerstore help COMMAND' tells more.",
    )
    parser.add_argument("-v", "--version", action=_Version, nargs=0, help="print the version")
    parser.add_argument(
        "--root",
        default=os.environ.get("LAYERSTORE_ROOT") or _ROOT,
        help=f"the store's directory (default: $LAYERSTORE_ROOT or {_ROOT})",
    )
    parser.add_argument(
        "--driver", help=f"graph driver: {' or '.join(PREFERENCE)} (default: the best there)"
    )
    parser.add_argument(
        "--durability",
        choices=("durable", "relaxed"),
        default="durable",
        help="relaxed: leave it to the kernel when changes get to the disk",
    )
    parser.add_argument(
        "--wait",
        type=seconds,
        default=_WAIT_SECONDS,
        metavar="SECONDS",
        help="how long to wait for another process that has the store open (default: %(default)g)",
    )
    parser.add_argument(
        "--limit",
        dest="limits",
        action="append",
        default=[],
        type=_limit,
        metavar="NAME=NUMBER",
        help="bound what one tar may unpack to: "
        + ", ".join(f"{field.name} ({field.default})" for field in fields(Limits)),
    )
    parser.add_argument(
        "--confine",
        choices=("auto", "required", "off"),
        default="auto",
        help="how far processes that unpack give up what they don't need; info tells",
    )
    parser.add_argument(
        "--trace",
        metavar="FILE",
        help="write a journal of what is done (default: $LAYERSTORE_TRACE, if set), for trace",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_images(commands)
    add_mounts(commands)
    add_run(commands)
    add_store(commands)
    add_trace(commands)
    add_shell(commands, parser)
    return parser, commands


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        # Only here: it takes longer to import than the rest of the grammar.
        from importlib.metadata import version  # noqa: PLC0415

        print(f"{parser.prog} {version('layerstore')}")
        parser.exit()


def _limit(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in {field.name for field in fields(Limits)}:
        raise argparse.ArgumentTypeError(f"there is no limit {name!r}")
    if not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{number!r} is no number")
    return name, int(number)
