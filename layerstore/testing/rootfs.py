"""What the pytest plugin gives to tests: a session's store and root file systems made in it.

Owns the store's place and life, what is loaded into it once for the session, and each test's
read-write layer.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import pytest

from layerstore.api.store import LayerStore
from layerstore.drivers.errors import (
    DriverNotSupported,
    ImageDoesNotExist,
    InvalidName,
    LayerStoreError,
    NotPermitted,
)
from layerstore.drivers.model.tree import Change
from layerstore.operations.blocking import Layer, RWLayer
from layerstore.sandbox.running import Finished, RunOptions, mount_points, run

if TYPE_CHECKING:
    from layerstore.sandbox.warm import Warm

_PLACES = ("/var/tmp", "/dev/shm")  # noqa: S108 - each session makes a directory of its own there
_OVERLAY = "overlay2"


class RootFS(os.PathLike[str]):
    """A mounted root file system; a path to it, with what can be done with it."""

    def __init__(self, rw: RWLayer, path: str) -> None:
        self.rw = rw
        """The read-write layer."""
        self.path = Path(path)
        """Where it is mounted."""

    def __fspath__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: str) -> Path:
        """Return a path in it. An absolute name would lead out, so that begins here too."""
        return self.path / name.lstrip("/")

    def run(
        self,
        *argv: str,
        capture: bool = True,
        given: bytes | None = None,
        warm: Warm | None = None,
        **options: Unpack[RunOptions],
    ) -> Finished:
        """Run a command in it, with its output captured; all else is as for layerstore.run."""
        return run(self.rw, argv, capture=capture, given=given, warm=warm, **options)

    def changes(self) -> list[Change]:
        """Return what is changed, ordered by path."""
        return self.rw.changes()

    def __repr__(self) -> str:
        return f"<RootFS {self.path}>"


class Workplace:
    """A session's store, with the layers and images that were put into it for the session."""

    def __init__(self, store: LayerStore) -> None:
        self.store = store
        self.kept: set[str] = set()
        """Chain IDs of layers that stay for the session."""
        self._images: dict[str, str] = {}
        self._tars: dict[str, Layer] = {}

    @contextlib.contextmanager
    def rootfs(
        self,
        image: str | os.PathLike[str] | None = None,
        tar: str | os.PathLike[str] | None = None,
    ) -> Iterator[RootFS]:
        """Make and mount a root file system for a `with` block.

        From an image (its name, or the path of an archive), or from a plain tar, or empty. Either
        is unpacked once for the session.
        """
        if image is not None and tar is not None:
            raise InvalidName("layerstore", "a root file system is made from an image or a tar")
        name = f"pytest-{uuid.uuid4().hex}"
        if image is not None:
            rw = self.store.images.create(name, self._loaded(image), init=mount_points)
        else:
            parent = self._registered(tar).chain_id if tar is not None else None
            rw = self.store.create_rw_layer(name, parent, init=mount_points)
        with rw, rw.mounted() as path:
            yield RootFS(rw, path)

    def _loaded(self, image: str | os.PathLike[str]) -> str:
        """Return the ID of an image that is in the store, loading it from an archive at need."""
        key = os.fspath(image)
        if key not in self._images:
            try:
                found = self.store.images.get(key)
            except (ImageDoesNotExist, InvalidName):
                if not os.path.exists(key):
                    raise
                (found, *_) = self.store.images.load(key)
            self._images[key] = found.id
            self.kept.update(found.layers)
        return self._images[key]

    def _registered(self, tar: str | os.PathLike[str]) -> Layer:
        key = os.path.realpath(tar)
        if key not in self._tars:
            self._tars[key] = self.store.register(key, compression="auto")
            self.kept.add(self._tars[key].chain_id)
        return self._tars[key]

    def release(self) -> None:
        """Give back what was registered for the session."""
        for layer in self._tars.values():
            layer.release()


@contextlib.contextmanager
def opened_workplace(config: pytest.Config, base: Path) -> Iterator[Workplace]:
    """Open the session's store for a `with` block; skips with the reason where that can't be."""
    root = config.getoption("--layerstore-root") or config.getini("layerstore_root")
    driver = config.getoption("--layerstore-driver") or config.getini("layerstore_driver")
    if os.geteuid() != 0:
        pytest.skip("layerstore needs root")
    with contextlib.ExitStack() as stack:
        if root:
            store = _open(root, driver or None)
        else:
            store = _open_temporary(stack, [str(base), *_PLACES], driver or _OVERLAY)
        stack.callback(store.close)
        workplace = Workplace(store)
        stack.callback(workplace.release)
        yield workplace


def _open(root: str, driver: str | None) -> LayerStore:
    try:
        return LayerStore(root, driver=driver)
    except (DriverNotSupported, NotPermitted) as error:
        pytest.skip(f"layerstore: {error}")


def _open_temporary(stack: contextlib.ExitStack, places: list[str], driver: str) -> LayerStore:
    """Open a store in the first place whose file system the driver can use."""
    reasons: list[LayerStoreError] = []
    for place in places:
        root = tempfile.mkdtemp(prefix="layerstore-", dir=place)
        try:
            store = LayerStore(root, driver=driver, durability="relaxed")
        except (DriverNotSupported, NotPermitted) as error:
            shutil.rmtree(root)
            reasons.append(error)
        else:
            stack.callback(shutil.rmtree, root)
            return store
    pytest.skip(f"layerstore: {'; '.join(map(str, reasons))}")
