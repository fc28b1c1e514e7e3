"""A tree as deep as a path can be is a layer like any other; what fails leaves nothing behind."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import resource
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore import ChangeKind, LayerStore, LimitExceeded, Limits
from layerstore.drivers.model.tree import WhiteoutFormat
from layerstore.drivers.tree.delete import delete_tree
from layerstore.drivers.tree.lower import Found, look_up
from layerstore.drivers.tree.xattrs import make_opaque
from layerstore.images.export import export
from layerstore.sandbox.copying import Place, copy, copy_in, copy_out
from tests.command.fixtures import Run
from tests.conftest import OpenStore
from tests.tar.corpus.builder import directory, file, tar

pytestmark = pytest.mark.root

DEPTHS = (300, pytest.param(2000, marks=pytest.mark.thorough))
"""Names of one letter: with "linked", the deepest path has 4,006 bytes of the 4,095 it may have."""


@contextlib.contextmanager
def bottom(root: str | Path, depth: int, *, make: bool = False) -> Iterator[int]:
    """Give a descriptor of the lowest directory, going there step by step."""
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for _ in range(depth):
            if make:
                os.mkdir("d", 0o755, dir_fd=at)
            below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)


def write(at: int, name: str, content: bytes) -> None:
    with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, dir_fd=at), "wb") as out:
        out.write(content)


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """As many as a shell usually allows would be less than one for each directory."""
    gc.collect()  # what others have left to that may have descriptors
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def fill(store: LayerStore, name: str, depth: int) -> None:
    """Make a deep tree in a new read-write layer, and an image of it named as that."""
    with store.images.create(name, "base:1") as rw:
        with rw.mounted() as path, bottom(path, depth, make=True) as at:
            write(at, "file", b"one")
            write(at, "gone", b"gone")
            os.link("file", "linked", src_dir_fd=at, dst_dir_fd=at)
            os.symlink("file", "link", dir_fd=at)
        assert rw.size() == 3 + 4 + 4
        assert len(rw.changes()) == depth + 4
        store.images.commit(rw, f"{name}:1")


@pytest.mark.usefixtures("few_descriptors")
@pytest.mark.parametrize("depth", DEPTHS)
def test_a_deep_tree_is_committed_changed_exported_copied_and_removed(
    open_store: OpenStore, tmp_path: Path, depth: int
) -> None:
    store = open_store(workers=0)
    if store.driver_name == "fuse-overlayfs":
        pytest.skip("fuse-overlayfs copies up one name of a file that has several")
    store.images.import_tar(io.BytesIO(tar(directory("etc/"))), "base:1")
    fill(store, "deep", depth)
    below = "d/" * depth
    with store.images.create("changed", "deep:1") as rw:
        with rw.mounted() as path, bottom(path, depth) as at:
            write(at, "file", b"three")
            os.unlink("gone", dir_fd=at)
            copied = tmp_path / "copied"
            copy(Place(path, "/d"), Place("/", str(copied)))
            copy(Place("/", str(copied)), Place(path, "/e"))
            delete_tree(str(copied))  # what else deletes trees goes deeper with each directory
            copy_out(Place(path, "/d"), written := io.BytesIO())
        kinds = {change.path: change.kind for change in rw.changes()}
        assert kinds[f"/{below}file"] is ChangeKind.MODIFY
        assert kinds[f"/{below}gone"] is ChangeKind.DELETE
        assert kinds[f"/e/{below[2:]}linked"] is ChangeKind.ADD
        image = store.images.commit(rw, "changed:1")
        export(store, rw, exported := io.BytesIO())
    for tar_file in (written, exported):
        tar_file.seek(0)
        with tarfile.open(fileobj=tar_file) as archive:
            names = {member.name.removeprefix("./") for member in archive}
        assert f"{below}link" in names
        assert f"{below}gone" not in names
    layer = store.get(image.chain_id or "")
    with layer.tar_stream() as stream, layer.tar_stream_from(None) as whole:
        assert len(stream.read()) > len(below)
        tree = whole.read()
    assert f"/{below}file\n".encode()[1:] in tree
    assert f"{below}gone\n".encode() not in tree
    layer.release()
    assert store.check(full=True) == []
    for name in ("changed:1", "deep:1", "base:1"):
        store.images.remove(name)
    store.drain()
    assert store.map() == {}
    assert os.listdir(f"{store.core.disk.root}/layerstore/trash") == []


@pytest.mark.each_driver
def test_a_copy_that_is_refused_leaves_nothing(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store(workers=0)
    rw = store.create_rw_layer("rw", None)
    source = tmp_path / "source"
    for name in ("a/b/c/d", "a/b/e"):
        (source / name).mkdir(parents=True)
    (source / "a/b/f").write_text("f")
    few = Limits(max_depth=4)
    with rw.mounted() as path:
        root = Path(path)
        (root / "was").mkdir()
        (root / "was/there").write_text("kept")
        os.utime(root / "was", ns=(1, 1))
        with pytest.raises(LimitExceeded, match=r"4 at entry 'source/a/b/c/d/' \(--limit max_dep"):
            copy(Place("/", str(source)), Place(path, "/was"), limits=few)
        with pytest.raises(LimitExceeded, match="'was/x/y/z/1'"):
            copy_in(io.BytesIO(tar(file("was/x/y/z/1", b""))), Place(path, "/"), limits=few)
        assert os.listdir(root) == ["was"]
        assert os.listdir(root / "was") == ["there"]
        assert (root / "was").stat().st_mtime_ns == 1
    rw.release()


@pytest.mark.each_driver
def test_a_diff_that_cannot_be_applied_leaves_nothing(open_store: OpenStore) -> None:
    store = open_store(limits=Limits(max_entries=5))
    base = store.register(tar(file("below/file", b"1"), file("below/other", b"2")))
    rw = store.create_rw_layer("rw", base.chain_id)
    with rw.mounted() as path:
        Path(path, "below/mine").write_text("mine")
    before = rw.changes()
    in_overlay = store.driver_name == "overlay2"  # in a copy it removes, which isn't undone
    wrong = (
        file("new/implied/file", b"3"),
        file("below/.wh.file" if in_overlay else "below/another", b""),
        file("below/file2", b"4"),
        directory("below/more/"),
        file("below/mine", b"replaced"),
        file("one-too-many", b"5"),
    )
    with pytest.raises(LimitExceeded, match=r"one-too-many.*--limit max_entries"):
        rw.apply_diff(tar(*wrong))
    assert rw.changes() == before
    cut = tar(file("half", b"x" * 100_000))[:50_000]
    with pytest.raises(Exception, match="too early"):
        rw.apply_diff(cut)

    class Failing(io.RawIOBase):
        """Gives whole members, and fails before the end."""

        def __init__(self) -> None:
            self._given = [tar(file("whole", b"6"))[:1024]]

        def read(self, size: int = -1) -> bytes:  # noqa: ARG002
            if not self._given:
                raise RuntimeError("the source is broken")
            return self._given.pop()

    with pytest.raises(Exception, match="broken"):
        rw.apply_diff(Failing())
    assert rw.changes() == before
    with rw.mounted() as path:
        assert Path(path, "below/mine").read_text() == "replaced"
        assert stat.S_ISREG(os.lstat(f"{path}/below/other").st_mode)
    rw.release()
    base.release()


def test_the_command_copies_as_deep_as_it_is_told(run: Run, tmp_path: Path) -> None:
    run("create", "deep")
    (tmp_path / "a/b/c").mkdir(parents=True)
    said = run("--limit", "max_depth=2", "cp", tmp_path / "a", "deep:/", status=1)
    assert "at entry 'a/b/c/' (--limit max_depth=N sets another)" in said
    run("cp", tmp_path / "a", "deep:/")
    said = run("--limit", "max_depth=2", "cp", "deep:/a", tmp_path / "out", status=1)
    assert "out/b/c" in said
    assert not (tmp_path / "out").exists()


def test_a_tree_deeper_than_any_path_is_measured_refused_by_name_and_removed(
    open_store: OpenStore,
) -> None:
    store = open_store(workers=0)
    with store.create_rw_layer("rw", None) as rw:
        with rw.mounted() as path:
            at = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            for _ in range(25):
                name = "n" * 200
                os.mkdir(name, dir_fd=at)
                below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
                os.close(at)
                at = below
            write(at, "file", b"12345")
            os.close(at)
        assert rw.size() == 5
        assert len(rw.changes()) == 26
        with pytest.raises(
            LimitExceeded, match=r"length of a name .* at entry 'n{100}.*max_path=N"
        ):
            store.images.commit(rw, "deep:1")
        assert store.map() == {}
        with rw.mounted() as path, contextlib.closing(io.BytesIO()) as out:
            copy_out(Place(path, "/"), out)
            assert b"12345" in out.getvalue()
    store.drain()
    assert os.listdir(f"{store.core.disk.root}/layerstore/trash") == []


def test_what_lies_deep_in_several_layers_is_found_where_it_is(root_dir: Path) -> None:
    way = "/".join("d" * 40)
    layers = [root_dir / name for name in ("upper", "middle", "lowest")]
    for layer in layers:
        (layer / way).mkdir(parents=True)
    (layers[1] / way / "hidden").symlink_to("x")
    (layers[2] / way / "below").write_text("below")
    os.mknod(layers[0] / way / "hidden", stat.S_IFCHR, 0)
    (layers[2] / way[:51] / "covered").write_text("covered")
    make_opaque(str(layers[1] / way[:51]), WhiteoutFormat.OVERLAY)

    def found(path: str) -> Found | None:
        return look_up([str(layer) for layer in layers], path, WhiteoutFormat.OVERLAY)

    there = found(way)
    assert there is not None
    assert there.merged == tuple(str(layer / way) for layer in layers[:2])
    assert found(f"{way}/hidden") is None
    assert found(f"{way}/below") is None
    assert found(f"{way[:51]}/covered") is None
    os.removexattr(layers[1] / way[:51], "trusted.overlay.opaque")
    below = found(f"{way}/below")
    assert below is not None
    assert below.path == str(layers[2] / way / "below")
    assert below.merged == ()
