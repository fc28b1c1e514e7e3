"""The graph driver protocol: how layers lie on a disk, whichever way a driver keeps them.

This docstring is the manual for writing a driver.

Vocabulary
    A *layer* here is a directory tree with an ID (64 lower-case hex digits, or those and `-init`),
    made on at most one *parent*. What a layer shows is its parent's tree with its own *diff*
    applied. A read-only layer's diff comes from one tar and never changes again; a read-write
    layer's diff is whatever was written beneath its mount. *Whiteouts* say in a diff that a name
    of the parent is gone; an *opaque* directory hides everything the parent has there.

Life cycle
    create(A, None)                    an empty base layer
    apply_diff(A, None, tar, ...)      its content, once
    create(B, A); apply_diff(B, A)     a second read-only layer
    create_read_write(C, B)            a writable layer on it
    path = get(C)                      mounted: `path` shows B with C's own changes
    ... write beneath path ...
    changes(C, B); diff(C, B, out)     what was changed, mounted or not
    put(C)                             unmounted
    remove(C, trash)                   gone from the driver, its bytes lie in the trash

    A driver counts nothing: it does not know how often a layer is mounted or used as a parent.
    Its callers' books do, so get is called only on what is not mounted, put only on what is,
    and remove only on layers that are neither mounted nor anybody's parent.

Rules for every method
    Each blocks, is called from any thread or process, and at most once at a time for one ID.
    Methods on different IDs run at the same time, parents being shared read-only.
    A driver object holds paths and probed facts only; two objects on one home, in two processes,
    are interchangeable. OS errors leave as DriverError naming operation and path.
    A crash (of the process, or the machine) inside any method leaves at most a directory that
    no metadata names, or one already in the trash; both are reaped at the next open. A crash never
    damages another layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO, Protocol

from layerstore.drivers.model.faults import Fault, FaultKind
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.tree import PLAIN, Applied, Change, LayerTree, TarStyle


class GraphDriver(Protocol):
    """One way of keeping layers on a disk; the module's docstring is the manual."""

    @property
    def name(self) -> str:
        """The name in the layout: `overlay2`, `vfs`."""

    @property
    def home(self) -> str:
        """The directory that has a directory for each layer, named by its ID."""

    @property
    def copies(self) -> bool:
        """Whether a layer begins as a copy of its parent, which takes as long as that is large."""

    def prepare(self) -> None:
        """Make the driver's home. Called once, under the root's lock. Idempotent."""

    def tidy(self) -> None:
        """Remove what a crash left beside the layers. Called once, under the root's lock."""

    def status(self) -> list[tuple[str, str]]:
        """Pairs for people to read, as in `docker info`. Reads probed facts only."""

    def ids(self) -> Iterator[str]:
        """Every layer ID on the disk, half-made ones included, in no order."""

    def exists(self, layer_id: str) -> bool:
        """Whether the layer's directory is there."""

    def create(self, layer_id: str, parent: str | None) -> None:
        """Make a layer's directory, empty (vfs: a copy of the parent), not mounted.

        Not idempotent: an existing ID is an error. On an error nothing is left.
        """

    def create_read_write(
        self,
        layer_id: str,
        parent: str | None,
        *,
        mount_label: str = "",
        storage_opt: Mapping[str, str] | None = None,
    ) -> None:
        """Like create, for a layer that will be mounted writable.

        `storage_opt` keys that a driver does not know are refused with InvalidName.
        """

    def remove(self, layer_id: str, trash: str) -> None:
        """Move the layer into the directory `trash` (same file system) by one rename.

        Idempotent: a layer that is not there is no error. Nothing of the layer stays elsewhere
        (overlay2: its short link goes too). Deleting the bytes is not the driver's business.
        """

    def get(self, layer_id: str, mount_label: str = "") -> str:
        """Make the layer's tree visible and return its absolute path. moby: Driver.Get.

        overlay2 mounts; vfs returns its directory. A crash leaves the mount, which `mounted` tells.
        """

    def put(self, layer_id: str) -> None:
        """Undo get. EBUSY is retried for a bounded time, then raised. Idempotent."""

    def mounted(self) -> set[str]:
        """IDs of the layers that are mounted now, whoever mounted them. Always empty for vfs."""

    def may_be_mounted(self, layer_id: str) -> bool:
        """Whether `get` may have mounted the layer, and `put` has not undone it; one look."""

    def metadata(self, layer_id: str) -> dict[str, str]:
        """What `docker inspect` shows beneath GraphDriver.Data."""

    def tree(self, layer_id: str) -> LayerTree:
        """Where the layer's own files lie."""

    def apply_diff(
        self,
        layer_id: str,
        parent: str | None,
        source: BinaryIO,
        *,
        tar_split: BinaryIO | None = None,
        limits: Limits | None = None,
        tree: LayerTree | None = None,
    ) -> Applied:
        """Unpack the tar that `source` yields (to its end) into the layer.

        With `tree`, which is what `tree(layer_id)` has returned, it touches nothing outside of the
        tree's `root` and reads nothing but its `lowers`: a confined process sees no more.

        `tar_split`, where given, gets the uncompressed JSON lines of vbatts/tar-split's format.
        On an error the layer is left half-made: the caller removes it. Without `tar_split`, for a
        read-write layer, what was made where nothing was goes again.
        """

    def diff(
        self, layer_id: str, parent: str | None, out: BinaryIO, style: TarStyle = PLAIN
    ) -> None:
        """Write the layer's diff to `out` as an uncompressed tar with AUFS-style whiteouts.

        Raises InvalidName for names that would be whiteouts, unless `style` has them left out.
        """

    def changes(self, layer_id: str, parent: str | None) -> Iterable[Change]:
        """Every path that differs from the parent, ordered by path."""

    def diff_size(self, layer_id: str, parent: str | None) -> int:
        """Bytes of the layer's own files, each inode counted once. moby: Driver.DiffSize."""

    def faults(self, layers: Mapping[str, str | None]) -> Iterable[Fault]:
        """What is wrong with the directories that are there, and with what lies beside them.

        `layers` has the ID of every layer that should be there with its parent's: None for no
        parent, an empty string where that isn't known. That a directory is missing, or nobody's,
        is told by others.
        """

    def mend(self, kind: FaultKind, layer_id: str) -> None:
        """Make again what follows from the rest: repair a fault of a kind that loses nothing."""

    def cleanup(self) -> None:
        """Undo what opening the driver did to the system. Idempotent."""
