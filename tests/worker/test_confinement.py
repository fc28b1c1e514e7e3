"""Worker processes give up what their jobs don't need, which their parent can see from outside."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerstore import LayerStore, LayerStoreError, Limits, NotConfined
from layerstore.drivers.confine.confine import FILTER, VISIBLE
from layerstore.drivers.root.disk import DiskConfig
from layerstore.drivers.system.proc_children import children_of
from layerstore.drivers.system.syscalls import mount, umount
from layerstore.drivers.worker.process import ChildProcess
from tests.command.fixtures import Run
from tests.conftest import OpenStore
from tests.support.homes import home_of
from tests.support.processes import status_of
from tests.support.tars import layer_tar, many_files
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

# CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SYS_ADMIN, MKNOD, SETFCAP
KEPT = sum(1 << number for number in (0, 1, 3, 4, 21, 27, 31))
NAMESPACES = ("mnt", "net", "ipc", "uts")


@pytest.fixture
def child(store: LayerStore) -> Iterator[ChildProcess]:
    config = DiskConfig(store.root, store.driver_name, durable=False, limits=Limits())
    process = ChildProcess(config)
    yield process
    process.close()


def mounts_of(pid: int) -> dict[str, set[str]]:
    """Return the options of each mount that a process sees, by mount point."""
    lines = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    return {fields[4]: set(fields[5].split(",")) for fields in lines}


def mounts_in(root: str, pid: int) -> list[str]:
    """Return what a process sees mounted in a root; nothing of one that is just ending."""
    try:
        return [point for point in mounts_of(pid) if point.startswith(root)]
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESRCH, errno.EINVAL):
            raise
        return []


def within_an_apply(
    store: LayerStore,
    look: Callable[[int, int], None],
    content: bytes = many_files(400, size=2000),
    **options: str,
) -> None:
    """Register a tar and, half-way, look at the worker and the process that unpacks for it."""
    reader, writer = os.pipe()
    before = set(children_of(os.getpid()))
    failures: list[LayerStoreError] = []

    def register() -> None:
        try:
            store.register(reader, **options)  # type: ignore[arg-type]
        except LayerStoreError as error:
            failures.append(error)

    thread = threading.Thread(target=register)
    thread.start()
    # Once the pipe has taken far more than it holds, somebody is unpacking.
    os.write(writer, content[: len(content) // 2])

    def unpacking() -> list[tuple[int, int]]:
        return [
            (worker, fork)
            for worker in {*before, *children_of(os.getpid())}
            for fork in children_of(worker)
            if mounts_in(store.root, fork)
        ]

    try:
        # The next one, which gets ready meanwhile, has its worker's mounts at first.
        wait_until(lambda: len(unpacking()) == 1)
        look(*unpacking()[0])
    finally:
        with open(writer, "wb") as rest:
            rest.write(content[len(content) // 2 :])
        thread.join()
        os.close(reader)
    assert failures == []


def test_a_worker_sees_the_root_alone(store: LayerStore, child: ChildProcess) -> None:
    confinement = child.confinement()
    assert confinement.missing == ()
    assert VISIBLE in confinement.done
    seen = mounts_of(child.pid)
    assert set(seen) == {"/", "/proc", store.root}
    assert {"ro", "nosuid", "nodev", "noexec"} <= seen["/"]
    assert {"ro", "nosuid", "nodev", "noexec"} <= seen["/proc"]
    assert {"rw", "nosuid", "nodev", "noexec"} <= seen[store.root]
    top = f"/proc/{child.pid}/root"
    assert sorted(os.listdir(top)) == sorted({"proc", store.root.split("/")[1]})
    assert os.path.samefile(f"{top}{store.root}", store.root)
    assert os.readlink(f"/proc/{child.pid}/cwd") == "/"
    for name in NAMESPACES:
        own, ours = (os.readlink(f"/proc/{pid}/ns/{name}") for pid in (child.pid, "self"))
        assert own != ours


def test_a_worker_keeps_only_the_privileges_that_unpacking_needs(child: ChildProcess) -> None:
    child.confinement()
    status = status_of(child.pid)
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[name], 16) == KEPT
    assert int(status["CapInh"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert (status["Seccomp"], status["Seccomp_filters"]) == ("2", "1")
    assert status["Threads"] == "1"
    assert status["Umask"] == "0022"
    limits = Path(f"/proc/{child.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)
    assert re.search(rf"Max address space +{4 << 30} +{4 << 30} ", limits)
    assert b"HOME=" not in Path(f"/proc/{child.pid}/environ").read_bytes()


def sockets_of(pid: int) -> set[str]:
    names = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    return {name for name in names if name.startswith("socket:")}


def test_the_process_that_unpacks_sees_its_layer_alone(store: LayerStore) -> None:
    def look(worker: int, unpacker: int) -> None:
        seen = mounts_of(unpacker)
        (tree,) = set(seen) - {"/", "/proc/self/fd"}
        assert tree.startswith(f"{home_of(store.root, store.driver_name)}/")
        assert {point for point in seen if "rw" in seen[point]} == {tree}
        assert all({"nosuid", "nodev", "noexec"} <= options for options in seen.values())
        assert "d0" in os.listdir(f"/proc/{unpacker}/root{tree}")
        status = status_of(unpacker)
        assert int(status["CapEff"], 16) == KEPT
        assert status["Seccomp_filters"] == "3"
        # Its own, and the one by which the store sees whether anybody is left.
        assert len(sockets_of(unpacker)) == 2
        assert len(sockets_of(unpacker) & sockets_of(worker)) == 1

    within_an_apply(store, look)


def test_lower_layers_are_given_read_only_and_without_a_way_up(store: LayerStore) -> None:
    if store._core.disk.driver.copies:
        pytest.skip("its layers are complete")
    chain = None
    for name in ("a", "b"):
        chain = store.register(layer_tar({name: b"1"}), chain).chain_id

    def look(_worker: int, unpacker: int) -> None:
        opened = [str(fd) for fd in Path(f"/proc/{unpacker}/fd").iterdir()]
        lower = [fd for fd in opened if listed(fd) in (["a"], ["b"])]
        assert len(lower) == 2
        for fd in lower:
            flags = os.statvfs(fd).f_flag
            assert flags & os.ST_RDONLY
            assert flags & os.ST_NODEV
            assert os.path.samefile(f"{fd}/..", fd)

    content = layer_tar({".wh.a": b"", "large": bytes(8 << 20)})
    within_an_apply(store, look, content, parent=chain or "")


def listed(directory: str) -> list[str]:
    return os.listdir(directory) if os.path.isdir(directory) else []


def test_a_process_that_is_ready_sees_nothing(store: LayerStore) -> None:
    def look(worker: int, unpacker: int) -> None:
        (ready,) = set(children_of(worker)) - {unpacker}
        seen = mounts_of(ready)
        assert set(seen) == {"/", "/proc/self/fd"}
        assert all({"nosuid", "nodev", "noexec"} <= options for options in seen.values())
        home = home_of(store.root, store.driver_name)
        assert os.listdir(f"/proc/{ready}/root{home}") == []
        status = status_of(ready)
        assert int(status["CapEff"], 16) == KEPT
        assert status["Seccomp_filters"] == "2"
        assert len(sockets_of(ready) & sockets_of(worker)) == 1
        assert not sockets_of(ready) & sockets_of(unpacker) - sockets_of(worker)
        mine = {os.readlink(fd) for fd in Path(f"/proc/{ready}/fd").iterdir()}
        assert not any(store.root in name or name.startswith("pipe:") for name in mine)

    within_an_apply(store, look)


def mounts_here(store: LayerStore) -> list[str]:
    """Return the mounts that this process sees on or beneath the root, or that children name."""
    table = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in table if store.root in line or " tmpfs layerstore " in line]


def test_nothing_that_a_worker_mounts_is_seen_outside(store: LayerStore) -> None:
    assert mounts_here(store) == []

    def look(_worker: int, _unpacker: int) -> None:
        assert mounts_here(store) == []

    within_an_apply(store, look)
    base = store.register(layer_tar({"a": b"1"}))
    top = store.register(layer_tar({"b": b"1"}), base.chain_id)
    third = store.register(layer_tar({"c": b"1"}), top.chain_id)
    with third.tar_stream_from(base.chain_id) as stream:  # compares whole trees, mounted
        assert b"c" in stream.read()
    assert mounts_here(store) == []


def test_a_worker_keeps_no_file_system_busy(
    make_file_system: Callable[[str, int], Path], base_directory: Path
) -> None:
    """Neither one beside the root, nor the mounts of read-write layers made before it started."""
    beside = make_file_system("tmpfs", 1)
    mounted = beside / "again"
    mounted.mkdir()
    mount("tmpfs", str(mounted), "tmpfs", 0, "")
    try:
        with LayerStore(base_directory / "busy", driver="overlay2", prespawn=False) as store:
            base = store.register(layer_tar({"a": b"1"}))
            rw = store.create_rw_layer("web", base.chain_id)
            rw.mount()
            other = ChildProcess(DiskConfig(store.root, "overlay2", durable=False, limits=Limits()))
            try:
                other.confinement()
                umount(str(mounted))  # EBUSY if it were used, as it is no lazy unmount
                rw.unmount()
                assert set(mounts_of(other.pid)) == {"/", "/proc", store.root}
                rw.release()
                store.drain()
            finally:
                other.close()
    finally:
        subprocess.run(["umount", "-q", str(mounted)], check=False)
        subprocess.run(["rm", "-rf", str(base_directory / "busy")], check=True)


def test_the_disk_below_a_closed_store_can_be_taken_away(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    mount("tmpfs", str(place), "tmpfs", 0, "")
    try:
        with LayerStore(place / "store", driver="overlay2") as store:
            store.register(layer_tar({"a": b"1"}))
            store.drain()
    finally:
        umount(str(place))


def test_what_the_kernel_refuses_is_told_and_can_be_refused(
    root_dir: Path, driver_name: str
) -> None:
    """In a process without CAP_SYS_ADMIN, whose vfs store works all the same."""
    if driver_name != "vfs":
        pytest.skip("overlay2 can't be used without CAP_SYS_ADMIN at all")
    script = (
        "import sys; from layerstore import LayerStore, NotConfined\n"
        "with LayerStore(sys.argv[1], driver='vfs') as store:\n"
        "    print(store.confinement()); print(len(store.register(b'\\0' * 1024).chain_id))\n"
        "try: LayerStore(sys.argv[1], driver='vfs', confine='required')\n"
        "except NotConfined as error: print(error)\n"
    )
    python = [sys.executable, "-c", script, str(root_dir)]
    command = ["setpriv", "--bounding-set=-sys_admin", *python]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told, size, refused = done.stdout.splitlines()
    assert FILTER in told
    assert f"missing: {VISIBLE} (Operation not permitted)" in told
    assert size == "71"
    assert "can't be confined as required" in refused


def test_confinement_can_be_required_and_turned_off(open_store: OpenStore) -> None:
    with open_store(confine="required") as store:
        assert store.confinement().missing == ()
        assert store.register(layer_tar({"a": b"1"}))
    with open_store(confine="off") as store:
        assert store.confinement().done == ()
        assert store.register(layer_tar({"b": b"1"}))
    with pytest.raises(NotConfined, match="threads"):
        open_store(workers=0, confine="required")
    with open_store(workers=0) as store:
        assert "threads of this process" in str(store.confinement())


def test_info_tells_how_workers_are_confined(begun: Run) -> None:
    assert re.search(rf"^Confinement: {VISIBLE}, .*, {FILTER}$", begun("info"), re.MULTILINE)
    told = begun("--confine", "off", "info")
    assert "Confinement: none; missing: everything (turned off)" in told
