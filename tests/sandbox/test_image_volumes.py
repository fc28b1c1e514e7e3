"""Volumes that an image asks for: what they begin with, how long they are there, hostile paths."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from layerstore import (
    DriverError,
    Finished,
    InvalidImage,
    InvalidName,
    LayerStore,
    RWLayer,
    Volume,
    image_process,
    image_volumes,
    mount_points,
    run,
)
from tests.sandbox.conftest import lines
from tests.support.busybox import NAME

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


@pytest.fixture
def rw(store: LayerStore) -> Iterator[RWLayer]:
    """A layer with things at the paths that volumes are asked for at."""

    def prepare(path: str) -> None:
        mount_points(path)
        data = Path(path, "data")
        (data / "sub").mkdir(parents=True)
        (data / "sub/f").write_text("image\n")
        os.chown(data / "sub/f", 7, 8)
        (data / "sub/f").chmod(0o4755)
        (data / "link").symlink_to("/etc/passwd")
        os.mkfifo(data / "pipe")
        os.chown(data, 1000, 1001)
        data.chmod(0o2770)
        for name, leads_to in LINKS.items():
            Path(path, name).symlink_to(leads_to)

    with store.images.create("web", NAME, init=prepare) as layer:
        yield layer


LINKS = {
    "out": "/var/lib",
    "up": "../../../../../etc",
    "dangling": "/nothing/here",
    "to-root": "../..",
    "to-proc": "/proc/sys",
    "magic": "/proc/self/cwd",
    "loop": "loop",
}


def ran(
    store: LayerStore, rw: RWLayer, script: str, paths: Sequence[str], *more: Volume, user: str = ""
) -> Finished:
    """Run a line of shell with the volumes of an image."""
    process = image_process({"config": {"Volumes": {path: {} for path in paths}}}, ["sh"])
    volumes = image_volumes(store, rw, process.volumes, more)
    argv, env = ["/bin/sh", "-c", script], {"PATH": "/bin"}
    return run(rw, argv, env=env, user=user, volumes=[*more, *volumes], capture=True)


SHOW = "ls -ln /data /data/sub; ls -lnd /data; cat /data/sub/f"


def test_one_begins_with_what_the_image_has_there(store: LayerStore, rw: RWLayer) -> None:
    def shown(paths: Sequence[str]) -> list[str]:
        return lines(ran(store, rw, SHOW, paths, user="app"))

    def without_sizes(found: list[str]) -> list[str]:
        return [line for line in found if not line.startswith("total")]

    plain, with_volume = shown([]), shown(["/data"])
    assert without_sizes(plain) == without_sizes(with_volume)
    assert plain[-1] == "image"
    (mounted,) = lines(ran(store, rw, "grep -c ' /data ' /proc/mounts", ["/data"]))
    assert mounted == "1"


def test_what_is_written_to_one_is_no_change_and_there_until_the_layer_goes(
    store: LayerStore, rw: RWLayer
) -> None:
    home = Path(store.root, "layerstore/volumes", rw.mount_id)
    write = "echo mine > /data/new; rm /data/pipe; chmod 700 /data; mkdir -p /new/deep; exit 3"
    assert ran(store, rw, write, ["/data", "/empty"]).status == 3
    assert lines(ran(store, rw, "cat /data/new; ls /data", ["/data"]))[0] == "mine"
    assert "A /data/new" not in [str(change) for change in rw.changes()]
    assert [str(change) for change in rw.changes()] == ["A /empty", "A /new", "A /new/deep"]
    assert len(list(home.iterdir())) == 2
    rw.release()
    assert not home.exists()
    store.drain()
    assert os.listdir(Path(store.root, "layerstore/trash")) == []


def test_a_volume_that_is_given_stands_for_it(
    store: LayerStore, rw: RWLayer, tmp_path: Path
) -> None:
    (tmp_path / "mine").touch()
    given = Volume(source=str(tmp_path), target="/srv/../data/")
    assert lines(ran(store, rw, "ls /data", ["/data"], given)) == ["mine"]
    assert image_volumes(store, rw, ["/data"], [given]) == ()


@pytest.mark.parametrize(
    ("paths", "script", "found"),
    [
        # What dockerd 20.10 does with each, tried once by hand.
        (["data"], "cat /data/sub/f", ["image"]),
        (["/data", "/data/"], "cat /data/sub/f; grep -c ' /data ' /proc/mounts", ["image", "1"]),
        (["/srv/../data/."], "cat /data/sub/f", ["image"]),
        (["../../data"], "cat /data/sub/f", ["image"]),
        (["/new/deep"], "ls -lnd /new/deep | cut -c1-10; ls /new/deep", ["drwxr-xr-x"]),
        (["/data/sub", "/data"], "cat /data/sub/f; grep -c ' /data' /proc/mounts", ["image", "2"]),
        (["/out"], "grep -c ' /var/lib ' /proc/mounts; ls /out", ["1"]),
        (["/up"], "head -n 1 /up/passwd; grep -c ' /etc ' /proc/mounts",
         ["root:x:0:0:root:/root:/bin/sh", "1"]),
        (["/dangling"], "grep -c ' /nothing/here ' /proc/mounts", ["1"]),
        (["/etc"], "head -n 1 /etc/passwd; head -n 1 /etc/hosts; cat /etc/hostname",
         ["root:x:0:0:root:/root:/bin/sh", "127.0.0.1\tlocalhost", "web"]),
    ],
)  # fmt: skip
def test_paths_mean_what_docker_takes_them_for(
    store: LayerStore, rw: RWLayer, paths: list[str], script: str, found: list[str]
) -> None:
    """Links lead inside (CVE-2022-23648, CVE-2024-9676: they led to files of the machine)."""
    assert lines(ran(store, rw, script, paths)) == found


@pytest.mark.parametrize(
    "path", ["/", ".", "", "..", "/../..", "/data/..", "/proc", "/proc/x", "a\0b"]
)
def test_paths_where_there_can_be_no_volume_are_refused_for_the_image(path: str) -> None:
    with pytest.raises(InvalidImage, match=r"it asks for a volume at '.*', but a "):
        image_process({"config": {"Volumes": {path: {}}}}, ["sh"])


@pytest.mark.parametrize("volumes", [None, {}])
def test_an_image_may_ask_for_none(volumes: object) -> None:
    assert image_process({"config": {"Volumes": volumes}}, ["sh"]).volumes == ()


@pytest.mark.parametrize("volumes", [[], "", ["/data"]])
def test_volumes_that_are_no_object_are_refused(volumes: object) -> None:
    with pytest.raises(InvalidImage, match=r"Expected `object . null`, got .*Volumes"):
        image_process({"config": {"Volumes": volumes}}, ["sh"])


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("/etc/passwd", DriverError, "make a volume for /etc/passwd: Not a directory"),
        ("/data/pipe", DriverError, "make a volume for /data/pipe: Not a directory"),
        ("/etc/passwd/x", DriverError, "make a volume for /etc/passwd/x: Not a directory"),
        ("/loop", DriverError, "make a volume for /loop: Too many levels of symbolic links"),
        ("/to-root", InvalidName, "a volume's target can't lead to / nor into /proc"),
        ("/to-proc", InvalidName, "a volume's target can't lead to / nor into /proc"),
        ("/magic", DriverError, "Too many levels of symbolic links"),
        ("/sys/x", DriverError, "mount on /sys/x: Read-only file system"),
        ("/" + "x" * 300, DriverError, "File name too long"),
    ],
)
def test_paths_that_lead_where_there_can_be_none_are_told(
    store: LayerStore, rw: RWLayer, path: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ran(store, rw, "true", [path])
    home = Path(store.root, "layerstore/volumes", rw.mount_id)
    assert not home.exists() or all(len(name) == 64 for name in os.listdir(home))


def test_volumes_of_layers_that_are_gone_go_when_the_store_is_opened(tmp_path: Path) -> None:
    with LayerStore(tmp_path, driver="vfs", durability="relaxed", workers=0) as store:
        kept = store.create_rw_layer("web", None)
        (volume,) = image_volumes(store, kept, ["/data"])
        Path(volume.source, "mine").touch()
        gone = Path(store.root, "layerstore/volumes/0123")
        gone.mkdir()
    with LayerStore(tmp_path, driver="vfs", durability="relaxed", workers=0) as store:
        store.drain()
        assert not gone.exists()
        (again,) = image_volumes(store, store.get_rw_layer("web"), ["/data"])
        assert again == volume
        assert os.listdir(volume.source) == ["mine"]
        assert os.listdir(tmp_path / "layerstore/trash") == []
