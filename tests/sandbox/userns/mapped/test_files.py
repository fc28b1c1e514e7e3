"""Files go into and out of a layer with users of its own with the owners that they have inside."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from layerstore import DriverError, InvalidArgument, LayerStore, RWLayer
from layerstore.images.export import export
from layerstore.sandbox.copying import Place, copy, copy_in, copy_out
from tests.sandbox.conftest import Runs, lines
from tests.support.busybox import NAME

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]
ENV = {"PATH": "/bin"}


@pytest.fixture(scope="module", autouse=True)
def warmed(store: LayerStore) -> None:
    """The store has the process that forks for its sandboxes, as long as it is open."""
    store.sandbox(NAME).close()


def owners(tar: io.BytesIO) -> dict[str, tuple[int, int]]:
    tar.seek(0)
    with tarfile.open(fileobj=tar) as opened:
        return {member.name: (member.uid, member.gid) for member in opened}


def test_copies_have_the_owners_that_they_have_inside(
    store: LayerStore, box: RWLayer, sh: Runs, tmp_path: Path
) -> None:
    (tmp_path / "in/one").mkdir(parents=True)
    (tmp_path / "in/one/file").write_text("in\n")
    os.chown(tmp_path / "in/one/file", 7, 8)
    with box.mounted() as path:
        copy(Place("/", f"{tmp_path}/in"), Place(path, "/kept", box.id_map))
        copy(Place("/", f"{tmp_path}/in"), Place(path, "/given", box.id_map), owner=(1, 2))
        out, whole = io.BytesIO(), io.BytesIO()
        copy_out(Place(path, "/kept", box.id_map), out)
        copy(Place(path, "/kept", box.id_map), Place("/", f"{tmp_path}/out"))
    assert lines(sh("busybox stat -c %u:%g /kept /kept/one/file /given/one/file")) == [
        "0:0",
        "7:8",
        "1:2",
    ]
    assert owners(out) == {"kept": (0, 0), "kept/one": (0, 0), "kept/one/file": (7, 8)}
    found = os.stat(tmp_path / "out/one/file")
    assert (found.st_uid, found.st_gid) == (7, 8)
    export(store, box, whole)
    assert owners(whole)["given/one/file"] == (1, 2)


def test_an_owner_that_the_layer_has_not_is_told(box: RWLayer) -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as made:
        member = tarfile.TarInfo("file")
        member.uid = 70000
        made.addfile(member)
    tar.seek(0)
    with (
        box.mounted() as path,
        pytest.raises(DriverError, match=f"no owner 70000:0, its users are {box.id_map}"),
    ):
        copy_in(tar, Place(path, "/", box.id_map))
    assert box.changes() == []


def test_a_sandbox_has_users_of_its_own(store: LayerStore) -> None:
    with store.sandbox(NAME, env=ENV, id_map="auto") as box:
        box.write_file("/made/mine", b"mine")
        box.write_file("/theirs", b"", owner=(5, 6))
        done = box.exec(["sh", "-c", "touch /new; busybox stat -c %u:%g /made/mine /theirs /new"])
        assert done.stdout == b"0:0\n5:6\n0:0\n"
        entries = {entry.name: (entry.uid, entry.gid) for entry in box.list_directory("/")}
        assert (entries["theirs"], entries["bin"]) == ((5, 6), (0, 0))
        with pytest.raises(DriverError, match="no owner 70000:0"):
            box.write_file("/none", b"", owner=(70000, 0))
        (fork,) = box.fork()
        with fork:
            assert fork.rw.id_map != box.rw.id_map
            mapped = fork.exec(["cat", "/proc/self/uid_map"]).stdout or b""
            assert mapped.decode().split() == fork.rw.id_map.split(":")
            fork.write_file("/theirs", b"its own")


@pytest.mark.parametrize("options", [{"id_map": "some"}, {"id_map": "auto", "network": "host"}])
def test_a_sandbox_can_not_have_any_users(store: LayerStore, options: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        store.sandbox(NAME, **options)  # type: ignore[arg-type]
    assert store.mounts() == []
