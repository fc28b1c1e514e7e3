"""What somebody hostile tries against an ordinary user's namespaces, from inside and outside."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from layerstore.drivers.userns.id_map import IdRange, kernel_text
from layerstore.drivers.userns.subids import inside_from_one, program, subordinate
from tests.sandbox.userns.rootless.conftest import FAR
from tests.sandbox.userns.rootless.ordinary import PROGRAM, Ordinary

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox", "useradd", "newuidmap")]

ESCAPES = """
    echo 0 0 4294967295 > /proc/self/uid_map && echo mapped
    echo 0 0 4294967295 > /proc/1/uid_map && echo mapped
    chown 70000 /tmp/x; mknod /tmp/disk b 8 0 && echo made
    unshare -r true && echo nested
    mount -t proc proc /tmp && echo mounted
    chroot /proc/1/root/.. ls /home && echo out
    for at in /proc/[0-9]*; do echo $at; done
"""
FORGING = """
import os, sys
root = sys.argv[1]
def make(name, uid, text, mode=0o755, content=b"x"):
    with open(f"{root}/{name}", "wb") as file:
        file.write(content)
    os.setxattr(f"{root}/{name}", "user.containers.override_stat", text)
    os.chown(f"{root}/{name}", uid, uid)
    os.chmod(f"{root}/{name}", mode)
make("root-of-1000", 1000, b"0:0:4755:file")
make("far-of-1000", 1000, b"70000:70000:6755:file")
make("device-of-1000", 1000, b"0:0:0666:block-8-0", 0o666, b"")
make("device-with-content", 0, b"0:0:0666:block-8-0", 0o666)
make("directory", 0, b"70000:0:0755:dir")
make("too-far", 0, b"4294967295:0:0755:file")
make("no-device", 0, b"0:0:0666:char-99999-1", 0o666, b"")
make("nonsense", 0, b"1:2:8:\\xff\\n")
make("changed", 0, b"70000:70000:4755:file", 0o700)
"""


def test_a_run_has_no_way_out_of_its_map(own: Ordinary) -> None:
    done = own.layerstore("run", FAR, "sh", "-c", ESCAPES)
    assert done.stdout.splitlines() == ["/proc/1", *done.stdout.splitlines()[1:]]
    assert not {"mapped", "made", "nested", "mounted", "out"} & set(done.stdout.split())
    assert len(done.stdout.splitlines()) <= 3  # its own processes, and nobody else's
    assert done.stderr.count("Operation not permitted") + done.stderr.count("denied") >= 3


def test_with_the_machines_network_its_sys_is_read_only(own: Ordinary) -> None:
    script = "cat /proc/self/mountinfo; echo 1 > /sys/kernel/mm/ksm/run"
    done = own.layerstore("run", "--network", "host", FAR, "sh", "-c", script, status=1)
    mounts = (line.split() for line in done.stdout.splitlines())
    shown = [fields[5] for fields in mounts if fields[4].startswith("/sys")]
    assert shown
    assert all(options.startswith("ro,nosuid,nodev,noexec") for options in shown)
    assert "Read-only file system" in done.stderr


def test_a_directory_that_hides_mounts_is_no_volume(own: Ordinary) -> None:
    done = own.layerstore("run", "-v", "/:/machine", FAR, "true", status=125)
    assert "mount on /machine: Invalid argument (in a user namespace no directory" in done.stderr


def test_what_a_run_makes_belongs_to_ids_of_the_map_outside(own: Ordinary) -> None:
    (own.home / "shared").mkdir()
    os.chmod(own.home / "shared", 0o777)
    script = (
        "touch /shared/root; chmod 4755 /shared/root; touch /shared/app; chown 1000 /shared/app"
    )
    own.layerstore("run", "-v", f"{own.home}/shared:/shared", FAR, "sh", "-c", script)
    ((first, _),) = subordinate("/etc/subuid", own.uid, own.name)
    owners = {path.name: path.stat().st_uid for path in (own.home / "shared").iterdir()}
    assert owners == {"root": own.uid, "app": first + 999}
    own.layerstore("unshare", "rm", "-r", own.home / "shared")


def test_nobody_but_root_of_a_container_says_who_owns_a_file(own: Ordinary) -> None:
    own.layerstore("create", "forging", "--image", FAR)
    script = 'python -c "$1" "$(python -m layerstore.command mount forging)"'
    own.layerstore("unshare", "sh", "-c", script, "sh", FORGING)
    own.layerstore("export", "forging", "-o", own.home / "web.tar")
    with tarfile.open(own.home / "web.tar") as archive:
        found = {m.name: (m.uid, m.gid, m.mode, m.type) for m in archive if "/" not in m.name}
        assert not any("override" in key for m in archive for key in m.pax_headers)
    regular = tarfile.REGTYPE
    assert (
        found.items()
        >= {
            "root-of-1000": (1000, 1000, 0o755, regular),
            "far-of-1000": (1000, 1000, 0o755, regular),
            "device-of-1000": (1000, 1000, 0o666, regular),
            "device-with-content": (0, 0, 0o666, regular),
            "directory": (0, 0, 0o755, regular),
            "too-far": (0, 0, 0o755, regular),
            "no-device": (0, 0, 0o666, regular),
            "nonsense": (0, 0, 0o755, regular),
            "changed": (70000, 70000, 0o700, regular),
        }.items()
    )


def test_a_layers_root_does_not_say_that_owners_are_overridden(own: Ordinary) -> None:
    # fuse-overlayfs(1) would give such owners to what is copied up, which nobody can there.
    script = """
import glob, os
store = os.environ["LAYERSTORE_ROOT"]
for path in glob.glob(f"{store}/overlay2/*/diff") + glob.glob(f"{store}/overlay2/*/diff/d/far"):
    if "user.containers.override_stat" in os.listxattr(path):
        print(os.path.basename(path))
"""
    found = own.layerstore("unshare", PROGRAM[0], "-c", script).stdout.splitlines()
    assert set(found) == {"far"}


def test_programs_on_the_path_map_nothing(own: Ordinary) -> None:
    traps = own.home / "bin"
    traps.mkdir()
    for name in ("newuidmap", "newgidmap", "getsubids"):
        (traps / name).write_text(f"#!/bin/sh\ntouch {own.home}/trapped\n")
        os.chmod(traps / name, 0o755)
    told = own.layerstore("info", env={"PATH": f"{traps}:{os.environ['PATH']}"}).stdout
    assert "65536" in told
    assert not (own.home / "trapped").exists()


def test_privileged_programs_are_where_the_administrator_has_put_them() -> None:
    assert program("newuidmap") == "/usr/bin/newuidmap"
    assert program("no-such-program") is None


def test_without_the_program_there_is_one_id(own: Ordinary) -> None:
    told = own.layerstore("info", replaced={"/usr/bin/newuidmap": "/dev/null"}).stdout
    assert f"users 0:{own.uid}:1, groups 0:{own.gid}:1,1:" in told
    assert "there is no newuidmap (package uidmap)" in told


def test_ranges_of_another_user_are_nobody_elses(own: Ordinary) -> None:
    lines = f"{own.name}x:1:70000\n{own.uid}9:1:70000\n#{own.name}:1:2\n{own.name}:1\n:1:2\n"
    lines += f"{own.name}:-1:5\n{own.name}:99999999999:1\n{own.name}:\xb2:5\n"
    path = own.write("subuid", lines.encode())
    assert subordinate(str(path), own.uid, None) == []
    path = own.write("subuid", f"{lines}{own.uid}:200000:10\n{own.name}:300000:5\n".encode())
    assert subordinate(str(path), own.uid, own.name) == [(200000, 10), (300000, 5)]


def test_what_the_program_for_groups_does_not_grant_is_not_had(own: Ordinary) -> None:
    told = own.layerstore("info", replaced={"/usr/bin/newgidmap": "/bin/false"}).stdout
    assert f"users 0:{own.uid}:1,1:" in told
    assert f"groups 0:{own.gid}:1; /usr/bin/newgidmap refuses" in told
    done = own.layerstore(
        "run", FAR, "cat", "/proc/self/setgroups", replaced={"/usr/bin/newgidmap": "/bin/false"}
    )
    assert done.stdout == "deny\n"


def test_maps_have_no_overlaps_and_no_gaps_inside() -> None:
    ranges = [(1000, 10), (100_000, 5), (100_003, 5), (200_000, 2), (4_294_967_290, 100)]
    assert inside_from_one(1001, ranges) == (
        IdRange(0, 1001, 1),
        IdRange(1, 100_000, 5),
        IdRange(6, 200_000, 2),
        IdRange(8, 4_294_967_290, 5),
    )
    assert len(inside_from_one(0, [(2 * n, 1) for n in range(1, 1000)])) == 340
    long = inside_from_one(0, [(4_000_000_000 + 2 * n, 1) for n in range(1, 1000)])
    assert 4000 < len(kernel_text(long)) < 4096


def test_a_process_of_somebody_else_is_not_joined(own: Ordinary) -> None:
    place = own.home / ".local/share/layerstore/layerstore/namespaces"
    for pid in (1, os.getpid()):
        start = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19]
        (place / str(pid)).write_bytes(start)
    (place / "4000000000").write_bytes(b"1")
    (place / "../7").write_bytes(b"1")
    os.symlink("/etc/passwd", place / "2")
    told = own.layerstore("info").stdout
    assert "User namespace: made by layerstore" in told
    assert not (place / "4000000000").exists()
    assert not (place / "2").is_symlink()
    for pid in (1, os.getpid()):
        (place / str(pid)).unlink()
    (place / "../7").unlink()


@pytest.mark.needs("nsenter")
def test_another_user_gets_into_no_namespace_and_no_store(own: Ordinary, loner: Ordinary) -> None:
    store = own.home / ".local/share/layerstore"
    own.home.chmod(0o711)
    with own.begin([*PROGRAM, "unshare", "sh", "-c", "echo ready; read end"]) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"ready\n"
        for attempt in (
            ["nsenter", "--target", str(shell.pid), "--user", "--mount", "true"],
            ["ls", f"/proc/{shell.pid}/root/"],
            ["cat", f"/proc/{shell.pid}/environ"],
            ["ls", str(store)],
            ["sh", "-c", f"echo > {store}/layerstore/namespaces/1"],
        ):
            done = loner.run(attempt)
            assert done.returncode != 0, attempt
            assert "denied" in done.stderr or "not permitted" in done.stderr, done.stderr
        told = loner.layerstore("--root", store, "ls", status=1)
        assert str(store) in told.stderr
        shell.communicate(b"\n")
    own.home.chmod(0o700)


def test_a_store_of_somebody_elses_is_left_to_them(person: Ordinary, loner: Ordinary) -> None:
    root = loner.home / "private"
    loner.run(["mkdir", "-m", "700", root])
    done = person.layerstore("--root", root, "load", given=b"", status=1)
    assert "Permission denied" in done.stderr
    assert list(root.iterdir()) == []
