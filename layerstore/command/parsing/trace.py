"""The verb `trace`, with its arguments and help."""

from __future__ import annotations

from layerstore.command.parsing.grammar import Commands, Verbs, add_verb, seconds, whole_number

_ANSWER_SECONDS = 30.0


def _add_trace(commands: Commands, about: str) -> None:
    from layerstore.command.verbs.trace import NO_JOURNAL, WHAT, trace

    parser = add_verb(
        commands,
        "trace",
        trace,
        about,
        details="""
        FILE is a journal that --trace, LAYERSTORE_TRACE or LayerStore(trace_file=...) has written,
        or a directory of such.

        Without FILE it is the store that another process has open, chosen by --root before the
        command: --live shows what that remembers, --follow what it does, each request as a tree
        once it is done, and --journal has it write a journal. --follow ends with 1 when that
        process closes the store or ends.
        """,
        examples="""
        layerstore --trace journal ls
        layerstore trace journal stats
        layerstore trace journal --html trace.html
        """,
        opens=False,
    )
    parser.set_defaults(wrong_usage=parser.error)
    parser.add_argument("file", metavar="FILE", nargs="?", help="a journal, or a directory of them")
    parser.add_argument(
        "what", nargs="?", choices=WHAT, help="what is shown; after --live as well (default: list)"
    )
    parser.add_argument("--stats", action="store_true", help="the same as stats")
    parser.add_argument("--session", help="the start of a session's name (default: the newest)")
    running = parser.add_argument_group("a store that another process has open")
    running.add_argument("--live", action="store_true", help="look at it, rather than at a FILE")
    running.add_argument(
        "--journal",
        metavar="OUT",
        help=f"have it write a journal from now on, or none: {NO_JOURNAL}",
    )
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
    forms = shown.add_mutually_exclusive_group()
    forms.add_argument(
        "--tree",
        dest="form",
        action="store_const",
        const="tree",
        help="print each request of which a record is chosen as a tree",
    )
    forms.add_argument(
        "--lines",
        dest="form",
        action="store_const",
        const="lines",
        help="of what comes, print each record in a line",
    )
    shown.add_argument(
        "--chrome", metavar="OUT", help="write a file for Perfetto, or - to print it"
    )
    shown.add_argument(
        "--html", metavar="OUT", help="write a page with a sequence diagram, likewise"
    )


TRACE_VERB: Verbs = {"trace": ("Look at what the actors of a store said", _add_trace)}
