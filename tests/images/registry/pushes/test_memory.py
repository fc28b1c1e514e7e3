"""What a push takes doesn't grow with what is pushed."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.images.registry.pushes.pushing import fresh
from tests.support.figures import Tell
from tests.support.registries.daemon import NEEDED, Registry

pytestmark = NEEDED

LARGE = 384 << 20
MOST_MORE = 80 << 20

PUSH = """
import io, sys
from layerstore import LayerStore
from layerstore.images.registry.client import RegistryClient
from layerstore.images.registry.credentials import Credentials
from layerstore.images.registry.settings import RegistrySettings
from tests.support.processes import peak, reset_peak
from tests.support.tars import layer_tar
root, large, target = sys.argv[1:]
with (
    LayerStore(root, durability="relaxed") as store,
    RegistryClient(RegistrySettings(), Credentials()) as client,
):
    store.images.import_tar(io.BytesIO(layer_tar({"small": b"1"})), "small")
    store.images.push("small", target, client=client)  # so that all is imported
    store.images.import_tar(large, "large")
    before = reset_peak()
    store.images.push("large", target, client=client)
    print(peak() - before)
"""


def put_noise(path: Path) -> None:
    """Write a tar of a file of LARGE bytes that can't be made smaller."""
    header = tarfile.TarInfo("noise")
    header.size = LARGE
    with path.open("wb") as file:
        file.write(header.tobuf())
        for _ in range(LARGE >> 20):
            file.write(os.urandom(1 << 20))
        file.write(bytes(1024))


@pytest.mark.root
@pytest.mark.thorough
def test_a_large_layer_takes_no_memory(registry: Registry, root_dir: Path, tell: Tell) -> None:
    put_noise(root_dir / "large.tar")
    words = [str(root_dir / "root"), str(root_dir / "large.tar"), registry.name(fresh())]
    done = subprocess.run([sys.executable, "-c", PUSH, *words], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    more = int(done.stdout)
    tell(f"to push a layer of {LARGE >> 20} MiB takes {more >> 20} MiB more")
    assert more < MOST_MORE
