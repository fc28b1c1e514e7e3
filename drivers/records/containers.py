"""What each read-write layer was made from: `<root>/layerstore/containers/<mount ID>.json`.

Owns these records, which Docker ignores. They say what the layer store itself does not keep: the
image, and when the read-write layer was made.
"""

from __future__ import annotations

import os
from collections.abc import Container

import msgspec

from layerstore.drivers.errors import DriverError
from layerstore.drivers.model.ids import check_layer_id
from layerstore.drivers.system.small_file import names_in, read_small

_MAX_RECORD = 1 << 16
_SUFFIX = ".json"


class ContainerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one read-write layer beside what the layer store keeps."""

    image_id: str
    image: str
    """The name that was asked for."""
    created: str
    """RFC 3339."""


class ContainerRecords:
    """The records beneath one root; `durable` asks for fsync on writes."""

    def __init__(self, root: str, *, durable: bool) -> None:
        self._home = f"{root}/layerstore/containers"
        self._durable = durable

    def prepare(self) -> None:
        """Remove what a crash has left unfinished, before anybody writes. Raises DriverError."""
        from layerstore.drivers.system.durable import remove_temporaries  # noqa: PLC0415

        try:
            remove_temporaries(self._home)
        except FileNotFoundError:
            return
        except OSError as error:
            raise DriverError.from_os_error("clean", self._home, error) from error

    def write(self, mount_id: str, record: ContainerRecord) -> None:
        """Write or replace a record. Raises DriverError."""
        # Only here: whoever looks at a store of another process's reads these records alone.
        from layerstore.drivers.system.durable import make_directories, write_file  # noqa: PLC0415

        path = self._path(mount_id)
        make_directories(self._home, durable=self._durable)
        write_file(path, msgspec.json.encode(record), durable=self._durable)

    def read(self, mount_id: str) -> ContainerRecord | None:
        """Return the record of a read-write layer, or None where there is no usable one."""
        path = self._path(mount_id)
        try:
            content = read_small(path, _MAX_RECORD)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DriverError.from_os_error("read", path, error) from error
        try:
            return msgspec.json.decode(content, type=ContainerRecord)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None  # the layer store's own metadata says nearly as much

    @property
    def exist(self) -> bool:
        """Whether there may be any records."""
        return os.path.isdir(self._home)

    def mount_ids(self) -> set[str]:
        """Return of which read-write layers there are records. Raises DriverError."""
        return {name.removesuffix(_SUFFIX) for name in names_in(self._home)}

    def delete(self, mount_id: str) -> None:
        """Delete the record of a read-write layer that is gone, if it has one. Raises DriverError.

        It isn't synced: what a crash leaves of it the next open deletes.
        """
        path = self._path(mount_id)
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise DriverError.from_os_error("delete", path, error) from error

    def keep_only(self, mount_ids: Container[str]) -> None:
        """Delete all other records, before anybody makes read-write layers. Raises DriverError."""
        try:
            for name in os.listdir(self._home):
                if name.partition(_SUFFIX)[0] not in mount_ids:
                    os.unlink(f"{self._home}/{name}")
        except FileNotFoundError:
            return
        except OSError as error:
            raise DriverError.from_os_error("delete", self._home, error) from error

    def _path(self, mount_id: str) -> str:
        return f"{self._home}/{check_layer_id(mount_id)}{_SUFFIX}"
