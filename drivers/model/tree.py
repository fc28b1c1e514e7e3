"""Layers as trees on a disk: what changed in one, and how it says that something is gone.

Owns the shape only; which driver keeps what where is the drivers' business.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Annotated, overload

from msgspec import Meta, Struct

from layerstore.drivers.model.ids import DIGEST

Count = Annotated[int, Meta(ge=0)]

WHITEOUT_PREFIX = ".wh."
"""A tar entry `.wh.name` of a layer says that `name` of the layers below is gone."""


class ChangeKind(enum.IntEnum):
    """What happened to a path, numbered as moby's archive.ChangeType."""

    MODIFY = 0
    ADD = 1
    DELETE = 2


class Change(Struct, frozen=True, order=True):
    """One changed path, absolute in the layer (`/etc/passwd`), undecodable bytes surrogate-escaped.

    Ordered by path, as moby sorts them.
    """

    path: str
    kind: ChangeKind

    @property
    def is_whiteout_name(self) -> bool:
        """Whether a layer can't have what was made there: its name says that something is gone."""
        return self.kind is not ChangeKind.DELETE and f"/{WHITEOUT_PREFIX}" in self.path

    def __str__(self) -> str:
        return f"{'CAD'[self.kind]} {self.path}"


class TarStyle(Struct, frozen=True):
    """How files are written as a tar where there is a choice."""

    sparse: bool = False
    """Files that are mostly holes become GNU's sparse members."""
    skip_whiteout_names: bool = False
    """What has a name that would be a whiteout in a layer is left out, rather than refused."""


PLAIN = TarStyle()
"""As every reader takes it."""


class WhiteoutFormat(enum.Enum):
    """How a tree on disk says that a name of its parent is gone."""

    OVERLAY = "overlay"
    """Character device 0:0; opaque directories have trusted.overlay.opaque=y (kernel overlayfs)."""
    OVERLAY_USER = "overlay-user"
    """The same with user.overlay.opaque=y (kernel overlayfs mounted with userxattr)."""
    FUSE = "fuse-overlayfs"
    """What fuse-overlayfs reads: the same by any of three attributes, or by files named as AUFS's
    whiteouts, `.wh.name` and `.wh..wh..opq`, which docker makes with it."""
    REMOVE = "remove"
    """The tree is complete: a whiteout in a tar removes what it names."""

    @property
    def by_name(self) -> bool:
        """Whether files that begin with WHITEOUT_PREFIX are whiteouts on the disk, too."""
        return self is WhiteoutFormat.FUSE


class LaterPaths(Sequence[str]):
    """Paths that are looked for when the first of them is wanted, which is often never."""

    def __init__(self, find: Callable[[], Sequence[str]]) -> None:
        self._find = find
        self._found: Sequence[str] | None = None

    def _paths(self) -> Sequence[str]:
        if self._found is None:
            self._found = self._find()
        return self._found

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        """Give one, or some."""
        return self._paths()[index]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._paths())


class LayerTree(Struct, frozen=True):
    """Where one layer's own files lie, for the code that reads and writes tars.

    `root` is the directory of the diff (or of the complete tree for WhiteoutFormat.REMOVE);
    `lowers` are the parents' directories, nearest first, empty when `root` is complete.
    """

    root: str
    lowers: Sequence[str]
    whiteouts: WhiteoutFormat


class Applied(Struct, frozen=True):
    """What apply_diff read and wrote.

    A process says so that a tar may have taken over, so whoever is told converts it to this.
    """

    diff_id: Annotated[str, Meta(pattern=f"^{DIGEST}")]
    """`sha256:<hex>` of exactly the bytes of the uncompressed tar, trailing ones included."""
    size: Count
    """The layer's size in bytes as the driver accounts it, stored in the `size` file."""
    tar_size: Count
    """Bytes of the uncompressed tar."""
    entries: Count
    """Tar members."""
