"""A hundred removals at once, while others create and mount and the machine is busy."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import layerstore
from layerstore import LayerStore
from layerstore.drivers.system.mountinfo import mount_points
from tests.support.options import amount_of
from tests.support.tars import many_files
from tests.support.ways.opening import Opening

LAYERS = 100
FILES = 20
CREATORS = 4


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "stress_round" in metafunc.fixturenames:
        rounds = range(1, amount_of(metafunc.config, "--stress-rounds"))
        more = (pytest.param(number, marks=pytest.mark.thorough) for number in rounds)
        metafunc.parametrize("stress_round", [0, *more])


@pytest.mark.root
def test_a_hundred_layers_are_removed_at_once(
    root_dir: Path, opening: Opening, stress_round: int
) -> None:
    with opening.store(driver="overlay2") as store:
        base = store.register(many_files(1000))
        store.create_rw_layer("first", base.chain_id).release()  # marks the base as a parent
        store.drain()
        before = _tree(store)
        mounts_before = _mounts(root_dir)
        layers = [store.create_rw_layer(f"rw{n}", base.chain_id) for n in range(LAYERS)]
        for layer in layers:
            with layer.mounted() as path:
                for number in range(FILES):
                    Path(f"{path}/file{number}").write_bytes(b"x" * 100)
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            made = _remove_all(store, layers, base.chain_id)
        finally:
            busy.kill()
            busy.wait()
        assert all(count > 0 for count in made)
        assert store.mounts() == []
        assert {name: facts.references for name, facts in store.map().items()} == {base.chain_id: 1}
        store.drain()
        assert _tree(store) == before
        assert _mounts(root_dir) == mounts_before


def _remove_all(store: LayerStore, layers: list[layerstore.RWLayer], base: str) -> list[int]:
    """Release every layer from a thread of its own; return what the creators made meanwhile."""
    removed = threading.Event()
    made = [0] * CREATORS
    start = threading.Barrier(LAYERS + CREATORS)

    def create(creator: int) -> None:
        start.wait()
        while not (removed.is_set() and made[creator]):
            name = f"new-{creator}-{made[creator]}"
            with store.create_rw_layer(name, base) as layer, layer.mounted() as path:
                assert len(os.listdir(path)) == 10
                Path(f"{path}/own").write_bytes(b"1")
            made[creator] += 1

    def release(layer: layerstore.RWLayer) -> None:
        start.wait()
        assert layer.release() == []

    with ThreadPoolExecutor(LAYERS + CREATORS) as threads:
        creators = [threads.submit(create, number) for number in range(CREATORS)]
        releases = [threads.submit(release, layer) for layer in layers]
        for future in releases:
            future.result(timeout=60)
        removed.set()
        for future in creators:
            future.result(timeout=60)
    return made


def _tree(store: LayerStore) -> set[str]:
    return {
        str(path.relative_to(store.root))
        for place in ("overlay2", "image", "layerstore")
        for path in Path(store.root, place).rglob("*")
    }


def _mounts(root: Path) -> list[str]:
    return [point.path for point in mount_points() if point.path.startswith(str(root))]


def test_there_is_no_lock_in_the_project() -> None:
    package = Path(inspect.getfile(layerstore)).parent
    sources = [path for path in package.rglob("*.py") if path.is_file()]
    for part in ("actors", "drivers"):
        sources += (package / part).glob("*.py")
    assert len(sources) > 30
    words: list[Callable[[str], bool]] = [
        lambda text: "threading.Lock" in text,
        lambda text: "RLock" in text,
        lambda text: "Semaphore" in text,
        lambda text: "threading.Condition" in text,
    ]
    for source in sources:
        text = source.read_text()
        assert not any(found(text) for found in words), source
