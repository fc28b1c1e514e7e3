"""What a command reads in /etc of its names and its network, whatever the image has there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from layerstore import DriverError, LayerStore, RWLayer, Volume, mount_points, run
from tests.sandbox.conftest import Runs, lines, piped
from tests.support.busybox import NAME

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]

# What dockerd 20.10 writes, in the network none, too.
LOOPBACK = [
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "ff00::0\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
]
SHOW = "cat /etc/hosts; echo =; cat /etc/hostname; echo =; cat /etc/resolv.conf"
HERE = Path("/etc/resolv.conf").read_text() if os.path.exists("/etc/resolv.conf") else ""


@pytest.mark.parametrize("user", ["", "app"])
@pytest.mark.parametrize("read_only", [False, True])
def test_its_names_are_in_etc_and_no_change(
    sh: Runs, rw: RWLayer, user: str, read_only: bool
) -> None:
    found = sh(SHOW, user=user, read_only=read_only)
    assert lines(found) == [*LOOPBACK, "127.0.0.1\tweb", "=", "web", "=", *HERE.splitlines()]
    assert rw.changes() == []


def test_what_it_writes_there_is_no_change_and_gone_with_it(sh: Runs, rw: RWLayer) -> None:
    files = "hosts hostname resolv.conf"
    assert lines(sh(f"cd /etc; for f in {files}; do echo mine > $f; cat $f; done")) == ["mine"] * 3
    assert sh("rm /etc/hosts").status == 1, "it is mounted on"
    assert sh("echo mine > /etc/hosts", read_only=True).status == 1
    assert sh("echo mine > /etc/hosts", user="app").status == 1
    assert lines(sh("head -n 1 /etc/hosts")) == LOOPBACK[:1]
    assert rw.changes() == []


def test_its_mounts_are_in_etc_mtab(sh: Runs, rw: RWLayer) -> None:
    assert "/etc/hosts" in {line.split()[1] for line in lines(sh("cat /etc/mtab"))}
    assert lines(sh("ls -l /etc/mtab"))[0].endswith(" /etc/mtab -> /proc/mounts")
    mounted = lines(sh("cut -d' ' -f2 /etc/mtab"))
    assert len(mounted) == len(set(mounted)), "nothing is left beneath another mount"
    assert rw.changes() == []


def test_with_this_machine_s_network_its_hosts_are_copied(sh: Runs, rw: RWLayer) -> None:
    before = os.stat("/etc/hosts")
    found = sh(f"{SHOW}; echo mine >> /etc/hosts", network="host")
    hosts = Path("/etc/hosts").read_text().splitlines()
    assert lines(found) == [*hosts, "=", "web", "=", *HERE.splitlines()]
    assert os.stat("/etc/hosts").st_mtime_ns == before.st_mtime_ns
    assert rw.changes() == []


@pytest.mark.parametrize(
    ("hostname", "hosts"),
    [("a.b", ["127.0.0.1\ta.b"]), ("a b", []), ("a\n9.9.9.9 bank", []), ("#a", [])],
)
def test_a_host_name_that_would_be_more_than_a_name_is_not_among_the_hosts(
    sh: Runs, hostname: str, hosts: list[str]
) -> None:
    found = lines(sh(f"cat /etc/hosts; echo =; {SHOW}", hostname=hostname))
    assert found[: found.index("=")] == [*LOOPBACK, *hosts]


def test_without_a_name_given_it_has_this_machine_s(rw: RWLayer) -> None:
    with rw.mounted() as path, piped(path, "cat /etc/hostname") as running:
        assert running.wait().stdout == f"{socket.gethostname()}\n".encode()


LINKS = [
    "../run/systemd/resolve/stub", "/missing", "../../../../tmp/outside", "/lead/x", "/dev/null",
    "/proc/version", "/etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("leads_to", LINKS)
def test_links_there_are_replaced_in_an_init_layer(store: LayerStore, leads_to: str) -> None:
    def prepare(path: str) -> None:
        Path(path, "lead").symlink_to("run/led/to")
        for name in ("hosts", "hostname", "resolv.conf", "mtab"):
            Path(path, "etc", name).unlink(missing_ok=True)
            Path(path, "etc", name).symlink_to(leads_to)
        mount_points(path)

    script = f"{SHOW}; head -n 1 /etc/passwd; [ -c /dev/null ] && busybox readlink /etc/mtab"
    with store.images.create("linked", NAME, init=prepare) as rw:
        done = run(rw, ["/bin/busybox", "sh", "-c", script], env={"PATH": "/bin"}, capture=True)
        names = [*LOOPBACK, "127.0.0.1\tlinked", "=", "linked", "=", *HERE.splitlines()]
        assert lines(done)[: len(names)] == names
        assert lines(done)[len(names) :] == ["root:x:0:0:root:/root:/bin/sh", "/proc/mounts"]
        assert rw.changes() == []
    assert not os.path.lexists("/tmp/outside")  # noqa: S108


@pytest.mark.parametrize("leads_to", LINKS)
def test_links_there_are_followed_inside_where_there_is_no_init_layer(
    store: LayerStore, leads_to: str
) -> None:
    with store.images.create("linked", NAME) as rw:
        with rw.mounted() as path:
            Path(path, "lead").symlink_to("run/led/to")
            Path(path, "etc/hosts").symlink_to(leads_to)
        script = "cat /etc/hosts; echo =; [ -c /dev/null ]"
        done = run(rw, ["/bin/sh", "-c", script], env={"PATH": "/bin"}, capture=True)
        assert done.status == 0
        kept = leads_to.startswith(("/dev", "/proc"))
        assert (lines(done)[:6] == LOOPBACK) != kept
        with rw.mounted() as path:
            assert os.readlink(f"{path}/etc/hosts") == leads_to
    assert not os.path.lexists("/tmp/outside")  # noqa: S108


def test_a_directory_there_is_told_by_its_path(store: LayerStore) -> None:
    def prepare(path: str) -> None:
        Path(path, "etc/hosts").mkdir()
        mount_points(path)

    with (
        store.images.create("made", NAME, init=prepare) as rw,
        pytest.raises(DriverError, match="mount on /etc/hosts: Not a directory"),
    ):
        run(rw, ["/bin/true"])


def test_an_etc_that_is_a_link_is_followed_inside(store: LayerStore) -> None:
    def prepare(path: str) -> None:
        shutil.move(f"{path}/etc", f"{path}/srv/etc")
        Path(path, "etc").symlink_to("../../srv/etc")
        mount_points(path)

    with store.images.create("moved", NAME, init=prepare) as rw:
        done = run(rw, ["/bin/cat", "/srv/etc/hostname"], user="app", capture=True)
        assert lines(done) == ["moved"]
        assert rw.changes() == []


@pytest.mark.parametrize("target", ["/etc", "/etc/../srv/to-etc"])
def test_files_of_a_caller_s_volume_count(
    store: LayerStore, rw: RWLayer, tmp_path: Path, target: str
) -> None:
    (tmp_path / "hosts").write_text("mine\n")
    with rw.mounted() as path:
        Path(path, "srv/to-etc").symlink_to("../etc")
    volume = Volume(source=str(tmp_path), target=target)
    done = run(rw, ["/bin/cat", "/etc/hosts"], volumes=[volume], capture=True)
    assert lines(done) == ["mine"]
    assert os.listdir(tmp_path) == ["hosts"], "nothing is made in it"


def test_a_caller_s_volume_may_be_one_of_the_files(sh: Runs, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine\n")
    volume = Volume(source=str(tmp_path / "mine"), target="/etc/hosts")
    assert lines(sh("cat /etc/hosts /etc/hostname", volumes=[volume])) == ["mine", "web"]


NO_DIRECTORIES = ["/etc", "/proc", "/sys", "/dev"]


@pytest.mark.parametrize("place", NO_DIRECTORIES)
def test_what_is_in_the_way_of_a_mount_point_is_told_by_its_path(
    store: LayerStore, place: str
) -> None:
    def prepare(path: str) -> None:
        shutil.rmtree(path + place, ignore_errors=True)
        Path(path + place).touch()

    def prepare_and_make(path: str) -> None:
        prepare(path)
        mount_points(path)

    with pytest.raises(DriverError, match=rf"make mount points in .*: Not a directory .at {place}"):
        store.images.create("wrong", NAME, init=prepare_and_make)
    with (
        store.images.create("wrong", NAME, init=prepare) as rw,
        pytest.raises(DriverError, match=f"prepare {place}: Not a directory"),
    ):
        run(rw, ["/bin/true"])


def test_a_root_that_can_not_be_written_to_goes_without_what_it_has_no_place_for(
    store: LayerStore, tmp_path: Path
) -> None:
    with store.images.create("bare", NAME) as rw, rw.mounted() as path:
        for name in ("proc", "sys", "dev"):
            Path(path, name).mkdir()
        subprocess.run(["mount", "--bind", "-o", "ro", path, tmp_path], check=True)
        write = "mkdir /made 2> /dev/null && echo it can be"
        try:
            with piped(
                str(tmp_path), f"{write}; ls /etc; cat /etc/hostname", hostname="named"
            ) as running:
                shown = running.wait().stdout
        finally:
            subprocess.run(["umount", tmp_path], check=True)
        assert shown == b"group\nhostname\nos-release\npasswd\nnamed\n"
