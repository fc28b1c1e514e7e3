"""The verb `trace`, with its arguments and help."""

from __future__ import annotations

from layerstore.command.parsing.grammar import Commands, Verbs, add_verb, seconds, whole_number

_WHAT = ("list", "stats", "sessions", "replay")
_ANSWER_SECONDS = 30.0


def _add_trace(commands: Commands, about: str) -> None:
    from layerstore.command.verbs.trace import trace

    parser = add_verb(
        commands,
        "trace",
        trace,
        about,
        details="""
        FILE is a journal that --trace, LAYERSTORE_TRACE or LayerStore(trace_file=...) has written,
        or a directory of such.
        """,
        examples="""
        layerstore --trace journal ls
        layerstore trace journal stats
        layerstore trace journal --html trace.html
        """,
        opens=False,
    )
    parser.add_argument("file", metavar="FILE", help="a journal, or a directory of them")
    parser.add_argument("what", nargs="?", choices=_WHAT, default="list", help="(default: list)")
    parser.add_argument("--session", help="the start of a session's name (default: the newest)")
    again = parser.add_argument_group("replay")
    again.add_argument(
        "--root",
        dest="replay_root",
        metavar="NEW",
        help="directory for a fresh store, which is left there",
    )
    again.add_argument(
        "--timeout",
        type=seconds,
        default=_ANSWER_SECONDS,
        metavar="SECONDS",
        help="how long to wait for an answer (default: %(default)g)",
    )
    chosen = parser.add_argument_group("which records")
    for name, chosen_by in (
        ("kind", "class of the message or job"),
        ("actor", "sender or receiver"),
        ("outcome", "ok, pending or an error's class"),
    ):
        chosen.add_argument(
            f"--{name}",
            dest=f"{name}s",
            action="append",
            default=[],
            metavar="PATTERN",
            help=f"{chosen_by}, as a shell pattern; may be repeated",
        )
    chosen.add_argument("--since", metavar="TIME", help="RFC 3339, or seconds from the beginning")
    chosen.add_argument("--last", type=seconds, metavar="SECONDS", help="only the end of it")
    chosen.add_argument("--slowest", type=whole_number, metavar="N", help="those that took longest")
    chosen.add_argument("--request", type=int, metavar="N", help="a request's records, as a tree")
    shown = parser.add_argument_group("how they are shown")
    shown.add_argument("--json", action="store_true", help="print JSON")
    shown.add_argument(
        "--follow",
        action="store_true",
        help="print it, then what comes, until interrupted",
    )
    shown.add_argument(
        "--chrome", metavar="OUT", help="write a file for Perfetto, or - to print it"
    )
    shown.add_argument(
        "--html", metavar="OUT", help="write a page with a sequence diagram, likewise"
    )


TRACE_VERB: Verbs = {"trace": ("Look at what the actors of a store said", _add_trace)}
