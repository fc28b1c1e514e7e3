"""Writes the modules: `python -m tools.faces`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.faces.kinds import Asynchronous, Blocking, Deferred
from tools.faces.reading import DECLARED, HERE, KINDS, read
from tools.faces.steps import image_steps, registry_steps, steps
from tools.faces.writing import tidied


def modules() -> dict[Path, str]:
    """Return the text of each module that is written."""
    operations = [op for kind in KINDS for op in read(DECLARED / f"{kind}.py", kind)]
    room = HERE / "operations"
    made = {
        room / "blocking.py": Blocking().write(operations),
        room / "asynchronous.py": Asynchronous().write(operations),
        room / "deferred.py": Deferred().write(operations),
        HERE / "api" / "steps.py": steps(),
        HERE / "api" / "image_steps.py": image_steps(),
        HERE / "api" / "registry_steps.py": registry_steps(),
    }
    return {path: tidied(text, path) for path, text in made.items()}


def main() -> int:
    """Write the modules, or with `--check` say which are not as they should be."""
    parser = argparse.ArgumentParser(prog="python -m tools.faces", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if any differs")
    check = parser.parse_args().check
    stale = {p: text for p, text in modules().items() if not p.exists() or p.read_text() != text}
    for path, text in stale.items():
        print(f"{path.relative_to(HERE.parent)} is {'out of date' if check else 'written'}")
        if not check:
            path.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
