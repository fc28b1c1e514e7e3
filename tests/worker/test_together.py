"""Short jobs that a child does together: as one after another, whatever becomes of the child."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerstore import DriverError
from layerstore.drivers import work
from layerstore.drivers.model.ids import new_id
from layerstore.drivers.root.disk import Disk
from layerstore.drivers.root.removal import remove_mounts
from layerstore.drivers.system.frames import BadFrame
from layerstore.drivers.system.proc_children import children_of
from layerstore.drivers.worker.hands import WorkerHands
from layerstore.drivers.worker.perform import perform
from layerstore.drivers.worker.together import perform_here, unpack
from tests.conftest import OpenStore
from tests.support.processes import ends, kill
from tests.worker.site import TAR, Site, errors, removal

FEW = 10
of_overlay2 = pytest.mark.parametrize(
    "driver_name", [pytest.param("overlay2", marks=pytest.mark.root)]
)
"""What vfs, which mounts nothing, has no short links and copies, doesn't know."""


@pytest.fixture
def hands(site: Site) -> Iterator[WorkerHands]:
    made = WorkerHands(site.disk, site.store._core.config)
    made.perform(work.InspectRoot(mounted=()), ())  # its child is there after that
    yield made
    made.close()


def test_a_child_creates_and_removes_many(site: Site, hands: WorkerHands) -> None:
    creations = [site.creation(f"rw{number}") for number in range(FEW)]
    done = hands.perform_all(creations)
    assert [(one.error, one.child) for one in done] == [(None, hands.child_pid)] * FEW
    assert all(site.is_whole(created) for created in creations)
    done = hands.perform_all([removal(created) for created in creations])
    assert [(one.error, one.child) for one in done] == [(None, hands.child_pid)] * FEW
    assert all(site.is_gone(created) for created in creations)
    assert site.is_tidy()


def test_a_process_with_many_open_descriptors_gives_its_children_jobs(site: Site) -> None:
    """select(2) takes no descriptor from 1,024 on."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limits[1]), limits[1]))
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(1_100):
                stack.callback(os.close, os.open("/", os.O_PATH))
            hands = WorkerHands(site.disk, site.store._core.config)
            stack.callback(hands.close)
            hands.warm_up()
            while not hands.takes_many and not site.disk.driver.copies:
                assert hands.child_pid is not None
            done = hands.perform_all([site.creation(f"rw{number}") for number in range(3)])
            assert [(one.error, one.child) for one in done] == [(None, hands.child_pid)] * 3
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_times_of_each_job_are_its_own(site: Site, hands: WorkerHands) -> None:
    creations = [site.creation(f"rw{number}") for number in range(3)]
    removals = [removal(created) for created in creations]
    for done in (hands.perform_all(creations), hands.perform_all(removals)):
        times = [time for one in done for time in (one.begun, one.ended)]
        assert times == sorted(times)
        assert all(one.begun < one.ended for one in done)


def test_one_that_fails_fails_alone(site: Site, hands: WorkerHands) -> None:
    creations = [site.creation(f"rw{number}") for number in range(3)]
    hands.perform_all(creations)
    os.rename(f"{site.layerdb}/mounts/rw1", f"{site.layerdb}/elsewhere")
    done = hands.perform_all([removal(created) for created in creations])
    assert errors(done)[::2] == [None, None]
    error = done[1].error
    assert isinstance(error, DriverError)
    assert f"{site.layerdb}/mounts/rw1" in str(error)
    assert site.disk.driver.exists(creations[1].mount_id)


def test_where_names_can_not_be_synced_all_are_as_before(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    creations = [site.creation(f"rw{number}") for number in range(3)]
    for created in creations:
        perform(site.disk, created, ())

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        failures = list(remove_mounts(site.disk, [removal(created) for created in creations]))
    assert [str(error).startswith("fsync ") for error in failures] == [True] * 3
    assert all(site.is_whole(created) for created in creations)
    assert site.is_tidy()
    assert list(remove_mounts(site.disk, [removal(created) for created in creations])) == [None] * 3
    assert all(site.is_gone(created) for created in creations)


@of_overlay2
def test_what_may_be_mounted_is_removed_where_mounts_are_seen(
    site: Site, hands: WorkerHands
) -> None:
    creations = [site.creation(f"rw{number}") for number in range(3)]
    hands.perform_all(creations)
    path = site.disk.driver.get(creations[1].mount_id)
    assert os.path.ismount(path)
    done = hands.perform_all([removal(created) for created in creations])
    assert errors(done) == [None] * 3
    assert [one.child for one in done] == [hands.child_pid, None, hands.child_pid]
    assert site.disk.driver.mounted() == set()
    assert all(site.is_gone(created) for created in creations)


@of_overlay2
def test_what_a_child_logs_is_logged_here(
    site: Site, hands: WorkerHands, caplog: pytest.LogCaptureFixture
) -> None:
    created = site.creation("rw")
    hands.perform_all([created])
    layer = f"{site.store.root}/overlay2/{created.mount_id}"
    link = f"{site.store.root}/overlay2/l/{Path(layer, 'link').read_text()}"
    os.unlink(link)
    os.mkdir(link)
    assert errors(hands.perform_all([removal(created)])) == [None]
    os.rmdir(link)
    lines = [record.getMessage() for record in caplog.records]
    assert any(
        line.startswith(f"child {hands.child_pid}: a short link without a layer stays")
        for line in lines
    )


def test_the_jobs_of_a_child_that_is_dead_are_done_without_it(
    site: Site, hands: WorkerHands, caplog: pytest.LogCaptureFixture
) -> None:
    pid = hands.child_pid
    assert pid is not None
    kill(pid)
    creations = [site.creation(f"rw{number}") for number in range(FEW)]
    done = hands.perform_all(creations)
    assert [(one.error, one.child) for one in done] == [(None, None)] * FEW
    assert all(site.is_whole(created) for created in creations)
    assert str(pid) in caplog.text
    assert not hands.takes_many


STEPS = {"os.rename", "os.mkdir", "os.symlink", "os.remove", "os.rmdir", "os.chmod", "open"}


def killed_at_step(disk: Disk, job: work.Job, step: int) -> bool:
    """Do a job in a fork that is killed before its nth step on the disk; whether it came to that.

    What a file is opened for is a step, since nothing tells of writing to it.
    """
    pid = os.fork()
    if not pid:
        left = [step]

        def hook(event: str, _: object) -> None:
            if event in STEPS:
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hook)
            perform(disk, job, ())
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def each_step(site: Site, make: Callable[[int], work.Job]) -> Iterator[work.Job]:
    """Yield a job that was killed before its first step, another before its second, and so on."""
    step = 1
    while killed_at_step(site.disk, job := make(step), step):
        yield job
        step += 1
    yield job
    assert step > 4


def test_a_creation_that_was_cut_off_anywhere_is_done_again(site: Site) -> None:
    def make(step: int) -> work.Job:
        return site.creation(f"rw{step}")

    for job in each_step(site, make):
        assert isinstance(job, work.CreateMount)
        assert perform_here(site.disk, job, again=True).error is None
        assert site.is_whole(job)
        assert site.is_tidy()
        assert perform_here(site.disk, job, again=True).error is None  # it was done
        assert site.is_whole(job)


def test_a_removal_that_was_cut_off_anywhere_is_done_again(site: Site) -> None:
    creations: dict[str, work.CreateMount] = {}

    def make(step: int) -> work.Job:
        created = site.creation(f"rw{step}")
        perform(site.disk, created, ())
        creations[created.name] = created
        return removal(created)

    for job in each_step(site, make):
        assert isinstance(job, work.RemoveMount)
        assert perform_here(site.disk, job, again=True).error is None
        assert site.is_gone(creations[job.name])
        assert site.is_tidy()


def test_nobody_notices_that_children_die_while_many_come_and_go(open_store: OpenStore) -> None:
    store = open_store()
    chain = store.register(TAR).chain_id

    def come_and_go(number: int) -> None:
        for round_ in range(5):
            store.create_rw_layer(f"rw{number}-{round_}", chain).release()

    with ThreadPoolExecutor(20) as threads:
        coming = [threads.submit(come_and_go, number) for number in range(40)]
        while not all(one.done() for one in coming):
            for pid in children_of(os.getpid()):
                kill(pid)
                assert ends(pid, 60)
            next((one for one in coming if not one.done()), coming[0]).result()
    assert [one.result() for one in coming] == [None] * 40
    assert store.mounts() == []
    store.drain()
    assert Site(store).names() == set()


def test_an_answer_of_another_length_or_shape_is_no_answer() -> None:
    job = work.RemoveMount(name="rw", mount_id=new_id(), init_id=None, transaction="t")
    reply = {"begun": 1, "ended": 2, "retries": 0, "left": False, "error": None}
    assert unpack({"replies": [reply], "lines": []}, [job], 7) == [
        work.Performed(error=None, begun=1, ended=2, retries=0, child=7)
    ]
    bad: list[object] = [
        None,
        {"replies": [], "lines": []},
        {"replies": [reply, reply], "lines": []},
        {"replies": [reply | {"begun": "early"}], "lines": []},
        {"replies": [reply], "lines": [["loud", "text"]]},
        {"replies": [reply]},
    ]
    for frame in bad:
        with pytest.raises(BadFrame):
            unpack(frame, [job], 7)


@of_overlay2
def test_many_at_once_are_traced_with_the_child_that_did_them(open_store: OpenStore) -> None:
    store = open_store(trace_size=100_000)
    chain = store.register(TAR).chain_id
    with ThreadPoolExecutor(50) as threads:
        layers = list(threads.map(lambda n: store.create_rw_layer(f"rw{n}", chain), range(200)))
        list(threads.map(lambda layer: layer.release(), layers))
    jobs = [record for record in store.trace() if record.kind == "RemoveMount"]
    by_child = [record for record in jobs if record.receiver.startswith("child ")]
    assert len(jobs) == 200
    assert by_child
    assert all(job.enqueued <= job.started <= job.ended for job in jobs)
