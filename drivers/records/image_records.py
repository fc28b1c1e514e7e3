"""What an image's own files have no place for: `<root>/layerstore/images/<driver>/<ID>.json`.

Owns these records, which Docker ignores: the annotations by which a layout called an image what is
no name here. An image without any has no record.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence

import msgspec

from layerstore.drivers.errors import InvalidMetadata
from layerstore.drivers.model.annotations import NAMING, Annotations
from layerstore.drivers.model.ids import hex_of
from layerstore.drivers.model.image_config import ImageID
from layerstore.drivers.system.durable import make_directories, remove_temporaries, write_file
from layerstore.drivers.system.small_file import read_metadata

_MAX_RECORD = 4 << 20
_SUFFIX = ".json"


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    annotations: tuple[Annotations, ...] = ()


class ImageRecords:
    """The records beneath one root, for one driver; `durable` asks for fsync on writes."""

    def __init__(self, root: str, driver: str, *, durable: bool) -> None:
        self.home = f"{root}/layerstore/images/{driver}"
        self._durable = durable

    def path(self, image: ImageID) -> str:
        """Return where an image's record lies."""
        return f"{self.home}/{hex_of(image)}{_SUFFIX}"

    def tidy(self, is_there: Callable[[str], bool]) -> None:
        """Remove what a crash has left: unfinished files, records of images that are gone.

        `is_there` is asked with an image ID's digits. Raises OSError.
        """
        with contextlib.suppress(FileNotFoundError):
            remove_temporaries(self.home)
            for name in os.listdir(self.home):
                if name.endswith(_SUFFIX) and not is_there(name.removesuffix(_SUFFIX)):
                    os.unlink(f"{self.home}/{name}")

    def read(self, image: ImageID) -> tuple[Annotations, ...]:
        """Return an image's annotations. Raises InvalidMetadata, DriverError."""
        path = self.path(image)
        if os.path.islink(self.home):
            raise InvalidMetadata(self.home, "a symbolic link")
        content = read_metadata(path, _MAX_RECORD)
        if content is None:
            return ()
        try:
            found = msgspec.json.decode(content, type=_Record).annotations
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidMetadata(path, str(error)) from error
        if any(set(one) - set(NAMING) for one in found):
            raise InvalidMetadata(path, f"an annotation other than {' and '.join(NAMING)}")
        return found

    def write(self, image: ImageID, annotations: Sequence[Annotations]) -> None:
        """Write or replace an image's record. Idempotent. Raises DriverError."""
        if not annotations:
            self.remove(image)
            return
        make_directories(self.home, durable=self._durable)
        content = msgspec.json.encode(_Record(annotations=tuple(annotations)))
        write_file(self.path(image), content, durable=self._durable)

    def remove(self, image: ImageID) -> None:
        """Delete an image's record, if it has one. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(image))
