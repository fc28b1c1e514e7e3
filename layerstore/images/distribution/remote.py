"""A repository of a registry as an archive: its index lists the one image that was asked for.

Owns which of its blobs are manifests, which registries keep apart, and how large each is to be. So
what is chosen of an image for many platforms, and what is checked of it, is an archive's reader's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from layerstore.archive.layout import INDEX, Descriptor, decode
from layerstore.archive.wanted import Wanted, make_wanted
from layerstore.asking.source import Readable, Region, in_memory
from layerstore.drivers.errors import (
    InvalidImage,
    InvalidName,
    LayerStoreError,
    LimitExceeded,
)
from layerstore.drivers.model.annotations import NAMING
from layerstore.drivers.model.ids import algorithm_of, hex_of
from layerstore.drivers.model.image_config import MAX_CONFIG
from layerstore.drivers.model.platform import Platform
from layerstore.images.registry.download import BlobStream
from layerstore.images.registry.manifests import Fetched
from layerstore.images.registry.repository import Repository

KeptConfig = Callable[[str], bytes | None]
"""Returns the configuration of that digest if it is at hand, so that it needn't be fetched."""

_MOST_KEPT = 16 << 20
"""Bytes of documents; what was read before the last of them is fetched anew if it is read again."""
_MOST_LISTED = 100_000
"""Blobs that all documents of one name list together."""


class _Listed(msgspec.Struct):
    """What a manifest or an index lists, as far as it can be told."""

    manifests: list[Descriptor] = []
    layers: list[Descriptor] = []
    config: Descriptor | None = None


class RemoteArchive:
    """One image of a repository; see Archive."""

    def __init__(
        self,
        repository: Repository,
        wanted: str,
        label: str,
        name: str | None,
        kept_config: KeptConfig | None = None,
    ) -> None:
        """Ask for the manifest, or index, of a tag or digest. Raises RegistryError.

        `name` is what the image is to be called, if anything.
        """
        self.label = label
        self._repository = repository
        self._kept_config = kept_config
        top = repository.manifest(wanted)
        self.digest = top.digest
        self._sizes: dict[str, int] = {}
        self._urls: dict[str, tuple[str, ...]] = {}
        self._blobs: dict[str, BlobStream] = {}
        """Those of layers, as they came last."""
        self._manifests = {top.digest}
        self._contents = {top.digest: top.content}
        self._note(top.digest, top.content)
        self._index = _index(top, name)
        self._top = top.content

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platforms that an index lists images for, os/architecture[/variant]; else none."""
        try:
            listed = decode(self._top, _Listed, INDEX).manifests
        except InvalidImage:
            return ()
        found = (d.platform for d in listed if d.platform is not None and not d.is_attestation)
        shown = (str(Platform(one.os_name, one.architecture, one.variant)) for one in found)
        return tuple(dict.fromkeys(shown))

    def size(self, name: str) -> int | None:
        """See Archive; that is what is promised."""
        if name == INDEX:
            return len(self._index)
        return self._sizes.get(name)

    def open(self, name: str) -> contextlib.AbstractContextManager[Region]:
        """See Archive; for what is small, and read here. Raises RegistryError."""
        return in_memory(self._index if name == INDEX else self._content(name))

    def open_layer(self, name: str) -> contextlib.AbstractContextManager[Readable]:
        """Give a layer's blob as it comes. Raises RegistryError, JobCancelled."""
        blob = self._repository.open_blob(
            _digest(name), self._sizes[name], self._urls.get(name, ())
        )
        self._blobs[name] = blob
        return blob

    def pass_over(self, name: str, error: LayerStoreError) -> bool:
        """Whether a layer's blob that was bad came from a mirror; that one is asked no more."""
        blob = self._blobs.get(name)
        mirrors = [place for place in blob.came_from if place.is_mirror] if blob is not None else []
        for place in mirrors:
            self._repository.pass_over(place, error)
        return bool(mirrors)

    def folders(self) -> list[str]:
        """See Archive."""
        return []

    def close(self) -> None:
        """See Archive."""

    def _content(self, name: str) -> bytes:
        size = self.size(name)
        if size is None:
            raise InvalidImage(self.label, f"{name} is missing")
        digest = _digest(name)
        content = self._contents.get(digest)
        if content is None:
            if digest in self._manifests:
                content = self._repository.manifest(digest).content
                self._note(digest, content)
            else:
                content = self._config(digest, size)
            self._contents[digest] = content
            while len(self._contents) > 1 and sum(map(len, self._contents.values())) > _MOST_KEPT:
                del self._contents[next(iter(self._contents))]
        return content

    def _config(self, digest: str, size: int) -> bytes:
        kept = self._kept_config(digest) if self._kept_config is not None else None
        return kept if kept is not None else self._repository.blob(digest, size, MAX_CONFIG)

    def _note(self, digest: str, content: bytes) -> None:
        """Take note of what a manifest lists; that it lists it well is its reader's to check."""
        self._sizes[_blob(digest)] = len(content)
        try:
            listed = decode(content, _Listed, digest)
        except InvalidImage:
            return
        for descriptor in (*listed.manifests, *listed.layers, listed.config):
            if descriptor is not None and descriptor.size >= 0:
                with contextlib.suppress(InvalidName):  # whoever asks for it says that it's missing
                    blob = _blob(descriptor.digest)
                    self._sizes.setdefault(blob, descriptor.size)
                    self._urls.setdefault(blob, tuple(descriptor.urls or ()))
        self._manifests.update(descriptor.digest for descriptor in listed.manifests)
        if len(self._sizes) > _MOST_LISTED:
            raise LimitExceeded(f"the blobs that {self.label} lists", _MOST_LISTED)


def wanted_of(platform: str | None) -> Wanted:
    """Say what is wanted of a repository, for one platform. Raises InvalidArgument."""
    wanted = make_wanted(None, platform, None, every_platform=False)
    return replace(wanted, help="see --platform")


def _blob(digest: str) -> str:
    return f"blobs/{algorithm_of(digest)}/{hex_of(digest)}"


def _digest(name: str) -> str:
    _, algorithm, digits = name.split("/", 2)
    return f"{algorithm}:{digits}"


def _index(top: Fetched, name: str | None) -> bytes:
    listed: dict[str, Any] = {
        "mediaType": top.media_type,
        "digest": top.digest,
        "size": len(top.content),
    }
    if name is not None:
        listed["annotations"] = {NAMING[0]: name}
    return msgspec.json.encode({"schemaVersion": 2, "manifests": [listed]})
