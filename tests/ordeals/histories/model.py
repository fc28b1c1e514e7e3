"""A layer store in plain dictionaries: what a history of operations must have led to.

Owns the expected layers, read-write layers and images with everything that keeps them. It knows no
disk, no thread and no driver, and computes names with hashlib alone.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field

Files = dict[str, bytes]
"""Regular files by path; directories are told by what is in them."""


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def chain_of(parent: str | None, tar: bytes) -> str:
    diff = digest_of(tar)
    return diff if parent is None else digest_of(f"{parent} {diff}".encode())


def members_of(tar: bytes) -> dict[str, bytes | None]:
    """Return a tar's members by name, None for what is no regular file."""
    found: dict[str, bytes | None] = {}
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            found[member.name.rstrip("/")] = file.read() if file is not None else None
    return found


def applied(files: Files, tar: bytes) -> Files:
    """Return what a layer's tar makes of its parent's files."""
    members = members_of(tar)
    below = dict(files)
    for name in members:
        place, _, base = name.rpartition("/")
        prefix = f"{place}/" if place else ""
        if base == ".wh..wh..opq":
            below = {path: kept for path, kept in below.items() if not path.startswith(prefix)}
        elif base.startswith(".wh."):
            gone = prefix + base.removeprefix(".wh.")
            below.pop(gone, None)
            below = {path: kept for path, kept in below.items() if not path.startswith(f"{gone}/")}
    added = {
        name: content
        for name, content in members.items()
        if content is not None and not name.rpartition("/")[2].startswith(".wh.")
    }
    return below | added


def differences(old: Files, new: Files) -> list[str]:
    """Return the lines of `docker diff` that are about files."""
    lines = [f"A /{path}" for path in new.keys() - old.keys()]
    lines += [f"D /{path}" for path in old.keys() - new.keys()]
    lines += [f"C /{path}" for path in new.keys() & old.keys() if new[path] != old[path]]
    return sorted(lines)


@dataclass
class ModelLayer:
    """A read-only layer; `held` counts the references that are retained."""

    chain: str
    parent: str | None
    tar: bytes
    files: Files
    held: int = 0
    forsaken: bool = False
    """Somebody gave it up since the store was opened."""

    @property
    def diff_size(self) -> int:
        sizes = {name: len(content or b"") for name, content in members_of(self.tar).items()}
        return sum(sizes.values())


@dataclass
class ModelMount:
    """A read-write layer; its changes are counted against `below`."""

    name: str
    parent: str | None
    has_init: bool
    below: Files
    files: Files
    image: str | None = None
    references: int = 1
    mount_count: int = 0
    kept: bool = False
    """It was found mounted when the store was opened, so closing leaves it mounted."""

    def forked(self, name: str) -> ModelMount:
        """Return one more with the same content."""
        below, files = dict(self.below), dict(self.files)
        return ModelMount(name, self.parent, self.has_init, below, files, self.image)

    @property
    def size(self) -> int:
        own = [path for path in self.files if self.files[path] != self.below.get(path)]
        return sum(len(self.files[path]) for path in own)


@dataclass
class ModelImage:
    """An image: its layers, the base first."""

    image_id: str
    chains: list[str]
    created: str
    parent: str | None = None
    """The image that it was committed on."""

    @property
    def top(self) -> str | None:
        return self.chains[-1] if self.chains else None


@dataclass
class Model:
    """The whole store."""

    layers: dict[str, ModelLayer] = field(default_factory=dict)
    mounts: dict[str, ModelMount] = field(default_factory=dict)
    images: dict[str, ModelImage] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    stuck: list[str] = field(default_factory=list)
    """Layers that nothing keeps any more, but could not be removed."""

    # Layers

    def references(self, chain: str) -> int:
        """Count everything that keeps a layer."""
        children = sum(layer.parent == chain for layer in self.layers.values())
        mounts = sum(mount.parent == chain for mount in self.mounts.values())
        images = sum(image.top == chain for image in self.images.values())
        return self.layers[chain].held + children + mounts + images

    def files_of(self, chain: str | None) -> Files:
        return dict(self.layers[chain].files) if chain is not None else {}

    def ancestors(self, chain: str) -> Iterator[str]:
        parent = self.layers[chain].parent
        while parent is not None:
            yield parent
            parent = self.layers[parent].parent

    def add_layer(self, tar: bytes, parent: str | None) -> ModelLayer:
        """Take a layer in, or find it there; retains it once."""
        chain = chain_of(parent, tar)
        if chain not in self.layers:
            files = applied(self.files_of(parent), tar)
            self.layers[chain] = ModelLayer(chain, parent, tar, files)
        self.layers[chain].held += 1
        return self.layers[chain]

    def release(self, chain: str) -> list[str]:
        """Give a reference back and return what goes, the top first."""
        self.layers[chain].held -= 1
        return self.given_up(chain)

    def given_up(self, chain: str | None) -> list[str]:
        """Drop what nothing keeps any more, from a layer that was just given up downwards."""
        if chain is not None:
            self.layers[chain].forsaken = True
        return self._drop(chain)

    def used_in_passing(self, chain: str | None) -> list[str]:
        """End a use that left no trace: only what was given up before goes."""
        if chain is None or not self.layers[chain].forsaken:
            return []
        return self._drop(chain)

    def _drop(self, chain: str | None) -> list[str]:
        gone = []
        while chain is not None and not self.references(chain):
            gone.append(chain)
            if chain in self.stuck:
                self.stuck.remove(chain)
            chain = self.layers.pop(chain).parent
        return gone

    def try_again(self) -> list[list[str]]:
        """Drop what could not be removed before; returns what goes with each."""
        stuck, self.stuck = self.stuck, []
        return [
            self._drop(chain)
            for chain in stuck
            if chain in self.layers and not self.references(chain)
        ]

    # Mounts

    def remove_mount(self, name: str) -> list[str]:
        return self.given_up(self.mounts.pop(name).parent)

    def image_of(self, mount: ModelMount) -> str | None:
        """Return the image that a read-write layer counts as made from."""
        if mount.image in self.images:
            return mount.image
        fitting = [
            image
            for image in sorted(self.images.values(), key=lambda i: (i.created, i.image_id))
            if mount.parent is not None and image.top == mount.parent
        ]
        named = [image for image in fitting if self.names_of(image.image_id)]
        chosen = (named or fitting)[-1:]
        return chosen[0].image_id if chosen else None

    # Images

    def names_of(self, image_id: str) -> list[str]:
        return sorted(name for name, named in self.names.items() if named == image_id)

    def users_of(self, image_id: str) -> list[str]:
        return [name for name, mount in self.mounts.items() if self.image_of(mount) == image_id]

    def children_of(self, image_id: str) -> list[str]:
        return [image.image_id for image in self.images.values() if image.parent == image_id]

    def untag(self, image_id: str) -> None:
        for name in self.names_of(image_id):
            del self.names[name]

    def remove_image(self, image_id: str) -> list[str]:
        """Remove an image with all its names, and the nameless ones that it was made from.

        Returns the layers that go.
        """
        self.untag(image_id)
        image = self.images.pop(image_id)
        gone = self.given_up(image.top)
        parent = image.parent
        if parent in self.images and not (
            self.names_of(parent) or self.children_of(parent) or self.users_of(parent)
        ):
            gone += self.remove_image(parent)
        return gone

    def reopen(self, *, keep_mounts: bool, mountable: bool) -> None:
        """Forget what lasts no longer than an open store; `mountable` drivers do mount."""
        self.try_again()
        for layer in self.layers.values():
            layer.held = 0
            layer.forsaken = False
        for mount in self.mounts.values():
            mount.references = 0
            is_mount = mountable and (mount.parent is not None or mount.has_init)
            mount.kept = is_mount and mount.mount_count > 0 and (keep_mounts or mount.kept)
            mount.mount_count = int(mount.kept)
