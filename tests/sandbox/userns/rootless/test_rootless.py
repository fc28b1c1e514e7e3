"""The command of an ordinary user: images, mounts and runs as root has them."""

from __future__ import annotations

import io
import os
import signal
import stat
import tarfile
from pathlib import Path

import pytest

from layerstore import LayerStore
from tests.sandbox.userns.rootless.conftest import FAR, far_archive
from tests.sandbox.userns.rootless.ordinary import PROGRAM, Ordinary, World
from tests.support.registries.daemon import NEEDED, Registry

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox", "useradd", "newuidmap")]

RUN = """
    ls -ln /d/far /d/console | cut -c 1-15
    echo more >> /d/far; chown 5:6 /d/near; touch /d/new; chmod 711 /d/none
    rm /d/loop; chown 1000:1000 /d/hard; chmod 4755 /d/hard
"""


def members(tar: bytes) -> dict[str, tuple[str, int, bytes]]:
    """Owner, permissions and type of each member of a tar."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {m.name: (f"{m.uid}:{m.gid}", m.mode, m.type) for m in archive}


def test_an_image_is_what_root_makes_of_it(own: Ordinary, root_dir: Path) -> None:
    own.layerstore("save", FAR, "-o", own.home / "saved.tar")
    with LayerStore(root_dir, driver="overlay2", durability="relaxed", workers=0) as store:
        store.images.load(io.BytesIO(far_archive()))
        store.images.save([FAR], root_dir / "saved.tar")
        (image,) = store.images.list()
        ids = own.layerstore("images", "--no-trunc", "-q", FAR).stdout
        assert ids == f"{image.id}\n"
    assert (own.home / "saved.tar").read_bytes() == (root_dir / "saved.tar").read_bytes()
    assert own.layerstore("check", "--full").returncode == 0


def test_info_tells_the_namespace_and_the_driver(own: Ordinary) -> None:
    told = own.layerstore("info").stdout
    assert f"Root: {own.home}/.local/share/layerstore\n" in told
    assert "Storage Driver: overlay2\n" in told
    assert f"User namespace: made by layerstore, users 0:{own.uid}:1,1:" in told
    assert "missing" not in told
    status = (own.home / ".local/share/layerstore").stat()
    assert (status.st_uid, status.st_mode & 0o777) == (own.uid, 0o700)


def test_owners_beyond_the_map_are_kept_through_a_run_and_a_commit(own: Ordinary) -> None:
    done = own.layerstore("run", "--keep", "--name", "box", FAR, "sh", "-c", RUN)
    assert done.stdout == "-rw--w----    1\n-rwxr-xr-x    2\n"
    changes = own.layerstore("diff", "box").stdout.split("\n")
    assert changes[:-1] == [
        "C /d", "C /d/far", "C /d/hard", "D /d/loop", "C /d/near", "A /d/new", "C /d/none",
    ]  # fmt: skip
    assert own.layerstore("commit", "box", "far:2").stderr == ""
    own.layerstore("create", "again", "--image", "far:2")
    own.layerstore("export", "again", "-o", own.home / "again.tar")
    found = members((own.home / "again.tar").read_bytes())
    assert {name: found[name] for name in found if name.startswith(("d", "closed"))} == {
        "d": ("70000:70001", 0o2755, tarfile.DIRTYPE),
        "d/far": ("70000:70001", 0o4755, tarfile.REGTYPE),
        "d/hard": ("1000:1000", 0o4755, tarfile.REGTYPE),
        "d/near": ("5:6", 0o755, tarfile.REGTYPE),
        "d/new": ("0:0", 0o644, tarfile.REGTYPE),
        "d/link": ("0:0", 0o777, tarfile.SYMTYPE),  # nothing keeps a link's
        "d/console": ("0:5", 0o620, tarfile.CHRTYPE),
        "d/none": ("70000:70001", 0o711, tarfile.REGTYPE),
        "d/forged": ("1000:1000", 0o600, tarfile.REGTYPE),
        "closed": ("70000:70001", 0o555, tarfile.DIRTYPE),
        "closed/in": ("0:0", 0o400, tarfile.REGTYPE),
    }
    own.layerstore("rm", "box", "again")
    own.layerstore("rmi", "far:2")
    assert own.layerstore("check").returncode == 0


def test_users_of_a_run_are_those_of_the_map(own: Ordinary) -> None:
    script = "id -u; id -g; touch /tmp/mine; chown 65536 /tmp/mine && echo last"
    done = own.layerstore("run", "--user", "app", FAR, "sh", "-c", script, status=1)
    assert done.stdout == "1000\n1001\n"
    done = own.layerstore("run", FAR, "sh", "-c", f"{script}; chown 65537 /tmp/mine", status=1)
    assert done.stdout == "0\n0\nlast\n"
    done = own.layerstore("run", "--user", "70000", FAR, "true", status=125)
    assert "'70000:0': the user namespace that this runs in has no such user" in done.stderr


def test_a_mount_lasts_as_long_as_somebody_is_in_the_namespace(own: Ordinary) -> None:
    own.layerstore("create", "lasting", "--image", FAR)
    refused = own.layerstore("mount", "lasting", status=1)
    assert "'layerstore unshare'" in refused.stderr
    with own.begin([*PROGRAM, "unshare", "sh", "-c", "echo ready; read end"]) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"ready\n"
        path = own.layerstore("mount", "lasting").stdout.strip()
        assert not os.path.ismount(path)  # it is nobody else's to see
        shown = own.layerstore("unshare", "sh", "-c", f"cat {path}/d/far; touch {path}/new")
        assert shown.stdout == "d/far"
        own.layerstore("umount", "lasting")
        assert own.layerstore("diff", "lasting").stdout == "A /new\n"
        assert f"User namespace: that of process {shell.pid}," in own.layerstore("info").stdout
        shell.communicate(b"\n")
    assert "made by layerstore" in own.layerstore("info").stdout


def test_others_attach_to_a_store_that_is_served(own: Ordinary) -> None:
    own.layerstore("create", "served", "--image", FAR)
    with own.begin([*PROGRAM, "serve"]) as owner:
        assert owner.stdout is not None
        assert b"is open" in owner.stdout.readline()
        told = own.layerstore("info").stdout
        assert f"Owner: process {owner.pid}," in told
        assert f"that of process {owner.pid}," in told
        path = own.layerstore("mount", "served").stdout.strip()
        own.layerstore("run", FAR, "true")
        assert own.layerstore("unshare", "ls", f"{path}/closed").stdout == "in\n"
        own.layerstore("cp", "served:/d/far", own.home / "copied")
        owner.send_signal(signal.SIGTERM)
    assert owner.returncode == 0
    assert (own.home / "copied").read_text() == "d/far"
    (own.home / "copied").unlink()


def test_a_user_with_one_id_has_everything_but_other_users(alone: Ordinary) -> None:
    told = alone.layerstore("info").stdout
    assert f"users 0:{alone.uid}:1; /etc/subuid has no range" in told
    done = alone.layerstore("run", "--commit", "mine:1", FAR, "sh", "-c", "id -u; touch /d/far")
    assert done.stdout == "0\n"
    alone.layerstore("create", "again", "--image", "mine:1")
    alone.layerstore("export", "again", "-o", alone.home / "again.tar")
    found = members((alone.home / "again.tar").read_bytes())
    assert found["d/far"] == ("70000:70001", 0o4755, tarfile.REGTYPE)
    assert found["d/near"] == ("1000:1001", 0o4755, tarfile.REGTYPE)
    assert found["d/loop"] == ("70000:5", 0o620, tarfile.BLKTYPE)
    done = alone.layerstore("run", "--user", "1000", FAR, "true", status=125)
    assert "the user namespace that this runs in has no such user" in done.stderr


def test_where_there_are_no_namespaces_copies_keep_the_owners(
    person: Ordinary, root_dir: Path
) -> None:
    os.chown(root_dir, person.uid, person.gid)
    os.chmod(root_dir, 0o700)
    at = ("--root", root_dir)
    path = person.write("far.tar", far_archive())
    done = person.layerstore(*at, "load", "-i", path, namespaces=False)
    assert "is to be used with vfs: overlay2 can't be used: mounting needs root" in done.stderr
    assert "max_user_namespaces is 0" in done.stderr
    told = person.layerstore(*at, "info", namespaces=False).stdout
    assert "User namespace: none: make a user namespace: No space left on device" in told
    person.layerstore(*at, "create", "web", "--image", FAR, namespaces=False)
    person.layerstore(*at, "export", "web", "-o", person.home / "web.tar", namespaces=False)
    found = members((person.home / "web.tar").read_bytes())
    assert found["d/far"] == ("70000:70001", 0o4755, tarfile.REGTYPE)
    assert found["d/none"] == ("70000:70001", 0, tarfile.REGTYPE)
    assert found["closed"] == ("70000:70001", 0o555, tarfile.DIRTYPE)
    assert found["closed/in"] == ("0:0", 0o400, tarfile.REGTYPE)
    failed = person.layerstore(*at, "run", FAR, "true", namespaces=False, status=125)
    assert "unshare namespaces" in failed.stderr
    assert "an ordinary user needs a user namespace first" in failed.stderr


def test_a_program_enters_before_its_threads_start(person: Ordinary) -> None:
    script = """
import threading, layerstore
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
try:
    layerstore.enter_user_namespace()
except layerstore.DriverError as error:
    print(error)
stop.set()
thread.join()
found = layerstore.enter_user_namespace()
print(found)
with layerstore.LayerStore("store", durability="relaxed", workers=0) as store:
    print(store.driver_name)
    with store.create_rw_layer("web") as rw, rw.mounted() as path:
        open(f"{path}/new", "w").close()
        print(*rw.changes())
"""
    done = person.run([PROGRAM[0], "-c", script])
    lines = done.stdout.splitlines()
    assert "the process has 2 threads" in lines[0], done.stderr
    assert done.stderr == ""
    assert lines[1].startswith(f"made by layerstore, users 0:{person.uid}:1,1:")
    assert lines[2:] == ["overlay2", "A /new"]


@pytest.mark.thorough
@pytest.mark.needs("fuse-overlayfs")
def test_owners_beyond_the_map_are_kept_by_fuse_overlayfs_too(
    person: Ordinary, root_dir: Path
) -> None:
    device = root_dir / "fuse"  # as most machines have it: anybody may open it
    os.mknod(device, stat.S_IFCHR, os.makedev(10, 229))
    device.chmod(0o666)
    at = ("--root", person.home / "fuse", "--driver", "fuse-overlayfs")
    world: World = {"replaced": {"/dev/fuse": device}}
    person.layerstore(*at, "load", given=far_archive(), **world)
    script = "echo more >> /d/near; rm /d/loop; touch /d/far /d/none"
    person.layerstore(*at, "run", "--commit", "far:2", FAR, "sh", "-c", script, **world)
    person.layerstore(*at, "create", "again", "--image", "far:2", **world)
    person.layerstore(*at, "export", "again", "-o", person.home / "again.tar", **world)
    found = members((person.home / "again.tar").read_bytes())
    assert found["d/near"] == ("1000:1001", 0o4755, tarfile.REGTYPE)
    assert found["d/far"] == ("70000:70001", 0o4755, tarfile.REGTYPE)
    assert found["d/none"] == ("70000:70001", 0, tarfile.REGTYPE)
    assert found["d/console"] == ("0:5", 0o620, tarfile.CHRTYPE)
    assert "d/loop" not in found


@pytest.mark.needs("slirp4netns")
def test_a_run_has_a_way_out_of_a_network_of_its_own(own: Ordinary, root_dir: Path) -> None:
    device = root_dir / "tun"  # as most machines have it
    os.mknod(device, stat.S_IFCHR, os.makedev(10, 200))
    device.chmod(0o666)
    command = ("run", "--network", "private", FAR, "ip", "addr")
    done = own.layerstore(*command, replaced={"/dev/net/tun": device})
    assert "inet 10." in done.stdout


@NEEDED
def test_an_image_is_pushed_and_pulled(own: Ordinary, registry: Registry) -> None:
    name = registry.name("rootless:1")
    own.layerstore("tag", FAR, name)
    own.layerstore("push", "-q", name)
    before = own.layerstore("images", "--no-trunc", "-q", name).stdout
    own.layerstore("rmi", name)
    own.layerstore("--root", own.home / "pulled", "pull", "-q", name)
    pulled = own.layerstore("--root", own.home / "pulled", "images", "--no-trunc", "-q")
    assert pulled.stdout == before != ""


def test_a_layer_in_memory_lives_as_long_as_its_mount_may(own: Ordinary) -> None:
    asked = ["--scratch=memory", "--storage-opt", "size=2m"]
    write = "echo 1 > /new; head -c 9000000 /dev/zero > /much 2> /dev/null || echo no more"
    done = own.layerstore("run", *asked, "--commit", "far:3", FAR, "sh", "-c", write)
    assert done.stdout == "no more\n"
    assert own.layerstore("run", "far:3", "cat", "/new").stdout == "1\n"
    own.layerstore("create", *asked, "job", "--image", FAR)
    assert "memory is gone" in own.layerstore("diff", "job", status=1).stderr
    own.layerstore("rm", "job")
    own.layerstore("rmi", "far:3")
