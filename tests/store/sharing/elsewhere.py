"""Stores in processes of their own: owners, and those that attach to one."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_OWN = """
import sys
from layerstore import LayerStore
with LayerStore(sys.argv[1], driver="vfs", prespawn=False, durability="relaxed"):
    print("open", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def python(code: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run Python code in another process, and wait for its first line; it is killed in the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "open"
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def owner(root: Path) -> Iterator[subprocess.Popen[str]]:
    """Have another process open a root; it closes it once its standard input ends."""
    with python(_OWN, root) as process:
        yield process
