"""Trying a scenario many times, two tries at once: the processes, directories and order of it.

Owns the zygotes and, for each try, a directory with the root and the notes about it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, TypeVar, cast

from layerstore.drivers.system.mountinfo import mount_points
from layerstore.drivers.system.syscalls import umount
from tests.ordeals.crash.rig import seam

T = TypeVar("T")
_AT_ONCE = 2
AT_LEAST = {"few": 3, "many": 11, "all": 11}
"""Items that are tried however slow the machine is, by how many points are wanted."""
_REPOSITORY = Path(__file__).parents[4]


@dataclass(frozen=True)
class Case:
    """What is tried at every point."""

    scenario: str
    driver: str
    workers: int = 0
    durability: str = "relaxed"

    def __str__(self) -> str:
        return f"{self.scenario}, {self.driver}, workers={self.workers}"


@dataclass(frozen=True)
class Outcome:
    """What became of one process."""

    status: int
    told: str


class Zygote:
    """One zygote; a thread at a time uses it."""

    def __init__(self, library: Path, *tracer: str) -> None:
        """Start it, beneath a tracer's command if that is given."""
        self._process = subprocess.Popen(
            [*tracer, sys.executable, "-m", "tests.ordeals.crash.rig.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_REPOSITORY,
            env={**os.environ, "LD_PRELOAD": str(library)},
            text=True,
        )

    def ask(self, **request: Any) -> Outcome:
        """Have a request served by a process of its own."""
        stdin, stdout = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        return Outcome(**json.loads(stdout.readline()))

    def close(self) -> None:
        """End it."""
        with self._process:
            cast("IO[str]", self._process.stdin).close()


class Try:
    """The directory of one try."""

    def __init__(self, place: Path, zygote: Zygote, case: Case, library: ctypes.CDLL) -> None:
        self.directory = Path(tempfile.mkdtemp(dir=place))
        self.case = case
        self._zygote = zygote
        self.root, self.control = f"{self.directory}/root", f"{self.directory}/control"
        self.answers, self.log = f"{self.directory}/answers", f"{self.directory}/log"
        os.mkdir(self.root)
        Path(self.answers).touch()
        if library.seam_create(self.control.encode()):
            raise OSError(f"no control file {self.control}")

    def run(self, plan: seam.Plan, *, failing: bool = False, log: bool = False) -> Outcome:
        """Run the scenario as planned; one that is failing is verified by the same process."""
        seam.arm(self.control, plan)
        more = {"log": self.log} if log else {}
        return self._zygote.ask(
            task="run",
            root=self.root,
            driver=self.case.driver,
            inputs=str(self.directory),
            answers=self.answers,
            options={"workers": self.case.workers, "durability": self.case.durability},
            scenario=self.case.scenario,
            control=self.control,
            failing=failing,
            **more,
        )

    def verify(self) -> Outcome:
        """Open the root again and look at it."""
        return self._verify(self.root, before=0, power=False)

    def verify_power_loss(self, root: str, before: int) -> Outcome:
        """Open a root as a power loss before a call left it."""
        return self._verify(root, before=before, power=True)

    def _verify(self, root: str, *, before: int, power: bool) -> Outcome:
        return self._zygote.ask(
            task="verify",
            root=root,
            driver=self.case.driver,
            answers=self.answers,
            before=before,
            power=power,
        )

    def seen(self) -> seam.Seen:
        """What the seam says."""
        return seam.seen(self.control)

    def remove(self) -> list[str]:
        """Remove the directory; returns what was still mounted in it."""
        points = [point.path for point in mount_points()]
        left = [path for path in points if path.startswith(f"{self.directory}/")]
        for path in reversed(left):
            umount(path)
        shutil.rmtree(self.directory)
        return left


class Harness:
    """Two zygotes, and the tries that they make."""

    def __init__(self, place: Path, library: Path) -> None:
        """Start the zygotes with the seam in `library`; tries are made in `place`."""
        self.library = library
        self._library = ctypes.CDLL(str(library))
        self._places: dict[str, Path] = {}
        self._place = place
        self._zygotes: SimpleQueue[Zygote] = SimpleQueue()
        self._all = [Zygote(library) for _ in range(_AT_ONCE)]
        for zygote in self._all:
            self._zygotes.put(zygote)

    def put(self, driver: str, place: Path) -> None:
        """Have the tries with a driver made in a place of its own."""
        self._places[driver] = place

    def attempt(self, case: Case, action: Callable[[Try], T]) -> T:
        """Do something with a new try, and remove it."""
        zygote = self._zygotes.get()
        try:
            attempt = self._try(zygote, case)
            try:
                return action(attempt)
            finally:
                attempt.remove()
        finally:
            self._zygotes.put(zygote)

    @contextlib.contextmanager
    def trace(self, case: Case, output: Path) -> Iterator[Try]:
        """Give a try whose processes strace watches, and end them."""
        calls = "trace=file,desc,mount,umount2,fsync,fdatasync,syncfs"
        zygote = Zygote(self.library, "strace", "-f", "-qq", "-y", "-e", calls, "-o", str(output))
        attempt = self._try(zygote, case)
        try:
            yield attempt
        finally:
            zygote.close()
            attempt.remove()

    def _try(self, zygote: Zygote, case: Case) -> Try:
        place = self._places.get(case.driver, self._place)
        return Try(place, zygote, case, self._library)

    def count(self, case: Case, reach: int = seam.CHANGES) -> int:
        """How many calls an undisturbed run makes."""

        def counted(attempt: Try) -> int:
            outcome = attempt.run(seam.Plan(reach=reach))
            assert outcome.status == 0, outcome.told
            return attempt.seen().count

        return self.attempt(case, counted)

    def each(
        self,
        case: Case,
        items: Sequence[T],
        action: Callable[[Try, T], str],
        seconds: float,
        at_least: int = AT_LEAST["few"],
    ) -> int:
        """Try items until the time is over, but for a few; returns how many that were.

        Fails where any went wrong.
        """
        deadline = time.monotonic() + seconds

        def one(number: int, item: T) -> str | None:
            if number >= at_least and time.monotonic() > deadline:
                return None
            return self.attempt(case, lambda attempt: action(attempt, item))

        with ThreadPoolExecutor(_AT_ONCE) as threads:
            results = list(threads.map(one, range(len(items)), items))
        tried = [result for result in results if result is not None]
        wrong = [result for result in tried if result]
        assert wrong == [], f"{len(wrong)} of {len(tried)}:\n" + "\n".join(wrong)
        return len(tried)

    def close(self) -> None:
        """End the zygotes."""
        for zygote in self._all:
            zygote.close()


def spread(count: int) -> list[int]:
    """Return 1 to `count` in an order whose every beginning lies evenly among them."""
    bits = max(count - 1, 1).bit_length()
    order: Iterator[int] = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(1 << bits))
    return [number + 1 for number in order if number < count]
