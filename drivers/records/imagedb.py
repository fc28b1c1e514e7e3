"""The image database: `image/<driver>/imagedb` and `repositories.json` in Docker's format.

Owns the files of image configurations, their metadata and the names of images. It keeps no books
and never touches a layer. moby's equivalents are image/fs.go and reference/store.go.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from layerstore.drivers.errors import (
    DriverError,
    ImageDoesNotExist,
    IntegrityError,
    InvalidMetadata,
    InvalidName,
    LayerStoreError,
)
from layerstore.drivers.model.annotations import Annotations
from layerstore.drivers.model.ids import diff_id, hex_of
from layerstore.drivers.model.image_config import (
    MAX_CONFIG,
    ImageID,
    Repositories,
    StoredImage,
    image_id_of,
    parse_config,
)
from layerstore.drivers.records.image_records import ImageRecords
from layerstore.drivers.records.last_use import LastUse
from layerstore.drivers.system.durable import (
    make_directories,
    move,
    remove_temporaries,
    temporary_beside,
    write_file,
)
from layerstore.drivers.system.small_file import names_in, read_metadata

_log = logging.getLogger("layerstore")
_MAX_SMALL_FILE = 4096
_MAX_REPOSITORIES = 64 << 20
_METADATA_FILES = ("parent", "lastUpdated")


class _Repositories(msgspec.Struct, rename="pascal"):
    repositories: dict[str, dict[str, str]] | None = None


def image_id(text: str) -> ImageID:
    """Check the grammar of a full image ID."""
    return ImageID(diff_id(text))


class RecoveredImages(Struct, frozen=True, kw_only=True):
    """What the image database of a root holds."""

    images: list[StoredImage]
    repositories: Repositories | InvalidMetadata
    """All names, or why they can't be read."""
    faults: list[InvalidMetadata]
    """Everything that can't be used, and why."""


class ImageDatabase:
    """The images beneath one root, for one driver; `durable` asks for fsync on writes."""

    def __init__(self, root: str, driver: str, *, durable: bool) -> None:
        home = f"{root}/image/{driver}"
        self.home = home
        self.names_path = f"{home}/repositories.json"
        self.contents = f"{home}/imagedb/content/sha256"
        self.metadata = f"{home}/imagedb/metadata/sha256"
        self.records = ImageRecords(root, driver, durable=durable)
        self._uses = LastUse(root, driver)
        self._durable = durable

    def prepare(self) -> None:
        """Make the directories that are missing, and remove what a crash has left unfinished."""
        for path in (self.contents, self.metadata):
            make_directories(path, durable=self._durable)
        try:
            for path in (self.contents, self.home):
                remove_temporaries(path)
            with os.scandir(self.metadata) as entries:
                homes = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
            for name in homes:
                home = f"{self.metadata}/{name}"
                remove_temporaries(home)
                if not self._is_there(name):
                    self._remove_metadata(home)
            self.records.tidy(self._is_there)
            self._uses.tidy(self._is_there)
        except OSError as error:
            raise DriverError.from_os_error("clean", self.metadata, error) from error

    def _is_there(self, name: str) -> bool:
        return os.path.lexists(f"{self.contents}/{name}")

    def recover(self) -> RecoveredImages:
        """Read everything; what can't be read becomes a fault."""
        images: list[StoredImage] = []
        faults: list[InvalidMetadata] = []
        for found in self.images():
            if isinstance(found, InvalidMetadata):
                faults.append(found)
            else:
                images.append(found)
        repositories: Repositories | InvalidMetadata
        try:
            repositories = self.repositories()
        except LayerStoreError as error:
            repositories = InvalidMetadata(self.names_path, str(error))
            faults.append(repositories)
        return RecoveredImages(images=images, repositories=repositories, faults=faults)

    # Images

    def images(self) -> Iterator[StoredImage | InvalidMetadata]:
        """Read every image; one that can't be used comes as the error that says why."""
        for name in names_in(self.contents):
            if name.endswith(".tmp"):
                continue  # a write that a crash cut off
            try:
                found = image_id(f"sha256:{name}")
                facts = parse_config(self.config(found), f"sha256:{name}")
                parent = self.parent(found)
            except LayerStoreError as error:
                yield InvalidMetadata(f"{self.contents}/{name}", str(error))
                continue
            annotations: tuple[Annotations, ...] = ()
            try:
                annotations = self.records.read(found)
            except LayerStoreError as error:  # the image is none the worse for it
                yield InvalidMetadata(self.records.path(found), str(error))
            yield StoredImage(facts=facts, parent=parent, annotations=annotations)

    def config(self, image: ImageID) -> bytes:
        """Return an image's configuration, verified to be what its ID says.

        Raises ImageDoesNotExist, IntegrityError, InvalidMetadata, DriverError.
        """
        content = read_metadata(f"{self.contents}/{hex_of(image)}", MAX_CONFIG)
        if content is None:
            raise ImageDoesNotExist(image)
        actual = image_id_of(content)
        if actual != image:
            raise IntegrityError("the configuration of an image", image, actual)
        return content

    def parent(self, image: ImageID) -> ImageID | None:
        """Return the image that one was made from, where that is recorded.

        Raises InvalidMetadata, DriverError.
        """
        home = f"{self.metadata}/{hex_of(image)}"
        path = f"{home}/parent"
        if os.path.islink(home):
            raise InvalidMetadata(home, "a symbolic link")
        content = read_metadata(path, _MAX_SMALL_FILE)
        if content is None:
            return None
        try:
            return image_id(content.decode("ascii"))
        except (InvalidName, UnicodeDecodeError) as error:
            raise InvalidMetadata(path, "not an image ID") from error

    def add(
        self,
        config: bytes,
        parent: ImageID | None,
        last_updated: str,
        annotations: Sequence[Annotations],
    ) -> None:
        """Write an image: its metadata first, so that it is whole once its configuration is there.

        `last_updated` is RFC 3339. Idempotent.
        """
        self.records.write(image_id_of(config), annotations)
        name = hex_of(image_id_of(config))
        home = f"{self.metadata}/{name}"
        make_directories(home, durable=self._durable)
        if parent is not None:
            write_file(f"{home}/parent", parent.encode(), durable=self._durable)
        write_file(f"{home}/lastUpdated", last_updated.encode(), durable=self._durable)
        write_file(f"{self.contents}/{name}", config, durable=self._durable)

    def remove(self, image: ImageID) -> None:
        """Delete an image's files, its configuration first: then the image is gone.

        Idempotent; metadata that stays is removed when the database is prepared again.
        """
        home = f"{self.metadata}/{hex_of(image)}"
        content = f"{self.contents}/{hex_of(image)}"
        going = temporary_beside(content)
        if os.path.lexists(content):
            # Renamed for good before its metadata goes, so no crash leaves it without that.
            move(content, going, durable=self._durable)
        try:
            self._remove_metadata(home)
            self.records.remove(image)
            self._uses.forget(image)
            _unlink_if_there(going)
        except OSError as error:
            _log.warning("of image %s something stays until the next open: %s", image, error)

    def _remove_metadata(self, home: str) -> None:
        for name in _METADATA_FILES:
            _unlink_if_there(f"{home}/{name}")
        _rmdir_if_there(home)

    # Names

    def repositories(self) -> Repositories:
        """Read all names. Raises InvalidMetadata, DriverError."""
        content = read_metadata(self.names_path, _MAX_REPOSITORIES)
        if content is None:
            return {}
        try:
            decoded = msgspec.json.decode(content, type=_Repositories).repositories or {}
            return {
                repository: {name: image_id(image) for name, image in names.items()}
                for repository, names in decoded.items()
            }
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, InvalidName) as error:
            raise InvalidMetadata(self.names_path, str(error)) from error

    def write_repositories(self, repositories: Mapping[str, Mapping[str, str]]) -> None:
        """Replace all names."""
        document = {"Repositories": {key: dict(names) for key, names in repositories.items()}}
        content = msgspec.json.encode(document, order="sorted")
        write_file(self.names_path, content, durable=self._durable)


def _unlink_if_there(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _rmdir_if_there(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError as error:
        # What others put beside our files stays, and docker minds it as little as we do.
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
            raise
