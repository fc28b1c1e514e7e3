"""How long a command takes from its start to its end, beside Python itself, bwrap and runc.

Each is called as from a shell, on a root that nobody has open, and on one that another process has,
to which it attaches. The CPU time, of its children too, is a table of its own: on a
machine that does other work as well it is the steadier one.
"""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.timing import OURS, Table
from tests.store.sharing.elsewhere import python
from tests.support.busybox import NAME, image_tar, rootfs_tar

_CALLS = 5
"""Of each in a round."""
_MAIN = (
    sys.executable,
    "-c",
    "import sys, layerstore_command; sys.exit(layerstore_command.main())",
)
OWNER = """
import sys
from layerstore import LayerStore
with LayerStore(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""
_ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
"""Bytecode is kept, as by an installation."""


def measure(bench: Bench) -> None:
    """Commands that only look, then one that runs another."""
    free, owned = bench.directory(), bench.directory()
    ours, attached = (*_MAIN, "--root", str(free)), (*_MAIN, "--root", str(owned))
    for command in (ours, attached):
        _call((*command, "load"), image_tar())
    looking = {
        f"{OURS} ls": (*ours, "ls"),
        f"{OURS} ls, attached": (*attached, "ls"),
        f"{OURS} images": (*ours, "images"),
        f"{OURS} images, attached": (*attached, "images"),
        f"{OURS} --help": (*ours, "--help"),
        f"{OURS} --version": (*ours, "--version"),
        "python -c pass": (sys.executable, "-c", "pass"),
        "python -I -c pass": (sys.executable, "-I", "-c", "pass"),
    }
    running: dict[str, Sequence[str]] = {
        f"{OURS} run IMAGE true": (*ours, "run", NAME, "true"),
        f"{OURS} run IMAGE true, attached": (*attached, "run", NAME, "true"),
        **dict(_others(bench)),
    }
    with python(OWNER, owned):
        _measure(bench, "a command that looks", looking)
        _measure(bench, "a command that runs `true`", running)


def _others(bench: Bench) -> Iterator[tuple[str, Sequence[str]]]:
    """Give what other programs need for the same, where they are installed."""
    rootfs = bench.directory()
    with tarfile.open(fileobj=io.BytesIO(rootfs_tar())) as archive:
        archive.extractall(rootfs, filter="tar")
    for program, command in (("bwrap", bwrap(rootfs)), ("runc", _runc(bench, rootfs))):
        if shutil.which(program) is None:
            print(f"{program} is not installed")
        else:
            yield f"{program}, in a directory that is there", command


def _measure(bench: Bench, title: str, commands: Mapping[str, Sequence[str]]) -> None:
    for command in commands.values():
        _call(command)  # its files are read, its bytecode is written
    wall, cpu = bench.table(title), bench.table(f"{title}: CPU time")
    for _ in range(bench.rounds * _CALLS):
        for name, command in commands.items():
            _time(wall, cpu, name, command)
    wall.print()
    cpu.print()


def _time(wall: Table, cpu: Table, name: str, command: Sequence[str]) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with wall.timed(name):
        _call(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    cpu.times[name].append(spent)


def _call(command: Sequence[str], given: bytes = b"") -> None:
    subprocess.run(command, input=given, stdout=subprocess.DEVNULL, env=_ENVIRONMENT, check=True)


def bwrap(rootfs: Path) -> Sequence[str]:
    """Return what has bwrap run `true` in a directory, apart from the machine."""
    apart = ("--unshare-all", "--die-with-parent", "--proc", "/proc", "--dev", "/dev")
    return ("bwrap", "--bind", str(rootfs), "/", *apart, "/bin/true")


def _runc(bench: Bench, rootfs: Path) -> Sequence[str]:
    bundle = bench.directory()
    if shutil.which("runc"):
        subprocess.run(("runc", "spec", "--bundle", bundle), check=True)
        config = json.loads((bundle / "config.json").read_bytes())
        config["process"].update(terminal=False, args=["/bin/true"])
        config["root"]["path"] = str(rootfs)
        (bundle / "config.json").write_text(json.dumps(config))
    return ("runc", "run", "--bundle", str(bundle), "layerstore-benchmark")
