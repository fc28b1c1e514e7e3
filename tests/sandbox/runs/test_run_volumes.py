"""Volumes of a command: what it sees of them, and where their targets may not lead."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from layerstore import (
    DriverError,
    InvalidName,
    LayerStore,
    RWLayer,
    Volume,
    mount_points,
    run,
    start,
)
from layerstore.drivers.sandbox.inside import Tree, restrict
from layerstore.drivers.sandbox.volumes import mount_volumes
from layerstore.drivers.system import syscalls as sc
from tests.graph.idmapped.inside import as_inside
from tests.sandbox.conftest import Runs, lines
from tests.support.busybox import NAME

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


def test_volumes(sh: Runs, tmp_path: Path) -> None:
    (tmp_path / "inner").write_text("content")
    rw_, ro, file = (
        Volume(source=str(tmp_path), target="/made/here"),
        Volume(source=str(tmp_path), target="/ro", read_only=True),
        Volume(source=str(tmp_path / "inner"), target="/etc/one-file"),
    )
    found = sh("cat /ro/inner /etc/one-file; touch /made/here/new", volumes=[rw_, ro, file])
    assert lines(found) == ["contentcontent"]
    assert (tmp_path / "new").exists()
    assert sh("touch /ro/x", volumes=[ro]).status != 0
    assert sh("mknod /made/here/d c 1 3 && cat /made/here/d", volumes=[rw_]).status != 0
    with pytest.raises(DriverError, match="No such file"):
        sh("true", volumes=[Volume(source="/missing-here", target="/x")])


def test_a_volume_s_target_does_not_lead_out(store: LayerStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    with store.images.create("bare", NAME) as bare:
        with bare.mounted() as path:
            Path(path, "link").symlink_to(outside)
        volume = Volume(source="/etc", target="/link/made")
        found = run(bare, ["/bin/ls", f"{outside}/made/passwd"], volumes=[volume], capture=True)
        assert lines(found) == [f"{outside}/made/passwd"]
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("leads_to", ["/", "../../..", "/proc", "../proc/sys"])
def test_a_volume_s_target_leads_neither_to_the_root_nor_into_proc(
    store: LayerStore, leads_to: str
) -> None:
    """CVE-2015-3631, CVE-2019-16884."""
    with store.images.create("bare", NAME, init=mount_points) as bare:
        with bare.mounted() as path:
            Path(path, "srv/link").symlink_to(leads_to)
        volume = Volume(source="/etc", target="/srv/link")
        with pytest.raises(InvalidName, match=r"'/etc:/srv/link': .* lead to / nor into /proc"):
            run(bare, ["/bin/true"], volumes=[volume])


@pytest.mark.parametrize("target", ["/dev", "/sys"])
def test_a_volume_may_stand_for_other_mounts_of_the_system(
    sh: Runs, tmp_path: Path, target: str
) -> None:
    (tmp_path / "mine").touch()
    assert lines(sh(f"ls {target}", volumes=[Volume(source=str(tmp_path), target=target)])) == [
        "mine"
    ]


@pytest.mark.parametrize("target", ["/dev", "/dev/pts"])
def test_a_volume_that_hides_the_terminals_leaves_none(
    rw: RWLayer, tmp_path: Path, target: str
) -> None:
    volume = Volume(source=str(tmp_path), target=target)
    with (
        rw.mounted() as path,
        start(path, ["/bin/true"], terminal=True, volumes=[volume]) as running,
        pytest.raises(DriverError, match="open a terminal in /dev/pts: No such file"),
    ):
        running.wait()


def test_a_volume_in_another_is_seen_in_whatever_order_they_are_given(
    sh: Runs, tmp_path: Path
) -> None:
    (tmp_path / "above/in").mkdir(parents=True)
    (tmp_path / "below").mkdir()
    (tmp_path / "below/leaf").touch()
    above = Volume(source=str(tmp_path / "above"), target="/v/")
    below = Volume(source=str(tmp_path / "below"), target="/./v/in")
    for volumes in ([above, below], [below, above]):
        assert lines(sh("ls /v/in", volumes=volumes)) == ["leaf"]


def test_a_volume_that_is_exchanged_meanwhile_changes_no_other_mount(tmp_path: Path) -> None:
    """Who shares the volume that a further one is in puts a link to /proc/sys in its place."""
    root, shared, source = (tmp_path / name for name in ("root", "shared", "source"))
    for place in (root / "v", root / "proc", root / "safe", shared / "x", source):
        place.mkdir(parents=True)

    class Exchanged(Tree):
        def inside(self, fd: int) -> str:
            found = super().inside(fd)
            if found == "/v/x":
                (shared / "x").rename(shared / "moved")
                (shared / "x").symlink_to("/safe")
            return found

    def mounted() -> None:
        sc.unshare(sc.CLONE_NEWNS)
        sc.mount("none", "/", "", sc.MS_REC | sc.MS_PRIVATE, "")
        for place in (root, root / "safe"):
            sc.mount(str(place), str(place), "", sc.MS_BIND, "")
        restrict(str(root / "safe"), sc.MS_RDONLY)
        sc.mount("tmpfs", str(root / "proc"), "tmpfs", 0, "")
        volumes = [
            Volume(source=str(shared), target="/v"),
            Volume(source=str(source), target="/v/x", read_only=True),
        ]
        mount_volumes(Exchanged(str(root)), volumes)
        for shown in ("safe", "v/moved"):
            assert os.statvfs(root / shown).f_flag & os.ST_RDONLY

    as_inside(None, "/", mounted)
