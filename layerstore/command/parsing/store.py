"""The verbs about the store as a whole, with their arguments and help."""

from __future__ import annotations

import argparse

from layerstore.command.parsing import grammar
from layerstore.command.parsing.grammar import Commands, Verbs, add_verb


def _add_du(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import usage

    du = add_verb(
        commands,
        "du",
        usage.disk_usage,
        about,
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


def _add_info(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import usage

    info = add_verb(
        commands,
        "info",
        usage.info,
        about,
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


def _add_check(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import upkeep

    check = add_verb(
        commands,
        "check",
        upkeep.check,
        about,
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


def _add_repair(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import upkeep

    repair = add_verb(
        commands,
        "repair",
        upkeep.repair,
        about,
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


def _add_serve(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import serve

    parser = add_verb(
        commands,
        "serve",
        serve.serve,
        about,
        details="""
        In the foreground, until SIGTERM or SIGINT. Other commands attach to it, as do programs by
        LayerStore.attach, and it outlives them. Mounts outlive it. --driver, --durability, --limit,
        --confine and --trace are said to it, before the verb, and hold for all.

        As a service of systemd's it tells when it is ready and when it ends, and listens on the
        socket that it is passed, which has to be the one at layerstore/socket in the root.
        """,
        examples="""
        layerstore --durability relaxed serve --workers 4 &
        layerstore ls
        kill %1
        """,
        opens=False,
    )
    parser.add_argument(
        "--workers",
        type=grammar.whole_number,
        metavar="N",
        help="how many short jobs run at once, in processes that are kept ready; 0 does all in "
        "threads (default: one for each CPU)",
    )


def _complete(parser: argparse.ArgumentParser) -> None:
    # What a crash left is to be told before an open tidies it up.
    parser.set_defaults(recover=False)
    grammar.add_quiet(parser)
    grammar.add_json(parser)


STORE_VERBS: Verbs = {
    "du": ("Tell what takes how much disk", _add_du),
    "info": ("Tell about the store and its driver", _add_info),
    "check": ("Compare the disk with the metadata", _add_check),
    "serve": ("Keep the store open for others", _add_serve),
    "repair": ("Repair what check finds, losing nothing", _add_repair),
}
"""Those about the store."""
