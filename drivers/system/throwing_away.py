"""Moving what is removed into the trash: one rename, to a name that nothing has there.

Owns that name. It deletes nothing, and where the trash is others say.
"""

from __future__ import annotations

import os

from layerstore.drivers.errors import DriverError
from layerstore.drivers.system.small_file import Place


def throw_away(path: str, trash: str, hint: str) -> None:
    """Move a file or directory into the directory `trash` of the same file system. Idempotent.

    Its name there begins with `hint`. Raises DriverError.
    """
    above, name = os.path.split(path)
    throw_away_from(Place(above), name, trash, hint)


def throw_away_from(place: Place, name: str, trash: str, hint: str) -> str:
    """Do as throw_away with what has a name in a directory; returns where it would lie now."""
    target = f"{trash}/{hint}-{os.urandom(16).hex()}"
    try:
        os.rename(place.at(name), target, src_dir_fd=place.fd)
    except OSError as error:
        path = f"{place.path}/{name}"
        if os.path.lexists(path):
            raise DriverError.from_os_error("rename", path, error, f"to {target}") from error
    return target
