"""What dockerd's containers were made from: `<root>/containers/<ID>/config.v2.json`, dockerd's own.

Owns the reading of the one field. The name of a container's read-write layer is the container's ID.
Source: moby's container.Container and its ToDisk.
"""

from __future__ import annotations

import os
import re
from typing import Annotated

import msgspec

from layerstore.drivers.errors import DriverError
from layerstore.drivers.model.image_config import ImageID
from layerstore.drivers.system.small_file import read_small

_HOME = "containers"
_FILE = "config.v2.json"
_MAX_FILE = 16 << 20
_CONTAINER = re.compile(r"[0-9a-f]{64}\Z")


class _Container(msgspec.Struct, frozen=True, rename="pascal"):
    image: Annotated[str, msgspec.Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]


def is_dockers(root: str) -> bool:
    """Whether dockerd keeps containers in a root."""
    return os.path.isdir(f"{root}/{_HOME}")


def image_of_container(root: str, name: str) -> ImageID | None:
    """Return the image of a container, None where there is no such one, or what it says is none.

    `name` is that of a read-write layer. Raises DriverError where the file can't be read.
    """
    if not _CONTAINER.match(name):
        return None
    place = f"{root}/{_HOME}/{name}"
    try:
        directory = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            content = read_small(_FILE, _MAX_FILE, directory=directory)
        finally:
            os.close(directory)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DriverError.from_os_error("read", f"{place}/{_FILE}", error) from error
    try:
        return ImageID(msgspec.json.decode(content, type=_Container).image)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
