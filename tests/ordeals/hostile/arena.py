"""A store to be attacked, what lies around it, and whether that is as it was."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import pytest

from layerstore import (
    InternalError,
    Layer,
    LayerStore,
    LayerStoreError,
    Limits,
    RWLayer,
    WorkerDied,
)
from tests.ordeals.hostile.attack import Applied, Attack, Outcome, Tree, Ways, base
from tests.ordeals.hostile.sentinel import Sentinel
from tests.support.homes import driver_of
from tests.support.tars import layer_tar

if TYPE_CHECKING:
    from types import TracebackType

Confine = Literal["auto", "required", "off"]


class Arena:
    """One store with a layer to attack from and one to attack, beside a sentinel tree."""

    def __init__(
        self, place: Path, driver: str, confine: Confine, limits: Limits | None = None
    ) -> None:
        self.place = place
        place.mkdir()
        self._sentinel = Sentinel(place / "outside")
        self._settings: tuple[str, Confine] = (driver, confine)
        self._others: dict[Limits, Arena] = {}
        self.store = LayerStore(
            place / "store",
            driver=driver,
            confine=confine,
            limits=limits,
            durability="relaxed",
            workers=1,
        )
        self._driver = driver_of(self.store.root, self.store.driver_name)
        neighbour = self.store.register(layer_tar({"etc": None, "etc/passwd": b"root"}))
        own = own_directory(neighbour)
        self._layers = [str(own)]
        _, *below = own.relative_to(self._driver.home).parts
        way = os.path.relpath(own, Path(self._driver.home, "x", *below))
        self.ways = Ways(outside=str(place / "outside"), neighbour=way)
        under = self.store.register(base(self.ways))
        self._layers.append(str(own_directory(under)))
        self.base = under.chain_id
        self._before = self._look()

    def limited(self, limits: Limits) -> Arena:
        """Return an arena like this one with other limits; it is closed with this one."""
        if limits == Limits():
            return self
        if limits not in self._others:
            driver, confine = self._settings
            place = self.place.with_name(f"{self.place.name}-{len(self._others)}")
            self._others[limits] = Arena(place, driver, confine, limits)
        return self._others[limits]

    def alone(self, attack: Attack) -> None:
        """Register the attack as a layer of its own."""
        self._register(attack, attack.outcome, None)

    def on_base(self, attack: Attack) -> None:
        """Register the attack on a layer."""
        self._register(attack, self._outcome(attack), self.base)

    def mounted(self, attack: Attack) -> None:
        """Apply the attack to a read-write layer."""
        outcome = attack.on_mount or self._outcome(attack)
        with self.unharmed(), self.store.create_rw_layer("attacked", self.base) as rw:
            if self._refuses(outcome, lambda: rw.apply_diff(attack.build(self.ways))):
                return
            self._judge(outcome, rw, Path(rw.metadata().get("UpperDir") or rw.metadata()["Dir"]))
            for say in (rw.changes, rw.size, lambda: read_all(rw)):
                with contextlib.suppress(LayerStoreError):
                    say()

    def loaded(self, attack: Attack) -> None:
        """Load the attack as an image archive, which is refused."""
        with self.unharmed():
            archive = io.BytesIO(attack.build(self.ways))
            try:
                assert self._refuses(attack.outcome, lambda: self.store.images.load(archive))
            finally:
                for image in self.store.images.list():
                    self.store.images.remove(image.id, force=True)

    def _outcome(self, attack: Attack) -> Outcome:
        if self._driver.copies and attack.on_base is not None:
            return attack.on_base
        return attack.outcome

    def _register(self, attack: Attack, outcome: Outcome, parent: str | None) -> None:
        with self.unharmed():
            made: list[Layer] = []
            data = attack.build(self.ways)
            if self._refuses(
                outcome,
                lambda: made.append(self.store.register(data, parent, compression="auto")),
            ):
                return
            (layer,) = made
            with _released(layer):
                with layer.tar_stream() as stream:
                    found = "sha256:" + hashlib.sha256(stream.read()).hexdigest()
                assert found == layer.diff_id
                with self.store.create_rw_layer("look", layer.chain_id) as rw:
                    self._judge(outcome, rw, own_directory(layer))

    def _refuses(self, outcome: Outcome, act: object) -> bool:
        assert callable(act)
        if isinstance(outcome, Applied):
            act()
            return False
        with pytest.raises(outcome.error) as caught:
            act()
        assert not isinstance(caught.value, InternalError | WorkerDied)
        assert outcome.reason in str(caught.value), str(caught.value)[:300]
        return True

    def _judge(self, outcome: Outcome, rw: RWLayer, own: Path) -> None:
        assert isinstance(outcome, Applied)
        with rw.mounted() as path:
            tree = Tree(Path(path), own)
            tree.assert_holds(outcome.names)
            if outcome.check is not None:
                outcome.check(tree)

    @contextlib.contextmanager
    def unharmed(self) -> Iterator[None]:
        """Check afterwards that outside, in other layers and in the store all is as before."""
        yield
        self._sentinel.check()
        self.store.drain()
        changed = set(self._look().items()) ^ set(self._before.items())
        assert changed == set(), sorted(changed)[:5]

    def _look(self) -> dict[str, tuple[int, ...]]:
        """Describe what there is beside the sentinel: all metadata, and the two layers whole."""
        image = f"{self.store.root}/image"
        places = [str(self.place), f"{self.store.root}/layerstore/tmp", self._driver.home]
        found = [
            f"{place}/{name}"
            for place in places
            if os.path.isdir(place)
            for name in os.listdir(place)
        ]
        for top in (image, *self._layers):
            for above, directories, files in os.walk(top):
                found += [f"{above}/{name}" for name in directories + files]
        return {path: _facts(path) for path in found}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for other in self._others.values():
            other.__exit__(None, None, None)
        self.store.close()
        shutil.rmtree(self.place)


@contextlib.contextmanager
def _released(layer: Layer) -> Iterator[None]:
    try:
        yield
    finally:
        layer.release()


def _facts(path: str) -> tuple[int, ...]:
    status = os.lstat(path)
    facts = (status.st_ino, status.st_mode, status.st_uid, status.st_nlink)
    if stat.S_ISDIR(status.st_mode):
        return facts
    return (*facts, status.st_size, status.st_mtime_ns)


def own_directory(layer: Layer) -> Path:
    """Return where a layer's own tree lies."""
    facts = layer.metadata()
    return Path(facts.get("UpperDir") or facts["Dir"])


def read_all(rw: RWLayer) -> int:
    """Read what a read-write layer would be committed as."""
    with rw.tar_stream() as stream:
        return len(stream.read())
