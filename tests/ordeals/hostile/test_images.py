"""Every archive that attacks is refused with an error of its own, and nothing of it is left."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerstore import InvalidImage, LayerStore
from tests.ordeals.hostile.arena import Arena
from tests.ordeals.hostile.attack import Attack
from tests.ordeals.hostile.attacks.archives import ARCHIVES, NAMES_THAT_ARE_NONE, named
from tests.ordeals.hostile.sentinel import Sentinel
from tests.support.archives import as_directory, oci_layout
from tests.support.tars import layer_tar

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", params=[("overlay2", "required"), ("vfs", "off")])
def arena(request: pytest.FixtureRequest, watched: Path) -> Iterator[Arena]:
    """Archives are read by the embedding process, whatever the confinement of the others."""
    with Arena(watched / "images", *request.param) as made:
        yield made


@pytest.mark.sampled(3)
@pytest.mark.parametrize("attack", ARCHIVES, ids=lambda attack: attack.name)
def test_an_archive_that_attacks_is_refused(attack: Attack, arena: Arena) -> None:
    arena.limited(attack.limits).loaded(attack)


def test_an_image_gets_no_name_that_is_none(watched: Path) -> None:
    place = watched / "names"
    sentinel = Sentinel(place / "outside")
    with LayerStore(place / "root", durability="relaxed", prespawn=False) as store:
        for name in NAMES_THAT_ARE_NONE:
            notes: list[str] = []
            (image,) = store.images.load(io.BytesIO(named(name)), notice=notes.append)
            assert (image.names, len(notes)) == ((), 1)
            assert "doesn't get the name" in notes[0]
            assert [found.names for found in store.images.list()] == [()]
            store.images.remove(image.id)
    sentinel.check()


def _outside(path: Path) -> Path:
    """Find the sentinel tree beside the directory that something is in."""
    return next(above / "outside" for above in path.parents if (above / "outside").is_dir())


LAYOUTS: dict[str, Callable[[Path], object]] = {
    "a link to a file outside": lambda path: path.symlink_to(_outside(path) / "secret"),
    "a link to a pipe outside": lambda path: path.symlink_to(_outside(path) / "fifo"),
    "a pipe": os.mkfifo,
    "a directory": os.mkdir,
    "a device": lambda path: os.mknod(path, 0o20666, os.makedev(1, 5)),
}


@pytest.mark.parametrize("replace", LAYOUTS.values(), ids=LAYOUTS)
def test_a_directory_with_something_else_in_the_place_of_a_document_is_refused(
    replace: Callable[[Path], object], watched: Path
) -> None:
    place = watched / f"layouts{len(os.listdir(watched))}"
    sentinel = Sentinel(place / "outside")
    with Arena(place / "arena", "vfs", "off") as arena:
        for name in ("index.json", "manifest", "layer"):
            layout = as_directory(oci_layout([layer_tar({"f": b"1"})]), place / f"layout-{name}")
            blobs = sorted(
                (layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size
            )
            path = {"manifest": blobs[0], "layer": blobs[-1]}.get(name, layout / name)
            path.unlink()
            replace(path)
            with arena.unharmed(), pytest.raises(InvalidImage):
                arena.store.images.load(layout)
    sentinel.check()


def test_a_directory_of_blobs_that_is_a_link_is_refused(watched: Path) -> None:
    place = watched / "linked"
    layout = as_directory(oci_layout([layer_tar({"f": b"1"})]), place / "layout")
    sentinel = Sentinel(place / "outside", layout / "blobs")
    (layout / "blobs").rename(layout / "moved")
    (layout / "blobs").symlink_to(place / "outside/blobs")
    with Arena(place / "arena", "vfs", "off") as arena, arena.unharmed():
        with pytest.raises(InvalidImage):
            arena.store.images.load(layout)
        with pytest.raises(InvalidImage):
            arena.store.images.load(io.BytesIO(b""))
    sentinel.check()
