"""A store with some of everything, and ways to damage it by hand: one for every kind of fault."""

from __future__ import annotations

import gzip
import json
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from layerstore import FaultKind, LayerStore
from layerstore.drivers.model.ids import chain_id
from layerstore.drivers.system.syscalls import mount
from layerstore.drivers.work import Init
from tests.support.archives import as_tar, config_of, digest_of, docker_archive
from tests.support.homes import OVERLAYS, home_of
from tests.support.tars import layer_tar

BASE = layer_tar({"etc": None, "etc/a": b"1" * 5000, "big": b"2" * 70_000})
TOP = layer_tar({"b": b"3" * 4000, "etc/.wh.a": b""})


@dataclass(frozen=True)
class Place:
    """Where everything lies on the disk."""

    root: Path
    driver: str
    base: str
    top: str
    base_id: str
    top_id: str
    mount_id: str
    init_id: str
    image: str

    @property
    def layerdb(self) -> Path:
        return self.root / "image" / self.driver / "layerdb"

    @property
    def imagedb(self) -> Path:
        return self.root / "image" / self.driver / "imagedb"

    @property
    def home(self) -> Path:
        return home_of(self.root, self.driver)

    @property
    def layer(self) -> Path:
        return self.layerdb / "sha256" / self.top.removeprefix("sha256:")

    @property
    def web(self) -> Path:
        return self.layerdb / "mounts/web"

    @property
    def config(self) -> Path:
        return self.imagedb / "content/sha256" / self.image.removeprefix("sha256:")

    @property
    def record(self) -> Path:
        return self.root / "layerstore/images" / self.driver / f"{self.config.name}.json"

    @property
    def names(self) -> Path:
        return self.root / "image" / self.driver / "repositories.json"

    def link_of(self, layer_id: str) -> Path:
        return self.home / "l" / (self.home / layer_id / "link").read_text()


def _init(path: str) -> None:
    Path(path, "init").write_text("init")


def furnish(store: LayerStore, init: Init = _init) -> Place:
    """Fill a store: two layers, an image on them, read-write layers with and without init layer."""
    base = store.register(BASE)
    top = store.register(TOP, base.chain_id, descriptor='{"size": 1}')
    store.create_rw_layer("web", top.chain_id, init=init)
    store.create_rw_layer("plain", base.chain_id)
    store.create_rw_layer("empty")
    (image,) = store.images.load(_archive(Path(store.root).parent))
    return find_place(store, base.chain_id, top.chain_id, "web", image.id)


def find_place(store: LayerStore, base: str, top: str, web: str, image: str) -> Place:
    """Find out where two layers, a read-write layer with an init layer and an image lie."""
    layers, (mount_facts,) = store.map(), [m for m in store.mounts() if m.name == web]
    assert mount_facts.init_id is not None
    return Place(
        root=Path(store.root),
        driver=store.driver_name,
        base=base,
        top=top,
        base_id=layers[chain_id(base)].cache_id,
        top_id=layers[chain_id(top)].cache_id,
        mount_id=mount_facts.mount_id,
        init_id=mount_facts.init_id,
        image=image,
    )


def _archive(place: Path) -> Path:
    archive = place / f"{secrets.token_hex(4)}.tar"
    archive.write_bytes(as_tar(docker_archive([BASE, TOP])))
    return archive


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _replace(path: Path, content: str | bytes) -> None:
    assert path.is_file()
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _mkdir(path: Path) -> None:
    path.mkdir(parents=True)


def _swap_for_link(place: Path, elsewhere: Path) -> None:
    place.rename(elsewhere)
    place.symlink_to(elsewhere)


def _forge_layer(place: Place) -> None:
    """Make a layer that is whole, but for its parent."""
    parent, diff, cache_id = "sha256:" + "0" * 64, digest_of(b"diff"), secrets.token_hex(32)
    chain = digest_of(f"{parent} {diff}".encode())
    home = place.layerdb / "sha256" / chain.removeprefix("sha256:")
    for name, content in (
        ("diff", diff), ("size", "0"), ("cache-id", cache_id), ("parent", parent),
        ("tar-split.json.gz", gzip.compress(b"")),
    ):  # fmt: skip
        _write(home / name, content)
    _mkdir(place.home / cache_id)
    if place.driver in OVERLAYS:
        for name in ("diff", "work"):
            _mkdir(place.home / cache_id / name)
        _write(place.home / cache_id / "link", "A" * 26)
        (place.home / "l" / ("A" * 26)).symlink_to(f"../{cache_id}/diff")


def _share(place: Place) -> None:
    """Say that the read-write layer `plain` lies where `web` does."""
    mount_id = place.layerdb / "mounts/plain/mount-id"
    if place.driver in OVERLAYS:
        place.link_of(mount_id.read_text()).unlink()
    shutil.rmtree(place.home / mount_id.read_text())
    _replace(mount_id, place.mount_id)


def _mount(place: Place) -> None:
    point = place.root / "layerstore/views/left"
    _mkdir(point)
    mount("tmpfs", str(point), "tmpfs", 0, "")


def _options(place: Place) -> Path:
    home = place.home if place.driver in OVERLAYS else place.root / "layerstore/idmapped"
    return home / place.mount_id / "layerstore-options.json"


def _name_nothing(place: Place) -> None:
    document = json.loads(place.names.read_text())
    document["Repositories"]["gone"] = {"gone:latest": "sha256:" + "0" * 64}
    _replace(place.names, json.dumps(document))


def _add_image(place: Place, config: bytes) -> None:
    _write(place.config.parent / digest_of(config).removeprefix("sha256:"), config)


def _change_file(place: Place) -> None:
    own = "diff/b" if place.driver in OVERLAYS else "b"
    _replace(place.home / place.top_id / own, b"4" * 4000)


def _damage_tar_split(place: Place) -> None:
    packed = bytearray((place.layer / "tar-split.json.gz").read_bytes())
    packed[30:50] = b"\xff" * 20
    _replace(place.layer / "tar-split.json.gz", bytes(packed))


def _relink(place: Place) -> None:
    link = place.link_of(place.top_id)
    link.unlink()
    link.symlink_to("/etc")


Damage = Callable[[Place], None]
K = FaultKind
_ID = secrets.token_hex(32)

ANY: dict[str, tuple[FaultKind, Damage]] = {
    "no diff": (K.LAYER_DIFF, lambda p: (p.layer / "diff").unlink()),
    "bad diff": (K.LAYER_DIFF, lambda p: _replace(p.layer / "diff", "sha256:")),
    "no size": (K.LAYER_SIZE, lambda p: (p.layer / "size").unlink()),
    "bad size": (K.LAYER_SIZE, lambda p: _replace(p.layer / "size", "-1")),
    "no cache ID": (K.LAYER_CACHE_ID, lambda p: (p.layer / "cache-id").unlink()),
    "bad cache ID": (K.LAYER_CACHE_ID, lambda p: _replace(p.layer / "cache-id", "../../etc")),
    "bad parent": (K.LAYER_PARENT, lambda p: _replace(p.layer / "parent", b"\xff")),
    "bad descriptor": (K.LAYER_DESCRIPTOR, lambda p: _replace(p.layer / "descriptor.json", "{")),
    "no parent": (K.LAYER_CHAIN, lambda p: (p.layer / "parent").unlink()),
    "other diff": (K.LAYER_CHAIN, lambda p: _replace(p.layer / "diff", p.base)),
    "no such parent": (K.LAYER_PARENT_MISSING, _forge_layer),
    "no tar-split": (K.LAYER_TAR_SPLIT, lambda p: (p.layer / "tar-split.json.gz").unlink()),
    "bad tar-split": (K.LAYER_TAR_SPLIT, lambda p: _replace(p.layer / "tar-split.json.gz", "{}")),
    "evil layer": (K.LAYER_NAME, lambda p: _mkdir(p.layerdb / "sha256/evil\nname")),
    "linked layer": (K.LAYER_NAME, lambda p: _swap_for_link(p.layer, p.root / "elsewhere")),
    "no layer": (K.LAYER_DIRECTORY, lambda p: shutil.rmtree(p.home / p.top_id)),
    "cut-off removal": (K.LAYER_REMOVING, lambda p: _mkdir(Path(f"{p.layer}-{_ID}-removing"))),
    "transaction": (K.TRANSACTION, lambda p: _mkdir(p.layerdb / "tmp/write-set-0123")),
    "evil mount": (K.MOUNT_NAME, lambda p: _mkdir(p.layerdb / "mounts/evil\n\x1b[31mname")),
    "no mount ID": (K.MOUNT_ID, lambda p: (p.web / "mount-id").unlink()),
    "bad mount ID": (K.MOUNT_ID, lambda p: _replace(p.web / "mount-id", "x" * 5000)),
    "bad init ID": (K.MOUNT_INIT_ID, lambda p: _replace(p.web / "init-id", "")),
    "bad mount parent": (K.MOUNT_PARENT, lambda p: _replace(p.web / "parent", "../..")),
    "no such mount parent": (
        K.MOUNT_PARENT_MISSING,
        lambda p: _replace(p.web / "parent", "sha256:" + "0" * 64),
    ),
    "bad options": (K.MOUNT_OPTIONS, lambda p: _write(_options(p), "")),
    "no mount": (K.MOUNT_DIRECTORY, lambda p: shutil.rmtree(p.home / p.mount_id)),
    "no init": (K.INIT_DIRECTORY, lambda p: shutil.rmtree(p.home / p.init_id)),
    "shared": (K.SHARED_ID, _share),
    "orphan": (K.ORPHAN_DIRECTORY, lambda p: _mkdir(p.home / _ID)),
    "mounted": (K.ORPHAN_MOUNT, _mount),
    "evil image": (K.IMAGE_NAME, lambda p: _write(p.config.parent / "evil\nname", "")),
    "no configuration": (K.IMAGE_CONFIG, lambda p: _add_image(p, b"{}")),
    "other configuration": (K.IMAGE_DIGEST, lambda p: _replace(p.config, "{}")),
    "bad image parent": (
        K.IMAGE_PARENT,
        lambda p: _write(p.imagedb / "metadata/sha256" / p.config.name / "parent", "?"),
    ),
    "bad record": (K.IMAGE_RECORD, lambda p: _write(p.record, '{"annotations": 1}')),
    "no such layers": (K.IMAGE_LAYERS, lambda p: _add_image(p, config_of([b"other"]))),
    "bad names": (K.NAMES, lambda p: _replace(p.names, "[")),
    "dangling name": (K.NAME_DANGLING, _name_nothing),
    "unfinished": (K.UNFINISHED_FILE, lambda p: _write(Path(f"{p.config}.{'0' * 16}.tmp"), "{")),
}  # fmt: skip

OVERLAY: dict[str, tuple[FaultKind, Damage]] = {
    "no link": (K.OVERLAY_LINK, lambda p: (p.home / p.top_id / "link").unlink()),
    "bad link": (K.OVERLAY_LINK, lambda p: _replace(p.home / p.mount_id / "link", "../etc")),
    "no short link": (K.OVERLAY_SHORT_LINK, lambda p: p.link_of(p.base_id).unlink()),
    "other short link": (K.OVERLAY_SHORT_LINK, _relink),
    "dangling link": (
        K.OVERLAY_STRAY_LINK,
        lambda p: (p.home / "l" / ("C" * 26)).symlink_to(f"../{_ID}/diff"),
    ),
    "second link": (
        K.OVERLAY_STRAY_LINK,
        lambda p: (p.home / "l" / ("B" * 26)).symlink_to(f"../{p.top_id}/diff"),
    ),
    "evil link": (K.OVERLAY_STRAY_LINK, lambda p: (p.home / "l/\nevil").symlink_to("/etc")),
    "no lower": (K.OVERLAY_LOWER, lambda p: (p.home / p.top_id / "lower").unlink()),
    "bad lower": (K.OVERLAY_LOWER, lambda p: _replace(p.home / p.top_id / "lower", "/etc")),
    "unknown lower": (
        K.OVERLAY_LOWER,
        lambda p: _replace(p.home / p.mount_id / "lower", "l/" + "A" * 26),
    ),
    "other lower": (
        K.OVERLAY_LOWER,
        lambda p: _replace(p.home / p.top_id / "lower", "l/" + p.link_of(p.mount_id).name),
    ),
    "no diff directory": (
        K.OVERLAY_DIFF,
        lambda p: shutil.rmtree(p.home / p.mount_id / "diff"),
    ),
    "linked diff": (
        K.OVERLAY_DIFF,
        lambda p: _swap_for_link(p.home / p.mount_id / "diff", p.root / "elsewhere"),
    ),
    "no work": (K.OVERLAY_WORK, lambda p: shutil.rmtree(p.home / p.mount_id / "work")),
}

FULL: dict[str, tuple[FaultKind, Damage]] = {
    "changed file": (K.LAYER_CONTENT, _change_file),
    "damaged tar-split": (K.LAYER_CONTENT, _damage_tar_split),
}
FULL_OVERLAY: dict[str, tuple[FaultKind, Damage]] = {
    "other size": (K.LAYER_SIZE, lambda p: _replace(p.layer / "size", "17")),
}


def damages(driver: str, *, full: bool) -> dict[str, tuple[FaultKind, Damage]]:
    """Return all that can be done to a driver's store: what a check tells, or only a full one."""
    if full:
        return FULL | (FULL_OVERLAY if driver in OVERLAYS else {})
    return ANY | (OVERLAY if driver in OVERLAYS else {})


CASES = [
    pytest.param(driver, name, full, id=f"{driver}-{name}", marks=pytest.mark.root)
    for driver in (*OVERLAYS, "vfs")
    for full in (False, True)
    for name in damages(driver, full=full)
]
