"""Options that bound: what the processes of a run use together, what a read-write layer takes.

Owns them by docker's names, and shorter words for some of what a layer may be asked to be.
"""

from __future__ import annotations

import argparse

_NONE = ("0", "-1")
"""What docker takes for no bound."""


def add_storage(parser: argparse.ArgumentParser) -> None:
    """Add those of verbs that make a read-write layer."""
    parser.add_argument(
        "--storage-opt",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="size=10G bounds it where the file system has quotas, or memory; scratch=disk|memory",
    )
    # Each is an option of its own: what comes after a bare --scratch is no value of it.
    parser.add_argument(
        "--scratch",
        "--scratch=disk",
        dest="scratch",
        action="store_const",
        const="disk",
        help="never sync it, as nobody wants it after a restart of the machine",
    )
    parser.add_argument(
        "--scratch=memory",
        dest="scratch",
        action="store_const",
        const="memory",
        help="keep it in memory, at most as much as size says (default: half of what there is)",
    )
    parser.add_argument(
        "--userns",
        metavar="auto|MAP|host",
        help="whose users those in it are: auto, 65536 IDs that no other layer has (auto:size=N: "
        "N of them); INSIDE:OUTSIDE:COUNT[,...]; or this machine's (host, the default)",
    )


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add those of run."""
    parser.add_argument(
        "-m",
        "--memory",
        type=_unless_none,
        metavar="SIZE",
        help="the most memory, page cache included, as 512m; who wants more is killed",
    )
    parser.add_argument(
        "--memory-swap",
        metavar="SIZE",
        help="the most memory and swap together; -1: any (default: no swap)",
    )
    parser.add_argument(
        "--cpus", type=_cpus, metavar="NUMBER", help="how many CPUs' time it may take, as 1.5"
    )
    parser.add_argument(
        "--pids-limit", type=_pids, metavar="NUMBER", help="the most processes and threads"
    )
    for way in ("read", "write"):
        for unit, what, example in (
            ("bps", "bytes a second", "10mb"),
            ("iops", "operations a second", "1000"),
        ):
            parser.add_argument(
                f"--device-{way}-{unit}",
                action="append",
                default=[],
                metavar="[/DEVICE:]RATE",
                help=f"the most {what} ({way}), as {example}; of where the store lies by default",
            )


def _unless_none(text: str) -> str | None:
    return None if text in _NONE else text


def _cpus(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of CPUs") from error
    return number or None


def _pids(text: str) -> int | None:
    if text in _NONE:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes")
    return int(text)
