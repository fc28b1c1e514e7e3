"""What goes on beside a pull keeps it neither from ending nor from saying how.

Others pull the same, layers have just come, others can't be given back.
"""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from layerstore import (
    IntegrityError,
    JobCancelled,
    LayerStore,
    NotInRegistry,
    StoreClosed,
    WorkerDied,
)
from layerstore.drivers.system.syscalls import mount, umount
from layerstore.images.registry.stop import Stop
from tests.images.registry.pulls.pulling import client, nothing_half_made, pull, put_sample
from tests.images.samples import files_of
from tests.support.registries.daemon import NEEDED, Registry
from tests.support.registries.faults import flipped, refused, stalled, unanswered
from tests.support.registries.proxy import Proxy
from tests.support.tars import layer_tar
from tests.support.waiting import in_thread, wait_until
from tests.support.ways.opening import Opening

pytestmark = [NEEDED, pytest.mark.root]

LARGE = random.Random(1).randbytes(3 << 20)  # noqa: S311
"""More than a pipe holds."""
SMALL = [layer_tar({name: b"1"}) for name in ("low", "middle", "top")]


@pytest.mark.parametrize("end", [KeyboardInterrupt, JobCancelled])
def test_layers_that_have_just_come_hide_no_interrupt(
    end: type[BaseException], opening: Opening, registry: Registry
) -> None:
    store = opening.store(driver="overlay2")
    sample = put_sample(registry, "beside/interrupted:1", SMALL)

    def interrupt(_what: str, done: int, total: int) -> None:
        if done == total:
            wait_until(lambda: len(store.map()) == len(SMALL))
            raise end("it")

    with pytest.raises(end):
        pull(store, registry.name(sample.rest), progress=interrupt)
    # One that has just got its name may be given back; what is left is held by others only.
    references = sorted(layer.references for layer in store.map().values())
    assert references == [0, 1, 1][: len(references)] != []
    nothing_half_made(store)


@pytest.mark.parametrize("content", [b"1", LARGE], ids=["small", "large"])
def test_a_pull_that_fails_waits_for_no_other_of_the_same_layer(
    content: bytes, opening: Opening, registry: Registry, proxy: Proxy
) -> None:
    store = opening.store(driver="overlay2")
    sample = put_sample(registry, "beside/failing:1", [layer_tar({"low": content}), SMALL[2]])
    lowest, top = sample.layers
    stop, outcomes = Stop(), list[object]()
    with Proxy(registry=registry) as slow, client() as asked:
        slow.when(f"^GET .*{lowest}", stalled(0.5))
        proxy.when(f"^GET .*{top}", refused("404 Not Found"))
        name = slow.name(sample.rest)
        slowly = in_thread(lambda: store.images.pull(name, client=asked, stop=stop), outcomes)
        wait_until(lambda: lowest in slow.fetched())
        failing = in_thread(lambda: pull(store, proxy.name(sample.rest)), outcomes)
        failing.join(60)
        failed = list(outcomes)
        stop.tell()
        for thread in (failing, slowly):
            thread.join(60)
    assert [type(outcome) for outcome in failed] == [NotInRegistry]
    assert isinstance(outcomes[1], JobCancelled)
    nothing_half_made(store)
    assert store.map() == {}


@pytest.mark.parametrize("driver", ["overlay2", "vfs"], ids=["side by side", "one after another"])
def test_a_pull_ends_with_its_store(driver: str, root_dir: Path, proxy: Proxy) -> None:
    sample = put_sample(proxy.registry, "beside/closed:1", SMALL)
    proxy.when(f"^GET .*{sample.layers[2]}", stalled(0.5))
    outcomes: list[object] = []
    with LayerStore(root_dir, driver=driver, durability="relaxed") as store:
        pulling = in_thread(lambda: pull(store, proxy.name(sample.rest)), outcomes)
        wait_until(lambda: len(store.map()) == 2)
        store.close(timeout=1)
    pulling.join(60)
    assert isinstance(outcomes[0], StoreClosed | WorkerDied | JobCancelled)


@pytest.mark.parametrize("verb", ["pull", "push", "tags", "remote"])
def test_who_asks_a_registry_that_is_silent_ends_with_the_store(
    verb: str, root_dir: Path, registry: Registry, proxy: Proxy
) -> None:
    sample = put_sample(registry, "beside/silent:1", SMALL)
    name, heard, outcomes = proxy.name(sample.rest), threading.Event(), list[object]()
    proxy.when("", unanswered(heard.set))
    with LayerStore(root_dir, driver="vfs", durability="relaxed") as store, client() as asked:
        pull(store, registry.name(sample.rest))
        store.images.tag(registry.name(sample.rest), name)
        ask, about = getattr(store.images, verb), name.removesuffix(":1" * (verb == "tags"))
        asking = in_thread(lambda: ask(about, client=asked), outcomes)
        assert heard.wait(60)
        store.close()
        asking.join(60)
    assert [type(outcome) for outcome in outcomes] == [StoreClosed]


def test_a_layer_that_is_there_on_another_is_read_however_few_tars_may_be(
    root_dir: Path, registry: Registry
) -> None:
    low, middle = layer_tar({"low": LARGE}), layer_tar({"middle": LARGE})
    one = put_sample(registry, "beside/one:1", [low, middle])
    other = put_sample(registry, "beside/other:1", [middle, low, SMALL[2]])
    with (
        LayerStore(root_dir, driver="overlay2", durability="relaxed", max_streams=1) as store,
        Proxy(registry=registry) as proxy,
    ):
        pull(store, proxy.name(one.rest))
        outcomes: list[object] = []
        stop = Stop()
        with client() as asked:
            name = proxy.name(other.rest)
            pulling = in_thread(lambda: store.images.pull(name, client=asked, stop=stop), outcomes)
            pulling.join(60)
            stop.tell()
            pulling.join(60)
        assert files_of(store, name) == {"low": LARGE, "middle": LARGE, "top": b"1"}
        layers = [digest for digest in proxy.fetched() if digest not in (one.config, other.config)]
        assert sorted(layers) == sorted([*one.layers, other.layers[2]])
        nothing_half_made(store)


def test_what_can_not_be_given_back_hides_no_error_and_keeps_nothing_else(
    root_dir: Path, proxy: Proxy
) -> None:
    sample = put_sample(proxy.registry, "beside/kept:1", SMALL)
    proxy.when(f"^GET .*{sample.layers[2]}", flipped())
    trash = f"{root_dir}/layerstore/trash"
    with LayerStore(root_dir, driver="overlay2", durability="relaxed") as store:
        elsewhere = threading.Event()

        def fill(what: str, done: int, total: int) -> None:
            if done == total and len(store.map()) == 2 and not elsewhere.is_set():
                store.drain()
                mount("tmpfs", trash, "tmpfs", 0, "")  # another file system takes no renames
                elsewhere.set()

        try:
            with pytest.raises(IntegrityError):
                pull(store, proxy.name(sample.rest), progress=fill, parallel=1)
        finally:
            store.drain()
            umount(trash)
        assert elsewhere.is_set()
        assert [layer.references for layer in store.map().values()] == [1, 1]
