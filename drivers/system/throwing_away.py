"""Moving what is removed into the trash: one rename, to a name that nothing has there.

Owns that name. It deletes nothing, and where the trash is others say.
"""

from __future__ import annotations

import os

from layerstore.drivers.errors import DriverError


def throw_away(path: str, trash: str, hint: str) -> None:
    """Move a file or directory into the directory `trash` of the same file system. Idempotent.

    Its name there begins with `hint`. Raises DriverError.
    """
    target = f"{trash}/{hint}-{os.urandom(16).hex()}"
    try:
        os.rename(path, target)
    except OSError as error:
        if not os.path.lexists(path):
            return
        raise DriverError.from_os_error("rename", path, error, f"to {target}") from error
