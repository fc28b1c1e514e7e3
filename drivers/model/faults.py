"""Faults: everything that can be wrong between what the metadata says and what lies on the disk.

Owns their kinds and what a repair does about each; it reads nothing. Plain data, so that faults
travel between processes.
"""

from __future__ import annotations

import enum

from msgspec import Struct


class Remedy(enum.Enum):
    """What a repair does about a fault."""

    SAFE = "safe"
    """What nothing names goes, and what follows from the rest is made again: nothing is lost."""
    FORCE = "force"
    """The layer, mount or image goes, and all that is made on it: only when that is asked for."""


class FaultKind(enum.StrEnum):
    """What is wrong; the value is its name in listings."""

    LAYER_NAME = "layer-name"
    """Something in the layer database that is no directory with a chain ID for a name."""
    LAYER_DIFF = "layer-diff"
    LAYER_SIZE = "layer-size"
    LAYER_CACHE_ID = "layer-cache-id"
    LAYER_PARENT = "layer-parent"
    LAYER_DESCRIPTOR = "layer-descriptor"
    LAYER_CHAIN = "layer-chain"
    """The chain ID doesn't follow from the parent and the diff ID."""
    LAYER_PARENT_MISSING = "layer-parent-missing"
    LAYER_TAR_SPLIT = "layer-tar-split"
    LAYER_DIRECTORY = "layer-directory"
    LAYER_CONTENT = "layer-content"
    """The files no longer give the tar that was registered; told by a full check only."""
    LAYER_REMOVING = "layer-removing"
    """A removal that was cut off."""
    TRANSACTION = "transaction"
    """A layer or mount that was never committed."""

    MOUNT_NAME = "mount-name"
    MOUNT_ID = "mount-id"
    MOUNT_INIT_ID = "mount-init-id"
    MOUNT_PARENT = "mount-parent"
    MOUNT_PARENT_MISSING = "mount-parent-missing"
    MOUNT_OPTIONS = "mount-options"
    """What a read-write layer was asked to be can't be read."""
    MOUNT_DIRECTORY = "mount-directory"
    INIT_DIRECTORY = "init-directory"

    SHARED_ID = "shared-id"
    """Several layers or mounts are said to lie in one directory."""
    ORPHAN_DIRECTORY = "orphan-directory"
    """A driver's directory that no metadata names."""
    ORPHAN_MOUNT = "orphan-mount"
    """Something mounted beneath the root that no metadata names."""

    OVERLAY_LINK = "overlay-link"
    """A `link` file is missing or malformed, or names another layer's short link."""
    OVERLAY_SHORT_LINK = "overlay-short-link"
    """The short link that a `link` file names is missing or leads elsewhere."""
    OVERLAY_STRAY_LINK = "overlay-stray-link"
    """A short link that no `link` file names."""
    OVERLAY_LOWER = "overlay-lower"
    """A `lower` file doesn't list the layer's parents."""
    OVERLAY_DIFF = "overlay-diff"
    OVERLAY_WORK = "overlay-work"

    IMAGE_NAME = "image-name"
    """Something among the configurations that has no image ID's digits for a name."""
    IMAGE_CONFIG = "image-config"
    IMAGE_DIGEST = "image-digest"
    """A configuration that isn't the one its name promises."""
    IMAGE_PARENT = "image-parent"
    IMAGE_RECORD = "image-record"
    """What is kept of an image's annotations can't be read."""
    IMAGE_LAYERS = "image-layers"
    """An image whose layers aren't all in the store."""
    NAMES = "names"
    """`repositories.json` can't be read."""
    NAME_DANGLING = "name-dangling"
    """A name of an image that isn't there."""
    UNFINISHED_FILE = "unfinished-file"
    """A file of the image database whose writing was cut off."""

    @property
    def remedy(self) -> Remedy:
        """What a repair does about it."""
        return Remedy.SAFE if self in _SAFE else Remedy.FORCE


_SAFE = frozenset(
    {
        FaultKind.LAYER_REMOVING,
        FaultKind.TRANSACTION,
        FaultKind.ORPHAN_DIRECTORY,
        FaultKind.ORPHAN_MOUNT,
        FaultKind.OVERLAY_SHORT_LINK,
        FaultKind.OVERLAY_STRAY_LINK,
        FaultKind.OVERLAY_WORK,
        FaultKind.NAME_DANGLING,
        FaultKind.UNFINISHED_FILE,
    }
)


class Fault(Struct, frozen=True, kw_only=True):
    """One thing that is wrong. Names from the disk stand in it as they are: escape to print."""

    kind: FaultKind
    path: str
    """Where it lies."""
    reason: str
    """A sentence on what is wrong."""
    about: tuple[str, ...] = ()
    """The IDs and names of what is concerned: chain ID, mount name, driver's ID, image ID."""

    @property
    def repairable(self) -> bool:
        """Whether a repair without force sees to it, losing nothing."""
        return self.kind.remedy is Remedy.SAFE

    def __str__(self) -> str:
        return f"{self.path}: {self.reason} ({self.kind})"
