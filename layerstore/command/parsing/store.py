"""The verbs about the store as a whole, with their arguments and help."""

from __future__ import annotations

import argparse

from layerstore.command.parsing import grammar
from layerstore.command.parsing.grammar import Commands, add_verb
from layerstore.command.verbs import upkeep, usage


def add_store(commands: Commands) -> None:
    """Add every verb about the store."""
    du = add_verb(
        commands,
        "du",
        usage.disk_usage,
        "Tell what takes how much disk",
        details="""
        Layers are counted once, however many images and read-write layers share them. The trash is
        what was removed and isn't deleted yet.
        """,
        examples="""
        layerstore du
        layerstore du -v
        """,
    )
    du.add_argument("-v", "--verbose", action="store_true", help="list every layer and mount")
    grammar.add_forms(du, usage.USAGE.titles)
    info = add_verb(
        commands,
        "info",
        usage.info,
        "Tell about the store and its driver",
        details="""
        And how far processes that unpack tars are confined. In a template the name of a fact has
        no spaces.
        """,
        examples="""
        layerstore info
        layerstore info --format '{{.StorageDriver}}'
        """,
    )
    info.add_argument("-f", "--format", metavar="TEMPLATE", help="'json', or text with {{.Fact}}")
    grammar.add_json(info)
    _add_check(commands)
    _add_repair(commands)


def _add_check(commands: Commands) -> None:
    check = add_verb(
        commands,
        "check",
        upkeep.check,
        "Compare the disk with the metadata",
        details="""
        Prints a line for each fault and exits with 1 where there is one. Changes nothing: what a
        crash left is told, not tidied up.
        """,
        examples="""
        layerstore check
        layerstore check --full
        """,
    )
    check.add_argument("--full", action="store_true", help="read and verify every layer")
    grammar.add_format(check, list(upkeep.FAULTS.titles))
    _complete(check)


def _add_repair(commands: Commands) -> None:
    repair = add_verb(
        commands,
        "repair",
        upkeep.repair,
        "Repair what check finds, losing nothing",
        details="""
        Prints the plan, then does it. Exits with 1 where something is left that needs --force:
        layers that aren't whole, with the read-write layers and images on them.
        """,
        examples="""
        layerstore repair --dry-run
        layerstore repair
        """,
    )
    repair.add_argument(
        "--force",
        action="store_true",
        help="verify all layers, and remove what isn't whole with all that is made on it",
    )
    repair.add_argument("--dry-run", action="store_true", help="only tell what would be done")
    _complete(repair)


def _complete(parser: argparse.ArgumentParser) -> None:
    # What a crash left is to be told before an open tidies it up.
    parser.set_defaults(recover=False)
    grammar.add_quiet(parser)
    grammar.add_json(parser)
