"""Running a command in a root file system: how it ends, what it is given, what is left of it."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerstore import CommandNotRun, DriverError, LayerStore, RWLayer, mount_points, run
from tests.sandbox.conftest import Runs, lines
from tests.support.busybox import NAME

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("true", 0),
        ("exit 7", 7),
        ("sh -c 'kill -9 $$'; exit $?", 137),
        ("sh -c 'kill -15 $$'; exit $?", 143),
    ],
)
def test_the_exit_status_is_the_commands(sh: Runs, line: str, status: int) -> None:
    assert sh(line).status == status


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (["nonsense"], 127),
        (["/nonsense"], 127),
        (["/etc"], 126),
        (["/etc/passwd"], 126),
        (["/script"], 127),
        (["/empty"], 126),
    ],
)
def test_a_program_that_cannot_be_run(rw: RWLayer, argv: list[str], status: int) -> None:
    with rw.mounted() as path:
        for name, content in (("script", "#!/missing\n"), ("empty", "")):
            Path(path, name).write_text(content)
            Path(path, name).chmod(0o755)
    with pytest.raises(CommandNotRun) as refused:
        run(rw, argv)
    assert refused.value.status == status


def test_environment_and_directory(sh: Runs) -> None:
    assert lines(sh("echo $A; pwd", env={"PATH": "/bin", "A": "ü b"}, workdir="/new/place")) == [
        "ü b",
        "/new/place",
    ]
    names = {line.split("=")[0] for line in lines(sh("env", env={}))}
    assert names == {"PATH", "HOME", "HOSTNAME", "PWD", "SHLVL"}


def test_a_read_only_root(sh: Runs) -> None:
    assert sh("touch /new", read_only=True).status != 0
    assert lines(sh("echo 1 > /dev/shm/x && cat /dev/shm/x", read_only=True)) == ["1"]


def test_only_what_the_command_does_is_a_change(sh: Runs, rw: RWLayer) -> None:
    sh("echo 1 > /new")
    assert [str(change) for change in rw.changes()] == ["A /new"]


def test_missing_mount_points_are_made(store: LayerStore) -> None:
    with store.images.create("bare", NAME) as bare:
        assert run(bare, ["/bin/true"]).status == 0
        assert [str(change) for change in bare.changes()] == [
            "A /dev", "C /etc", "A /etc/hosts", "A /etc/resolv.conf", "A /proc", "A /sys",
        ]  # fmt: skip


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_a_mount_point_that_is_a_link_is_refused(store: LayerStore, name: str) -> None:
    """CVE-2019-19921, CVE-2023-27561, CVE-2023-28642: else nothing of it would be masked."""
    with store.images.create("bare", NAME) as bare:
        with bare.mounted() as path:
            Path(path, name).symlink_to("/tmp")  # noqa: S108
        with pytest.raises(DriverError, match="Too many levels of symbolic links"):
            run(bare, ["/bin/true"])


def test_modules_in_the_root_are_not_imported(store: LayerStore) -> None:
    """Whatever lies where Python's own modules lie is not for the process that goes in.

    CVE-2019-14271, in the kind of the fault.
    """
    with store.images.create("bare", NAME) as bare:
        with bare.mounted() as path:
            for module in (os, subprocess):
                place = Path(path + os.path.dirname(os.path.realpath(str(module.__file__))))
                place.mkdir(parents=True, exist_ok=True)
                for name in ("pwd", "traceback", "linecache", "stat", "posixpath", "warnings"):
                    (place / f"{name}.py").write_text("import os; os.mkdir('/imported')")
        with pytest.raises(CommandNotRun):
            run(bare, ["/nonsense"], user="app")
        assert run(bare, ["/bin/test", "-e", "/imported"]).status == 1


def test_its_time_is_limited(sh: Runs) -> None:
    begin = time.monotonic()
    found = sh("trap '' TERM INT; sleep 60 & sleep 60", time_limit=0.3)
    assert (found.status, found.timed_out) == (124, True)
    assert time.monotonic() - begin < 30


def test_input_is_given_or_empty(sh: Runs) -> None:
    assert lines(sh("cat", given=b"to\nread\n")) == ["to", "read"]
    assert lines(sh("cat")) == []


def test_a_command_that_writes_much_is_captured(sh: Runs) -> None:
    found = sh("seq 100000; seq 100000 >&2; exit 1")
    assert found.status == 1
    assert found.stdout == found.stderr
    assert found.stdout is not None
    assert found.stdout.endswith(b"100000\n")


def test_many_run_at_once_and_leave_no_descriptor(store: LayerStore) -> None:
    def one(number: int) -> int:
        with store.images.create(f"many-{number}", NAME, init=mount_points) as layer:
            return run(layer, ["/bin/sh", "-c", f"exit {number}"], env={"PATH": "/bin"}).status

    one(0)
    store.drain()
    before = len(os.listdir("/proc/self/fd"))
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(one, range(24))) == list(range(24))
    store.drain()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_modes_of_the_root_are_kept(rw: RWLayer, sh: Runs) -> None:
    sh("touch /made; mkdir /dir")
    with rw.mounted() as path:
        assert stat.S_IMODE(os.stat(f"{path}/made").st_mode) == 0o644
        assert stat.S_IMODE(os.stat(f"{path}/dir").st_mode) == 0o755
