"""Forks and resets of layers that were asked to be something: in memory, scratch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from layerstore import LayerStore
from layerstore.drivers.system.mountinfo import mount_points
from tests.support.tars import layer_tar

pytestmark = pytest.mark.root

MiB = 1 << 20


def memory_of(store: LayerStore) -> int:
    return sum(point.path.startswith(f"{store.root}/overlay2/") for point in mount_points())


@pytest.mark.parametrize("scratch", ["memory", "disk"])
def test_a_fork_is_what_its_source_was_asked_to_be(tmp_path: Path, scratch: str) -> None:
    options = {"scratch": scratch} | ({"size": "20m"} if scratch == "memory" else {})
    with LayerStore(tmp_path, driver="overlay2") as store:
        base = store.register(layer_tar({"a": b"1"})).chain_id
        source = store.create_rw_layer("source", base, storage_opt=options)
        with source.mounted() as path:
            Path(path, "new").write_bytes(b"1" * MiB)
            os.unlink(f"{path}/a")
            one = source.fork("one")
        assert memory_of(store) == (2 if scratch == "memory" else 0)
        facts = [
            {key: value for key, value in rw.metadata().items() if key.startswith("StorageOpt")}
            for rw in (source, one)
        ]
        assert facts[0] == facts[1]
        assert facts[1]["StorageOpt.scratch"] == scratch
        with one.mounted() as path:
            assert os.listdir(path) == ["new"]
            if scratch == "memory":
                with pytest.raises(OSError, match="No space left"):
                    Path(path, "large").write_bytes(b"1" * 20 * MiB)
                # A mount namespace that anybody makes just now may hold the mount, and so the file.
                os.truncate(Path(path, "large"), 0)
        one.reset()
        with one.mounted() as path:
            assert os.listdir(path) == ["a"]
            Path(path, "large").write_bytes(b"1" * 18 * MiB)
        with source.mounted() as path:
            assert os.listdir(path) == ["new"]
        one.release()
        assert memory_of(store) == (1 if scratch == "memory" else 0)
        source.release()
        assert memory_of(store) == 0
