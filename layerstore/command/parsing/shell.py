"""The verbs for whoever types: help and completion, with their arguments."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from layerstore.command.parsing.grammar import Adder, Commands, Verbs, add_verb, no_command

SHELLS = ("bash", "fish", "zsh")


def _add_completion(commands: Commands, about: str) -> None:
    completion = add_verb(
        commands,
        "completion",
        _print_completion,
        about,
        details="Commands, options, and the names of images and read-write layers.",
        examples="""
        source <(layerstore completion bash)
        layerstore completion fish > layerstore.fish
        """,
        opens=False,
    )
    completion.add_argument("shell", choices=SHELLS)


def _print_completion(options: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    sys.stdout.write(shellcode(["layerstore"], shell=options.shell))
    return 0


def adding_help(known: Sequence[str], tell: Callable[[str | None], None]) -> Adder:
    """Return what adds the verb help; `tell` prints the help of a known verb, or of all."""

    def show(options: argparse.Namespace) -> int:
        tell(options.about)
        return 0

    def verb(name: str) -> str:
        if name not in known:
            raise argparse.ArgumentTypeError(no_command(name, known))
        return name

    def add_help(commands: Commands, about: str) -> None:
        parser = add_verb(
            commands,
            "help",
            show,
            about,
            details="The same as COMMAND --help.",
            examples="layerstore help run",
            opens=False,
        )
        parser.add_argument("about", nargs="?", metavar="COMMAND", choices=known, type=verb)

    return add_help


SHELL_VERB: Verbs = {
    "completion": ("Print what makes a shell complete this command", _add_completion)
}
