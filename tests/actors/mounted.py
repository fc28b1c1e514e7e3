"""What the kernel knows of a store's mounts."""

from __future__ import annotations

from layerstore import LayerStore
from layerstore.drivers.system.mountinfo import mount_points


def mounts_of(store: LayerStore) -> list[str]:
    """Return what is mounted beneath a store's root."""
    return [point.path for point in mount_points() if point.path.startswith(f"{store.root}/")]
