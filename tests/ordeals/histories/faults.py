"""Rules of the random histories: reopening, killed children, and errors that are injected.

Errors come by real means (the trash is no directory for a moment, a file system is read-only) or at
the seam of the driver protocol.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from layerstore import DriverError, StorageFull, StoreClosed, WorkerDied
from layerstore.drivers.system.proc_children import children_of
from layerstore.drivers.system.syscalls import MS_BIND, MS_RDONLY, MS_REMOUNT, mount, umount
from tests.ordeals.histories.base import PICK, HistoryBase
from tests.ordeals.histories.images import ImageRules
from tests.ordeals.histories.layers import LayerRules
from tests.ordeals.histories.mounts import MountRules
from tests.support.homes import OVERLAYS
from tests.support.processes import ends, kill
from tests.support.tars import layer_tar

# More than a pipe holds, so that a child is reading when the source is asked for the rest.
_LONG = layer_tar({"never": b"1" * (5 << 18)})


class KilledHalfWay:
    """A tar that kills all children once one of them has read the most of it."""

    def __init__(self, history: FaultRules, tar: bytes) -> None:
        self._history = history
        self._left = [tar]

    def read(self, _size: int, /) -> bytes:
        if self._left:
            return self._left.pop()
        self._history.kill_children()
        return b""


class FaultRules(HistoryBase):
    @contextlib.contextmanager
    def broken_trash(self) -> Iterator[None]:
        """Nothing can be moved into the trash for the length of a block."""
        trash = f"{self.root}/layerstore/trash"
        os.rename(trash, f"{trash}.kept")
        with open(trash, "xb"):
            pass
        try:
            yield
        finally:
            os.unlink(trash)
            os.rename(f"{trash}.kept", trash)

    @contextlib.contextmanager
    def failing(self, method: str) -> Iterator[None]:
        """One method of the driver fails for the length of a block."""
        driver = self.store._core.disk.driver

        def fail(*_arguments: object, **_options: object) -> None:
            raise StorageFull(method, self.root, 28)

        setattr(driver, method, fail)
        try:
            yield
        finally:
            delattr(driver, method)

    @contextlib.contextmanager
    def read_only_metadata(self) -> Iterator[None]:
        place = f"{self.root}/image"
        mount(place, place, "none", MS_BIND, "")
        try:
            mount("none", place, "none", MS_BIND | MS_REMOUNT | MS_RDONLY, "")
            yield
        finally:
            umount(place)

    @rule(durability=st.sampled_from(["relaxed", "relaxed", "durable"]), keep=st.booleans())
    def reopen(self, durability: str, keep: bool) -> None:
        old = self.store
        old.close(keep_mounts=keep)
        with pytest.raises(StoreClosed):
            old.map()
        self.model.reopen(keep_mounts=keep, mountable=self.driver in OVERLAYS)
        self.layers, self.rws, self.released, self.released_rws = [], [], [], []
        self.dead_children = 0
        self.store = self.opened(durability)
        assert self.store.faults == []
        self.disk_agrees()

    @rule()
    def drain(self) -> None:
        self.heavy(self.store.drain)
        assert os.listdir(f"{self.root}/layerstore/trash") == []

    @rule()
    def kill_children(self) -> None:
        for pid in children_of(os.getpid()):
            kill(pid)
            assert ends(pid, 60)
            self.dead_children += 1

    @rule(pick=PICK)
    def kill_children_in_a_registration(self, pick: int) -> None:
        parent = self.some_parent(pick, given_up=True)
        with pytest.raises(WorkerDied):
            self.store.register(KilledHalfWay(self, _LONG), parent)
        self.settling = bool(self.model.used_in_passing(parent))

    @precondition(lambda self: self.layers)
    @rule(pick=PICK, by_trash=st.booleans())
    def release_in_vain(self, pick: int, by_trash: bool) -> None:
        layer = self.layers[pick % len(self.layers)]
        goes = self.model.references(layer.chain_id) == 1
        if not goes:
            return
        with self.broken_trash() if by_trash else self.failing("remove"):
            with pytest.raises(DriverError):
                layer.release()
            self.agrees()
        self.model.layers[layer.chain_id].forsaken = True

    @precondition(lambda self: self.rws)
    @rule(pick=PICK, by_trash=st.booleans())
    def release_rw_in_vain(self, pick: int, by_trash: bool) -> None:
        rw = self.rws[pick % len(self.rws)]
        expected = self.model.mounts[rw.name]
        if expected.references > 1:
            return
        with self.broken_trash() if by_trash else self.failing("remove"):
            with pytest.raises(DriverError):
                rw.release()
            expected.mount_count, expected.kept = 0, False
            self.agrees()

    @precondition(lambda self: self.rws)
    @rule(pick=PICK)
    def mount_or_unmount_in_vain(self, pick: int) -> None:
        rw = self.rws[pick % len(self.rws)]
        expected = self.model.mounts[rw.name]
        if expected.mount_count > 1:
            return
        with self.failing("put" if expected.mount_count else "get"):
            with pytest.raises(StorageFull):
                (rw.unmount if expected.mount_count else rw.mount)()
            self.agrees()

    @rule(pick=PICK, method=st.sampled_from(["create_read_write", ""]))
    def create_on_a_bad_disk(self, pick: int, method: str) -> None:
        # Where metadata can't be written, what was given up can't go either.
        parent = self.some_parent(pick, given_up=bool(method))
        broken = self.failing(method) if method else self.read_only_metadata()
        with broken, pytest.raises(DriverError):
            self.store.create_rw_layer("vain", parent)
        self.settling = bool(self.model.used_in_passing(parent))

    @rule(pick=PICK)
    def register_on_a_read_only_disk(self, pick: int) -> None:
        parent = self.some_parent(pick)
        with self.read_only_metadata(), pytest.raises(DriverError):
            self.heavy(lambda: self.store.register(layer_tar({"never": b"1"}), parent))
        self.settling = bool(self.model.used_in_passing(parent))

    @precondition(lambda self: self.model.images)
    @rule(pick=PICK)
    def remove_an_image_whose_layers_stay(self, pick: int) -> None:
        images = list(self.model.images)
        image = self.model.images[images[pick % len(images)]]
        if image.top is None or self.model.references(image.top) > 1:
            return
        if image.parent in self.model.images or self.model.children_of(image.image_id):
            return
        with self.broken_trash(), pytest.raises(DriverError):
            self.store.images.remove(image.image_id, force=True)
        for name in self.model.names_of(image.image_id):
            del self.model.names[name]
        del self.model.images[image.image_id]
        self.model.layers[image.top].forsaken = True
        self.model.stuck.append(image.top)


class Histories(LayerRules, MountRules, ImageRules, FaultRules):
    """All rules."""
