"""Thousands of cycles of use leave nothing behind: no descriptor, thread, child, mount or memory.

A number of cycles comes first, so that what is bounded (workers, the trace, the allocator's arenas)
is full. Then samples are taken at equal distances; `--leak-cycles` says over how many cycles.
"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from layerstore import DriverError, LayerStore
from layerstore.drivers.system.mountinfo import mount_points
from layerstore.drivers.system.proc_children import children_of
from tests.support.figures import Tell
from tests.support.homes import OVERLAYS
from tests.support.options import AmountOf
from tests.support.tars import layer_tar, many_files

_THREADS = 4
_SAMPLES = 10
_MOST_CHILDREN = 2 * (os.cpu_count() or 1) + 1
"""Twice the workers that are kept ready, and the reaper; a burst's others are let go."""
_OTHER_THREADS = _THREADS + 5 + 2
"""The test's, the actors beside the workers and the reaper, the watchdog and the listener."""
_DESCRIPTORS_PER_CHILD = 2
_SETTLING = 10
"""Seconds until a worker that is let go has closed its child's descriptors."""
_STEADY = 2
"""Seconds."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SLOPE = 256
"""Bytes a cycle that the processes' memory may grow by: one small dictionary or a kept message are
more, the noise of 10,000 cycles is less."""
_NOISE = 6 << 20
"""Bytes of growth, all in all, that runs may show: what the allocator rounds up to. Over 10,000
cycles that is 629 bytes a cycle, and the bound that counts."""

pytestmark = [pytest.mark.root, pytest.mark.long, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Others:
    """What was there before the store."""

    threads: set[threading.Thread]
    children: set[int]


@dataclass(frozen=True)
class Sample:
    """What a store and its process use."""

    descriptors: int
    threads: int
    children: int
    mounts: int
    trash: int
    inodes: int
    objects: int
    memory: int
    """Resident bytes of this process and of its average child."""

    def counts(self) -> tuple[int, ...]:
        """What must be the same at all times; each child has two descriptors."""
        own = self.descriptors - _DESCRIPTORS_PER_CHILD * self.children
        return (own, self.mounts, self.trash, self.inodes)

    def bounded(self) -> bool:
        """Whether there are no more workers than are kept ready, and those of a burst."""
        return self.children <= _MOST_CHILDREN and self.threads <= _OTHER_THREADS + _MOST_CHILDREN


def settled(store: LayerStore, others: Others, like: Sample) -> Sample:
    """Take a sample like an earlier one, within the time in which idle workers are let go."""
    deadline = time.monotonic() + _SETTLING
    taken = sample(store, others)
    while not (taken.counts() == like.counts() and taken.bounded()) and time.monotonic() < deadline:
        taken = sample(store, others)
    return taken


def steady(store: LayerStore, others: Others) -> Sample:
    """Take a sample that stays as it is for some time: no worker is just being let go."""
    taken, since = sample(store, others), time.monotonic()
    while time.monotonic() - since < _STEADY or not taken.bounded():
        again = sample(store, others)
        if again.counts() != taken.counts() or not again.bounded():
            since = time.monotonic()
        taken = again
    return taken


def sample(store: LayerStore, others: Others) -> Sample:
    store.drain()
    gc.collect()
    children = set(children_of(os.getpid())) - others.children
    status = os.statvfs(store.root)
    return Sample(
        descriptors=len(os.listdir("/proc/self/fd")),
        threads=len(set(threading.enumerate()) - others.threads),
        children=len(children),
        mounts=sum(point.path.startswith(f"{store.root}/") for point in mount_points()),
        trash=len(os.listdir(f"{store.root}/layerstore/trash")),
        inodes=status.f_files - status.f_ffree,
        objects=len(gc.get_objects()),
        memory=_resident(os.getpid()) + sum(map(_resident, children)) // len(children),
    )


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except FileNotFoundError:
        return 0  # a worker was let go since its child was listed


def slope(values: list[int], distance: float) -> float:
    """Return the slope of the least-squares line through values at equal distances."""
    count = len(values)
    mean_x, mean_y = (count - 1) / 2, sum(values) / count
    above = sum((x - mean_x) * (y - mean_y) for x, y in enumerate(values))
    return above / sum((x - mean_x) ** 2 for x in range(count)) / distance


@pytest.fixture(scope="module")
def tmpfs(make_file_system: Callable[[str, int], Path]) -> Path:
    return make_file_system("tmpfs", 4096)


@pytest.fixture
def others() -> Others:
    return Others(set(threading.enumerate()), set(children_of(os.getpid())))


@pytest.fixture(params=[*OVERLAYS, "vfs"])
def small_store(
    request: pytest.FixtureRequest, tmpfs: Path, others: Others
) -> Iterator[LayerStore]:
    root = tmpfs / f"{request.node.name}"
    with LayerStore(root, driver=request.param, durability="relaxed", trace_size=1000) as store:
        yield store


def cycles_leave_nothing(
    store: LayerStore, others: Others, cycle: Callable[[int], None], cycles: int
) -> list[Sample]:
    """Go through warm-up and cycles, and return the samples taken meanwhile."""
    each = max(cycles // _SAMPLES, 1)
    samples: list[Sample] = []
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(cycle, range(max(each, 300))))
        samples.append(steady(store, others))
        for number in range(_SAMPLES):
            start = cycles * (number + 1)
            list(threads.map(cycle, range(start, start + each)))
            samples.append(settled(store, others, samples[0]))
    return samples


def check(samples: list[Sample], cycles: int) -> None:
    assert {taken.counts() for taken in samples} == {samples[0].counts()}
    assert all(taken.bounded() for taken in samples), samples
    distance = cycles / _SAMPLES
    second_half = samples[len(samples) // 2 :]
    growth = slope([taken.memory for taken in second_half], distance)
    assert growth < max(_SLOPE, _NOISE / cycles), [taken.memory for taken in samples]
    objects = slope([taken.objects for taken in samples], distance)
    assert objects < max(0.01, 100 / cycles), [taken.objects for taken in samples]


def test_mount_cycles(
    small_store: LayerStore, others: Others, amount: AmountOf, tell: Tell
) -> None:
    cycles = amount("--leak-cycles")
    base = small_store.register(layer_tar({"a": b"1"})).chain_id

    def cycle(number: int) -> None:
        with small_store.create_rw_layer(f"rw-{number}", base) as rw, rw.mounted() as path:
            Path(path, "file").write_bytes(b"1")

    samples = cycles_leave_nothing(small_store, others, cycle, cycles)
    tell(summary(f"{cycles} mount cycles on {small_store.driver_name}", samples))
    check(samples, cycles)


def test_register_and_stream_cycles(
    small_store: LayerStore, others: Others, amount: AmountOf, tell: Tell
) -> None:
    cycles = amount("--leak-cycles") // 10
    kept = small_store.register(many_files(20))

    def cycle(number: int) -> None:
        layer = small_store.register(layer_tar({f"file-{number}": b"1"}), kept.chain_id)
        for stream in (layer.tar_stream(), kept.tar_stream_from(None)):
            with stream:
                assert stream.read()
        with kept.tar_stream() as unread:
            unread.read(1)
        with contextlib.suppress(DriverError):  # what fits into the pipe is written all the same
            unread.verify()
        assert len(layer.release()) == 1

    samples = cycles_leave_nothing(small_store, others, cycle, cycles)
    tell(summary(f"{cycles} register cycles on {small_store.driver_name}", samples))
    check(samples, cycles)


def summary(what: str, samples: list[Sample]) -> str:
    return f"{what}: first {samples[0]}, last {samples[-1]}"


def test_memory_that_grows_is_noticed() -> None:
    flat = Sample(10, 5, 2, 0, 0, 40, 50_000, 100 << 20)
    growing = [
        replace(flat, memory=flat.memory + number * 1000 * 1024) for number in range(_SAMPLES + 1)
    ]
    check([flat] * (_SAMPLES + 1), 10_000)
    with pytest.raises(AssertionError):
        check(growing, 10_000)
    with pytest.raises(AssertionError):
        check([*[flat] * _SAMPLES, replace(flat, descriptors=11)], 10_000)
