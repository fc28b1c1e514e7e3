"""Printing what is listed: as a table, as JSON, or through a template.

Owns the forms that `--format` asks for: `table` and nothing (the usual columns), `table TEMPLATE`,
`json` (an object on each line) and `TEMPLATE`. What a listing has to tell is others' business.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from layerstore.command.output.tables import table

Row = Mapping[str, str]


class Listing(Struct, frozen=True):
    """What one kind of listing can tell: the title of each field, and which are shown usually."""

    titles: Mapping[str, str]
    usual: Sequence[str]

    def show(self, rows: Iterable[Row], form: str | None) -> None:
        """Print the rows, each with every field, in the form that `--format` asks for.

        Raises InvalidTemplate before anything is printed.
        """
        terminal = sys.stdout.isatty()
        if form is None or form.strip() in ("", "table"):
            cells = [[row[name] for name in self.usual] for row in rows]
            print(table([self.titles[name] for name in self.usual], cells), end="")
            return
        # Only here: most ask for no form.
        import json  # noqa: PLC0415

        from layerstore.command.output.templates import Template  # noqa: PLC0415

        if form == "json":
            for row in rows:
                print(json.dumps(row))
        elif form.startswith("table "):
            template = Template(form.removeprefix("table ").lstrip())
            heading = template.fill(self.titles).split("\t")
            lines = [template.fill(row, terminal=terminal).split("\t") for row in rows]
            width = max(len(line) for line in (heading, *lines))
            padded = [[*line, *("",) * (width - len(line))] for line in (heading, *lines)]
            print(table(padded[0], padded[1:]), end="")
        else:
            template = Template(form)
            template.fill(self.titles)  # an unknown field is told even where nothing is listed
            for row in rows:
                print(template.fill(row, terminal=terminal))
