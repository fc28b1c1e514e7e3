"""fuse-overlayfs: its process lives as long as its mount; docker's whiteouts are understood."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore import DriverError, LayerStore
from layerstore.drivers.graph.fuse_overlayfs import program
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.model.ids import new_id
from layerstore.drivers.system.readable import is_readable
from tests.conftest import NEEDS_FUSE
from tests.support.homes import driver_of
from tests.support.tars import layer_tar

pytestmark = [pytest.mark.root, NEEDS_FUSE]


@pytest.fixture
def driver(root_dir: Path) -> Iterator[GraphDriver]:
    LayerStore(root_dir, driver="fuse-overlayfs", durability="relaxed", workers=0).close()
    found = driver_of(root_dir, "fuse-overlayfs")
    yield found
    for layer_id in found.mounted():
        found.put(layer_id)


@pytest.fixture
def layer(driver: GraphDriver) -> str:
    """A read-write layer on one with a directory and two files."""
    base, layer = new_id(), new_id()
    driver.create(base, None)
    files = layer_tar({"d": None, "d/one": b"1", "d/two": b"2", "f": b"f", "g": b"g"})
    driver.apply_diff(base, None, io.BytesIO(files))
    driver.create_read_write(layer, base)
    return layer


def parent_of(driver: GraphDriver, layer: str) -> str:
    return Path(driver.tree(layer).lowers[0]).parent.name


def serving(path: str) -> list[int]:
    """Return the processes that serve a mount."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if path.encode() in words:
                found.append(int(entry.name))
    return found


def kill_what_serves(path: str) -> None:
    (pid,) = serving(path)
    ending = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert is_readable(ending, 10)
    os.close(ending)
    with pytest.raises(OSError, match="not connected"):
        os.listdir(path)


def members(driver: GraphDriver, layer: str, parent: str) -> list[str]:
    driver.diff(layer, parent, out := io.BytesIO())
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        return archive.getnames()


def test_the_process_ends_with_its_mount(driver: GraphDriver, layer: str) -> None:
    path = driver.get(layer)
    (pid,) = serving(path)
    ending = os.pidfd_open(pid)
    Path(path, "new").write_bytes(b"1" * 100_000)
    driver.put(layer)
    assert is_readable(ending, 10)
    os.close(ending)
    assert not os.path.exists(path)
    assert Path(driver.tree(layer).root, "new").read_bytes() == b"1" * 100_000


def test_what_a_dead_process_leaves_is_taken_down(driver: GraphDriver, layer: str) -> None:
    path = driver.get(layer)
    Path(path, "new").write_bytes(b"1")
    kill_what_serves(path)
    assert driver.mounted() == {layer}
    driver.put(layer)
    assert driver.mounted() == set()
    assert Path(driver.get(layer), "new").read_bytes() == b"1"


def test_what_a_dead_process_leaves_is_not_mounted_when_a_store_is_opened(root_dir: Path) -> None:
    store = LayerStore(root_dir, driver="fuse-overlayfs", durability="relaxed", workers=0)
    base = store.register(layer_tar({"f": b"f"}))
    paths = [store.create_rw_layer(name, base.chain_id).mount() for name in ("dead", "alive")]
    for path in paths:
        Path(path, "new").write_bytes(b"1")
    store.close(keep_mounts=True)
    kill_what_serves(paths[0])
    with LayerStore(root_dir, driver="fuse-overlayfs", durability="relaxed", workers=0) as store:
        counts = {mount.name: mount.mount_count for mount in store.mounts()}
        assert counts == {"dead": 0, "alive": 1}
        with store.get_rw_layer("dead").mounted() as path:
            assert Path(path, "new").read_bytes() == b"1"
        assert Path(paths[1], "new").read_bytes() == b"1"
        store.get_rw_layer("alive").unmount()


def test_a_start_that_fails_says_why_and_leaves_nothing(
    driver: GraphDriver, layer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver.get(layer)  # what is there is looked at before the program is
    driver.put(layer)
    os.rename(Path(driver.home, parent_of(driver, layer), "diff"), tmp_path / "diff")
    with pytest.raises(DriverError, match="it ends with 1: ") as caught:
        driver.get(layer)
    assert "No such file or directory" in str(caught.value)
    assert not driver.may_be_mounted(layer)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DriverError, match="isn't installed"):
        driver.get(layer)
    assert not driver.may_be_mounted(layer)
    monkeypatch.setattr(program, "_SECONDS", 0.2)
    slow = tmp_path / "fuse-overlayfs"
    slow.write_text("#!/bin/sh\nexec sleep 100\n")
    slow.chmod(0o755)
    with pytest.raises(DriverError, match="hasn't mounted after"):
        driver.get(layer)
    assert not driver.may_be_mounted(layer)
    slow.write_text("#!/bin/sh\nkill -KILL $$\n")
    with pytest.raises(DriverError, match="it is killed by SIGKILL"):
        driver.get(layer)
    assert not driver.may_be_mounted(layer)


def test_where_it_can_t_be_used_it_says_why(
    root_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from layerstore.drivers.graph.fuse_overlayfs import probe  # noqa: PLC0415

    monkeypatch.setattr(probe, "DEVICE", "/dev/nowhere")
    assert "/dev/nowhere can't be used" in probe.why_not(str(root_dir))
    monkeypatch.setenv("PATH", str(root_dir))
    assert "the program fuse-overlayfs isn't installed" in probe.why_not(str(root_dir))


def test_whiteouts_by_name_are_those_of_docker(driver: GraphDriver, layer: str) -> None:
    """dockerd unpacks a layer's whiteouts as files; fuse-overlayfs takes them at their names."""
    parent = parent_of(driver, layer)
    own = Path(driver.tree(layer).root)
    (own / ".wh.f").touch(0o600)
    (own / "d").mkdir()
    (own / "d/.wh..wh..opq").touch(0o600)
    (own / "d/two").write_bytes(b"new")
    (own / ".wh.never").touch()
    (own / "added").write_bytes(b"1")
    told = ["A /added", "C /d", "D /d/one", "C /d/two", "D /f"]
    assert [str(change) for change in driver.changes(layer, parent)] == told
    assert members(driver, layer, parent) == [
        ".wh.f",
        ".wh.never",
        "added",
        "d",
        "d/.wh..wh..opq",
        "d/two",
    ]
    path = Path(driver.get(layer))
    assert sorted(os.listdir(path)) == ["added", "d", "g"]
    assert os.listdir(path / "d") == ["two"]
    driver.put(layer)
    # What lies on it, and what is compared with another than its parent, sees the same.
    top = new_id()
    driver.create(top, layer)
    driver.apply_diff(top, layer, io.BytesIO(layer_tar({".wh.f": b"", "d/.wh.one": b"", "z": b""})))
    assert os.listdir(driver.tree(top).root) == ["z"]
    assert [str(c) for c in driver.changes(top, parent)] == [*told, "A /z"]
    assert members(driver, top, parent) == [
        "added", "d", "d/.wh.one", "d/two", ".wh.f", "z",
    ]  # fmt: skip
    for other in (None, top):
        assert [str(c) for c in driver.changes(top, other)] == (
            [] if other else ["A /added", "A /d", "A /d/two", "A /g", "A /z"]
        )


def test_a_tar_sets_no_attribute_that_the_program_goes_by(driver: GraphDriver) -> None:
    made = new_id()
    driver.create(made, None)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("d")
        member.type = tarfile.DIRTYPE
        names = ("user.fuseoverlayfs.opaque", "user.containers.override_stat", "user.own")
        member.pax_headers = {f"SCHILY.xattr.{name}": "y" for name in names}
        archive.addfile(member)
    driver.apply_diff(made, None, io.BytesIO(buffer.getvalue()))
    assert os.listxattr(f"{driver.tree(made).root}/d") == ["user.own"]


def test_the_command_s_mount_outlives_it(root_dir: Path, tmp_path: Path) -> None:
    def command(*words: str) -> str:
        where = ("--root", str(root_dir), "--driver", "fuse-overlayfs")
        done = subprocess.run(["layerstore", *where, *words], stdout=subprocess.PIPE, check=True)
        return done.stdout.decode().strip()

    tar = tmp_path / "base.tar"
    tar.write_bytes(layer_tar({"file": b"1"}))
    command("import", str(tar), "base:1")
    command("create", "--name", "web", "base:1")
    path = Path(command("mount", "web"))
    assert os.listdir(path) == ["file"]
    (path / "file").unlink()
    command("umount", "web")
    assert not path.exists()
    assert command("diff", "web") == "D /file"
    command("rm", "web")
