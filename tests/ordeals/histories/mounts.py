"""Rules of the random histories: read-write layers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from layerstore import (
    CallerError,
    InvalidName,
    LayerDoesNotExist,
    LayerNotRetained,
    MountDoesNotExist,
    MountNameConflict,
    NotMounted,
    RWLayer,
    StillMounted,
)
from tests.ordeals.histories.base import NAMES, NO_CHAIN, PICK, HistoryBase
from tests.ordeals.histories.model import ModelMount, applied, differences
from tests.support.homes import OVERLAYS
from tests.support.tars import Content, layer_tar


def good_init(path: str) -> None:
    Path(path, "from-init").write_bytes(b"init")


def bad_init(path: str) -> None:
    good_init(path)
    raise ValueError("no")


class MountRules(HistoryBase):
    def some_rw(self, pick: int) -> tuple[RWLayer, ModelMount]:
        rw = self.rws[pick % len(self.rws)]
        return rw, self.model.mounts[rw.name]

    @rule(
        name=st.sampled_from(NAMES),
        pick=PICK,
        with_init=st.booleans(),
        scratch=st.sampled_from(("", "", "disk", "memory")),
    )
    def create(self, name: str, pick: int, with_init: bool, scratch: str) -> None:
        parent = self.some_parent(pick)
        init = good_init if with_init else None
        if name in self.model.mounts:
            with pytest.raises(MountNameConflict):
                self.store.create_rw_layer(name, parent, init=init)
            return
        asked = {"scratch": scratch} if scratch and self.driver == "overlay2" else None
        rw = self.store.create_rw_layer(name, parent, init=init, storage_opt=asked)
        self.rws.append(rw)
        below = self.model.files_of(parent) | ({"from-init": b"init"} if with_init else {})
        self.model.mounts[name] = ModelMount(name, parent, with_init, below, dict(below))

    @rule(pick=PICK)
    def create_in_vain(self, pick: int) -> None:
        parent = self.some_parent(pick, given_up=True)
        with pytest.raises(CallerError):
            self.store.create_rw_layer("vain", parent, init=bad_init)
        self.settling = bool(self.model.used_in_passing(parent))
        with pytest.raises(InvalidName):
            self.store.create_rw_layer("vain", storage_opt={"unknown": "1"})
        with pytest.raises(InvalidName):
            self.store.create_rw_layer("../vain")
        with pytest.raises(LayerDoesNotExist):
            self.store.create_rw_layer("vain", NO_CHAIN)
        with pytest.raises(MountDoesNotExist):
            self.store.get_mount_id("vain")

    @rule(name=st.sampled_from(NAMES))
    def get_rw(self, name: str) -> None:
        if name not in self.model.mounts:
            with pytest.raises(MountDoesNotExist):
                self.store.get_rw_layer(name)
            return
        rw = self.store.get_rw_layer(name)
        assert rw.mount_id == self.store.get_mount_id(name)
        self.rws.append(rw)
        self.model.mounts[name].references += 1

    @precondition(lambda self: self.rws)
    @rule(pick=PICK)
    def release_rw(self, pick: int) -> None:
        rw, mount = self.some_rw(pick)
        self.rws.remove(rw)
        self.released_rws.append(rw)
        removed = [facts.chain_id for facts in self.store.release_rw_layer(rw)]
        mount.references -= 1
        assert removed == ([] if mount.references else self.model.remove_mount(rw.name))

    @precondition(lambda self: self.released_rws)
    @rule(pick=PICK)
    def use_a_released_reference(self, pick: int) -> None:
        rw = self.released_rws[pick % len(self.released_rws)]
        if rw.name in self.model.mounts:
            for use in (rw.mount, rw.unmount, rw.size, rw.release):
                with pytest.raises(LayerNotRetained):
                    use()
        else:
            with pytest.raises(MountDoesNotExist):
                rw.mount()
            assert rw.release() == []

    @precondition(lambda self: self.rws)
    @rule(pick=PICK, name=st.sampled_from(NAMES))
    def fork(self, pick: int, name: str) -> None:
        rw, mount = self.some_rw(pick)
        if name in self.model.mounts:
            with pytest.raises(MountNameConflict):
                rw.fork(name)
            return
        self.rws.append(self.heavy(lambda: rw.fork(name)))
        self.model.mounts[name] = mount.forked(name)

    @precondition(lambda self: self.rws)
    @rule(pick=PICK)
    def reset(self, pick: int) -> None:
        rw, mount = self.some_rw(pick)
        if mount.mount_count:
            with pytest.raises(StillMounted):
                rw.reset()
            return
        rw.reset()
        mount.files = dict(mount.below)

    @precondition(lambda self: self.rws)
    @rule(pick=PICK)
    def mount(self, pick: int) -> None:
        rw, mount = self.some_rw(pick)
        path = rw.mount()
        mount.mount_count += 1
        assert self.read(path) == mount.files

    @precondition(lambda self: self.rws)
    @rule(pick=PICK)
    def unmount(self, pick: int) -> None:
        rw, mount = self.some_rw(pick)
        if not mount.mount_count:
            with pytest.raises(NotMounted):
                rw.unmount()
            return
        rw.unmount()
        mount.mount_count -= 1
        mount.kept = mount.kept and mount.mount_count > 0

    @precondition(lambda self: self.rws)
    @rule(pick=PICK, paths=st.lists(st.sampled_from(["a", "b", "d/a", "new", "d/n/m"]), max_size=3))
    def write(self, pick: int, paths: list[str]) -> None:
        rw, mount = self.some_rw(pick)
        with rw.mounted() as path:
            for name in paths:
                content = self.content()
                os.makedirs(os.path.dirname(f"{path}/{name}"), exist_ok=True)
                Path(path, name).write_bytes(content)
                mount.files[name] = content

    @precondition(lambda self: self.rws)
    @rule(pick=PICK, which=PICK)
    def unlink(self, pick: int, which: int) -> None:
        rw, mount = self.some_rw(pick)
        if mount.files:
            name = sorted(mount.files)[which % len(mount.files)]
            with rw.mounted() as path:
                os.unlink(f"{path}/{name}")
            del mount.files[name]

    @precondition(lambda self: self.rws)
    @rule(pick=PICK)
    def compare_changes(self, pick: int) -> None:
        rw, mount = self.some_rw(pick)
        changes = [str(change) for change in self.heavy(rw.changes)]
        files = mount.below.keys() | mount.files.keys()
        of_files = [line for line in changes if line[3:] in files]
        assert sorted(of_files) == differences(mount.below, mount.files)
        assert self.heavy(rw.size) == mount.size

    @precondition(lambda self: self.rws)
    @rule(pick=PICK, which=PICK)
    def apply_diff(self, pick: int, which: int) -> None:
        rw, mount = self.some_rw(pick)
        if mount.mount_count:
            return  # what a mount shows of files changed beneath it, the kernel leaves open
        files: dict[str, Content] = {}
        gone = sorted(mount.below.keys() & mount.files.keys())
        if gone:
            place, _, base = gone[which % len(gone)].rpartition("/")
            files[f"{place}/.wh.{base}" if place else f".wh.{base}"] = b""
        content = self.content()
        files["d/applied"] = content
        tar = layer_tar(files)
        size = self.heavy(lambda: rw.apply_diff(tar))
        mount.files = applied(mount.files, tar)
        # As in moby: overlay2 tells the size of the layer, vfs that of the tar's files.
        assert size == (mount.size if self.driver in OVERLAYS else len(content))

    @precondition(lambda self: self.rws)
    @rule(pick=PICK)
    def stream_rw(self, pick: int) -> None:
        rw, mount = self.some_rw(pick)

        def read() -> bytes:
            with rw.tar_stream() as stream:
                return stream.read()

        assert applied(mount.below, self.heavy(read)) == mount.files
        assert any(rw.mount_id in value for value in rw.metadata().values())
