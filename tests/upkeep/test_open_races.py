"""Opening beneath a root while others rename: the kernel asks to be asked again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from layerstore.drivers.system import syscalls

_RENAMING = """
import os, sys
os.chdir(sys.argv[1])
print("ready", flush=True)
while True:
    os.rename("a", "b")
    os.rename("b", "a")
"""


def test_a_path_with_two_dots_is_opened_whatever_is_renamed_meanwhile(root_dir: Path) -> None:
    (root_dir / "a").mkdir()
    (root_dir / "d").mkdir()
    path = "/".join(["d/.."] * 20)
    root = os.open(root_dir, os.O_PATH | os.O_DIRECTORY)
    with subprocess.Popen(
        [sys.executable, "-c", _RENAMING, root_dir], stdout=subprocess.PIPE
    ) as renaming:
        try:
            assert renaming.stdout is not None
            renaming.stdout.readline()
            for _ in range(20_000):
                os.close(syscalls.openat2(root, path, os.O_PATH, 0, syscalls.RESOLVE_IN_ROOT))
        finally:
            renaming.kill()
            os.close(root)
