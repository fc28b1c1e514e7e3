"""What separates a command from the system it runs on: what it sees, what it may do."""

from __future__ import annotations

import os

import pytest

from tests.sandbox.conftest import Runs, lines

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


def test_it_has_namespaces_of_its_own(sh: Runs) -> None:
    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
    ours = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in kinds}
    found = sh("; ".join(f"ls -l /proc/self/ns/{kind}" for kind in kinds))
    theirs = dict(zip(kinds, (line.split(" -> ")[1] for line in lines(found)), strict=True))
    same = {kind for kind in kinds if ours[kind] == theirs[kind]}
    assert same == {"user"}
    assert lines(sh("echo $$; hostname; ls /proc | grep -c '^[0-9]'"))[:2] == ["1", "web"]
    assert lines(sh("hostname", hostname="other")) == ["other"]


def test_its_network_is_a_loopback_interface(sh: Runs) -> None:
    assert lines(sh("ip -o link | cut -d: -f2")) == [" lo"]
    # What is sent is a file, not a pipe: the listener has an empty input and soon ends its side,
    # and a sender that sees that before there is anything to send ends, too.
    script = (
        "echo hi > /tmp/sent; nc -l -p 7 > /tmp/got & "
        "until nc 127.0.0.1 7 < /tmp/sent; do :; done; wait; cat /tmp/got"
    )
    assert lines(sh(f"({script}) 2> /dev/null")) == ["hi"]
    ours = sorted(os.listdir("/sys/class/net"))
    assert lines(sh("ls /sys/class/net", network="host")) == ours


def test_its_privileges_are_those_of_a_container(sh: Runs) -> None:
    status = dict(line.split(":", 1) for line in lines(sh("cat /proc/self/status")) if ":" in line)
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert status[name].strip() == "00000000a80425fb"
    assert status["CapInh"].strip() == status["CapAmb"].strip() == "0" * 16
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")


FORBIDDEN = (
    "mount -t tmpfs x /tmp",
    "mount -o remount,rw /proc/sys",
    "unshare -r true",
    "unshare -m true",
    "unshare -n true",
    "echo 1 > /proc/sys/vm/drop_caches",
    "echo b > /proc/sysrq-trigger",
    "cat /proc/kcore | head -c 1 | grep -q .",
    "touch /sys/kernel/x",
    "hostname changed",
    "mknod /disk b 7 0 && cat /disk",
    "mknod /tmp/null c 1 3 && cat /tmp/null",
    "mknod /dev/shm/null c 1 3 && cat /dev/shm/null",
    "cat /etc/shadow",
    "kill -0 100",
)


def test_what_it_may_not_do(sh: Runs) -> None:
    tried = [*FORBIDDEN, "true"]
    script = "\n".join(f"({line}) > /dev/null 2>&1 && echo '{line}'" for line in tried)
    assert lines(sh(script)) == ["true"]


def test_its_devices_are_the_harmless_ones(sh: Runs) -> None:
    assert lines(sh("ls /dev")) == [
        "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
        "stdout", "tty", "urandom", "zero",
    ]  # fmt: skip
    assert lines(sh("echo x > /dev/null; head -c 3 /dev/zero | wc -c; echo e > /dev/stdout")) == [
        "3",
        "e",
    ]


def test_descriptors_of_the_embedding_process_are_not_inherited(sh: Runs) -> None:
    with open("/etc/hostname", "rb") as secret:
        os.set_inheritable(secret.fileno(), True)
        assert lines(sh("ls /proc/self/fd")) == ["0", "1", "2", "3"], "3 is the listing's own"
