"""The command's verb `trace`, on journals and on a store that is open; returns the exit status.

Owns what is printed where. Its arguments are `parsing/trace`'s, the views are `tracing`'s.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from layerstore.archive.whole_file import is_stream, written_beside
from layerstore.command.tracing.chrome import chrome_events
from layerstore.command.tracing.coming import Lines, Printer, Trees
from layerstore.command.tracing.follow import follow
from layerstore.command.tracing.listing import facts, listed
from layerstore.command.tracing.live import attached, follow_live, load_live
from layerstore.command.tracing.loaded import Trace, load
from layerstore.command.tracing.page.page import page
from layerstore.command.tracing.replay import Replay
from layerstore.command.tracing.selection import Selection
from layerstore.command.tracing.stats import figures, told
from layerstore.command.tracing.tree import drawn, flat, request_of
from layerstore.drivers.errors import DriverError, InvalidArgument
from layerstore.drivers.records.journal_read import is_journal, read_sessions
from layerstore.drivers.system.printable import escaped

if TYPE_CHECKING:
    from layerstore.actors.watching.trace import TraceRecord

WHAT = ("list", "stats", "sessions", "replay")
"""What may be made of a trace."""
NO_JOURNAL = "off"
_STREAM = "-"


def trace(options: argparse.Namespace) -> int:
    """Show a journal, or what the process does that has the store open."""
    _settle(options)
    _refuse_what_does_not_fit(options)
    selection = Selection(
        kinds=options.kinds,
        actors=options.actors,
        outcomes=options.outcomes,
        since=options.since,
        last=options.last,
        slowest=options.slowest,
    )
    _refuse_what_is_read(options)
    if options.journal is not None:
        return _switch(options)
    if options.follow:
        return _follow(options, selection)
    if options.what == "sessions":
        return _sessions(options)
    found = load_live(options.root) if options.live else load(options.file, options.session)
    for note in found.notes:
        print(f"layerstore: {escaped(note)}", file=sys.stderr)
    if options.what == "replay":
        return _replay(found, options)
    if options.request is not None:
        found.records = request_of(found, options.request)
    records = selection.of(found)
    if options.chrome is None and options.html is None:
        _print(found, records, options)
    if options.chrome is not None:
        _write(options.chrome, json.dumps(chrome_events(found, records)))
    if options.html is not None:
        _write(options.html, page(found, records))
    return 0


def _settle(options: argparse.Namespace) -> None:
    """Have FILE, what is shown of it, and whether it is a store, as they are meant."""
    options.live = options.live or (
        options.file is None and (options.follow or options.journal is not None)
    )
    if options.file is None and not options.live:
        options.wrong_usage("name a journal, or look at the store that is open: --live, --follow")
    if options.live and options.what is None and options.file in WHAT:
        options.file, options.what = None, options.file
    if options.stats and options.what is None:
        options.what = "stats"
    options.what = options.what or "list"
    if options.form is None and options.follow:
        options.form = "tree" if options.live and not options.json else "lines"


def _follow(options: argparse.Namespace, selection: Selection) -> int:
    printer: Printer = Lines(selection, as_json=options.json)
    if options.form == "tree":
        printer = Trees(selection, as_json=options.json, plain=not _can_draw())
    if options.live:
        follow_live(options.root, printer)
    else:
        follow(options.file, printer)
    return 1


def _switch(options: argparse.Namespace) -> int:
    with attached(options.root) as store:
        store.trace_to(None if options.journal == NO_JOURNAL else options.journal)
    return 0


def _print(found: Trace, records: list[TraceRecord], options: argparse.Namespace) -> None:
    if options.what == "stats":
        if options.json:
            _print_json(figures(records))
        else:
            print(told(figures(records)), end="")
    elif options.form == "tree":
        _print_trees(found, records, options)
    elif options.request is not None and records:
        if options.json:
            _print_json(flat(records))
        else:
            print(drawn(records, plain=not _can_draw()), end="")
    elif options.json:
        _print_json([facts(record) for record in records])
    else:
        print(listed(records, found.begin), end="")


def _print_trees(found: Trace, records: list[TraceRecord], options: argparse.Namespace) -> None:
    """Print each request of which a record is chosen."""
    whole: dict[int, list[TraceRecord]] = {record.request: [] for record in records}
    for record in found.records:
        whole.get(record.request, []).append(record)
    if options.json:
        _print_json([flat(request) for request in whole.values()])
        return
    trees = (drawn(request, plain=not _can_draw()) for request in whole.values())
    print("\n".join(trees), end="")


def _can_draw() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _sessions(options: argparse.Namespace) -> int:
    if options.live:
        found = load_live(options.root)
        sessions = [(found.header, len(found.records), [f"by layerstore {found.version}"])]
    else:
        read = read_sessions(options.file)
        sessions = [(one.header, len(one.rows), one.notes) for one in read]
    if options.json:
        _print_json(
            [
                {"session": header.session, "pid": header.pid, "root": header.root,
                 "driver": header.driver, "records": count, "notes": notes}
                for header, count, notes in sessions
            ]
        )  # fmt: skip
        return 0
    for header, count, notes in sessions:
        began = Trace(header, []).moment(header.monotonic).isoformat(timespec="seconds")
        about = f"{header.session} {began} process {header.pid} {header.root} ({header.driver})"
        print("; ".join([f"{escaped(about)}: {count} records", *map(escaped, notes)]))
    return 0


def _replay(found: Trace, options: argparse.Namespace) -> int:
    if options.replay_root is None:
        raise InvalidArgument("replay", "name a directory for a fresh store: --root NEW")
    replay = Replay(found, options.replay_root, driver=options.driver, timeout=options.timeout)
    try:
        for line in replay.lines():
            print(line)
    finally:
        replay.close()
    return 1 if replay.differing else 0


def _write(path: str, text: str) -> None:
    if path == _STREAM:
        print(text)
        return
    try:
        with open(path, "wb") if is_stream(path) else written_beside(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise DriverError.from_os_error("write", path, error) from error


def _refuse_what_does_not_fit(options: argparse.Namespace) -> None:
    """Raise InvalidArgument where an option would be passed over."""
    pictures = options.chrome is not None or options.html is not None
    listed = options.what == "list" and not options.follow and not pictures
    times = options.since is not None or options.last is not None or options.slowest is not None
    switches = options.journal is not None
    for given, option, fits in (
        (switches, "--journal", listed and not options.json and options.file is None),
        (options.live and options.file is not None, "--live", False),
        (options.live, "--live", options.what != "replay"),
        (options.session is not None, "--session", not options.live and not options.follow),
        (options.stats, "--stats", options.what == "stats"),
        (pictures, "--html and --chrome", options.what == "list"),
        (options.follow, "--follow", options.what == "list" and not pictures),
        (times, "--since, --last and --slowest", not options.follow and not switches),
        (options.request is not None, "--request", options.what == "list" and not options.follow),
        (options.form == "lines", "--lines", options.follow),
        (options.form == "tree", "--tree", options.follow or (listed and options.request is None)),
        (options.replay_root is not None, "--root", options.what == "replay"),
    ):
        if given and not fits:
            raise InvalidArgument(option, "it doesn't go together with what else is asked for")


def _refuse_what_is_read(options: argparse.Namespace) -> None:
    """Raise InvalidArgument where something is to be written over a journal."""
    for path in (options.chrome, options.html):
        if path is not None and path != _STREAM and not is_stream(path) and is_journal(path):
            raise InvalidArgument(path, "it is a journal, and stays one: name another file")


def _print_json(found: object) -> None:
    json.dump(found, sys.stdout, indent=2)
    print()
