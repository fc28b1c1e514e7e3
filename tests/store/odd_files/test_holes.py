"""A file that is mostly holes takes little room and time wherever it goes."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from layerstore import LayerStore
from layerstore.images.export import export
from layerstore.images.image import Image
from layerstore.sandbox.copying import Place, copy
from tests.command.fixtures import Run
from tests.conftest import OpenStore
from tests.tar.corpus.builder import directory, link, tar

pytestmark = pytest.mark.root

MIB = 1 << 20
SIZE = 16 * MIB
HUGE = 64 << 30
"""What would take a minute if its zeros were read or written anywhere."""
DATA = os.urandom(4096)


def make(path: str, size: int) -> None:
    with Path(path, "disk").open("wb") as file:
        file.write(DATA)
        file.seek(size // 2)
        file.write(DATA)
        file.truncate(size)


def check(path: str | Path, size: int) -> None:
    """Look at a file where its data is."""
    with Path(path).open("rb") as file:
        status = os.fstat(file.fileno())
        assert status.st_size == size
        assert status.st_blocks * 512 <= 64 << 10
        assert file.read(8192) == DATA + bytes(4096)
        file.seek(size // 2)
        assert file.read(8192) == DATA + bytes(4096)


def committed(store: LayerStore, size: int, *, sparse: bool) -> Image:
    with store.images.create("making", "base:1") as rw:
        with rw.mounted() as path:
            make(path, size)
        return store.images.commit(rw, "disk:1", sparse=sparse)


@pytest.mark.each_driver
@pytest.mark.parametrize(("sparse", "size"), [(False, SIZE), (True, HUGE)])
def test_a_committed_file_keeps_its_holes(
    open_store: OpenStore, sparse: bool, size: int, tmp_path: Path
) -> None:
    store = open_store()
    if store.driver_name == "fuse-overlayfs" and size == HUGE:
        pytest.skip("fuse-overlayfs tells of no holes, and copies up zeros for them")
    store.images.import_tar(io.BytesIO(tar(directory("etc/"))), "base:1")
    image = committed(store, size, sparse=sparse)
    with store.images.create("looking", "disk:1") as rw:
        with rw.mounted() as path:
            check(f"{path}/disk", size)
            os.utime(f"{path}/disk")
            os.mkdir(f"{path}/in")
            copy(Place(path, "/disk"), Place("/", str(tmp_path / "out")))
            check(tmp_path / "out", size)
            copy(Place("/", str(tmp_path / "out")), Place(path, "/in"))
            check(f"{path}/in/out", size)
        if sparse:
            export(store, rw, out := io.BytesIO(), sparse=True)
            with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
                assert {m.name for m in archive if m.issparse()} == {"disk", "in/out"}
    layer = store.get(image.chain_id or "")
    assert layer.diff_size == size
    with layer.tar_stream() as stream:
        given = stream.read()
    with tarfile.open(fileobj=io.BytesIO(given)) as archive:
        assert archive.getmember("disk").issparse() == sparse
    store.images.save(["disk:1"], saved := io.BytesIO())
    assert given in saved.getvalue()
    assert store.check(full=True) == []
    with layer.tar_stream_from(None, sparse=True) as stream:
        assert len(stream.read()) < MIB
    layer.release()


def test_a_file_of_a_lower_layer_that_is_copied_up_keeps_its_holes(open_store: OpenStore) -> None:
    store = open_store()
    store.images.import_tar(io.BytesIO(tar(directory("etc/"))), "base:1")
    image = committed(store, HUGE, sparse=True)
    upper = store.register(tar(link("linked", "disk")), image.chain_id)
    rw = store.create_rw_layer("looking", upper.chain_id)
    with rw.mounted() as path:
        check(f"{path}/linked", HUGE)
    rw.release()
    upper.release()


def test_the_command_writes_sparse_members_where_it_is_asked(run: Run, tmp_path: Path) -> None:
    run("create", "disk")
    make(str(tmp_path), SIZE)
    run("cp", tmp_path / "disk", "disk:/")
    sizes = {}
    for option in ("--sparse", None):
        given = [option] if option else []
        run("export", *given, "disk", "-o", tmp_path / "disk.tar")
        run("commit", *given, "disk", "disk:1")
        run("save", "disk:1", "-o", tmp_path / "saved.tar")
        sizes[option] = [(tmp_path / name).stat().st_size for name in ("disk.tar", "saved.tar")]
    assert all(size < MIB for size in sizes["--sparse"])
    assert all(size > SIZE for size in sizes[None])
