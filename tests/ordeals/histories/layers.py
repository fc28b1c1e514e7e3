"""Rules of the random histories: read-only layers."""

from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from layerstore import (
    DriverError,
    IntegrityError,
    InvalidTar,
    Layer,
    LayerDoesNotExist,
    LayerNotRetained,
)
from tests.ordeals.histories.base import NO_CHAIN, PICK, HistoryBase, contents
from tests.ordeals.histories.model import applied, chain_of, digest_of
from tests.support.tars import Content, layer_tar


class LayerRules(HistoryBase):
    @rule(files=contents(), pick=PICK, as_stream=st.booleans())
    def register(self, files: dict[str, Content], pick: int, as_stream: bool) -> None:
        tar = layer_tar(files)
        parent = self.some_parent(pick)
        layer = self.heavy(
            lambda: self.store.register(io.BytesIO(tar) if as_stream else tar, parent)
        )
        expected = self.model.add_layer(tar, parent)
        assert layer.chain_id == expected.chain == chain_of(parent, tar)
        assert (layer.diff_id, layer.parent) == (digest_of(tar), parent)
        self.layers.append(layer)

    @rule(pick=PICK, cut=st.integers(0, 3))
    def register_what_is_no_tar(self, pick: int, cut: int) -> None:
        parent = self.some_parent(pick)
        broken = layer_tar({"a": b"x" * 600})[: 512 + cut * 100] if cut else b"none" * 512
        with pytest.raises(InvalidTar):
            self.heavy(lambda: self.store.register(broken, parent))
        self.settling = bool(self.model.used_in_passing(parent))

    @rule(files=contents(), pick=PICK)
    def register_something_else(self, files: dict[str, Content], pick: int) -> None:
        tar = layer_tar(files)
        parent = self.some_parent(pick)
        with pytest.raises(IntegrityError):
            self.heavy(lambda: self.store.register(tar, parent, expected_diff_id=NO_CHAIN))
        self.settling = bool(self.model.used_in_passing(parent))

    @rule()
    def use_what_is_not_there(self) -> None:
        with pytest.raises(LayerDoesNotExist):
            self.store.register(layer_tar({}), NO_CHAIN)
        with pytest.raises(LayerDoesNotExist):
            self.store.get(NO_CHAIN)

    @precondition(lambda self: self.model.layers)
    @rule(pick=PICK)
    def get(self, pick: int) -> None:
        chain = self.some_chain(pick)
        self.layers.append(self.store.get(chain))
        self.model.layers[chain].held += 1

    @precondition(lambda self: self.layers)
    @rule(pick=PICK)
    def release(self, pick: int) -> None:
        layer = self._taken(pick)
        removed = self.store.release(layer)
        assert [facts.chain_id for facts in removed] == self.model.release(layer.chain_id)

    @precondition(lambda self: len(self.layers) > 8)
    @rule()
    def release_all(self) -> None:
        while self.layers:
            self.release(0)

    def _taken(self, pick: int) -> Layer:
        layer = self.layers.pop(pick % len(self.layers))
        self.released.append(layer)
        return layer

    @precondition(lambda self: self.released)
    @rule(pick=PICK)
    def release_again(self, pick: int) -> None:
        layer = self.released[pick % len(self.released)]
        if layer.chain_id in self.model.layers:
            with pytest.raises(LayerNotRetained):
                layer.release()
        else:
            gone = self.model.try_again()
            removed = [facts.chain_id for facts in layer.release()]
            if len(gone) > 1:  # side by side, so a parent of several goes with the last of them
                assert set(removed) <= {chain for chains in gone for chain in chains}
                self.settling = True
            else:
                assert removed == [chain for chains in gone for chain in chains]

    @precondition(lambda self: self.layers)
    @rule(pick=PICK)
    def stream(self, pick: int) -> None:
        layer = self.layers[pick % len(self.layers)]
        assert self.heavy(lambda: self._read(layer)) == self.model.layers[layer.chain_id].tar

    def _read(self, layer: Layer) -> bytes:
        with layer.tar_stream() as stream:
            return stream.read()

    @precondition(lambda self: self.layers)
    @rule(pick=PICK, generation=PICK)
    def stream_from(self, pick: int, generation: int) -> None:
        layer = self.layers[pick % len(self.layers)]
        above = [None, *self.model.ancestors(layer.chain_id)]
        ancestor = above[generation % len(above)]

        def read() -> bytes:
            with layer.tar_stream_from(ancestor) as stream:
                return stream.read()

        tar = self.heavy(read)
        assert applied(self.model.files_of(ancestor), tar) == self.model.files_of(layer.chain_id)

    @precondition(lambda self: self.layers)
    @rule(pick=PICK)
    def stream_and_lose_interest(self, pick: int) -> None:
        layer = self.layers[pick % len(self.layers)]

        def read_a_little() -> None:
            with layer.tar_stream() as stream:
                stream.read(1)
            with contextlib.suppress(DriverError):  # a tar that fits into the pipe ends well
                stream.verify()

        self.heavy(read_a_little)

    @precondition(lambda self: self.layers)
    @rule(pick=PICK)
    def inspect(self, pick: int) -> None:
        layer = self.layers[pick % len(self.layers)]
        cache_id = self.store.map()[layer.chain_id].cache_id
        assert any(cache_id in value for value in layer.metadata().values())

    @precondition(lambda self: self.model.layers and "looking" not in self.model.mounts)
    @rule(pick=PICK)
    def look_into_a_layer(self, pick: int) -> None:
        chain = self.some_chain(pick)
        with self.store.create_rw_layer("looking", chain) as rw, rw.mounted() as path:
            assert self.read(path) == self.model.files_of(chain)
        gone = self.model.given_up(chain)
        assert (chain in self.store.map()) == (not gone)
