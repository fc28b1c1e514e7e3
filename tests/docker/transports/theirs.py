"""A root of containers-storage with images that skopeo and buildah put there."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.docker.other_engines import ContainersStorage, make_layout, run
from tests.support.archives import config_of, digest_of
from tests.support.nasty_image import nasty_layers
from tests.support.tars import layer_tar

LAYERS = nasty_layers()[:-1]
"""Without the sparse member: its tar-split takes the file with its holes for the member's."""
NAME = "localhost/app:1"
ID = digest_of(config_of(LAYERS)).removeprefix("sha256:")


class Theirs:
    """A root of containers-storage, and what is in it."""

    def __init__(self, place: Path, driver: str) -> None:
        self.place = place
        self.driver = driver
        self.root = place / "graph"

    def at(self, name: str) -> str:
        return f"containers-storage:[{self.driver}@{self.root}+{self.place}/run]{name}"

    def build(self, tar: Path, name: str) -> None:
        """Make an image on ours with buildah."""
        where: list[str | Path] = ["--root", self.root, "--runroot", self.place / "run"]
        where += ["--storage-driver", self.driver]
        made = run("buildah", *where, "from", NAME).decode().strip()
        run("buildah", *where, "add", "-q", made, tar, "/added/")
        run("buildah", *where, "commit", "-q", made, name)
        run("buildah", *where, "rm", made)

    def list_of(self, kind: str) -> Path:
        return self.root / f"{self.driver}-{kind}/{kind}.json"

    def layer(self) -> str:
        """The ID of the base layer."""
        return str(json.loads(self.list_of("layers").read_bytes())[0]["id"])

    def tree(self) -> Path:
        layer = self.layer()
        return self.root / ("vfs/dir" if self.driver == "vfs" else "overlay") / layer / self.diff

    @property
    def diff(self) -> str:
        return "" if self.driver == "vfs" else "diff"

    def tar_split(self) -> Path:
        return self.root / f"{self.driver}-layers/{self.layer()}.tar-split.gz"

    def copy_to(self, place: Path) -> Theirs:
        place.mkdir()
        subprocess.run(["cp", "-a", self.root, place / "graph"], check=True)
        return Theirs(place, self.driver)


@contextlib.contextmanager
def made_by_skopeo(base: Path, driver: str) -> Iterator[Theirs]:
    place = Path(tempfile.mkdtemp(prefix="theirs-", dir=base))
    try:
        with ContainersStorage(place, driver):
            found = Theirs(place, driver)
            layout = make_layout(LAYERS, place / "layout")
            run("skopeo", "copy", "-q", f"oci:{layout}:latest", found.at(NAME))
            run("skopeo", "copy", "-q", f"oci:{layout}:latest", found.at("example.org/x/other:2"))
            (place / "added.tar").write_bytes(layer_tar({"d": None, "d/f": b"built", "ü": b"x"}))
            found.build(place / "added.tar", "localhost/built:1")
        yield found
    finally:
        shutil.rmtree(place)
