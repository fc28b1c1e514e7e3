"""What is typed at a root of many images, names and read-write layers, so as to see what grows.

Owns the words. Every round has its own: what one has made or removed is no other's.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.busybox import NAME as BUSYBOX

TAGS = 10
"""Of each repository; every image has one name."""
ROUNDS = 5
"""At most: the smallest root has images for so many."""
RUNNING = "runner"
"""The read-write layer in which a command runs meanwhile."""
FIRST_ROUND = 10
_MANY = 8
_LAYERSTORE = Path(sys.executable).with_name("layerstore")

OPENING: Mapping[str, Sequence[str]] = {
    "info, which opens": ["info"],
    "check": ["check"],
    "repair": ["repair"],
}
"""Typed where nobody has the root open."""

ATTACHING: Mapping[str, Sequence[str]] = {
    "info": ["info"],
    "images -q": ["images", "-q"],
    "images": ["images"],
    "images app1": ["images", "app1"],
    "ls": ["ls"],
    "ls --filter ancestor": ["ls", "--filter", "ancestor=app1:1"],
    "inspect": ["inspect", "app1:1"],
    "inspect of an rw layer": ["inspect", "rw1"],
    "inspect of its ID": ["inspect", "{mount_id}"],
    "inspect of a layer": ["inspect", "{chain_id}"],
    "history": ["history", "app1:1"],
    "tag": ["tag", "app1:1", "other:{number}"],
    "create": ["create", "--image", "app1:1", "made{number}"],
    "fork": ["fork", "rw2", "forked{number}"],
    "reset": ["reset", "rw2"],
    "run": ["run", "--pull", "never", BUSYBOX, "true"],
    "exec": ["exec", RUNNING, "true"],
    "stats": ["stats", "--no-stream", RUNNING],
    "pause": ["pause", RUNNING],
    "resume": ["resume", RUNNING],
    "mount": ["mount", "rw1"],
    "umount": ["umount", "rw1"],
    "diff": ["diff", "rw2"],
    "cp": ["cp", "rw2:/f", "{place}/f"],
    "commit": ["commit", "rw2", "committed:{number}"],
    "flatten": ["flatten", "app1:1", "flat:{number}"],
    "export": ["export", "-o", "/dev/null", "rw2"],
    "import": ["import", "{place}/layer{number}.tar", "imported:{number}"],
    "load": ["load", "-q", "-i", "{place}/image{number}.tar"],
    "save": ["save", "-o", "/dev/null", "app1:1"],
    "du": ["du"],
    "rm of one": ["rm", "rw{number}"],
    "rmi of one": ["rmi", "-f", "{image}"],
    "rmi of eight": ["rmi", "-f", *(f"{{image{number}}}" for number in range(_MANY))],
    "prune": ["prune", "-f"],
    "metrics": ["metrics"],
}
"""Typed where another process has it open, so that opening, which reads all, is no part of it."""

REGISTRY: Mapping[str, Sequence[str]] = {
    "tags": ["tags", "{host}/bench/app"],
    "pull": ["pull", "-q", "{host}/bench/app:{number}"],
    "push": ["push", "-q", "app1:1", "{host}/pushed:{number}"],
}
"""Likewise, where there is a registry."""


def name_of(number: int) -> str:
    """Return an image's name."""
    return f"app{number // TAGS}:{number % TAGS}"


def numbers(rounds: int) -> range:
    """Return what `{number}` stands for, round by round."""
    return range(FIRST_ROUND, FIRST_ROUND + min(rounds, ROUNDS))


def seconds_of(
    root: Path, words: Sequence[str], rounds: int, values: Mapping[str, object]
) -> list[float]:
    """Type it as often as there are rounds, and return what each took; failures are told."""
    taken = []
    for number in numbers(rounds):
        many = {f"image{n}": name_of(50 + _MANY * (number - FIRST_ROUND) + n) for n in range(_MANY)}
        own = {"number": number, "image": name_of(number + 2 * FIRST_ROUND), **many}
        typed = [word.format(**values, **own) for word in words]
        start = time.perf_counter()
        done = subprocess.run(
            [_LAYERSTORE, "--root", root, *typed],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        taken.append(time.perf_counter() - start)
        if done.returncode:
            print(f"  {' '.join(typed)}: {done.stderr.decode()}", flush=True)
    return taken


@contextlib.contextmanager
def runner(root: Path) -> Iterator[None]:
    """Have a command run in a container for a `with` block."""
    options = ["--name", RUNNING, "--init", "--pull", "never"]
    command = ["sh", "-c", "echo up; exec sleep 99999"]
    with subprocess.Popen(
        [_LAYERSTORE, "--root", root, "run", *options, BUSYBOX, *command],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            if process.stdout is None or process.stdout.readline() != "up\n":
                raise RuntimeError(f"nothing runs in {root}")
            yield
        finally:
            process.terminate()
