"""Images in a root of containers-storage, put there by skopeo and buildah, which stays as it is."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from layerstore import InvalidArgument, InvalidImage, LayerStore, LayerStoreError, Limits
from tests.conftest import OpenStore
from tests.docker.other_engines import ContainersStorage, make_layout, run
from tests.docker.transports.places import contents, linked_out, swapped_for
from tests.docker.transports.theirs import ID, LAYERS, NAME, Theirs, made_by_skopeo
from tests.images.samples import disk
from tests.support.archives import config_of, digest_of
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("containers-storage", "skopeo", "buildah"),
]


@pytest.fixture(scope="module", params=["overlay", "vfs"])
def theirs(request: pytest.FixtureRequest, base_directory: Path) -> Iterator[Theirs]:
    with made_by_skopeo(base_directory, request.param) as found:
        yield found


@pytest.fixture(scope="module")
def overlay(base_directory: Path) -> Iterator[Theirs]:
    with made_by_skopeo(base_directory, "overlay") as found:
        yield found


def test_an_image_is_loaded_to_the_bit_and_its_store_is_left_as_it_is(
    store: LayerStore, theirs: Theirs
) -> None:
    before = contents(theirs.place)
    (image,) = store.images.load(theirs.at("app:1"))
    assert image.id == f"sha256:{ID}"
    assert image.loaded_as == (NAME,)
    seen = []
    for layer in store.map().values():
        held = store.get(layer.chain_id)
        with held.tar_stream() as tar:
            seen.append(tar.read())
        held.release()
    assert sorted(seen) == sorted(LAYERS)
    assert contents(theirs.place) == before


def test_what_buildah_made_is_what_skopeo_copies(
    store: LayerStore, theirs: Theirs, root_dir: Path
) -> None:
    (image,) = store.images.load(theirs.at("localhost/built:1"))
    with ContainersStorage(theirs.place, theirs.driver):
        run("skopeo", "copy", "-q", theirs.at("localhost/built:1"), f"oci:{root_dir}/copied:latest")
    (copied,) = store.images.load(f"oci:{root_dir}/copied:latest")
    assert copied.id == image.id


MEANT = {
    "app:1": (NAME,),
    NAME: (NAME,),
    "x/other:2": ("example.org/x/other:2",),
    ID: (),
    ID[:12]: (),
    f"@{ID}": (),
    f"{NAME}@{ID[:20]}": (NAME,),
}
NOT_MEANT = ("app", "app:3", "nope", "0000", f"other@{ID}", "@0", f"localhost/other:2@{ID}")


def test_an_image_gets_the_name_by_which_it_was_asked_for(
    store: LayerStore, overlay: Theirs
) -> None:
    for name, names in MEANT.items():
        (image,) = store.images.load(overlay.at(name))
        assert (image.id, image.loaded_as) == (f"sha256:{ID}", names), name
        store.images.remove(image.id, force=True)
    for name in NOT_MEANT:
        with pytest.raises(InvalidImage, match="app:1"):
            store.images.load(overlay.at(name))


def test_progress_is_told_in_the_tars_bytes(store: LayerStore, overlay: Theirs) -> None:
    seen: dict[str, tuple[int, int]] = {}
    store.images.load(overlay.at(NAME), progress=lambda *told: seen.update({told[0]: told[1:]}))
    assert seen == {digest_of(tar)[7:19]: (len(tar), len(tar)) for tar in LAYERS}


def test_the_root_is_found_as_containers_find_it(
    store: LayerStore, overlay: Theirs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "storage.conf"
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(conf))
    monkeypatch.setenv("PLACE", str(overlay.place))
    conf.write_text('[storage]\ndriver = "overlay2"\ngraphroot = "$PLACE/graph"\n')
    assert store.images.load("containers-storage:app:1")[0].id == f"sha256:{ID}"
    for text, reason in {
        "[storage": r"storage\.conf.*TOML",
        f'[storage]\ndriver = "btrfs"\ngraphroot = "{overlay.root}"': "btrfs.*overlay and vfs",
    }.items():
        conf.write_text(text)
        with pytest.raises(InvalidArgument, match=reason):
            store.images.load("containers-storage:app:1")


def test_other_roots_and_drivers_are_told(store: LayerStore, overlay: Theirs) -> None:
    for place, reason in {
        f"[btrfs@{overlay.root}]app:1": "overlay and vfs",
        f"[vfs@{overlay.root}]app:1": "no images of containers-storage by vfs",
        f"[{overlay.place}]app:1": "by overlay or vfs",
        "[/nowhere]app:1": "/nowhere: No such file",
    }.items():
        with pytest.raises(LayerStoreError, match=reason):
            store.images.load(f"containers-storage:{place}")


def test_a_writer_is_waited_for(store: LayerStore, overlay: Theirs, root_dir: Path) -> None:
    """It has a list half-written meanwhile, which nobody reads."""
    theirs = overlay.copy_to(root_dir / "copy")
    lock = theirs.root / "overlay-layers/layers.lock"
    whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    layers = theirs.list_of("layers").read_bytes()
    with open(lock, "r+b") as file, ThreadPoolExecutor(1) as threads:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, whole)
        theirs.list_of("layers").write_bytes(layers[:100])
        loading = threads.submit(store.images.load, theirs.at(NAME))
        wait_until(lambda: len(_opened(lock)) == 2 or loading.done())
        with pytest.raises(TimeoutError):
            loading.result(0.3)
        theirs.list_of("layers").write_bytes(layers)
        file.close()
        assert loading.result()[0].id == f"sha256:{ID}"


def _opened(path: Path) -> list[str]:
    """Return the descriptors that this process has of a file."""
    return [fd for fd in os.listdir("/proc/self/fd") if _leads_to(f"/proc/self/fd/{fd}", path)]


def _leads_to(link: str, path: Path) -> bool:
    try:
        return os.readlink(link) == str(path)
    except FileNotFoundError:
        return False


def test_a_layer_without_tar_split_is_made_of_its_files_where_that_gives_it(
    store: LayerStore, root_dir: Path
) -> None:
    """A tar of ours is written again as it was; the others' are not, which is told."""
    rw = store.create_rw_layer("made")
    with rw.mounted() as path:
        for name in ("a", "b"):
            Path(path, name).write_text(name)
            os.utime(Path(path, name), (1_600_000_000, 1_600_000_000))
    with rw.tar_stream() as tar:
        layer = tar.read()
    rw.release()
    place = root_dir / "theirs"
    for driver in ("overlay", "vfs"):
        with ContainersStorage(place / driver, driver):
            layout = make_layout([layer], place / driver / "layout")
            found = Theirs(place / driver, driver)
            run("skopeo", "copy", "-q", f"oci:{layout}:latest", found.at(NAME))
        found.tar_split().unlink()
        (image,) = store.images.load(found.at(NAME))
        assert image.id == digest_of(config_of([layer]))
        store.images.remove(image.id, force=True)
        for size in (0, 1 << 40):
            swapped_for(found.tree() / "a", Path.touch)
            os.truncate(found.tree() / "a", size)
            with pytest.raises(InvalidImage, match="without its tar-split, and its files don't"):
                store.images.load(found.at(NAME))


# Hostile ones


def _listed(theirs: Theirs, kind: str, change: Callable[[list[dict[str, Any]]], object]) -> None:
    path = theirs.list_of(kind)
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def _split(theirs: Theirs, *records: dict[str, Any]) -> None:
    lines = "".join(json.dumps(record) + "\n" for record in records)
    theirs.tar_split().write_bytes(gzip.compress(lines.encode()))


def _file(theirs: Theirs) -> Path:
    return theirs.tree() / "etc/passwd"


def _out(theirs: Theirs, path: Path) -> None:
    linked_out(path, theirs.place / "outside")


def _manifest(theirs: Theirs) -> Path:
    return theirs.list_of("images").parent / ID / "manifest"


def _config(theirs: Theirs) -> Path:
    return next(path for path in _manifest(theirs).parent.iterdir() if path.name.startswith("=c2h"))


ESCAPE = {"type": 1, "name": "../../../../../../etc/passwd", "size": 9, "payload": "AAAAAAAAAAA="}

HOSTILE: dict[str, Callable[[Theirs], object]] = {
    "an image's ID that is a path": lambda t: _listed(
        t, "images", lambda images: [one.update(id=f"../{ID}") for one in images]
    ),
    "a layer's ID that is a path": lambda t: _listed(
        t,
        "layers",
        lambda layers: (layers[0].update(id="../../x"), layers[1].update(parent="../../x")),
    ),
    "a layer that lies on itself": lambda t: _listed(
        t, "layers", lambda layers: layers[0].update(parent=layers[0]["id"])
    ),
    "a layer that isn't listed": lambda t: _listed(t, "layers", lambda layers: layers.pop(0)),
    "a list that is none": lambda t: t.list_of("layers").write_text("{}"),
    "a deep list": lambda t: t.list_of("images").write_text("[" * 100_000),
    "a list elsewhere": lambda t: _out(t, t.list_of("layers")),
    "a huge list": lambda t: os.truncate(t.list_of("images"), 1 << 40),
    "a list that is a pipe": lambda t: swapped_for(t.list_of("layers"), os.mkfifo),
    "a manifest elsewhere": lambda t: _out(t, _manifest(t)),
    "a manifest that names a path": lambda t: _manifest(t).write_text(
        '{"config": {"digest": "sha256:../../x", "size": 1}, "layers": []}'
    ),
    "another configuration": lambda t: _config(t).write_bytes(config_of(LAYERS, os="x")),
    "a tree elsewhere": lambda t: _out(t, t.root / "overlay" / t.layer()),
    "a file elsewhere": lambda t: _out(t, _file(t)),
    "a directory of files elsewhere": lambda t: _out(t, _file(t).parent),
    "a file that is a pipe": lambda t: swapped_for(_file(t), os.mkfifo),
    "a file of another size": lambda t: _file(t).write_bytes(b""),
    "a file with other content": lambda t: _file(t).write_bytes(bytes(_file(t).stat().st_size)),
    "a tar-split elsewhere": lambda t: _out(t, t.tar_split()),
    "a tar-split that is none": lambda t: t.tar_split().write_bytes(b"no gzip"),
    "a tar-split cut short": lambda t: os.truncate(t.tar_split(), 900),
    "a tar-split of no records": lambda t: t.tar_split().write_bytes(gzip.compress(b"{}\n" * 9)),
    "a tar-split that leads out": lambda t: _split(t, {**ESCAPE, "position": 0}),
    "a tar-split of nothing": _split,
    "a tar-split with a huge line": lambda t: _split(
        t, {"type": 2, "payload": "A" * (40 << 20), "position": 0}
    ),
}


@pytest.mark.parametrize("part", range(3))
def test_of_a_bad_store_nothing_is_loaded(
    store: LayerStore, overlay: Theirs, root_dir: Path, part: int
) -> None:
    before = disk(store)
    for number, what in [*enumerate(HOSTILE)][part::3]:
        theirs = overlay.copy_to(root_dir / str(number))
        HOSTILE[what](theirs)
        with pytest.raises(LayerStoreError) as caught:
            store.images.load(theirs.at(NAME))
        assert str(theirs.root) in str(caught.value), what
        assert not what.startswith("a file") or "etc/passwd" in str(caught.value), what
        assert store.images.list() == [], what
        assert disk(store) == before, what


def test_a_layer_is_no_larger_than_the_limit(
    open_store: OpenStore, overlay: Theirs, root_dir: Path
) -> None:
    theirs = overlay.copy_to(root_dir / "copy")
    segment = {"type": 2, "payload": "A" * (4 << 20)}
    _split(theirs, *({**segment, "position": number} for number in range(8)))
    store = open_store(limits=Limits(max_bytes=1 << 20))
    with pytest.raises(LayerStoreError, match="limit of 1048576"):
        store.images.load(theirs.at(ID))
    assert store.map() == {}
