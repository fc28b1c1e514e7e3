"""When images were used last: `<root>/layerstore/used/<driver>/<ID>`, empty files, by their times.

Owns these files, which Docker ignores. They only help to choose what goes first, so losing one
costs nothing but a worse choice: they aren't synced, and one that can't be written is told and no
more. An image without one was used last when it came.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable

from layerstore.drivers.errors import DriverError
from layerstore.drivers.model.ids import hex_of
from layerstore.drivers.model.image_config import ImageID

_log = logging.getLogger("layerstore")


class LastUse:
    """The files beneath one root, for the images of one driver."""

    def __init__(self, root: str, driver: str) -> None:
        self._home = f"{root}/layerstore/used/{driver}"
        self._images = f"{root}/image/{driver}/imagedb/content/sha256"

    def note(self, image: ImageID) -> None:
        """Take note that an image is used now."""
        path = f"{self._home}/{hex_of(image)}"
        try:
            try:
                _touch(path)
            except FileNotFoundError:  # the first of all
                os.makedirs(self._home, mode=0o700, exist_ok=True)
                _touch(path)
        except OSError as error:
            _log.warning("%s", DriverError.from_os_error("note a use in", path, error))

    def when(self, image: ImageID) -> float:
        """Return when an image was used last, or came, in seconds since the epoch; 0: unknown."""
        for path in (f"{self._home}/{hex_of(image)}", f"{self._images}/{hex_of(image)}"):
            with contextlib.suppress(FileNotFoundError):
                return os.lstat(path).st_mtime
        return 0.0

    def forget(self, image: ImageID) -> None:
        """Forget an image that goes. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._home}/{hex_of(image)}")

    def tidy(self, is_there: Callable[[str], bool]) -> None:
        """Forget images that are gone; `is_there` is asked with their digits. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._home):
                if not is_there(name):
                    os.unlink(f"{self._home}/{name}")


def _touch(path: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.utime(fd)
    finally:
        os.close(fd)
