"""Mount points as the init layer of a read-write layer that is made for runs.

Owns the errors of that; which there are is `root`'s. It is done in a store's worker, and so it is
apart from all that is done in the process of a run.
"""

from __future__ import annotations

import os

from layerstore.drivers.errors import DriverError


def mount_points(path: str) -> None:
    """Make what `run` mounts on, as the `init` of a new read-write layer.

    Then no change of the layer tells of them. Links in the place of /etc/hosts, /etc/hostname and
    /etc/resolv.conf become files; /etc/mtab becomes a link to /proc/mounts. moby: initlayer.Setup.
    """
    # Only here: who attaches to a store knows this function by its name alone.
    from layerstore.drivers.sandbox.root import make_mount_points  # noqa: PLC0415

    try:
        make_mount_points(path)
    except OSError as error:
        where = f"at {os.fsdecode(error.filename)}" if error.filename else ""
        raise DriverError.from_os_error("make mount points in", path, error, where) from error
