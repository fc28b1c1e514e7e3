"""Metadata that somebody edited: told as a fault or refused; nothing is followed, nothing hangs."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerstore import InternalError, LayerStore, LayerStoreError, WorkerDied
from tests.ordeals.hostile.sentinel import Sentinel
from tests.support.tars import layer_tar
from tests.upkeep.damage import Place, furnish

pytestmark = pytest.mark.root


@dataclasses.dataclass
class Template:
    """A store that was closed, beside a sentinel tree; each test works on a copy."""

    place: Place
    outside: Path
    sentinel: Sentinel

    @contextlib.contextmanager
    def copy(self) -> Iterator[Place]:
        root = self.place.root.with_name("copy")
        subprocess.run(["cp", "-a", str(self.place.root), str(root)], check=True)
        try:
            yield dataclasses.replace(self.place, root=root)
        finally:
            shutil.rmtree(root)


@pytest.fixture(scope="module", params=["overlay2", "vfs"])
def template(request: pytest.FixtureRequest, watched: Path) -> Template:
    top = Path(tempfile.mkdtemp(prefix=f"edited-{request.param}-", dir=watched))
    sentinel = Sentinel(top / "outside")
    with LayerStore(top / "root", driver=request.param, durability="relaxed") as store:
        place = furnish(store)
    (top / "root/buildkit").mkdir()
    (top / "root/buildkit/snapshots.db").write_bytes(place.base.encode())
    return Template(place, top / "outside", sentinel)


FILES: dict[str, Callable[[Place], Path]] = {
    "diff": lambda p: p.layer / "diff",
    "size": lambda p: p.layer / "size",
    "cache-id": lambda p: p.layer / "cache-id",
    "parent": lambda p: p.layer / "parent",
    "descriptor.json": lambda p: p.layer / "descriptor.json",
    "tar-split.json.gz": lambda p: p.layer / "tar-split.json.gz",
    "the layer itself": lambda p: p.layer,
    "mount-id": lambda p: p.web / "mount-id",
    "init-id": lambda p: p.web / "init-id",
    "the mount's parent": lambda p: p.web / "parent",
    "the mount itself": lambda p: p.web,
    "the image's configuration": lambda p: p.config,
    "the image's parent": lambda p: p.imagedb / "metadata/sha256" / p.config.name / "parent",
    "the image's metadata": lambda p: p.imagedb / "metadata/sha256" / p.config.name,
    "repositories.json": lambda p: p.names,
    "link": lambda p: p.home / p.top_id / "link",
    "lower": lambda p: p.home / p.top_id / "lower",
    "lower of the mount": lambda p: p.home / p.mount_id / "lower",
    "committed": lambda p: p.home / p.top_id / "committed",
    "the lock": lambda p: p.root / "layerstore/lock",
    "what BuildKit caches": lambda p: p.root / "buildkit/snapshots.db",
}
_OVERLAY_ONLY = {"link", "lower", "lower of the mount", "committed"}


def _socket(path: Path) -> None:
    """Bind by a short name, since a socket's has 108 bytes at most."""
    above = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"/proc/self/fd/{above}/{path.name[:40]}")
    os.rename(path.parent / path.name[:40], path)
    os.close(above)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 36)


Edit = Callable[[Path, Template, Place], object]

EDITS: dict[str, Edit] = {
    "emptied": lambda path, _t, _p: path.write_bytes(b""),
    "binary": lambda path, _t, _p: path.write_bytes(bytes(range(256)) * 16),
    "64 GiB of nothing": lambda path, _t, _p: _sparse(path),
    "a line break behind it": lambda path, t, p: path.write_bytes(_original(path, t, p) + b"\n"),
    "half of it": lambda path, t, p: path.write_bytes(_original(path, t, p)[: len(path.name) // 2]),
    "a path that leads up": lambda path, _t, _p: path.write_text("../../../outside/directory"),
    "an absolute path": lambda path, t, _p: path.write_text(str(t.outside)),
    "an ID that leads up": lambda path, _t, _p: path.write_text("sha256:../../../../outside"),
    "another layer's chain ID": lambda path, _t, p: path.write_text(p.base),
    "another layer's cache ID": lambda path, _t, p: path.write_text(p.base_id),
    "its own chain ID": lambda path, _t, p: path.write_text(p.top),
    "a short link that leads up": lambda path, _t, _p: path.write_text("l/../../../outside"),
    "options of a mount": lambda path, _t, _p: path.write_text("l/A,upperdir=/etc:l/B"),
    "deep JSON": lambda path, _t, _p: path.write_text("[" * 100_000),
    "a link to a file outside": lambda path, t, _p: path.symlink_to(t.outside / "secret"),
    "a link to a directory outside": lambda path, t, _p: path.symlink_to(t.outside / "directory"),
    "a link to a pipe outside": lambda path, t, _p: path.symlink_to(t.outside / "fifo"),
    "a link to itself": lambda path, _t, _p: path.symlink_to(path.name),
    "a pipe": lambda path, _t, _p: os.mkfifo(path),
    "a directory": lambda path, _t, _p: path.mkdir(),
    "a socket": lambda path, _t, _p: _socket(path),
    "a device that never ends": lambda path, _t, _p: os.mknod(path, 0o20666, os.makedev(1, 5)),
    "a device without a driver": lambda path, _t, _p: os.mknod(path, 0o20666, os.makedev(240, 7)),
}

DIRECTORIES: dict[str, Callable[[Place], Path]] = {
    "a layer's metadata": lambda p: p.layer,
    "a mount's metadata": lambda p: p.web,
    "an image's metadata": lambda p: p.imagedb / "metadata/sha256" / p.config.name,
}


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_a_directory_that_was_moved_out_and_linked_is_not_followed(
    directory: str, template: Template
) -> None:
    with template.copy() as place:
        path = DIRECTORIES[directory](place)
        moved = place.root.with_name("moved")
        moved.mkdir()
        outside = Sentinel(moved / "outside", path)
        shutil.rmtree(path)
        path.symlink_to(outside.path / path.name)
        told: list[LayerStoreError] = []
        with _telling(told), LayerStore(place.root, driver=place.driver, workers=0) as store:
            told += store.faults
            _use_all(store, told)
        outside.check()
        shutil.rmtree(moved)
    assert any("directory" in str(error) or "symbolic link" in str(error) for error in told)


def _original(path: Path, template: Template, place: Place) -> bytes:
    first = template.place.root / path.relative_to(place.root)
    return first.read_bytes() if first.is_file() else b"x"


@pytest.mark.sampled(8)
@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("file", [file for file in FILES if file not in _OVERLAY_ONLY])
def test_an_edited_file_leads_nowhere(file: str, edit: str, template: Template) -> None:
    _leads_nowhere(file, edit, template)


@pytest.mark.sampled(8)
@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("file", sorted(_OVERLAY_ONLY))
@pytest.mark.parametrize("template", ["overlay2"], indirect=True)
def test_an_edited_file_of_overlay2_leads_nowhere(file: str, edit: str, template: Template) -> None:
    _leads_nowhere(file, edit, template)


def _leads_nowhere(file: str, edit: str, template: Template) -> None:
    with template.copy() as place:
        path = FILES[file](place)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        EDITS[edit](path, template, place)
        told: list[LayerStoreError] = []
        with _telling(told), LayerStore(place.root, driver=place.driver, workers=0) as store:
            told += store.faults
            _use_all(store, told)
        template.sentinel.check()
        for error in told:
            assert not isinstance(error, InternalError | WorkerDied), error


@contextlib.contextmanager
def _telling(told: list[LayerStoreError]) -> Iterator[None]:
    try:
        yield
    except LayerStoreError as error:
        told.append(error)


def _use_all(store: LayerStore, told: list[LayerStoreError]) -> None:
    """Do everything that reads what may have been edited."""
    for chain in store.map():
        with _telling(told):
            layer = store.get(chain)
            with layer.tar_stream() as stream:
                stream.read()
        with _telling(told):
            store.get(chain).metadata()
        with _telling(told), store.create_rw_layer("new", chain) as rw, rw.mounted() as path:
            Path(path, "new").write_bytes(b"new")
        with _telling(told):
            store.register(layer_tar({"more": b"1"}), chain).release()
    for mount in store.mounts():
        with _telling(told):
            rw = store.get_rw_layer(mount.name)
            with rw.mounted():
                pass
            rw.changes()
            rw.size()
    for image in store.images.list():
        with _telling(told):
            store.images.config(image.id)
    with _telling(told):
        faults = store.check(full=True)
        assert all(fault.reason for fault in faults)
