"""Processes that unpack are ready before there is a tar, and nobody waits for their end."""

from __future__ import annotations

import ast
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from layerstore import LayerStore, Limits, StorageFull
from layerstore.drivers.root.disk import DiskConfig, make_disk
from layerstore.drivers.system.mountinfo import mount_paths
from layerstore.drivers.system.proc_children import children_of
from layerstore.drivers.system.syscalls import (
    CLONE_NEWNS,
    MNT_DETACH,
    MS_PRIVATE,
    MS_REC,
    mount,
    umount,
    unshare,
)
from layerstore.drivers.worker.rehearsal import rehearse
from tests.conftest import OpenStore
from tests.support.homes import OVERLAYS, home_of
from tests.support.processes import ends
from tests.support.tars import layer_tar
from tests.tar.corpus.builder import directory, file, link, tar

pytestmark = pytest.mark.root


@pytest.fixture
def one(open_store: OpenStore) -> LayerStore:
    """A store with one worker, which has unpacked a layer."""
    store = open_store(workers=1)
    store.register(layer_tar({"first": b"1"}))
    return store


def ready_of(store: LayerStore) -> int:
    """Return the one process that is ready, once that which has done is gone."""
    (worker,) = children_of(os.getpid())
    while len(found := children_of(worker)) != 1:
        assert found, store.root
    return found[0]


def test_one_is_ready_and_those_that_have_done_go(one: LayerStore) -> None:
    used = []
    for number in range(5):
        used.append(ready_of(one))
        one.register(layer_tar({"a": b"%d" % number}))
    assert len({*used, ready_of(one)}) == 6
    assert all(ends(pid, 60) for pid in used)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize(("number", "state"), [(signal.SIGKILL, "Z"), (signal.SIGSTOP, "T")])
def test_one_that_is_of_no_use_any_more_is_replaced(
    one: LayerStore, number: int, state: str
) -> None:
    ready = ready_of(one)
    os.kill(ready, number)
    while state_of(ready) != state:
        os.sched_yield()
    assert one.register(layer_tar({"a": b"1"})).diff_size == 1
    assert ends(ready, 60)
    assert ready_of(one) != ready


def test_the_ready_one_ends_with_its_worker(one: LayerStore) -> None:
    ready = ready_of(one)
    (worker,) = children_of(os.getpid())
    os.kill(worker, signal.SIGKILL)
    assert ends(ready, 60)
    one.close()


def test_lower_layers_are_there_for_whoever_needs_them(one: LayerStore) -> None:
    chain = None
    for number in range(3):
        members = [directory("below/", mode=0o2750), file(f"below/{number}", b"%d" % number)]
        chain = one.register(tar(*members), chain).chain_id
    top = one.register(
        tar(link("linked", "below/0"), file("below/.wh.1", b""), file("below/3", b"3")), chain
    )
    rw = one.create_rw_layer("web", top.chain_id)
    tree = Path(rw.mount())
    try:
        assert sorted(os.listdir(tree / "below")) == ["0", "2", "3"]
        assert (tree / "linked").read_bytes() == b"0"
        assert (tree / "below").stat().st_mode & 0o7777 == 0o2750
    finally:
        rw.unmount()


def test_errors_name_the_layer_as_everybody_sees_it(tmp_path: Path, driver_name: str) -> None:
    mount("tmpfs", str(tmp_path), "tmpfs", 0, "nr_inodes=200")
    try:
        with LayerStore(tmp_path / "store", driver=driver_name) as store:
            with pytest.raises(StorageFull) as caught:
                store.register(tar(*(file(f"file{number}") for number in range(200))))
            assert caught.value.path.startswith(f"{home_of(store.root, driver_name)}/")
            assert "/file1" in caught.value.path
    finally:
        umount(str(tmp_path))


def test_a_rehearsal_leaves_nothing_whatever_the_limits_are(
    root_dir: Path, driver_name: str, tmp_path: Path
) -> None:
    config = DiskConfig(str(root_dir), driver_name, durable=False, limits=Limits(max_entries=1))
    disk = make_disk(config)
    told = tmp_path / "told"

    def there() -> tuple[str, list[str]]:
        return Path("/proc/self/mountinfo").read_text(), os.listdir("/proc/self/fd")

    pid = os.fork()
    if pid == 0:
        try:
            unshare(CLONE_NEWNS)  # others come and go with mounts meanwhile
            mount("none", "/", "", MS_REC | MS_PRIVATE, "")
            # And whoever removes a mount point takes the mount there out of every namespace.
            for path in reversed(mount_paths()):
                is_a_test_s = path.startswith(("/tmp/", "/var/tmp/"))  # noqa: S108 - where they mount
                if is_a_test_s and not f"{root_dir}/".startswith(f"{path}/"):
                    with contextlib.suppress(OSError):  # it is gone meanwhile
                        umount(path, MNT_DETACH)
            before = there()
            rehearse(disk)
            told.write_text(repr((before, there())))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    before, after = ast.literal_eval(told.read_text())
    assert after == before
    assert not root_dir.exists() or os.listdir(root_dir) == []


_WITHOUT = """
import os, sys
from layerstore import LayerStore
from layerstore.drivers.confine import seccomp
from layerstore.drivers.root.disk import DiskConfig, make_disk
from layerstore.drivers.system.proc_children import children_of
from layerstore.drivers.system.syscalls import PR_SET_NO_NEW_PRIVS, prctl
prctl(PR_SET_NO_NEW_PRIVS, 1)
seccomp._forbidding({"": (int(sys.argv[4]),) * 2}, None).make()
with LayerStore(sys.argv[1], driver=sys.argv[2], workers=1, confine="required") as store:
    tars = sys.stdin.buffer.read()
    base = store.register(tars[:int(sys.argv[3])])
    top = store.register(tars[int(sys.argv[3]):], base.chain_id)
    (worker,) = children_of(os.getpid())
    print(top.size, len(children_of(worker)))
"""


@pytest.mark.parametrize("denied", [428, 429], ids=["open_tree", "move_mount"])
def test_without_such_mounts_each_is_forked_when_its_tar_is_there(
    root_dir: Path, driver_name: str, denied: int
) -> None:
    """As on kernels before 5.12, or where only half of it may be; that none is ready shows."""
    tars = [tar(file("below", b"22")), tar(link("linked", "below"))]
    python = [sys.executable, "-c", _WITHOUT, str(root_dir), driver_name, str(len(tars[0]))]
    python.append(str(denied))
    done = subprocess.run(python, input=b"".join(tars), capture_output=True, check=False)
    size = 4 if driver_name in OVERLAYS else 2
    assert (done.stdout, done.stderr) == (b"%d 0\n" % size, b"")
