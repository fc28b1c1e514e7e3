"""The command's verb `trace`, which reads journals and needs no store; returns the exit status.

Owns what is printed where. Its arguments are `parsing/trace`'s, the views are `tracing`'s.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from layerstore.archive.whole_file import is_stream, written_beside
from layerstore.command.tracing.chrome import chrome_events
from layerstore.command.tracing.follow import follow
from layerstore.command.tracing.listing import facts, listed
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

_STREAM = "-"


def trace(options: argparse.Namespace) -> int:
    """Show a journal."""
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
    if options.follow:
        follow(options.file, selection, as_json=options.json)
    if options.what == "sessions":
        return _sessions(options)
    found = load(options.file, options.session)
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


def _print(found: Trace, records: list[TraceRecord], options: argparse.Namespace) -> None:
    if options.what == "stats":
        if options.json:
            _print_json(figures(records))
        else:
            print(told(figures(records)), end="")
    elif options.request is not None and records:
        if options.json:
            _print_json(flat(records))
        else:
            print(drawn(records, plain=not _can_draw()), end="")
    elif options.json:
        _print_json([facts(record) for record in records])
    else:
        print(listed(records, found.begin), end="")


def _can_draw() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _sessions(options: argparse.Namespace) -> int:
    sessions = read_sessions(options.file)
    if options.json:
        _print_json(
            [
                {"session": one.header.session, "pid": one.header.pid, "root": one.header.root,
                 "driver": one.header.driver, "records": len(one.rows), "notes": one.notes}
                for one in sessions
            ]
        )  # fmt: skip
        return 0
    for one in sessions:
        began = Trace(one.header, []).moment(one.header.monotonic).isoformat(timespec="seconds")
        header = one.header
        about = f"{header.session} {began} process {header.pid} {header.root} ({header.driver})"
        print(f"{escaped(about)}: {len(one.rows)} records")
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
    for given, option, fits in (
        (pictures, "--html and --chrome", options.what == "list"),
        (options.follow, "--follow", options.what == "list" and not pictures),
        (options.request is not None, "--request", options.what == "list" and not options.follow),
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
