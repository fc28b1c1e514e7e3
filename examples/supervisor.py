"""Run many jobs, each in a throw-away root file system of its own, and keep what each has changed.

As root: `python examples/supervisor.py ROOT IMAGE JOBS RESULTS [--at-once N]`. IMAGE is a name in
the store at ROOT, or an archive to load. JOBS is a file with one JSON object on each line: `name`,
`command` (a list) and, if wanted, `time_limit` in seconds and `env`. Each job leaves `NAME.json`
(its status, its output's end and the changes it made) and `NAME.tar` (those changes as a layer tar)
in the directory RESULTS.

A job that has its `NAME.json` is done and isn't run again. So whatever ends this program, a signal,
SIGKILL, a power cut, it is simply started again: it removes what is left of jobs that were running
and runs those that aren't done. SIGTERM and SIGINT stop it in good order, with status 128 and the
signal's number. Jobs whose surroundings die (not the job's own doing) are tried again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from layerstore import (
    Finished,
    LayerStore,
    LayerStoreError,
    RWLayer,
    StoreRestarted,
    WorkerDied,
    mount_points,
    start,
)

_PREFIX = "job-"
_ATTEMPTS = 5
_TIME_LIMIT = 60.0
_OUTPUT = 4000
"""Bytes of a job's output that are kept, from its end."""
_DRAWN_PER_SECOND = 4


@dataclass(slots=True)
class Job:
    """One job, and how far it is; one thread at a time has it."""

    name: str
    command: list[str]
    time_limit: float = _TIME_LIMIT
    env: dict[str, str] = field(default_factory=dict)
    state: str = "waiting"
    attempts: int = 0
    began: float = 0.0
    status: int | None = None


class Supervisor:
    """Runs jobs from a queue with a fixed number of threads, and can be told to stop."""

    def __init__(self, store: LayerStore, image: str, results: Path, jobs: list[Job]) -> None:
        self.jobs = jobs
        self._store = store
        self._image = image
        self._results = results
        self._waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._stopping = threading.Event()
        for job in jobs:
            if (results / f"{job.name}.json").exists():
                job.state = "done before"
            else:
                self._waiting.put(job)

    def clear_up(self) -> int:
        """Remove the read-write layers of jobs that an earlier run didn't end; returns how many."""
        left = [mount.name for mount in self._store.mounts() if mount.name.startswith(_PREFIX)]
        for name in left:
            self._store.get_rw_layer(name).release()
        return len(left)

    def stop(self) -> None:
        """Begin no more jobs and end those that run; they count as not done."""
        self._stopping.set()

    def run(self, at_once: int) -> None:
        """Run all jobs, and return once none runs any more."""
        with ThreadPoolExecutor(at_once) as threads:
            for done in [threads.submit(self._work) for _ in range(at_once)]:
                done.result()

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                job = self._waiting.get_nowait()
            except queue.Empty:
                return
            self._attempt(job)

    def _attempt(self, job: Job) -> None:
        job.began, job.state = time.monotonic(), "running"
        job.attempts += 1
        try:
            finished = self._one(job)
        except (WorkerDied, StoreRestarted) as error:
            # Somebody has killed a part of the machinery. The job itself is not to blame.
            again = job.attempts < _ATTEMPTS and not self._stopping.is_set()
            job.state = "waiting" if again else f"failed: {error}"
            if again:
                self._waiting.put(job)
        except LayerStoreError as error:
            job.state = f"failed: {error}"
        else:
            if finished is None:
                job.state = "stopped"
            else:
                job.status = finished.status
                job.state = "timed out" if finished.timed_out else "done"

    def _one(self, job: Job) -> Finished | None:
        name = f"{_PREFIX}{job.name}"
        with self._fresh(name) as rw:
            with rw.mounted() as root:
                finished = self._execute(job, root)
            if finished is not None:
                self._keep(job, rw, finished)
        return finished

    @contextlib.contextmanager
    def _fresh(self, name: str) -> Iterator[RWLayer]:
        """Make a read-write layer of the image, and remove it in the end, whatever happens."""
        rw = self._store.images.create(name, self._image, init=mount_points)
        try:
            yield rw
        finally:
            for attempt in range(_ATTEMPTS):
                try:
                    rw.release()
                    break
                except (WorkerDied, StoreRestarted):
                    if attempt + 1 == _ATTEMPTS:
                        raise

    def _execute(self, job: Job, root: str) -> Finished | None:
        """Run a job's command, and return how it ended, or None if it was stopped."""
        running = start(
            root,
            job.command,
            env=job.env,
            hostname=job.name[:64],
            init=True,
            time_limit=job.time_limit,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        with running:
            while not self._stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    return running.wait(timeout=0.2)
        return None

    def _keep(self, job: Job, rw: RWLayer, finished: Finished) -> None:
        """Keep what a job has changed; its JSON file comes last and says that all is there."""
        with rw.tar_stream() as stream, open(self._results / f"{job.name}.tar", "wb") as tar:
            while piece := stream.read(1 << 20):
                tar.write(piece)
            os.fsync(tar.fileno())
        facts = {
            "name": job.name,
            "status": finished.status,
            "timed_out": finished.timed_out,
            "attempts": job.attempts,
            "seconds": round(time.monotonic() - job.began, 3),
            "changes": [str(change) for change in rw.changes()],
            "output": (finished.stdout or b"")[-_OUTPUT:].decode(errors="replace"),
        }
        unfinished = self._results / f".{job.name}.json"
        with unfinished.open("w") as file:
            json.dump(facts, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(self._results / f"{job.name}.json")


def table(jobs: list[Job]) -> Table:
    """Draw how far the jobs are: the running ones a line each, the others counted."""
    drawn = Table("job", "state", "attempt", "seconds")
    for job in jobs:
        if job.state == "running":
            seconds = f"{time.monotonic() - job.began:.1f}"
            drawn.add_row(job.name, job.state, str(job.attempts), seconds)
    counts: dict[str, int] = {}
    for job in jobs:
        counts[job.state.partition(":")[0]] = counts.get(job.state.partition(":")[0], 0) + 1
    drawn.caption = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    return drawn


def read_jobs(path: Path) -> list[Job]:
    """Read the jobs, or exit with a line that says which one is wrong."""
    jobs: list[Job] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            job = Job(**json.loads(line))
        except (ValueError, TypeError) as error:
            sys.exit(f"{path}:{number}: {error}")
        if not job.name or "/" in job.name or job.name.startswith("."):
            sys.exit(f"{path}:{number}: {job.name!r} is no name for a job")
        jobs.append(job)
    return jobs


def find_image(store: LayerStore, image: str) -> str:
    """Return the ID of an image of the store, or of the first one in an archive, loaded."""
    if not os.path.exists(image):
        return store.images.get(image).id
    return store.images.load(image)[0].id


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root")
    parser.add_argument("image")
    parser.add_argument("jobs", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--at-once", type=int, default=2 * (os.cpu_count() or 1))
    options = parser.parse_args()
    jobs = read_jobs(options.jobs)
    options.results.mkdir(parents=True, exist_ok=True)
    caught: list[int] = []
    with LayerStore(options.root) as store:
        image = find_image(store, options.image)
        supervisor = Supervisor(store, image, options.results, jobs)

        def on_signal(number: int, _frame: FrameType | None) -> None:
            caught.append(number)
            supervisor.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)
        if left := supervisor.clear_up():
            print(f"removed {left} layers of jobs that were cut off", file=sys.stderr)
        _run_and_draw(supervisor, options.at_once)
    print(table(jobs).caption)
    for job in jobs:
        if job.state.startswith("failed"):
            print(f"{job.name}: {job.state}", file=sys.stderr)
    if caught:
        return 128 + caught[0]
    return 0 if all(job.state in {"done", "done before", "timed out"} for job in jobs) else 1


def _run_and_draw(supervisor: Supervisor, at_once: int) -> None:
    """Run the jobs in a thread, so that this one can draw, and be interrupted."""
    working = threading.Thread(target=supervisor.run, args=(at_once,))
    console = Console(stderr=True)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        working.start()
        while working.is_alive():
            working.join(1 / _DRAWN_PER_SECOND)
            if console.is_terminal:
                live.update(table(supervisor.jobs), refresh=True)


if __name__ == "__main__":
    sys.exit(main())
