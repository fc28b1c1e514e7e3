"""Rules of the random histories: images."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from layerstore import (
    ImageDoesNotExist,
    ImageInUse,
    IntegrityError,
    InvalidImage,
    Layer,
    MountNameConflict,
)
from tests.ordeals.histories.base import NAMES, PICK, HistoryBase, contents
from tests.ordeals.histories.model import ModelImage, ModelMount, applied, chain_of
from tests.support.archives import as_tar, digest_of, docker_archive
from tests.support.tars import Content, layer_tar

_TAGS = ("app:1", "app:2", "web:1", "web:2")
_STACKS = (
    [{"a": b"base"}, {"d/b": b"top"}],
    [{"a": b"base"}, {".wh.a": b"", "e/f/g": b"other"}],
    [{"a": b"base"}],
)
STACKS = st.sampled_from([[layer_tar(files) for files in stack] for stack in _STACKS])


class ImageRules(HistoryBase):
    def some_image(self, pick: int) -> ModelImage:
        images = list(self.model.images)
        return self.model.images[images[pick % len(images)]]

    def layers_loaded(self, stack: Sequence[bytes]) -> list[str]:
        """Register a stack in the model as a load does; the caller gives the layers back."""
        chains: list[str] = []
        for tar in stack:
            chains.append(self.model.add_layer(tar, chains[-1] if chains else None).chain)
        return chains

    @rule(stack=STACKS, names=st.sets(st.sampled_from(_TAGS), max_size=2))
    def load(self, stack: list[bytes], names: set[str]) -> None:
        members = docker_archive(stack, sorted(names))
        (image,) = self.heavy(
            lambda: self.store.images.load(io.BytesIO(as_tar(members))), uses=_chains(stack)
        )
        chains = self.layers_loaded(stack)
        self.model.images[image.id] = ModelImage(image.id, chains, image.created)
        self.model.names.update(dict.fromkeys(names, image.id))
        for chain in reversed(chains):
            assert self.model.release(chain) == []
        assert f"{image.id.removeprefix('sha256:')}.json" in members

    @rule(stack=STACKS, files=contents())
    def load_what_is_not_what_it_says(self, stack: list[bytes], files: dict[str, Content]) -> None:
        members = docker_archive(stack, ["app:1"])
        last = max(name for name in members if name.endswith("/layer.tar"))
        members[last] = layer_tar({**files, "more": b""})
        there = [chain in self.model.layers for chain in _chains(stack)]
        if all(there):
            return  # nobody looks at layers that are there already
        with pytest.raises((IntegrityError, InvalidImage)):
            self.heavy(
                lambda: self.store.images.load(io.BytesIO(as_tar(members))), uses=_chains(stack)
            )
        for chain in reversed(self.layers_loaded(stack[:-1])):
            self.model.release(chain)

    @precondition(lambda self: self.model.images)
    @rule(pick=PICK, name=st.sampled_from(_TAGS))
    def tag(self, pick: int, name: str) -> None:
        image = self.some_image(pick)
        self.store.images.tag(image.image_id, name)
        self.model.names[name] = image.image_id

    @rule(name=st.sampled_from(_TAGS), force=st.booleans())
    def remove_by_name(self, name: str, force: bool) -> None:
        image_id = self.model.names.get(name)
        if image_id is None:
            with pytest.raises(ImageDoesNotExist):
                self.store.images.remove(name, force=force)
        elif len(self.model.names_of(image_id)) > 1:
            assert self.store.images.remove(name, force=force).deleted is None
            del self.model.names[name]
        elif self.model.children_of(image_id) and (force or not self.model.users_of(image_id)):
            removed = self.store.images.remove(name, force=force)
            assert (removed.deleted, removed.untagged, removed.layers) == (None, (name,), ())
            self.model.untag(image_id)
        else:
            self._remove(name, image_id, refused=not force and bool(self.model.users_of(image_id)))

    @precondition(lambda self: self.model.images)
    @rule(pick=PICK, force=st.booleans())
    def remove_by_id(self, pick: int, force: bool) -> None:
        image_id = self.some_image(pick).image_id
        repositories = {name.partition(":")[0] for name in self.model.names_of(image_id)}
        if self.model.children_of(image_id):
            with pytest.raises(ImageInUse):
                self.store.images.remove(image_id, force=force)
            return
        in_use = len(repositories) > 1 or bool(self.model.users_of(image_id))
        self._remove(image_id, image_id, refused=in_use and not force)

    def _remove(self, asked: str, image_id: str, *, refused: bool) -> None:
        if refused:
            with pytest.raises(ImageInUse):
                self.store.images.remove(asked)
            return
        removed = self.store.images.remove(asked, force=True)
        assert removed.deleted == image_id
        assert sorted(removed.untagged) == self.model.names_of(image_id)
        expected = self.model.remove_image(image_id)
        assert [facts.chain_id for facts in removed.layers] == expected

    @precondition(lambda self: self.model.images)
    @rule(pick=PICK, name=st.sampled_from(NAMES))
    def create_from_image(self, pick: int, name: str) -> None:
        image = self.some_image(pick)
        if name in self.model.mounts:
            with pytest.raises(MountNameConflict):
                self.store.images.create(name, image.image_id)
            return
        self.rws.append(self.store.images.create(name, image.image_id))
        below = self.model.files_of(image.top)
        self.model.mounts[name] = ModelMount(
            name, image.top, False, below, dict(below), image.image_id
        )

    @precondition(lambda self: self.rws and len(self.model.images) < 8)
    @rule(pick=PICK, name=st.sampled_from(_TAGS))
    def commit(self, pick: int, name: str) -> None:
        rw = self.rws[pick % len(self.rws)]
        mount = self.model.mounts[rw.name]
        base = self.model.image_of(mount)
        self.fresh += 1
        created = f"2024-02-03T00:{self.fresh // 60:02}:{self.fresh % 60:02}Z"
        if base is None and mount.parent is not None:
            with pytest.raises(InvalidImage):
                self.store.images.commit(rw, name)
            return
        image = self.heavy(lambda: self.store.images.commit(rw, name, created=created))
        chains = list(self.model.images[base].chains) if base is not None else []
        new = [str(chain) for chain in image.layers[len(chains) :]]
        assert [str(chain) for chain in image.layers] == chains + new
        if new:
            layer = self.store.get(new[0])
            tar = self.heavy(lambda: _read(layer))
            assert self.model.add_layer(tar, mount.parent).chain == new[0]
            assert applied(mount.below, tar) == mount.files
            layer.release()
        else:
            assert mount.files == mount.below
        self.model.images[image.id] = ModelImage(image.id, chains + new, created, base)
        self.model.names[name] = image.id
        if new:
            assert self.model.release(new[0]) == []

    @precondition(lambda self: self.model.names)
    @rule(pick=PICK)
    def save_and_load_again(self, pick: int) -> None:
        names = sorted(self.model.names)
        name = names[pick % len(names)]
        archive = io.BytesIO()

        def save() -> None:
            archive.seek(0)
            archive.truncate()
            self.store.images.save([name], archive)

        self.heavy(save)
        archive.seek(0)
        (image,) = self.heavy(lambda: self.store.images.load(archive))
        assert image.id == self.model.names[name]
        assert name in image.loaded_as


def _chains(stack: Sequence[bytes]) -> list[str]:
    chains: list[str] = []
    for tar in stack:
        chains.append(chain_of(chains[-1] if chains else None, tar))
    return chains


def _read(layer: Layer) -> bytes:
    with layer.tar_stream() as stream:
        tar = stream.read()
    assert digest_of(tar) == layer.diff_id
    return tar
