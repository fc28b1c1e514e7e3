"""The command's verbs that look after the disk: check and repair; each returns the exit status.

Owns what is printed: a line for each fault or step, with everything from the disk escaped, and a
status of 1 where something is wrong (still).
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from layerstore.command.output.progress import progress
from layerstore.command.output.rows import Listing
from layerstore.command.output.tables import printable

if TYPE_CHECKING:
    from layerstore.api.store import LayerStore
    from layerstore.drivers.model.faults import Fault
    from layerstore.drivers.model.repair_step import RepairStep

FAULTS = Listing(
    {"Kind": "KIND", "Path": "PATH", "Reason": "REASON", "Repairable": "REPAIRABLE"},
    ("Kind", "Path", "Reason"),
)


def check(store: LayerStore, options: argparse.Namespace) -> int:
    """Tell what is wrong."""
    with progress(quiet=options.quiet) as report:
        faults = store.check(full=options.full, progress=report)
    if options.json:
        _print_json([_fault_facts(fault) for fault in faults])
    elif options.format is not None:
        FAULTS.show([_fault_row(fault) for fault in faults], options.format)
    else:
        for fault in faults:
            print(printable(str(fault), terminal=True))
    return 1 if faults else 0


def _fault_row(fault: Fault) -> dict[str, str]:
    return {
        "Kind": str(fault.kind),
        "Path": printable(fault.path, terminal=True),
        "Reason": printable(fault.reason, terminal=True),
        "Repairable": "true" if fault.repairable else "false",
    }


def _fault_facts(fault: Fault) -> dict[str, object]:
    return {
        "kind": str(fault.kind),
        "path": fault.path,
        "reason": fault.reason,
        "about": list(fault.about),
        "repairable": fault.repairable,
    }


def repair(store: LayerStore, options: argparse.Namespace) -> int:
    """Tell what is to be done, and do it."""

    def announce(steps: list[RepairStep]) -> None:
        if options.json:
            _print_json([_step_facts(step, force=options.force) for step in steps])
        else:
            for step in steps:
                left = " [only with --force]" if step.force and not options.force else ""
                print(printable(str(step), terminal=True) + left)
        sys.stdout.flush()

    with progress(quiet=options.quiet) as report:
        steps = store.repair(
            force=options.force, dry_run=options.dry_run, announce=announce, progress=report
        )
    left = [step for step in steps if options.dry_run or (step.force and not options.force)]
    return 1 if left else 0


def _step_facts(step: RepairStep, *, force: bool) -> dict[str, object]:
    return {
        "action": str(step.action),
        "path": step.path,
        "reason": step.reason,
        "force": step.force,
        "skipped": step.force and not force,
    }


def _print_json(found: object) -> None:
    json.dump(found, sys.stdout, indent=2)
    print()
