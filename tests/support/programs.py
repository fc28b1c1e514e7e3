"""Which programs of others are here for the tests, and one that is a kernel.

User-mode Linux runs as a program and sees this machine's files (hostfs), so that tests of what this
machine's kernel hasn't got run in it unchanged.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

KERNEL_SECONDS = 270
"""What tests in another kernel may take, all in all."""
_REPOSITORY = Path(__file__).parents[2]
_INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs {place}/inside
for module in {modules}; do busybox insmod /usr/lib/uml/modules/$(uname -r)/kernel/$module.ko; done
mkdir {place}/inside/environment
mount --bind {environment} {place}/inside/environment
{prepare}
mkdir -p {environment}
mount --bind {place}/inside/environment {environment} # wherever it lies, it is seen
cd {repository}
{python} -m pytest -q -n 0 -p no:cacheprovider --basetemp {place}/inside/tests {tests} \\
    > {place}/told 2>&1
echo $? > {place}/status
busybox poweroff -f
"""


def is_installed(name: str) -> bool:
    """Whether a program, or a file or directory where the name is a path, is here."""
    return os.path.exists(name) if "/" in name else shutil.which(name) is not None


def pass_on_another_kernel(
    place: Path, tests: Sequence[Path], *, only: str = "", modules: Sequence[str], prepare: str
) -> None:
    """Run tests by user-mode Linux, all of which have to pass; skip where that doesn't run.

    `only` is for `-k`; `modules` are paths beneath its modules' directory; `prepare` are a shell's
    commands before the tests, which find an empty `inside` in `place`.
    """
    (place / "inside").mkdir()
    init, status = place / "init", place / "status"
    init.write_text(
        _INIT.format(
            place=place,
            modules=" ".join(modules),
            prepare=prepare.format(place=place),
            repository=_REPOSITORY,
            environment=sys.prefix,
            python=sys.executable,
            tests=" ".join([*map(str, tests), *([f"-k '{only}'"] if only else [])]),
        )
    )
    init.chmod(0o755)
    kernel = ["linux.uml", "mem=1G", "rootfstype=hostfs", "rootflags=/", "rw", f"init={init}"]
    console = subprocess.run(
        [*kernel, "con=null", "con0=fd:0,fd:1"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(place), "TMPDIR": str(place)},
        timeout=KERNEL_SECONDS,
        check=False,
    ).stdout.decode(errors="replace")
    if not status.exists():
        pytest.skip(f"no kernel can be run as a program here: {console[-500:]}")
    told = (place / "told").read_text()
    assert status.read_text().strip() == "0", told
    assert "skipped" not in told, told
