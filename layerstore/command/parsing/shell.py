"""The verbs for whoever types: help and completion, with their arguments."""

from __future__ import annotations

import argparse
import sys

from layerstore.command.parsing.grammar import Commands, add_verb

SHELLS = ("bash", "fish", "zsh")


def add_shell(commands: Commands, whole: argparse.ArgumentParser) -> None:
    """Add both verbs; `whole` is the parser of everything."""
    completion = add_verb(
        commands,
        "completion",
        _print_completion,
        "Print what makes a shell complete this command",
        details="Commands, options, and the names of images and read-write layers.",
        examples="""
        source <(layerstore completion bash)
        layerstore completion fish > layerstore.fish
        """,
        opens=False,
    )
    completion.add_argument("shell", choices=SHELLS)

    def show(options: argparse.Namespace) -> int:
        (commands.choices[options.about] if options.about else whole).print_help()
        return 0

    about = add_verb(
        commands,
        "help",
        show,
        "Tell about a command",
        details="The same as COMMAND --help.",
        examples="layerstore help run",
        opens=False,
    )
    about.add_argument("about", nargs="?", metavar="COMMAND", choices=list(commands.choices))


def _print_completion(options: argparse.Namespace) -> int:
    # Only here: nothing else needs it.
    from argcomplete.shell_integration import shellcode  # noqa: PLC0415

    sys.stdout.write(shellcode(["layerstore"], shell=options.shell))
    return 0
