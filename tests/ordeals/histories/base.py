"""What every rule of the random histories needs: an open store, its model, and comparing them.

Owns the store's root and the references that a history holds. The rules are in the modules beside.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from layerstore import Layer, LayerStore, RWLayer, WorkerDied
from layerstore.actors import messages as m
from layerstore.drivers.system.mountinfo import mount_points
from layerstore.drivers.system.syscalls import umount
from tests.ordeals.histories.model import Files, Model, digest_of
from tests.support.homes import directories_of
from tests.support.tars import Content

T = TypeVar("T")
PICK = st.integers(0, 999)
NO_CHAIN = "sha256:" + "0" * 64
NAMES = ("rw-1", "rw-2", "rw-3", "rw-4")
_PATHS = ("a", "b", "d/a", "d/b", "e/f/g")
_WHITEOUTS = (".wh.a", ".wh.b", "d/.wh.a", ".wh.d", "d/.wh..wh..opq", "e/f/.wh.g")
_MAX_DEPTH = 6


@st.composite
def contents(draw: st.DrawFn) -> dict[str, Content]:
    """Contents of tars: few small files and whiteouts, so few that the same ones come again."""
    gone = draw(st.sets(st.sampled_from(_WHITEOUTS), max_size=2))
    files: dict[str, Content] = dict.fromkeys(sorted(gone), b"")
    hidden = {name.replace(".wh.", "") for name in gone}
    if "d" in hidden:  # nothing can be put beneath what the same tar takes away
        hidden |= {"d/a", "d/b"}
        files = {name: content for name, content in files.items() if not name.startswith("d/")}
    for path in sorted(draw(st.sets(st.sampled_from(_PATHS), max_size=3))):
        if path not in hidden:
            files[path] = b"x" * draw(st.integers(0, 3))
    return files


def read_files(path: str) -> Files:
    """Return the regular files beneath a directory."""
    found = {}
    for place, _, names in os.walk(path):
        for name in names:
            file = Path(place, name)
            # overlayfs lists a whiteout in a directory that only one layer has, but opens nothing.
            if file.exists():
                found[str(file.relative_to(path))] = file.read_bytes()
    return found


class HistoryBase(RuleBasedStateMachine):
    """One history on one root."""

    place: ClassVar[Path]
    driver: ClassVar[str]
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.mkdtemp(dir=self.place)
        self.model = Model()
        self.layers: list[Layer] = []
        self.released: list[Layer] = []
        self.rws: list[RWLayer] = []
        self.released_rws: list[RWLayer] = []
        self.dead_children = 0
        self.settling = False
        self.fresh = 0
        self.store = self.opened("relaxed")

    def opened(self, durability: str) -> LayerStore:
        return LayerStore(
            self.root,
            driver=self.driver,
            durability="durable" if durability == "durable" else "relaxed",
            workers=1,
            trace_size=100,
        )

    # What rules choose from: in the order in which it was made. IDs hang on the time, so in theirs
    # the same choices would lead elsewhere when they are made again.

    def some_parent(self, pick: int, *, given_up: bool = False) -> str | None:
        """Choose a chain to build on, or None for a base layer.

        With `given_up` it may be one that goes at the end of the next use.
        """
        shallow = [
            chain
            for chain, layer in self.model.layers.items()
            if len(list(self.model.ancestors(chain))) < _MAX_DEPTH
            and (given_up or not layer.forsaken or self.model.references(chain))
        ]
        return [None, *shallow][pick % (len(shallow) + 1)]

    def some_chain(self, pick: int) -> str:
        chains = list(self.model.layers)
        return chains[pick % len(chains)]

    def content(self) -> bytes:
        """Return content of a length that no file of this history has had."""
        self.fresh += 1
        return b"y" * (10 + self.fresh)

    # Doing and comparing

    def heavy(self, call: Callable[[], T], *, uses: Sequence[str] = ()) -> T:
        """Do what needs a child; one that was killed fails it without effect, then it goes on.

        But what it `uses`, a chain from its base, it has given back, those of it that were there.
        """
        while True:
            try:
                return call()
            except WorkerDied:
                self.dead_children -= 1
                assert self.dead_children >= 0, "a child died that nobody has killed"
                for chain in reversed(uses):
                    if chain in self.model.layers:
                        self.model.given_up(chain)
                self.agrees()

    def read(self, path: str) -> Files:
        return read_files(path)

    @invariant()
    def counted(self) -> None:
        type(self).steps += 1
        self.agrees()

    def agrees(self) -> None:
        """The store's own account of everything is the model's."""
        deadline = time.monotonic() + 60
        while self.settling and (self._changes() or self._layers() != self._expected_layers()):
            assert time.monotonic() < deadline
        self.settling = False
        assert self._layers() == self._expected_layers()
        assert self._mounts() == self._expected_mounts()
        assert self._images() == self._expected_images()

    def _changes(self) -> frozenset[str]:
        """Return what is being made or removed: that is in no list, but may come back to it."""
        core = self.store.core
        standing: m.Standing = core.call(core.actors.layers, m.Underway())
        return standing.busy

    def _layers(self) -> dict[str, tuple[object, ...]]:
        return {
            str(chain): (facts.references, facts.parent, facts.diff_id, facts.diff_size)
            for chain, facts in self.store.map().items()
        }

    def _expected_layers(self) -> dict[str, tuple[object, ...]]:
        model = self.model
        return {
            chain: (model.references(chain), layer.parent, digest_of(layer.tar), layer.diff_size)
            for chain, layer in model.layers.items()
        }

    def _mounts(self) -> list[tuple[object, ...]]:
        return [
            (rw.name, rw.parent, rw.init_id is not None, rw.references, rw.mount_count, rw.state)
            for rw in self.store.mounts()
        ]

    def _expected_mounts(self) -> list[tuple[object, ...]]:
        return [
            (name, rw.parent, rw.has_init, rw.references, rw.mount_count, "ready")
            for name, rw in sorted(self.model.mounts.items())
        ]

    def _images(self) -> dict[str, tuple[object, ...]]:
        return {
            image.id: (list(image.names), [str(chain) for chain in image.layers], image.missing)
            for image in self.store.images.list()
        }

    def _expected_images(self) -> dict[str, tuple[object, ...]]:
        return {
            image_id: (self.model.names_of(image_id), image.chains, None)
            for image_id, image in self.model.images.items()
        }

    def disk_agrees(self) -> None:
        """What lies on the disk is what the books name, and nothing else."""
        self.heavy(self.store.drain)
        named = {facts.cache_id for facts in self.store.map().values()}
        for mount in self.store.mounts():
            named |= {mount.mount_id} | ({mount.init_id} if mount.init_id else set())
        assert directories_of(self.store) == named
        layerdb = Path(self.root, "image", self.driver, "layerdb")
        assert os.listdir(layerdb / "tmp") == []
        stored = {f"sha256:{path.name}" for path in (layerdb / "sha256").iterdir()}
        assert stored == set(self.model.layers)
        assert {path.name for path in (layerdb / "mounts").iterdir()} == set(self.model.mounts)
        assert os.listdir(f"{self.root}/layerstore/trash") == []

    def teardown(self) -> None:
        """End the history; nothing of it stays mounted."""
        for name, mount in self.model.mounts.items():
            if mount.kept:
                rw = self.store.get_rw_layer(name)
                for _ in range(mount.mount_count):
                    rw.unmount()
        there = {mount.mount_id for mount in self.store.mounts()}
        self.store.close()
        left = {p.path for p in mount_points() if p.path.startswith(f"{self.root}/")}
        # Only the content of layers in memory outlives a store that is closed.
        assert left <= {f"{self.root}/overlay2/{mount_id}/memory" for mount_id in there}
        for path in left:
            umount(path)
        shutil.rmtree(self.root)
