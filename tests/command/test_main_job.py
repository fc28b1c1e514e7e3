"""The main job on a real image, through the command, with other tools' view to compare with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from layerstore.drivers.system.mountinfo import mount_points
from tests.support.make_image import NAME, make_image, run
from tests.support.trees import Facts, differences, in_whole_seconds, read_tree

pytestmark = [
    pytest.mark.root,
    pytest.mark.thorough,
    pytest.mark.needs("mmdebstrap", "skopeo", "umoci"),
    pytest.mark.timeout(600),
]

CONTAINERS = 20


class Command:
    """The layerstore command on one root: the installed one, or this checkout's."""

    def __init__(self, root: Path) -> None:
        installed = os.environ.get("LAYERSTORE_COMMAND")
        found = [installed] if installed else [sys.executable, "-m", "layerstore.command"]
        self._command = [*found, "--root", str(root)]

    def __call__(self, *arguments: str | Path) -> str:
        done = subprocess.run(
            [*self._command, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """Run it with --json and return what it printed."""
        return json.loads(self(*arguments, "--json"))


@pytest.fixture(scope="module")
def image(base_directory: Path) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(dir=base_directory))
    yield make_image(place)
    shutil.rmtree(place)


def unpack_with_umoci(archive: Path, name: str, place: Path) -> Path:
    """Return the root file system that skopeo and umoci make of a docker-archive."""
    run("skopeo", "copy", f"docker-archive:{archive}:{name}", f"oci:{place}/theirs:latest")
    run("umoci", "unpack", "--image", f"{place}/theirs:latest", place / "theirs-bundle")
    return place / "theirs-bundle/rootfs"


def change_in_chroot(path: str, number: int) -> None:
    script = (
        f"echo container-{number} > /etc/hostname && mkdir -p /srv/data && "
        f"echo {number} > /srv/data/number && rm /etc/motd /opt/remade/new && "
        "ln /etc/passwd /srv/passwd && chmod 4750 /srv/data/number && mkfifo /srv/pipe"
    )
    subprocess.run(["chroot", path, "/bin/sh", "-c", script], check=True)


def test_a_real_image_becomes_mounted_root_file_systems(image: Path, root_dir: Path) -> None:
    layerstore = Command(root_dir / "store")
    assert NAME in layerstore("load", image)
    (loaded,) = layerstore.json("images")
    names = [f"web{number}" for number in range(CONTAINERS)]
    paths = {}
    for name in names:
        layerstore("create", name, "--image", NAME)
        paths[name] = layerstore("mount", name).strip()
    place = root_dir / "theirs"
    place.mkdir()
    theirs = unpack_with_umoci(image, NAME, place)
    assert differences(_shown(paths["web0"]), _shown(theirs)) == []
    for number, name in enumerate(names):
        change_in_chroot(paths[name], number)
        lines = layerstore("diff", name).splitlines()
        assert {
            "C /etc",
            "C /etc/hostname",
            "D /etc/motd",
            "D /opt/remade/new",
            "A /srv/data",
            "A /srv/data/number",
            "A /srv/passwd",
            "A /srv/pipe",
        } <= set(lines)
    layerstore("commit", "web7", "changed:1")
    out = root_dir / "out.tar"
    layerstore("save", "changed:1", "-o", out)
    again = root_dir / "again"
    again.mkdir()
    theirs = unpack_with_umoci(out, "changed:1", again)
    ours = in_whole_seconds(_shown(paths["web7"]))
    assert differences(ours, in_whole_seconds(_shown(theirs))) == []
    layerstore("create", "from-commit", "--image", "changed:1")
    shown = layerstore("mount", "from-commit").strip()
    assert differences(ours, in_whole_seconds(_shown(shown))) == []
    layerstore("umount", "from-commit")
    _remove_everything(layerstore, [*names, "from-commit"], loaded["id"], root_dir / "store")


def _shown(root: str | Path) -> dict[str, Facts]:
    """Read a root file system; the root directory itself is the mount's, not the image's."""
    tree = read_tree(root)
    del tree["."]
    return tree


def _remove_everything(layerstore: Command, names: list[str], image_id: str, root: Path) -> None:
    layerstore("umount", names[0])
    layerstore("rm", *names)
    assert layerstore.json("ls") == []
    assert not [point for point in mount_points() if point.path.startswith(str(root))]
    layerstore("rmi", "changed:1")
    layerstore("rmi", "--wait", NAME)
    assert layerstore.json("images") == []
    left = [path for path in (root / "overlay2").iterdir() if path.name != "l"]
    assert left == []
    assert list((root / "overlay2/l").iterdir()) == []
    assert list((root / "image/overlay2/layerdb/sha256").iterdir()) == []
    assert list((root / "layerstore/trash").iterdir()) == []
    assert image_id.startswith("sha256:")
