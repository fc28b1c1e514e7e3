"""What lies beneath a root that nothing listed leads to, and what is listed but isn't there.

Reads the disk by itself, in Docker's formats, and uses none of the store's own code for that; only
the graph driver is asked where its home is.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from layerstore import LayerStore
from tests.support.homes import OVERLAYS, directories_of, home_of

_LAYER_FILES = {"diff", "size", "cache-id", "parent", "descriptor.json", "tar-split.json.gz"}
_OWN = {"lock", "socket", "trash", "views", "containers", "images", "tmp", "used"}


def problems(store: LayerStore, *, drained: bool = True) -> list[str]:
    """Compare the disk with an open store's lists; a sentence for each thing that doesn't fit.

    With `drained` False things that the next open removes may still lie about.
    """
    look = _Look(store)
    look.layers()
    look.mounts()
    look.driver()
    look.images()
    look.mount_table()
    if drained:
        look.leftovers()
        return look.missing + look.unreachable
    return look.missing


def remains(root: str, driver: str) -> list[str]:
    """What is left beneath a root from which everything was removed; directories aside."""
    image = f"{root}/image/{driver}"
    home = str(home_of(root, driver))
    places = [home, f"{home}/l", f"{root}/layerstore/trash"]
    places += [f"{image}/layerdb/{name}" for name in ("sha256", "mounts", "tmp")]
    places += [f"{image}/imagedb/{name}/sha256" for name in ("content", "metadata")]
    return [
        f"{place}/{name}"
        for place in places
        if os.path.isdir(place)
        for name in os.listdir(place)
        if (place, name) != (home, "l")
    ]


class _Look:
    def __init__(self, store: LayerStore) -> None:
        self.missing: list[str] = []
        self.unreachable: list[str] = []
        self._store = store
        self._root = Path(store.root)
        self._image = self._root / "image" / store.driver_name
        self._layerdb = self._image / "layerdb"
        self._layers = store.map()
        self._mounts = {mount.name: mount for mount in store.mounts()}
        self._ids: dict[str, str | None] = {}
        """Directory that the driver must have -> that of its parent."""

    def _same(self, what: str, listed: set[str], found: set[str]) -> None:
        self.missing += [f"{what}: {name} is listed but not there" for name in listed - found]
        self.unreachable += [f"{what}: {name} is there but not listed" for name in found - listed]

    def _expect(self, path: Path, content: str | None) -> None:
        actual = path.read_text() if path.exists() else None
        if actual != content:
            self.missing.append(f"{path} holds {actual!r} instead of {content!r}")

    def layers(self) -> None:
        home = self._layerdb / "sha256"
        found = {f"sha256:{name}" for name in os.listdir(home)}
        self._same("layerdb/sha256", set(self._layers), found)
        for chain in set(self._layers) & found:
            facts = self._layers[chain]
            place = home / chain.removeprefix("sha256:")
            self._expect(place / "diff", facts.diff_id)
            self._expect(place / "cache-id", facts.cache_id)
            self._expect(place / "parent", facts.parent)
            self._expect(place / "size", str(facts.diff_size))
            self._same(f"files of {chain}", set(), set(os.listdir(place)) - _LAYER_FILES)
            if not (place / "tar-split.json.gz").exists():
                self.missing.append(f"{place} has no tar-split")
            parent = self._layers[facts.parent].cache_id if facts.parent else None
            self._ids[facts.cache_id] = parent

    def mounts(self) -> None:
        home = self._layerdb / "mounts"
        self._same("layerdb/mounts", set(self._mounts), set(os.listdir(home)))
        for name, facts in self._mounts.items():
            self._expect(home / name / "mount-id", facts.mount_id)
            self._expect(home / name / "init-id", facts.init_id)
            self._expect(home / name / "parent", facts.parent)
            parent = self._layers[facts.parent].cache_id if facts.parent else None
            if facts.init_id is not None:
                self._ids[facts.init_id], parent = parent, facts.init_id
            self._ids[facts.mount_id] = parent
        records = self._root / "layerstore/containers"
        if records.exists():
            known = {f"{facts.mount_id}.json" for facts in self._mounts.values()}
            strange = set(os.listdir(records)) - known
            self.unreachable += [f"{records}/{name} is of no mount" for name in strange]

    def driver(self) -> None:
        found = directories_of(self._store)
        self._same(self._store.driver_name, set(self._ids), found)
        if self._store.driver_name not in OVERLAYS:
            return
        home = home_of(self._root, self._store.driver_name)
        links: dict[str, str] = {}
        for layer_id in set(self._ids) & found:
            link = home / layer_id / "link"
            links[layer_id] = link.read_text() if link.exists() else "none"
        self._same(f"{home.name}/l", set(links.values()), set(os.listdir(home / "l")))
        for layer_id, link_name in links.items():
            self._expect_layer(home, layer_id, link_name, links)

    def _expect_layer(self, home: Path, layer_id: str, link: str, links: dict[str, str]) -> None:
        path = home / "l" / link
        target = os.readlink(path) if path.is_symlink() else None
        if target != f"../{layer_id}/diff":
            self.missing.append(f"{path} leads to {target}")
        if not (home / layer_id / "diff").is_dir():
            self.missing.append(f"{layer_id} has no diff directory")
        lowers = []
        parent = self._ids[layer_id]
        while parent is not None and parent in links:
            lowers.append(f"l/{links[parent]}")
            parent = self._ids[parent]
        self._expect(home / layer_id / "lower", ":".join(lowers) or None)
        if lowers and not (home / layer_id / "work").is_dir():
            self.missing.append(f"{layer_id} has no work directory")

    def images(self) -> None:
        listed = {image.id: image for image in self._store.images.list()}
        contents, metadata = (
            self._image / "imagedb" / name / "sha256" for name in ("content", "metadata")
        )
        found = {f"sha256:{name}" for name in os.listdir(contents)}
        self._same("imagedb/content", set(listed), found)
        self.unreachable += [
            f"imagedb/metadata: {name} is of no image"
            for name in os.listdir(metadata)
            if f"sha256:{name}" not in listed
        ]
        records = self._root / "layerstore/images" / self._store.driver_name
        annotated = {f"{image.id[7:]}.json" for image in listed.values() if image.annotations}
        self._same(str(records), annotated, set(os.listdir(records) if records.exists() else ()))
        for image in set(listed) & found:
            name = image.removeprefix("sha256:")
            content = (contents / name).read_bytes()
            if hashlib.sha256(content).hexdigest() != name:
                self.missing.append(f"the configuration of {image} is another's")
            if not (metadata / name / "lastUpdated").exists():
                self.missing.append(f"{image} has no metadata")
            self._same(
                f"metadata of {image}",
                set(),
                set(os.listdir(metadata / name) if (metadata / name).exists() else ())
                - {"parent", "lastUpdated"},
            )
        names = self._image / "repositories.json"
        document = json.loads(names.read_bytes())["Repositories"] if names.exists() else {}
        written = {(name, image) for found in document.values() for name, image in found.items()}
        told = {(name, image.id) for image in listed.values() for name in image.names}
        if written != told:
            self.missing.append(f"repositories.json holds {written} instead of {told}")

    def mount_table(self) -> None:
        with open("/proc/self/mountinfo", encoding="utf-8") as table:
            points = {line.split(" ")[4] for line in table}
        found = {point for point in points if point.startswith(f"{self._root}/")}
        listed = {
            f"{self._root}/{self._store.driver_name}/{facts.mount_id}/merged"
            for facts in self._mounts.values()
            if facts.mount_count and facts.parent and self._store.driver_name in OVERLAYS
        }
        listed |= {
            f"{self._root}/overlay2/{facts.mount_id}/memory"
            for facts in self._mounts.values()
            if self._is_in_memory(facts.mount_id)
        }
        self.missing += [f"{point} is mounted but not listed" for point in found - listed]
        self.missing += [f"{point} is listed but not mounted" for point in listed - found]

    def _is_in_memory(self, layer_id: str) -> bool:
        kept = self._root / "overlay2" / layer_id / "layerstore-options.json"
        return kept.exists() and json.loads(kept.read_bytes()).get("scratch") == "memory"

    def leftovers(self) -> None:
        for place in (self._layerdb / "tmp", self._root / "layerstore/trash"):
            self.unreachable += [f"{place}/{name} lies about" for name in os.listdir(place)]
        for place in (self._root / "layerstore" / name for name in ("views", "tmp")):
            if place.exists():
                self.unreachable += [f"{place}/{name} lies about" for name in os.listdir(place)]
        own = set(os.listdir(self._root / "layerstore"))
        self._same("layerstore", set(), own - _OWN)
        self._same(
            "image",
            set(),
            set(os.listdir(self._image)) - {"layerdb", "imagedb", "repositories.json"},
        )
