"""Writing images as blobs, and an OCI image layout and docker's `manifest.json` in one tar.

Owns the blobs and what describes them, which are the same for equal images, and the tar's members
and headers. `docker load` and every reader of OCI layouts take the tar. moby: image/tarexport.
"""

from __future__ import annotations

import contextlib
import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

import msgspec

from layerstore.archive.foreign import LayerSource, source_kept
from layerstore.drivers.model.annotations import NAMING, Annotations
from layerstore.drivers.model.ids import DiffID, hex_of
from layerstore.drivers.model.image_config import ImageFacts
from layerstore.drivers.model.reference import parse_reference

_CHUNK = 1 << 20
_BLOCK = 512
_RECORD = 20 * _BLOCK
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_INDEX = "application/vnd.oci.image.index.v1+json"
LAYOUT = ("oci-layout", msgspec.json.encode({"imageLayoutVersion": "1.0.0"}))
"""The file that says that a directory is a layout, and its content."""


class Tar(Protocol):
    """A layer's tar to be read to its end."""

    def read(self, size: int, /) -> bytes | None:
        """Return at most `size` bytes, none at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedImage:
    """One image to be written: its configuration's bytes and what it is called."""

    config: bytes
    facts: ImageFacts
    names: list[str]
    annotations: tuple[Annotations, ...] = ()
    """Those that call it what is no name."""


class Members(Protocol):
    """Where blobs and documents go, by name."""

    def small(self, name: str, content: bytes) -> None:
        """Write one whole."""

    def stream(self, name: str, tar: Tar) -> int:
        """Write one whose size is known only at its end, and return that in bytes."""


@dataclass(slots=True)
class ImageWriter:
    """Writes images as blobs; who finishes it lists them as its kind of archive does."""

    members: Members
    _sources: dict[DiffID, LayerSource] = field(default_factory=dict)
    _sizes: dict[str, int] = field(default_factory=dict)
    descriptors: list[dict[str, Any]] = field(default_factory=list)
    """Of the manifests, one for each name."""
    _entries: list[dict[str, Any]] = field(default_factory=list)
    _repositories: dict[str, dict[str, str]] = field(default_factory=dict)

    def has(self, diff: DiffID) -> bool:
        """Whether a layer is in the archive already."""
        return _blob(diff) in self._sizes

    def add_layer(self, diff: DiffID, tar: Tar, descriptor: str | None) -> None:
        """Write a layer's tar; `descriptor` is what is kept with the layer."""
        source = source_kept(descriptor)
        if source is not None:
            self._sources[diff] = source
        self._sizes[_blob(diff)] = self.members.stream(_blob(diff), tar)

    def add_image(self, image: SavedImage) -> None:
        """Write an image whose layers are in the archive."""
        diffs = image.facts.diff_ids
        layers = [self._layer(diff) for diff in diffs]
        sources = {diff: self._sources[diff] for diff in diffs if diff in self._sources}
        config = self._blob_of(image.config, _CONFIG)
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": config,
            "layers": layers,
        }
        described = self._blob_of(msgspec.json.encode(manifest), _MANIFEST)
        described["platform"] = _platform(image.facts)
        called = [*map(_naming, image.names), *image.annotations]
        self.descriptors.extend({**described, "annotations": one} for one in called)
        if not called:
            self.descriptors.append(described)
        self._entries.append(
            {
                "Config": _blob(config["digest"]),
                "RepoTags": image.names or None,
                "Layers": [_blob(diff) for diff in diffs],
                **({"LayerSources": sources} if sources else {}),
            }
        )
        if image.facts.diff_ids:
            for name in image.names:
                reference = parse_reference(name).looked_up()
                tags = self._repositories.setdefault(reference.repository, {})
                tags[str(reference.tag)] = hex_of(image.facts.diff_ids[-1])

    def _layer(self, diff: DiffID) -> dict[str, Any]:
        """Describe a layer as it is written here; `urls` are of a blob with just this digest."""
        source = self._sources.get(diff, LayerSource())
        described = self._descriptor(source.plain_type or _LAYER, diff)
        if source.urls and source.digest == diff:
            described["urls"] = source.urls
        return described

    def finish_tar(self) -> None:
        """Write what lists the images for docker and for OCI."""
        self._small("index.json", encoded_index(self.descriptors))
        self._small("manifest.json", msgspec.json.encode(self._entries))
        self._small(*LAYOUT)
        if self._repositories:
            self._small("repositories", msgspec.json.encode(self._repositories, order="sorted"))

    def _blob_of(self, content: bytes, media_type: str) -> dict[str, Any]:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        if _blob(digest) not in self._sizes:
            self._small(_blob(digest), content)
        return self._descriptor(media_type, digest)

    def _small(self, name: str, content: bytes) -> None:
        self.members.small(name, content)
        self._sizes[name] = len(content)

    def _descriptor(self, media_type: str, digest: str) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": digest, "size": self._sizes[_blob(digest)]}


@dataclass(slots=True)
class TarMembers:
    """The members of a tar, in a file that can seek."""

    out: IO[bytes]

    def begin(self) -> None:
        """Write the directories of the layout."""
        for name in ("blobs/", "blobs/sha256/"):
            self.out.write(_header(name, 0, tarfile.DIRTYPE))

    def small(self, name: str, content: bytes) -> None:
        """See Members."""
        self.out.write(_header(name, len(content), tarfile.REGTYPE))
        self.out.write(content + bytes(-len(content) % _BLOCK))

    def stream(self, name: str, tar: Tar) -> int:
        """See Members."""
        start = self.out.tell()
        self.out.write(bytes(_BLOCK))
        size = copied(tar, self.out)
        self.out.write(bytes(-size % _BLOCK))
        end = self.out.tell()
        self.out.seek(start)
        self.out.write(_header(name, size, tarfile.REGTYPE))
        self.out.seek(end)
        return size

    def end(self) -> None:
        """Write the end of the tar."""
        self.out.write(bytes(2 * _BLOCK))
        self.out.write(bytes(-self.out.tell() % _RECORD))


@contextlib.contextmanager
def tar_written(out: IO[bytes]) -> Iterator[ImageWriter]:
    """Give what writes an archive into a file that can seek; it is finished if the block is."""
    members = TarMembers(out)
    members.begin()
    writer = ImageWriter(members)
    yield writer
    writer.finish_tar()
    members.end()


def copied(tar: Tar, out: IO[bytes]) -> int:
    """Copy a tar to its end, and return its size in bytes."""
    size = 0
    while chunk := tar.read(_CHUNK):
        out.write(chunk)
        size += len(chunk)
    return size


def encoded_index(descriptors: list[dict[str, Any]]) -> bytes:
    """Return the `index.json` that lists these."""
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": descriptors}
    return msgspec.json.encode(index)


def _blob(digest: str) -> str:
    return f"blobs/sha256/{hex_of(digest)}"


def _header(name: str, size: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.type = kind
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return info.tobuf(tarfile.GNU_FORMAT)  # one block, whatever the size


def _platform(facts: ImageFacts) -> dict[str, str]:
    platform = {"architecture": facts.architecture, "os": facts.os or "linux"}
    if facts.variant:
        platform["variant"] = facts.variant
    return platform


def _naming(name: str) -> Annotations:
    full, tag_alone = NAMING
    reference = parse_reference(name).looked_up()
    return {full: reference.canonical(), tag_alone: reference.tag or ""}
