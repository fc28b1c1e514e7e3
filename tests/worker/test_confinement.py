"""Worker processes give up what their jobs don't need, which their parent can see from outside."""

from __future__ import annotations

import ctypes
import io
import lzma
import os
import re
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from layerstore import LayerStore, LayerStoreError, LimitExceeded, Limits, NotConfined
from layerstore.drivers.confine.confine import FILTER, VISIBLE
from layerstore.drivers.confine.narrow import see_only_root, see_only_tree
from layerstore.drivers.confine.seccomp import forbid
from layerstore.drivers.root.disk import DiskConfig
from layerstore.drivers.system.proc_children import children_of
from layerstore.drivers.system.syscalls import PR_SET_NO_NEW_PRIVS, mount, prctl, umount
from layerstore.drivers.worker.process import ChildProcess
from tests.command.fixtures import Run
from tests.conftest import OpenStore
from tests.support.tars import layer_tar, many_files
from tests.tar.corpus.builder import directory, file, symlink, tar

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


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def mounts_of(pid: int) -> dict[str, set[str]]:
    """Return the options of each mount that a process sees, by mount point."""
    lines = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    return {fields[4]: set(fields[5].split(",")) for fields in lines}


def within_an_apply(store: LayerStore, look: Callable[[int, int], None], **options: str) -> None:
    """Register a tar and, half-way, look at the worker and the process that unpacks for it."""
    content = many_files(400, size=2000)
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
    unpacking = [
        (worker, forks[0])
        for worker in {*before, *children_of(os.getpid())}
        if (forks := children_of(worker))
    ]
    try:
        assert len(unpacking) == 1
        look(*unpacking[0])
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


def test_the_process_that_unpacks_sees_its_layer_alone(store: LayerStore) -> None:
    base = store.register(layer_tar({"a": b"1"}))

    def look(worker: int, unpacker: int) -> None:
        seen = mounts_of(unpacker)
        data = {point for point in seen if point.startswith(store.root)}
        writable = {point for point in seen if "rw" in seen[point]}
        assert len(writable) == 1
        assert writable < data or writable == data
        assert len(data) == (2 if store.driver_name == "overlay2" else 1)
        assert set(seen) - data == {"/", "/proc/self/fd"}
        assert all({"nosuid", "nodev", "noexec"} <= options for options in seen.values())
        status = status_of(unpacker)
        assert int(status["CapEff"], 16) == KEPT
        assert status["Seccomp_filters"] == "2"
        sockets = [os.readlink(fd) for fd in Path(f"/proc/{worker}/fd").iterdir()]
        shared = {os.readlink(fd) for fd in Path(f"/proc/{unpacker}/fd").iterdir()}
        theirs = [name for name in sockets if name.startswith("socket:")]
        assert not set(theirs) <= shared, "it can't speak to the store in the worker's name"

    within_an_apply(store, look, parent=base.chain_id)


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


def in_fork(attempt: Callable[[], None]) -> str:
    """Run something in a fork of this process; return nothing, or the OSError that it met."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        answer = ""
        try:
            attempt()
        except OSError as error:
            answer = error.strerror or "?"
        except ValueError as error:
            answer = repr(error)
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as said:
        answer = said.read()
    os.waitpid(pid, 0)
    return answer


def narrowed(tree: Path, below: Path) -> None:
    see_only_root(str(tree.parent))
    see_only_tree(str(tree), [str(below)])


READ, MAKE = os.O_RDONLY, os.O_WRONLY | os.O_CREAT
ATTEMPTS: dict[str, tuple[Callable[[str], object], str]] = {
    "read elsewhere": (lambda _: os.open("/etc/passwd", READ), "No such file or directory"),
    "climb out": (lambda top: os.stat(f"{top}/tree/../other"), "No such file or directory"),
    "write below": (lambda top: os.open(f"{top}/below/new", MAKE), "Read-only file system"),
    "write at the top": (lambda _: os.mkdir("/new"), "Read-only file system"),
    "open a device": (lambda top: os.open(f"{top}/tree/null", READ), "Permission denied"),
    "look at processes": (lambda _: os.listdir("/proc/1"), "No such file or directory"),
    "write in the layer": (lambda top: os.open(f"{top}/tree/new", MAKE), ""),
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_from_a_layer_nothing_else_can_be_reached(attempt: str, tmp_path: Path) -> None:
    tree, below = tmp_path / "tree", tmp_path / "below"
    for place in (tree, below, tmp_path / "other"):
        place.mkdir()
    os.mknod(tree / "null", 0o20666, os.makedev(1, 3))
    act, expected = ATTEMPTS[attempt]

    def try_it() -> None:
        narrowed(tree, below)
        act(str(tmp_path))

    assert in_fork(try_it) == expected


def raw(number: int, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


DENIED: dict[str, Callable[[], object]] = {
    "mount": lambda: mount("tmpfs", "/proc", "tmpfs", 0, ""),
    "clone": os.fork,
    "kill": lambda: os.kill(os.getppid(), 0),
    "execve": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606
    "socket": socket.socket,
    "ptrace": lambda: raw(101 if os.uname().machine == "x86_64" else 117, 16, os.getppid(), 0, 0),
    "bpf": lambda: raw(321 if os.uname().machine == "x86_64" else 280, 0, 0, 0),
}


@pytest.mark.parametrize("name", DENIED)
def test_the_filter_denies(name: str) -> None:
    def try_it() -> None:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        forbid(unpacking=True)
        thread = threading.Thread(target=lambda: None)  # threads still start
        thread.start()
        thread.join()
        DENIED[name]()

    assert in_fork(try_it) == "Operation not permitted"


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


def test_info_tells_how_workers_are_confined(run: Run) -> None:
    assert re.search(rf"^Confinement: {VISIBLE}, .*, {FILTER}$", run("info"), re.MULTILINE)
    assert "Confinement: none; missing: everything (turned off)" in run("--confine", "off", "info")


def test_depth_is_limited(open_store: OpenStore) -> None:
    store = open_store(limits=Limits(max_depth=3))
    store.register(tar(directory("a/b/c/")))
    with pytest.raises(LimitExceeded, match="depth of a path in components exceeds the limit of 3"):
        store.register(tar(file("a/b/c/d", b"")))
    with pytest.raises(LimitExceeded, match="depth"):
        store.register(tar(symlink("a/b/c/d", "x")))


def test_the_ratio_of_inflation_is_limited_from_a_size_on(open_store: OpenStore) -> None:
    zeros = tar(file("zeros", bytes(4 << 20)))
    packed = zstandard.compress(zeros)
    store = open_store(limits=Limits(max_ratio=100, ratio_from=1 << 20))
    with pytest.raises(
        LimitExceeded, match="ratio to its compressed size exceeds the limit of 100"
    ):
        store.register(packed, compression="auto")
    assert store.map() == {}
    store.register(zeros)
    store.register(zstandard.compress(tar(file("few", bytes(900 << 10)))), compression="auto")
    store.close()
    assert open_store().register(packed, compression="auto").diff_size == 4 << 20


def test_memory_is_limited(open_store: OpenStore) -> None:
    """An xz stream that claims a dictionary of 1 GiB, which a reader must provide."""
    packed = bytearray(lzma.compress(tar(file("a", b"1")), check=lzma.CHECK_CRC32))
    header = packed[12:24]
    assert header[:4] == b"\x02\x00\x21\x01"
    header[4] = 36
    header[8:] = zlib.crc32(header[:8]).to_bytes(4, "little")
    packed[12:24] = header
    with lzma.open(io.BytesIO(packed)) as unbounded:
        assert unbounded.read(3)
    store = open_store(limits=Limits(max_memory=1 << 29))
    with pytest.raises(LimitExceeded, match=f"memory of a worker in bytes exceeds .* {1 << 29}"):
        store.register(bytes(packed), compression="auto")
    assert store.map() == {}
    assert store.register(layer_tar({"a": b"1"}))


def test_limits_are_options_of_the_command(run: Run, archive: Path) -> None:
    said = run("--limit", "max_entries=1", "load", archive, status=1)
    assert "the number of entries exceeds the limit of 1" in said
    assert "Loaded" in run("--limit", "max_entries=100", "--limit", "max_depth=9", "load", archive)
    for wrong in ("max_entries", "max_entries=x", "no=1"):
        with pytest.raises(SystemExit):
            run("--limit", wrong, "images")
