"""A pull that breaks off, is told to stop or is killed leaves whole layers; the next one goes on.

What is fetched, and what isn't, is the proxy's to say.
"""

from __future__ import annotations

import asyncio
import io
import os
import random
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from layerstore import ImageDoesNotExist, JobCancelled, LayerStore
from layerstore.drivers.system.proc_children import children_of
from layerstore.images.registry.stop import Stop
from tests.images.registry.pulls.pulling import Sample, client, nothing_half_made, pull, put_sample
from tests.images.samples import files_of
from tests.support.archives import as_tar, docker_archive
from tests.support.processes import ends
from tests.support.registries.daemon import NEEDED, Registry
from tests.support.registries.faults import cut, stalled, trickle
from tests.support.registries.proxy import Proxy
from tests.support.tars import layer_tar
from tests.support.waiting import in_thread, wait_until
from tests.support.ways.opening import Opening

pytestmark = [NEEDED, pytest.mark.root]

NOISE = random.Random(1).randbytes(400_000)  # noqa: S311
LAYERS = [layer_tar({"low": b"1"}), layer_tar({"middle": NOISE}), layer_tar({"top": NOISE[::-1]})]
FILES = {"low": b"1", "middle": NOISE, "top": NOISE[::-1]}
COMMAND = "import sys, layerstore_command; sys.exit(layerstore_command.main())"


@pytest.fixture(scope="module")
def sample(registry: Registry) -> Sample:
    return put_sample(registry, "again/app:1", LAYERS)


def command(root: str | Path, *words: str) -> subprocess.Popen[bytes]:
    """Start the `layerstore` command."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "--root", root, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_a_blob_goes_on_where_its_connection_broke_at_each_tenth(
    store: LayerStore, proxy: Proxy, sample: Sample
) -> None:
    blob = sample.layers[2]
    for tenth in range(10):
        # Each of what is left then, so that the last begins near the end.
        proxy.when(f"^GET .*{blob}", cut(tenth / 10), times=1, after=0)
    image = pull(store, proxy.name(sample.rest))
    assert files_of(store, image.id) == FILES
    begun = [_from(request.headers) for request in proxy.requests if blob in request.target]
    assert len(begun) == 11
    assert begun == sorted(begun)
    assert len(set(begun)) == 10, "after the one that was cut at once it is asked from 0 again"
    nothing_half_made(store)


def _from(headers: object) -> int:
    assert isinstance(headers, dict)
    found = re.fullmatch(r"bytes=(\d+)-", headers.get("range", "bytes=0-"))
    assert found is not None
    return int(found[1])


def test_layers_that_the_store_has_are_not_fetched(
    store: LayerStore, proxy: Proxy, sample: Sample
) -> None:
    store.images.load(io.BytesIO(as_tar(docker_archive(LAYERS[:2], ["loaded:1"]))))
    image = pull(store, proxy.name(sample.rest))
    assert proxy.fetched() == [sample.config, sample.layers[2]]
    assert files_of(store, image.id) == FILES
    del proxy.requests[:]
    assert pull(store, proxy.name(sample.rest)).id == image.id
    assert proxy.asked("") == ["GET /v2/again/app/manifests/1"], "all that it lists is there"
    more = put_sample(proxy.registry, "again/app:2", [*LAYERS, layer_tar({"more": b"2"})])
    del proxy.requests[:]
    pull(store, proxy.name(more.rest))
    # That of the one before was compressed in another way there.
    assert proxy.fetched() == [more.config, more.layers[3]]


def test_a_configuration_that_is_damaged_here_is_fetched(
    store: LayerStore, proxy: Proxy, sample: Sample
) -> None:
    image = pull(store, proxy.name(sample.rest))
    digits = image.id.partition(":")[2]
    kept = Path(store.root, "image", store.driver_name, "imagedb/content/sha256", digits)
    for damaged in (b"{}", b"", kept.read_bytes()[:-1]):
        kept.write_bytes(damaged)
        del proxy.requests[:]
        assert pull(store, proxy.name(sample.rest)).id == image.id
        assert proxy.fetched() == [sample.config]


def test_nobody_is_asked_for_what_is_there_unless_that_is_wanted(
    store: LayerStore, proxy: Proxy, sample: Sample
) -> None:
    name = proxy.name(sample.rest)
    with pytest.raises(ImageDoesNotExist):
        pull(store, name, policy="never")
    assert proxy.requests == []
    image = pull(store, name, policy="missing")
    del proxy.requests[:]
    assert pull(store, name, policy="missing").id == image.id
    assert pull(store, name, policy="never").id == image.id
    assert proxy.requests == []
    pull(store, name)
    assert proxy.asked("/manifests/1")


@pytest.mark.parametrize(
    ("options", "parallel"), [({"parallel": 1}, 1), ({}, 3), ({"parallel": 5}, 5)]
)
def test_so_many_layers_are_on_their_way_at_once(
    options: dict[str, Any], parallel: int, store: LayerStore, proxy: Proxy, registry: Registry
) -> None:
    many = put_sample(registry, "again/many:1", [layer_tar({f"{n}": b"1"}) for n in range(5)])
    proxy.when(f"^GET .*({'|'.join(many.layers)})", stalled(0))
    stop, outcomes = Stop(), list[object]()
    with client() as asked:
        name = proxy.name(many.rest)
        pulling = in_thread(
            lambda: store.images.pull(name, client=asked, stop=stop, **options), outcomes
        )
        wait_until(lambda: len(proxy.fetched()) == 1 + parallel)
        assert set(proxy.fetched()) == {many.config, *many.layers[:parallel]}
        stop.tell()
        pulling.join(60)
    assert isinstance(outcomes[0], JobCancelled)
    nothing_half_made(store)


def goes_on(store: LayerStore, proxy: Proxy, sample: Sample) -> None:
    """Check that the lower layers are there, whole, and that no more than the others is fetched."""
    nothing_half_made(store)
    there = len(store.map())
    assert there == 2
    proxy.rules.clear()
    del proxy.requests[:]
    image = pull(store, proxy.name(sample.rest))
    assert set(proxy.fetched()) - {sample.config} == set(sample.layers[there:])
    assert files_of(store, image.id) == FILES
    nothing_half_made(store)


def hold(proxy: Proxy, sample: Sample) -> None:
    """Have the third layer stop in its middle."""
    proxy.when(f"^GET .*{sample.layers[2]}", stalled(0.5))


def test_a_pull_that_is_told_to_stop_ends_at_once(
    store: LayerStore, proxy: Proxy, sample: Sample
) -> None:
    hold(proxy, sample)
    stop, outcomes = Stop(), list[object]()
    with client() as asked:
        name = proxy.name(sample.rest)
        pulling = in_thread(lambda: store.images.pull(name, client=asked, stop=stop), outcomes)
        wait_until(lambda: len(store.map()) == 2)
        stop.tell()
        pulling.join(60)
    assert not pulling.is_alive()
    (outcome,) = outcomes
    assert isinstance(outcome, JobCancelled)
    goes_on(store, proxy, sample)


def test_a_task_that_pulls_and_is_cancelled_ends_at_once(
    opening: Opening, driver_name: str, proxy: Proxy, sample: Sample
) -> None:
    hold(proxy, sample)

    async def cancel() -> None:
        async with opening.asynchronous(driver=driver_name) as store:
            with client() as asked:
                pulling = asyncio.create_task(
                    store.images.pull(proxy.name(sample.rest), client=asked)
                )
                while len(await store.map()) < 2:
                    assert not pulling.done()
                pulling.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asyncio.wait_for(pulling, 60)

    asyncio.run(cancel())
    goes_on(opening.store(driver=driver_name), proxy, sample)


def test_tasks_that_pull_slowly_keep_nobody_else_waiting(
    opening: Opening, driver_name: str, proxy: Proxy, sample: Sample
) -> None:
    proxy.when("^GET .*/manifests/", stalled(0))
    threads = min(32, (os.cpu_count() or 1) + 4)

    async def cancel() -> None:
        async with opening.asynchronous(driver=driver_name) as store:
            with client() as asked:
                name = proxy.name(sample.rest)
                pulls = [
                    asyncio.create_task(store.images.pull(name, client=asked))
                    for _ in range(threads + 1)
                ]
                while len(proxy.requests) < threads:
                    assert await asyncio.wait_for(store.images.list(), 60) == []
                for each in reversed(pulls):
                    each.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await asyncio.wait_for(each, 10)

    asyncio.run(cancel())


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.thorough)],
)
def test_a_process_that_is_ended_while_it_pulls_leaves_whole_layers(
    number: signal.Signals, root_dir: Path, proxy: Proxy, sample: Sample
) -> None:
    hold(proxy, sample)
    pulling = command(root_dir, "pull", proxy.name(sample.rest))
    with pulling:
        assert pulling.stdout is not None
        told = iter(pulling.stdout)
        for _ in range(2):
            assert next(line for line in told if line.endswith(b"Pull complete\n"))
        children = children_of(pulling.pid)
        pulling.send_signal(number)
        assert pulling.wait(60) != 0
    assert all(ends(pid, 60) for pid in children)
    with LayerStore(root_dir, durability="relaxed") as store:
        goes_on(store, proxy, sample)


def test_two_threads_pull_the_same_at_once(store: LayerStore, proxy: Proxy, sample: Sample) -> None:
    proxy.when("^GET .*/blobs/", trickle(50_000, 0.002))
    both = threading.Barrier(2)

    def one() -> str:
        both.wait(60)
        return pull(store, proxy.name(sample.rest)).id

    with ThreadPoolExecutor(2) as threads:
        first, second = [threads.submit(one) for _ in range(2)]
        assert first.result() == second.result()
    assert files_of(store, first.result()) == FILES
    assert len(store.map()) == 3
    nothing_half_made(store)


def test_two_processes_pull_the_same_at_once(root_dir: Path, proxy: Proxy, sample: Sample) -> None:
    proxy.when("^GET .*/blobs/", trickle(50_000, 0.002))
    both = [command(root_dir, "pull", proxy.name(sample.rest)) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    with LayerStore(root_dir, durability="relaxed") as store:
        (image,) = store.images.list()
        assert files_of(store, image.id) == FILES
        nothing_half_made(store)
