"""What a hostile container tries while a second command comes in: it gets hold of nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from layerstore import DriverError, LayerStoreError, RWLayer, Warm, start
from layerstore.drivers.system.mountinfo import mount_paths
from tests.sandbox.limits.conftest import First
from tests.sandbox.limits.test_exec import sh
from tests.support.options import AmountOf

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]

# Whoever comes in is looked at by number, again and again, from several processes.
_WATCHING = """
watch() {
    while :; do
        for p in /proc/[0-9]*; do
            for what in exe cwd root; do ls -l $p/$what; done
            ls -l $p/fd
            cat $p/environ $p/cmdline
            head -c 1 $p/mem && echo MEMORY
        done >> /seen 2> /dev/null
    done
}
watch & watch & watch &
"""


def test_no_process_of_this_machine_can_be_looked_into(
    first: First, rw: RWLayer, amount: AmountOf
) -> None:
    with first(rw, _WATCHING, init=True) as running:
        for _ in range(amount("--joins")):
            assert sh(running, "echo x") == "x\n"
        running.pause()
        with rw.mounted() as path:
            seen = Path(path, "seen").read_bytes()
    links = {line.partition(b" -> ")[2] for line in seen.splitlines() if b" -> " in line}
    known = (b"/dev/", b"pipe:", b"/seen", b"/proc", b"/lib")
    strange = {link for link in links if not link.startswith(known)} - {b"/", b"/bin/busybox"}
    assert strange == set()
    assert b"/bin/busybox" in links
    assert b"LAYERSTORE" not in seen
    assert b"layerstore.drivers" not in seen


def test_the_interpreter_beside_a_command_is_where_nobody_can_write(
    first: First, keeping: Warm | None, rw: RWLayer
) -> None:
    with (
        first(rw) as running,
        running.exec(["/bin/sh", "-c", "echo; sleep 60"], stdout=subprocess.PIPE) as second,
    ):
        assert second.stdout is not None
        second.stdout.readline()
        joining = second.pid if keeping is None else keeping._process.pid
        for beside in (running.pid, joining):
            assert os.statvfs(f"/proc/{beside}/exe").f_flag & os.ST_RDONLY
        assert not os.statvfs(f"/proc/{os.getpid()}/exe").f_flag & os.ST_RDONLY
        # It is nowhere else, and the machine, where others mount meanwhile, has no mount of it.
        mine, its = (os.stat(f"/proc/{pid}/ns/mnt") for pid in ("self", joining))
        assert os.path.samestat(mine, its)
        assert os.path.realpath(sys.executable) not in mount_paths()


@pytest.mark.parametrize("program", ["/proc/self/exe", "/magic"])
def test_it_cannot_be_made_to_execute_this_machine_s_interpreter(
    first: First, rw: RWLayer, program: str
) -> None:
    script = "printf '#!/proc/self/exe\\n' > /magic; chmod +x /magic"
    with (
        first(rw, script) as running,
        running.exec([program, "-c", "pass"]) as second,
        pytest.raises(LayerStoreError),
    ):
        second.wait(timeout=30)


def test_no_working_directory_leads_out(first: First, rw: RWLayer) -> None:
    with first(rw) as running:
        for number in range(3, 9):
            path = f"/proc/self/fd/{number}"
            with running.exec(["/bin/pwd"], workdir=path) as second, pytest.raises(DriverError):
                second.wait(timeout=30)


def test_no_descriptor_comes_with_it(first: First, rw: RWLayer) -> None:
    with first(rw) as running:
        told = sh(running, "ls -l /proc/self/fd")
    numbers = {line.split(" -> ")[0].split()[-1] for line in told.splitlines() if " -> " in line}
    assert numbers <= {"0", "1", "2", "3"}
    assert "socket:" not in told


def test_files_that_change_meanwhile_make_nobody_root(first: First, rw: RWLayer) -> None:
    script = """
    while :; do
        echo 'app:x:7:7::/:/bin/sh' > /etc/passwd
        ln -sf /proc/1/environ /etc/p
        mv /etc/p /etc/passwd
        rm -f /etc/passwd
        mkfifo /etc/passwd 2> /dev/null
        rm -f /etc/passwd
    done &
    """
    with first(rw, script) as running:
        for _ in range(5):
            with running.exec(
                ["/bin/grep", "^Uid:", "/proc/self/status"],
                user="app",
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            ) as second:
                try:
                    done = second.wait(timeout=20)
                except LayerStoreError:
                    continue  # there was no such user at the moment
                assert done.stdout is not None
                assert set(done.stdout.split()[1:]) == {b"7"}


def test_nothing_of_this_machine_is_changed_by_way_of_standard_input(
    first: First, rw: RWLayer, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    given.write_text("first\nsecond\n")
    script = "read x; { echo changed > /proc/self/fd/0; chmod 666 /proc/self/fd/0; } 2> /dev/null"
    null, pipe = os.stat("/dev/null").st_ctime_ns, subprocess.PIPE
    with first(rw) as running, rw.mounted() as path, given.open("rb") as file:
        for begin in (running.exec, partial(start, path, env={"PATH": "/bin"})):
            for stdin, told in ((file, b"first\nsecond\n"), (subprocess.DEVNULL, b"\n")):
                argv = ["/bin/sh", "-c", f"{script}; echo $x; cat"]
                with begin(argv, stdin=stdin, stdout=pipe) as command:
                    assert command.wait(timeout=30).stdout == told
    assert given.read_text() == "first\nsecond\n"
    assert os.stat("/dev/null").st_ctime_ns == null


def test_a_directory_is_no_standard_stream(first: First, rw: RWLayer, tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with first(rw) as running, pytest.raises(DriverError) as told:
            running.exec(["/bin/sh", "-c", "ls /proc/self/fd/0/.."], stdin=directory)
        assert told.value.errno == errno.EISDIR
    finally:
        os.close(directory)
