"""Documents on standard output: JSON, or what a template makes of facts."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any


def print_json(found: Any) -> int:
    """Print a document; returns the exit status."""
    import json  # noqa: PLC0415 - for this alone

    json.dump(found, sys.stdout, indent=2)
    print()
    return 0


def print_found(found: Sequence[Mapping[str, Any]], form: str | None) -> None:
    """Print facts as JSON, or each as a template says."""
    if form in (None, "json"):
        print_json(found)
        return
    from layerstore.command.output.templates import Template  # noqa: PLC0415 - few have one

    template = Template(str(form))
    for facts in found:
        print(template.fill(facts, terminal=sys.stdout.isatty()))
