"""An image in a root of containers-storage, shown as an archive of docker's.

Owns finding the image and making its layers' tars again: from tar-split and the layer's files to
the bit. A layer without a tar-split is written anew, which is told if it isn't the same. The root
is only read. Source: containers/storage, layers.go and drivers/overlay, drivers/vfs.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, BinaryIO, cast

import msgspec
from isal import igzip

from layerstore.archive.docker import MANIFEST
from layerstore.archive.engines.storage_place import default_place, driver_there
from layerstore.archive.engines.storage_records import (
    Files,
    StoredImage,
    StoredLayer,
    blob_name,
    chain_to,
)
from layerstore.archive.engines.transport import Given
from layerstore.archive.layout import Manifest, blob_of, decode
from layerstore.archive.open import spool_file
from layerstore.archive.wanted import Wanted
from layerstore.asking.source import Readable, Region, in_memory
from layerstore.drivers.errors import IntegrityError, InvalidImage, InvalidMetadata, LimitExceeded
from layerstore.drivers.model.image_config import MAX_CONFIG
from layerstore.drivers.model.tree import LayerTree, WhiteoutFormat
from layerstore.drivers.tar.gzip_errors import BROKEN_GZIP
from layerstore.drivers.tar.split.replay_stream import ReplayStream
from layerstore.drivers.tar.write import write_diff, write_tree

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_ID = re.compile(r"[0-9a-f]{64}\Z")
_SHOWN = 20
_DAMAGED: tuple[type[Exception], ...] = (InvalidMetadata, *BROKEN_GZIP)
_ID_START = re.compile(r"[0-9a-f]{4,64}\Z")


class StorageArchive:
    """One image of a store of containers-storage; see Archive."""

    def __init__(self, given: Given, spool: str, most: int) -> None:
        """Find the image; `spool` is for nameless files, a layer's tar has `most` bytes at most.

        Raises DriverError, InvalidArgument, InvalidImage, LimitExceeded.
        """
        self.label = given.text
        self._spool = spool
        self._most = most
        root, driver = (given.path, given.driver) if given.path else default_place()
        self._files = Files(root)
        self._layers: dict[str, StoredLayer] = {}
        self._documents: dict[str, bytes] = {}
        try:
            self._driver = driver_there(self._files, driver)
            self._read(given.reference or "")
        except BaseException:
            self.close()
            raise

    def _read(self, wanted: str) -> None:
        images, layers = f"{self._driver}-images", f"{self._driver}-layers"
        with self._files.shared(f"{images}/images.lock"):
            stored = self._files.listed(f"{images}/images.json", StoredImage)
            image, names = _meant(stored, wanted, self.label)
            place = f"{images}/{_checked(image.id, self.label)}"
            content = self._files.read(f"{place}/manifest", MAX_CONFIG)
            described = decode(content, Manifest, f"the manifest in {self.label}").config
            config = blob_of(described, self.label)
            content = self._files.read(f"{place}/{blob_name(described.digest)}", MAX_CONFIG)
        with self._files.shared(f"{layers}/layers.lock"):
            listed = self._files.listed(f"{layers}/layers.json", StoredLayer)
        for layer in chain_to(image.layer, listed, self.label):
            self._layers[_checked(layer.id, self.label)] = layer
        entry = {"Config": config, "RepoTags": names, "Layers": list(self._layers)}
        self._documents = {MANIFEST: msgspec.json.encode([entry]), config: content}

    def size(self, name: str) -> int | None:
        """See Archive."""
        if name in self._documents:
            return len(self._documents[name])
        return self._layers[name].size if name in self._layers else None

    def open(self, name: str) -> contextlib.AbstractContextManager[Region]:
        """See Archive; for the manifest and the configuration."""
        if name not in self._documents:
            raise InvalidImage(self.label, f"{name} is missing")
        return in_memory(self._documents[name])

    @contextlib.contextmanager
    def open_layer(self, name: str) -> Iterator[Readable]:
        """Give a layer's tar as it is made again, for a `with` block. Several may be open.

        Raises InvalidImage, LimitExceeded, DriverError, as its reading does.
        """
        if name not in self._layers:
            raise InvalidImage(self.label, f"layer {name} is missing")
        tree = f"vfs/dir/{name}" if self._driver == "vfs" else f"{self._driver}/{name}/diff"
        records = f"{self._driver}-layers/{name}.tar-split.gz"
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._files.shared(f"{self._driver}-layers/layers.lock"))
            root = self._files.directory(tree)
            stack.callback(os.close, root)
            if not self._files.exists(records):
                yield stack.enter_context(self._written_anew(name, root))
                return
            file = stack.enter_context(os.fdopen(self._files.file(records), "rb"))
            packed = cast("BinaryIO", stack.enter_context(igzip.open(file, "rb")))
            path = f"{self._files.root}/{records}"
            stream = ReplayStream(packed, f"/proc/self/fd/{root}", path)
            stack.callback(stream.close)
            yield _Replayed(stream, f"layer {name} in {self.label}", self._most)

    @contextlib.contextmanager
    def _written_anew(self, name: str, root: int) -> Iterator[Readable]:
        """Give a tar of a layer's files, which is the one that its diff ID is of."""
        layer = self._layers[name]
        without = f"layer {name} is kept without its tar-split"
        other = InvalidImage(self.label, f"{without}, and its files don't give that tar")
        if self._driver == "vfs" and layer.parent:
            reason = f"{without}, and among the files of those below it"
            raise InvalidImage(self.label, reason)
        with spool_file(self._spool) as spooled:
            sized = _Sized(spooled, layer.size, other)
            out = cast("BinaryIO", sized)
            if self._driver == "vfs":
                write_tree(root, b".", out, as_name=b"")
            else:
                tree = LayerTree(f"/proc/self/fd/{root}", (), WhiteoutFormat.OVERLAY)
                write_diff(tree, out)
            if f"sha256:{sized.hashed.hexdigest()}" != layer.diff_id:
                raise other
            spooled.seek(0)
            yield spooled

    def folders(self) -> list[str]:
        """See Archive."""
        return []

    def close(self) -> None:
        """See Archive."""
        self._files.close()


class _Sized(io.RawIOBase):
    """A file that gets no more than the size that is known: files can be made to look huge."""

    def __init__(self, file: IO[bytes], size: int, other: InvalidImage) -> None:
        super().__init__()
        self._file = file
        self._left = size
        self._other = other
        self.hashed = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data)
        if view.nbytes > self._left:
            raise self._other
        count = self._file.write(view)
        self.hashed.update(view[:count])
        self._left -= count
        return count


class _Replayed:
    """A layer's tar whose errors say which layer it is of."""

    def __init__(self, stream: ReplayStream, what: str, most: int) -> None:
        self._stream = stream
        self._what = what
        self._most = self._left = most

    def read(self, size: int, /) -> bytes:
        try:
            piece = self._stream.read(size)
        except IntegrityError as error:
            raise InvalidImage(self._what, f"it can't be made again: {error}") from error
        except _DAMAGED as error:
            raise InvalidImage(self._what, f"its tar-split is damaged: {error}") from error
        self._left -= len(piece)
        if self._left < 0:
            raise LimitExceeded(f"the size in bytes of {self._what}", self._most, "max_bytes")
        return piece


def _checked(name: str, label: str) -> str:
    if not _ID.match(name):
        raise InvalidImage(label, f"{name[:100]!r} in its lists is no ID")
    return name


def _meant(stored: list[StoredImage], wanted: str, label: str) -> tuple[StoredImage, list[str]]:
    """Return the image that is meant, and by which of its names: none where it's by its ID."""
    name, _, digits = wanted.rpartition("@")
    if not name.endswith(("sha256", "sha512")) and _ID_START.match(digits):
        fitting = [image for image in stored if image.id.startswith(digits)]
        called = [image for image in stored if wanted in (image.names or ())]
        if len(fitting) == 1 and not called:
            called_so = [fitting[0].names or []]
            return fitting[0], Wanted(reference=name).pick(called_so, label)[0] if name else []
    called_all = [image.names or [] for image in stored]
    try:
        # A place in a list means nothing here.
        by_name = [] if wanted.startswith("@") else called_all
        picked = Wanted(reference=wanted).pick(by_name, label)
    except InvalidImage as error:
        shown = ", ".join([name for names in called_all for name in names][:_SHOWN])
        reason = f"no image is called so there; there is {shown or 'none with a name'}"
        raise InvalidImage(label, reason) from error
    if len(picked) > 1:
        raise InvalidImage(label, f"{len(picked)} images are called so: say the whole name")
    return next((stored[number], names) for number, names in picked.items())
