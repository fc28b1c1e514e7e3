"""The verb stats: what runs use, in docker's columns, drawn again and again or once.

Owns the columns. What is counted is the kernel's; of CPU time it is the part of one CPU's between
two looks.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from layerstore.command.output.documents import print_json
from layerstore.command.output.rows import Listing
from layerstore.command.output.screen import Screen
from layerstore.command.output.tables import human_size, table
from layerstore.command.verbs.running.attached import root_of
from layerstore.drivers.errors import NotRunning
from layerstore.sandbox.records import member_of, running_in

if TYPE_CHECKING:
    from layerstore.drivers.cgroup.usage import Usage

_BETWEEN = 1.0
"""Seconds from one look to the next, docker's, too."""
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_NONE = "--"
STATS = Listing(
    {
        "Name": "NAME",
        "CPUPerc": "CPU %",
        "MemUsage": "MEM USAGE / LIMIT",
        "MemPerc": "MEM %",
        "MemPeak": "MEM PEAK",
        "BlockIO": "BLOCK I/O",
        "PIDs": "PIDS",
    },
    ("Name", "CPUPerc", "MemUsage", "MemPerc", "MemPeak", "BlockIO", "PIDs"),
)
Looks = Mapping[str, "tuple[float, Usage]"]
"""When each run was looked at, in seconds, and what it used."""


def stats(options: argparse.Namespace) -> int:
    """Show what the named runs, or all, use. Raises NotRunning for a name that doesn't run."""
    root = root_of(options)
    before = _look(root, options.names)
    screen = Screen()
    once = options.no_stream or options.json
    if once:
        screen.in_place = False
    with screen.held():
        while screen.wait(0.0 if once and not before else _BETWEEN):
            now = _look(root, options.names)
            if options.json:
                return print_json([_facts(name, before, now) for name in now])
            rows = [_row(name, before, now) for name in now]
            if once or options.format is not None:
                STATS.show(rows, options.format)
            else:
                cells = [[row[name] for name in STATS.usual] for row in rows]
                screen.show(table([STATS.titles[name] for name in STATS.usual], cells).splitlines())
            if once:
                return 0
            before = now
    return 0


def _look(root: str, names: Sequence[str]) -> Looks:
    found = {}
    for name in names or running_in(root):
        try:
            with member_of(root, name) as member:
                found[name] = (time.monotonic(), member.usage())
        except NotRunning:
            if names:
                raise
    return found


def _cpu_part(name: str, before: Looks, now: Looks) -> float | None:
    """Return which part of one CPU's time a run took since the look before."""
    then, used_then = before.get(name, (0.0, None))
    at, used = now[name]
    if used_then is None or used.cpu_seconds is None or used_then.cpu_seconds is None or at <= then:
        return None
    return max(used.cpu_seconds - used_then.cpu_seconds, 0.0) / (at - then)


def _facts(name: str, before: Looks, now: Looks) -> dict[str, Any]:
    return {"name": name, "cpus": _cpu_part(name, before, now), **now[name][1]._asdict()}


def _row(name: str, before: Looks, now: Looks) -> dict[str, str]:
    used = now[name][1]
    limit = used.memory_limit if used.memory_limit is not None else _whole_memory()
    part = _cpu_part(name, before, now)
    return {
        "Name": name,
        "CPUPerc": _NONE if part is None else f"{part * 100:.2f}%",
        "MemUsage": f"{_size(used.memory)} / {_size(limit)}",
        "MemPerc": _NONE if used.memory is None else f"{used.memory * 100 / limit:.2f}%",
        "MemPeak": _size(used.peak_memory),
        "BlockIO": f"{_decimal(used.read_bytes)} / {_decimal(used.written_bytes)}",
        "PIDs": _NONE if used.pids is None else str(used.pids),
    }


def _whole_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _decimal(size: int | None) -> str:
    return _NONE if size is None else human_size(size)


def _size(size: int | None) -> str:
    """Return bytes in units of 1024 with four digits, as docker has memory. go-units: BytesSize."""
    if size is None:
        return _NONE
    value = float(size)
    for unit in _UNITS[:-1]:
        if value < 1024:
            return f"{value:.4g}{unit}"
        value /= 1024
    return f"{value:.4g}{_UNITS[-1]}"
