"""The verbs about the store as a whole, with their arguments and help."""

from __future__ import annotations

import argparse
from typing import Any

from layerstore.command.parsing import grammar
from layerstore.command.parsing.grammar import Commands, Verbs, add_verb

_INTERVAL_SECONDS = 2.0


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


def _add_metrics(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import figures

    parser = add_verb(
        commands,
        "metrics",
        figures.metrics,
        about,
        details="""
        Where a program has the store open, these are its figures. Requests and jobs are counted
        since it was opened, so of a store that nobody has open there are hardly any.
        """,
        examples="""
        layerstore metrics
        layerstore metrics --format '{{.Name}} {{.Of}} {{.Value}}'
        """,
    )
    parser.add_argument(
        "--prometheus",
        action="store_true",
        help="print Prometheus's text format; needs layerstore[prometheus]",
    )
    grammar.add_forms(parser, figures.FIGURES.titles)


def _add_waiting(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import figures

    parser = add_verb(
        commands,
        "waiting",
        figures.waiting,
        about,
        details="""
        Of the store that another process has open: every call without an answer, what of it is
        under way, and where, then what each actor and worker is at. Calls are known only where the
        store is traced, as it is unless its owner has turned that off.
        """,
        examples="""
        layerstore waiting || echo "nobody has it open"
        layerstore waiting --format '{{.Kind}} {{.Seconds}}' || echo "nobody has it open"
        """,
        opens=False,
    )
    grammar.add_forms(parser, figures.WAITING.titles)


class _NoContainer(argparse.Action):
    """What docker's users type after top."""

    def __call__(self, parser: argparse.ArgumentParser, _: Any, words: Any, *_more: Any) -> None:
        if words:
            parser.exit(2, f"{parser.prog}: {words[0]}: what runs in a layer, ps shows\n")


def _add_top(commands: Commands, about: str) -> None:
    from layerstore.command.verbs.top import top

    parser = add_verb(
        commands,
        "top",
        top,
        about,
        details="""
        Of the store that another process has open: jobs that run and wait, how many messages each
        actor has before it and what it is at, requests and jobs in a second by kind, and the calls
        that take longest: those under way, and those of the last minute. Calls are known only where
        the store is traced. It is drawn until q or Ctrl-C is typed; where the output is no
        terminal, one below the other.
        """,
        examples="""
        layerstore top --once || echo "nobody has it open"
        layerstore top -n 2 --interval 0.5 > top.txt || echo "nobody has it open"
        """,
        opens=False,
    )
    parser.add_argument(
        "--interval",
        type=grammar.some_seconds,
        default=_INTERVAL_SECONDS,
        metavar="SECONDS",
        help="from one look to the next (default: %(default)g)",
    )
    parser.add_argument("container", nargs="*", action=_NoContainer, help=argparse.SUPPRESS)
    often = parser.add_mutually_exclusive_group()
    often.add_argument(
        "-n",
        "--iterations",
        type=grammar.whole_number,
        metavar="N",
        help="end after that many (default: never)",
    )
    often.add_argument(
        "--once", dest="iterations", action="store_const", const=1, help="the same as -n 1"
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
    "metrics": ("Print figures of what a store holds and does", _add_metrics),
    "waiting": ("Tell which calls wait for what", _add_waiting),
    "top": ("Watch what a store does", _add_top),
    "serve": ("Keep the store open for others", _add_serve),
    "repair": ("Repair what check finds, losing nothing", _add_repair),
}
"""Those about the store."""
