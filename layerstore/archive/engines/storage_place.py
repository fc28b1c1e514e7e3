"""Where containers-storage keeps images on this machine, and by which of its drivers.

Owns the reading of `storage.conf`. Source: containers-storage.conf(5).
"""

from __future__ import annotations

import os
import tomllib
from typing import Any

from layerstore.archive.engines.storage_records import Files
from layerstore.drivers.errors import DriverError, InvalidArgument, InvalidImage

DRIVERS = ("overlay", "vfs")
"""Those whose layers can be read, the one that is looked for first in front."""
_MACHINES = "/var/lib/containers/storage"
_MAX_CONF = 1 << 20


def default_place() -> tuple[str, str]:
    """Return the root, and the driver or nothing, that containers use without being told one.

    Raises InvalidArgument, DriverError.
    """
    told = _told()
    driver = told.get("driver", "")
    root = os.path.expandvars(told.get("graphroot", ""))
    if not root and os.geteuid() == 0:
        root = _MACHINES
    elif not root:
        home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        root = f"{home}/containers/storage"
    return root, driver


def _told() -> dict[str, str]:
    """Return what the first of the files says that is there."""
    for path in _confs():
        try:
            with open(path, "rb") as file:
                document: dict[str, Any] = tomllib.loads(file.read(_MAX_CONF).decode())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DriverError.from_os_error("read", path, error) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidArgument(path, f"not TOML: {error}") from error
        storage = document.get("storage")
        found = storage if isinstance(storage, dict) else {}
        return {key: value for key, value in found.items() if isinstance(value, str)}
    return {}


def _confs() -> list[str]:
    told = os.environ.get("CONTAINERS_STORAGE_CONF")
    if told:
        return [told]
    if os.geteuid() == 0:
        return ["/etc/containers/storage.conf", "/usr/share/containers/storage.conf"]
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return [f"{home}/containers/storage.conf"]


def driver_there(files: Files, wanted: str) -> str:
    """Return the driver by which a root keeps images; `wanted` is empty or names it.

    Raises InvalidArgument for one that can't be read, InvalidImage where there are none.
    """
    wanted = "overlay" if wanted == "overlay2" else wanted
    if wanted and wanted not in DRIVERS:
        reason = f"of containers-storage's drivers {' and '.join(DRIVERS)} can be read"
        raise InvalidArgument(wanted, reason)
    for driver in [wanted] if wanted else DRIVERS:
        if files.exists(f"{driver}-images/images.json"):
            return driver
    looked_for = wanted or " or ".join(DRIVERS)
    raise InvalidImage(files.root, f"it has no images of containers-storage by {looked_for}")
