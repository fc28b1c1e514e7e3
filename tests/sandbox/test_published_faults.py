"""Faults that other engines had, tried here: what a command sees, may do, and has of this machine.

Those of users are in `test_hostile`, those of volumes of images in `test_image_volumes`, those of
copying in `tests/command`; docs/run.md lists what doesn't apply.
"""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from layerstore import (
    DriverError,
    LayerStore,
    RWLayer,
    Volume,
    image_process,
    mount_points,
    run,
    start,
)
from tests.sandbox.conftest import Runs
from tests.sandbox.flipping import flipping
from tests.support.busybox import NAME

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]

MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
    "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip
PROBE = f"""
echo == status; cat /proc/self/status
echo == mounts; cat /proc/self/mountinfo
echo == sockets; cat /proc/net/unix
echo == masked
for path in {" ".join(MASKED)}; do
    if [ -d $path ]; then echo $path $(ls $path | wc -l); ls -ld $path/new; touch $path/new
    elif [ -e $path ]; then echo $path $(cat $path | wc -c); ls -l $path; fi
done 2> /dev/null
echo == one
for what in exe root cwd; do busybox readlink /proc/1/$what; done
for what in environ maps mem auxv stack; do head -c 1 /proc/1/$what; done
for number in 0 1 2 3 4 5 6 7 8 9 10 11; do busybox readlink /proc/1/fd/$number; done
ls /proc/1/map_files; ls /proc/1/root/; : > /proc/1/exe; echo 1 > /proc/1/mem
"""
ABSTRACT = f"layerstore-of-this-machine-{os.getpid()}"
Facts = dict[str, list[str]]


@pytest.fixture(scope="module", params=["root", "app"])
def facts(request: pytest.FixtureRequest, store: LayerStore) -> Facts:
    """What a command sees as root, and as a user; with `--init`, so that process 1 is ours."""
    with (
        socket.socket(socket.AF_UNIX) as listening,
        store.images.create(f"facts-{request.param}", NAME, init=mount_points) as layer,
    ):
        listening.bind(f"\0{ABSTRACT}")
        listening.listen()
        done = run(
            layer,
            ["/bin/sh", "-c", PROBE],
            env={"PATH": "/bin"},
            user=request.param,
            init=True,
            capture=True,
        )
    assert done.stdout is not None
    parts = done.stdout.decode().split("== ")[1:]
    return {"user": [request.param]} | {
        part.split("\n", 1)[0]: part.split("\n", 1)[1].splitlines() for part in parts
    }


def test_no_capability_is_inheritable_nor_ambient(facts: Facts) -> None:
    """CVE-2022-24769, CVE-2022-27649, CVE-2022-27651, CVE-2022-29162; for users CVE-2016-8867."""
    sets = dict(line.split(":\t") for line in facts["status"] if line.startswith("Cap"))
    none, default = "0" * 16, "00000000a80425fb"
    assert (sets["CapInh"], sets["CapAmb"], sets["CapBnd"]) == (none, none, default)
    allowed = default if facts["user"] == ["root"] else none
    assert (sets["CapPrm"], sets["CapEff"]) == (allowed, allowed)


def test_a_process_of_ours_in_it_is_not_to_be_looked_into(facts: Facts) -> None:
    """CVE-2016-9962, CVE-2019-5736: its executable, memory and descriptors are this machine's."""
    assert facts["one"] == []


def test_no_abstract_socket_of_this_machine_is_seen(facts: Facts) -> None:
    """CVE-2020-15257: they are found by name in a network namespace, not in a directory."""
    assert not [line for line in facts["sockets"] if ABSTRACT in line]
    assert facts["sockets"][0].startswith("Num")


def test_what_is_masked_is_empty_and_stays_so(facts: Facts) -> None:
    """CVE-2018-10892, CVE-2017-16539, CVE-2015-3630, CVE-2025-31133 (what masks is ours)."""
    sizes = [line.split() for line in facts["masked"] if line.startswith("/")]
    assert {path for path, _ in sizes} >= {"/proc/keys", "/sys/firmware"}
    assert {size for _, size in sizes} == {"0"}
    files = [line for line in facts["masked"] if not line.startswith("/")]
    assert files
    assert all(line.startswith("crw-rw-rw-") and " 1,   3 " in line for line in files), files


def test_no_mount_can_change_the_machine(facts: Facts) -> None:
    """CVE-2022-0492, CVE-2023-25809 (control groups), CVE-2015-3630, CVE-2025-52881 (/proc/sys).

    None is shared with this machine, and set-user-ID bits count on none.
    """
    mounts = [line.split(" - ") for line in facts["mounts"]]
    place = {left.split()[4]: (left.split(), right.split()) for left, right in mounts}
    for left, right in place.values():
        assert left[6:] == [], "shared with another namespace, or fed by one"
        assert "nosuid" in left[5].split(",")
        assert not right[0].startswith("cgroup")
    for path in ("/sys", "/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"):
        if os.path.exists(path):
            assert "ro" in place[path][0][5].split(","), path
    assert {"/proc", "/dev", "/etc/hosts"} <= set(place)


@pytest.mark.parametrize("link", [False, True])
def test_no_descriptor_leads_to_a_working_directory_of_this_machine(
    store: LayerStore, sh: Runs, rw: RWLayer, link: bool
) -> None:
    """CVE-2024-21626: the image says where that is, by a path or by a link of its own."""
    refused = []
    for number in range(2, 10):
        place = f"/proc/self/fd/{number}"
        with rw.mounted() as path:
            Path(path, "srv/cwd").unlink(missing_ok=True)
            Path(path, "srv/cwd").symlink_to(place)
        with pytest.raises(DriverError) as error:
            sh("pwd -P", workdir="/srv/cwd" if link else place)
        refused.append(error.value.operation)
    assert set(refused) <= {"go to", "make"}


def test_what_an_image_has_in_dev_counts_for_nothing(store: LayerStore) -> None:
    """CVE-2025-31133, CVE-2025-52565: /dev/null and /dev/console that lead into /proc."""

    def prepare(path: str) -> None:
        mount_points(path)
        for name in ("null", "console", "ptmx", "pts", "shm", "mqueue", "tty"):
            Path(path, "dev", name).symlink_to("/proc/sys/kernel/core_pattern")

    script = (
        "ls -l /dev/console /dev/null; cat /proc/keys | wc -c; echo x > /proc/sys/vm/laptop_mode"
    )
    with (
        store.images.create("devices", NAME, init=prepare) as rw,
        rw.mounted() as path,
        start(
            path,
            ["/bin/sh", "-c", script],
            env={"PATH": "/bin"},
            terminal=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        ) as running,
    ):
        done = running.wait()
        assert done.stdout is not None
        console, null, keys, refused = done.stdout.decode().splitlines()
        assert null.startswith("crw-rw-rw-")
        assert console.startswith("crw--w----")
        assert keys == "0"
        assert "Read-only file system" in refused
        assert rw.changes() == []


@pytest.mark.parametrize("ways", ["names", "streams"])
def test_devices_are_its_own(sh: Runs, ways: str) -> None:
    """What root in it changes of /dev/null or of what masks is no change of this machine's."""
    names = [f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")]
    before = [os.lstat(name) for name in names]
    changed = " ".join([*names, "/proc/keys"]) if ways == "names" else "/dev/stdin /proc/self/fd/0"
    done = sh(f"chmod 600 {changed} && chown 7:7 {changed} && echo ok")
    after = [os.lstat(name) for name in names]
    for name, status in zip(names, before, strict=True):  # or this machine would suffer
        os.chown(name, status.st_uid, status.st_gid)
        os.chmod(name, stat.S_IMODE(status.st_mode))
    assert done.stdout == b"ok\n"
    assert [(s.st_mode, s.st_uid) for s in after] == [(s.st_mode, s.st_uid) for s in before]


def test_a_target_that_becomes_a_link_meanwhile_leads_nowhere_else(
    store: LayerStore, rw: RWLayer, tmp_path: Path
) -> None:
    """CVE-2021-30465, CVE-2024-45310, CVE-2026-41568, CVE-2026-42306: mounts, empty files outside.

    Somebody changes a volume that a further one's target is in.
    """
    outside, shared = tmp_path / "outside", tmp_path / "shared"
    outside.mkdir()
    shared.mkdir()
    (outside / "file").touch()
    volumes = [
        Volume(source=str(shared), target="/v"),
        Volume(source="/etc", target="/v/flip/directory"),
        Volume(source="/etc/passwd", target="/v/flip/file"),
    ]
    before = os.stat(outside)
    with flipping(shared / "flip", outside) as count:
        for _ in range(12):
            with suppress(DriverError):
                run(rw, ["/bin/true"], volumes=volumes)
        assert count() > 100
    assert sorted(os.listdir(outside)) == ["file"]
    assert os.stat(outside).st_mtime_ns == before.st_mtime_ns
    assert (outside / "file").read_bytes() == b""


def test_variables_of_this_machine_are_no_image_s_to_ask_for(
    sh: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CVE-2026-57231: what has no value in an image isn't looked for here."""
    monkeypatch.setenv("LAYERSTORE_SECRET", "hidden")
    config = {"config": {"Env": ["LAYERSTORE_SECRET", "LAYERSTORE_*", "PATH=/bin"], "Cmd": ["sh"]}}
    process = image_process(config)
    done = sh("env; cat /proc/1/environ", env=process.env)
    assert b"hidden" not in (done.stdout or b"hidden")


def test_others_do_not_get_into_a_root(tmp_path: Path) -> None:
    """CVE-2021-41091, CVE-2021-41103: set-user-ID programs of layers would count here."""
    root = tmp_path / "root"
    with (
        LayerStore(root, driver="vfs", durability="relaxed", workers=0) as store,
        store.create_rw_layer("web", None) as rw,
        rw.mounted() as path,
    ):
        within = [place for place in Path(path).parents if place.is_relative_to(root)]
        assert not all(stat.S_IMODE(place.stat().st_mode) & 0o001 for place in within)
