"""Volumes that an image asks for, as long as its read-write layer is there.

Owns how they are asked for. Where they lie and what is in them is `drivers/root/volumes`.
"""

from __future__ import annotations

from collections.abc import Sequence

from layerstore.drivers.root.volumes import make_volume
from layerstore.drivers.sandbox.spec import Volume
from layerstore.operations.blocking import BlockingStore, RWLayer
from layerstore.sandbox.runnable import cleaned_target


def image_volumes(
    store: BlockingStore, rw: RWLayer, paths: Sequence[str], given: Sequence[Volume] = ()
) -> tuple[Volume, ...]:
    """Return a volume of the read-write layer's own for each path, as docker's anonymous ones.

    Each is a directory in the store's root that begins with what the layer has at the path, and is
    there until the layer is released; the next call returns the same. What is written to it is no
    change of the layer. Where one of `given` has its path, none is made. `paths` are those of
    `image_process`. Raises DriverError, also where no directory is at a path.
    """
    taken = {cleaned_target(volume.target) for volume in given}
    wanted = [path for path in paths if cleaned_target(path) not in taken]
    if not wanted:
        return ()
    with rw.mounted() as rootfs:
        return tuple(
            Volume(
                source=make_volume(store.core.root, rw.mount_id, rootfs, path, rw.id_map),
                target=path,
                of_image=True,
            )
            for path in wanted
        )
