"""The command: fuzz one target for some time, and end with an error where it found something.

Owns the course of a run. It needs atheris, which instruments layerstore as it is imported, so
nothing of layerstore may be imported before.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from pathlib import Path

import atheris

from tests.ordeals.fuzz import FAST, PLANTED, TARGETS


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.ordeals.fuzz", description=__doc__)
    parser.add_argument("target", choices=(*TARGETS, PLANTED))
    parser.add_argument("--seconds", type=int, default=60, help="how long to fuzz")
    parser.add_argument("--runs", type=int, default=-1, help="how many inputs at most")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations; 0 is random")
    parser.add_argument(
        "--directory",
        type=Path,
        help="where inputs are kept: those that lead somewhere, and those that fail",
    )
    parser.add_argument(
        "--input", action="append", dest="inputs", type=Path, help="run this file only"
    )
    return parser.parse_args()


def main() -> None:
    """Fuzz, or run what an earlier run found."""
    options = _arguments()
    with atheris.instrument_imports(include=["layerstore"]):
        target = importlib.import_module(f"tests.ordeals.fuzz.{options.target}")
    directory = options.directory or Path(tempfile.mkdtemp(prefix="layerstore-fuzz-", dir=FAST))
    if options.inputs:
        inputs = [path.read_bytes() for path in options.inputs]
        target.prepare(directory)
        for data in inputs:
            target.run(data)
        return
    corpus = directory / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed{number}").write_bytes(seed)
    settings = {
        "max_total_time": options.seconds,
        "runs": options.runs,
        "seed": options.seed,
        "max_len": target.LONGEST,
        "reload": 0,
        "timeout": 30,
        "rss_limit_mb": 2048,
        "print_final_stats": 1,
        "artifact_prefix": f"{directory}/{options.target}-",
    }
    flags = [f"-{name}={value}" for name, value in settings.items()]
    os.environ["ASAN_OPTIONS"] = "detect_leaks=0"
    atheris.Setup([sys.argv[0], *flags, str(corpus)], target.run)
    for needed in ("atheris.core_with_libfuzzer", "signal"):
        importlib.import_module(needed)  # it can't be seen any more afterwards
    target.prepare(directory)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
