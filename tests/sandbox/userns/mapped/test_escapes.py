"""What a command with users of its own, its root first, tries in order to be somebody outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from layerstore import LayerStore, RWLayer, Volume, mount_points, run, start
from tests.sandbox.conftest import Runs, lines
from tests.support.busybox import NAME

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]

_AS_USER = """
import os, sys
os.setgroups([]); os.setresgid(int(sys.argv[1]), *[int(sys.argv[1])] * 2)
os.setresuid(int(sys.argv[1]), *[int(sys.argv[1])] * 2)
for path in sys.argv[2:]:
    try:
        os.stat(path)
    except PermissionError:
        continue
    sys.exit(path)
"""


def test_a_set_user_id_program_is_nobody_outside(
    box: RWLayer, sh: Runs, first: int, store: LayerStore
) -> None:
    made = "mkdir /s; cat /bin/busybox > /s/busybox; chmod 4755 /s/busybox"
    assert lines(sh(f"{made}; ls -ln /s/busybox | cut -c1-10")) == ["-rwsr-xr-x"]
    with (
        box.mounted() as path,
        start(
            path,
            ["/s/busybox", "sh", "-c", "echo up; exec /s/busybox sleep 60"],
            id_map=box.id_map,
            user="1000",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        ) as running,
    ):
        assert running.stdout is not None
        assert running.stdout.readline() == b"up\n"
        (inside,) = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        status = Path(f"/proc/{inside}/status").read_text()
        users = next(line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))
        assert users == [str(first + 1000)] * 4
        stored = Path(box.metadata()["UpperDir"], "s/busybox")
        assert (stored.stat().st_uid, oct(stored.stat().st_mode)) == (0, "0o104755")
        # Nor does anybody of this machine, or of another box, get to where it is.
        for user in (1000, first, first + 1000, 65534):
            command = [sys.executable, "-c", _AS_USER, str(user), str(stored), f"{path}/s/busybox"]
            subprocess.run(command, check=True)


ATTEMPTS = (
    "echo 0 0 1 > /proc/self/uid_map",
    "echo 0 0 4294967295 > /proc/1/uid_map",
    "echo deny > /proc/self/setgroups",
    "unshare -U true",
    "unshare -r true",
    "unshare -Um true",
    "mount -t tmpfs x /tmp",
    "mount -o remount,suid /",
    "mount -o remount,rw /proc/sys",
    "mknod /disk b 7 0",
    "mknod /null c 1 3",
    "chown 65536 /tmp",
    "chown 4294967294 /tmp",
    "chroot /proc/1/root cat /etc/shadow",
    "echo 1 > /proc/sys/vm/drop_caches",
    "touch /sys/kernel/x",
    "chmod 600 /dev/null",
    "cat /proc/kcore | head -c 1 | grep -q .",
    "kill -0 2",
)


def test_attempts_fail(sh: Runs) -> None:
    script = "\n".join(f"({line}) 2> /dev/null && echo '{line}'" for line in ATTEMPTS)
    assert lines(sh(f"{script}\ntrue")) == []


def test_nobody_inside_writes_what_is_somebody_elses_outside(sh: Runs, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    secret.chmod(0o600)
    for owner in (0, 1000):
        os.chown(secret, owner, owner)
        os.chown(tmp_path, owner, owner)
        volumes = [Volume(source=str(tmp_path), target="/vol")]
        for line in (
            "cat /vol/secret", "echo x > /vol/secret", "chmod 644 /vol/secret", "rm -f /vol/secret",
            "chown 0 /vol/secret", "touch /vol/new",
        ):  # fmt: skip
            assert sh(line, volumes=volumes).status != 0, line
    assert secret.read_text() == "s"
    assert (oct(secret.stat().st_mode), secret.stat().st_uid) == ("0o100600", 1000)


def test_two_boxes_are_nobody_to_each_other(store: LayerStore, sh: Runs, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    volumes = [Volume(source=str(shared), target="/vol")]
    assert lines(sh("umask 077; echo 1 > /vol/mine", volumes=volumes)) == []
    with store.images.create("other", NAME, init=mount_points, id_map="auto") as other:
        done = run(other, ["sh", "-c", "cat /vol/mine; rm -f /vol/mine; ls -ln /vol | tail -n 1"],
                   env={"PATH": "/bin"}, capture=True, volumes=volumes)  # fmt: skip
    assert (done.stdout or b"").split()[2:4] == [b"65534", b"65534"]
    assert (shared / "mine").read_text() == "1\n"


def test_handles_of_files_open_nothing(sh: Runs) -> None:
    # It wants CAP_DAC_READ_SEARCH of the machine, and the filter of system calls has it, too.
    status = dict(line.split(":", 1) for line in lines(sh("cat /proc/self/status")) if ":" in line)
    assert status["CapEff"].strip() == status["CapBnd"].strip() == "00000000a80425fb"
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
