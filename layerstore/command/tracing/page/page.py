"""A trace as one self-contained page: a sequence diagram to zoom, search and click in.

Owns how data gets into the page. What was read may be hostile, so it is data in there, never
markup or script; and the page may load nothing.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from layerstore.actors.watching.trace import TraceRecord
from layerstore.command.tracing.loaded import Trace, lanes

_PARTS = {
    "page.css": ("page.css",),
    # One script in one scope: what a part does at once uses only what is before it.
    "page.js": ("view.js", "diagram.js", "controls.js"),
}


def page(trace: Trace, records: list[TraceRecord]) -> str:
    """Return the HTML document."""
    place = files(__package__)
    text = place.joinpath("page.html").read_text()
    # The data comes last, so that nothing in it is taken for a place to put something.
    for name, parts in _PARTS.items():
        content = "\n".join(place.joinpath(part).read_text() for part in parts)
        text = text.replace(f"@{name}@", content, 1)
    before, _, after = text.partition("@data@")
    return before + _for_script(_data(trace, records)) + after


def _data(trace: Trace, records: list[TraceRecord]) -> dict[str, Any]:
    names = lanes(records)
    number = {name: index for index, name in enumerate(names)}
    begin = min((record.enqueued for record in records), default=trace.begin)
    return {
        "root": trace.header.root,
        "driver": trace.header.driver,
        "pid": trace.header.pid,
        "version": trace.version,
        "began": trace.moment(begin).isoformat(timespec="milliseconds"),
        "notes": trace.notes,
        "lanes": names,
        "records": [
            [
                record.sequence, record.cause, record.request,
                number[record.sender], number[record.receiver], record.kind, record.summary,
                record.enqueued - begin, record.started - begin, record.ended - begin,
                record.outcome, dict(record.facts),
            ]
            for record in records
        ],
    }  # fmt: skip


def _for_script(value: object) -> str:
    """Return JSON that ends no script element, whatever is in it."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
