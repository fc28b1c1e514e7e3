"""The graph driver protocol: how layers lie on a disk, whichever way a driver keeps them.

This docstring is the manual for writing a driver; docs/drivers.md says how to give one to others
and how to test it.

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
    fork(D, C, B); fill(D, C)          one more on B, with what C has now, mounted or not
    put(C)                             unmounted
    reset(C, E, B, trash)              as it was made; E is gone when it returns
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

Versions
    `plugin.PROTOCOL` is the version of what is said here. What a driver must have is abstract
    below; a driver that derives from GraphDriver gets the rest, with the defaults that their
    docstrings name. New methods have defaults, so that they change no version; a version that
    changes what a driver has to do is another number, and drivers of the one before are refused.
"""

from __future__ import annotations

import contextlib
import errno
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol, runtime_checkable

from layerstore.drivers.errors import DriverError, InternalError
from layerstore.drivers.model.faults import Fault, FaultKind
from layerstore.drivers.model.ids import check_layer_id
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.tree import PLAIN, Applied, Change, LayerTree, TarStyle


@runtime_checkable
class GraphDriver(Protocol):
    """One way of keeping layers on a disk; the module's docstring is the manual."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name in the layout: `overlay2`, `vfs`."""

    @property
    @abstractmethod
    def home(self) -> str:
        """The directory that has a directory for each layer, named by its ID."""

    @property
    @abstractmethod
    def copies(self) -> bool:
        """Whether a layer begins with its parent's content, copied (vfs) or by a snapshot (btrfs).

        Where it doesn't, layers are created on one that isn't filled yet, and filled beside it.
        """

    def near(self) -> AbstractContextManager[GraphDriver]:
        """The same driver for a `with` block, in which many layers are made or removed.

        For processes of one thread, since it may set the umask. It may hold directories open, so
        nothing is forked there that isn't to have these. Raises DriverError.

        By default it is the same.
        """
        return contextlib.nullcontext(self)

    @abstractmethod
    def prepare(self) -> None:
        """Make the driver's home. Called once, under the root's lock. Idempotent."""

    def tidy(self) -> None:
        """Remove what a crash left beside the layers, by default nothing.

        Called once, under the root's lock.
        """
        return

    def status(self) -> list[tuple[str, str]]:
        """Pairs for people to read, as in `docker info`; by default none. Only probed facts."""
        return []

    @abstractmethod
    def ids(self) -> Iterator[str]:
        """Every layer ID on the disk, half-made ones included, in no order."""

    @abstractmethod
    def exists(self, layer_id: str) -> bool:
        """Whether the layer's directory is there."""

    @abstractmethod
    def create(self, layer_id: str, parent: str | None) -> list[str]:
        """Make a layer's directory, empty (vfs: a copy of the parent), not mounted.

        Not idempotent: an existing ID is an error. On an error nothing is left.

        Returns what has to be synced for the layer to be there for good, the layer's content aside:
        files, then directories. A driver that `copies` returns nothing: the file system is synced.
        """

    @abstractmethod
    def create_read_write(
        self,
        layer_id: str,
        parent: str | None,
        *,
        mount_label: str = "",
        storage_opt: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Like create, for a layer that will be mounted writable.

        `storage_opt` keys that a driver does not know are refused with InvalidArgument. With
        `userns`, the text of an IdMap, what is mounted shows other owners than the disk has; it is
        refused where the kernel or the file system can't.
        """

    def fork(self, layer_id: str, source_id: str, parent: str | None) -> list[str]:  # noqa: ARG002
        """Like create_read_write, for a layer that is to have what another read-write layer has.

        `parent` is the source's, or a fork of that one's; storage options are the source's. Quick,
        as it is done in the store's own process, so that its mounts are seen: a driver that has to
        copy content leaves that to `fill`. One that takes a snapshot does so here.

        Not idempotent: an existing ID is an error. On an error nothing is left; a crash leaves a
        directory that no metadata names.

        By default refused, as the driver can't.
        """
        raise DriverError("fork", source_id, errno.ENOTSUP, f"{self.name} has no forks")

    def fill(self, layer_id: str, source_id: str) -> None:  # noqa: ARG002
        """Copy what `fork` left to be copied, perhaps nothing; it loops over files, in a child.

        The source may be mounted and written to meanwhile, by anybody, and is only read. Each of
        its files is copied in a state that it had, or left out if it went: nothing that happens to
        them fails a fork, and no two of them need be of the same moment. Content that can be shared
        until one of both is written to (reflinks) is.

        On an error the layer is left half-made: the caller removes it. What is copied is synced by
        the caller, who syncs the file system.

        By default nothing was left.
        """
        return

    def reset(
        self,
        layer_id: str,
        spare_id: str,  # noqa: ARG002
        parent: str | None,  # noqa: ARG002
        trash: str,  # noqa: ARG002
    ) -> None:
        """Have a read-write layer show its parent's content again, as when it was made.

        Called for what is neither mounted nor anybody's parent. It keeps its ID and its storage
        options. What is new is made beneath `spare_id`, an ID that nothing has, changes places with
        the old by one step (renameat2(2), RENAME_EXCHANGE), and that goes into the trash. A driver
        that was opened as durable has it on the disk on return.

        Repeatable. On an error, or after a crash, the layer is the old one or the new one, whole;
        a crash leaves at most the directory of `spare_id`.

        By default refused, as the driver can't.
        """
        raise DriverError("reset", layer_id, errno.ENOTSUP, f"{self.name} resets no layers")

    @abstractmethod
    def remove(self, layer_id: str, trash: str, *, unmounted: bool = False) -> None:
        """Move the layer into the directory `trash` (same file system) by one rename.

        `unmounted` says that somebody has looked whether it may be mounted, and it isn't.

        Idempotent: a layer that is not there is no error. Nothing of the layer stays elsewhere
        (overlay2: its short link goes too). Deleting the bytes is not the driver's business.
        """

    @abstractmethod
    def get(self, layer_id: str, mount_label: str = "") -> str:
        """Make the layer's tree visible and return its absolute path. moby: Driver.Get.

        overlay2 mounts; vfs returns its directory. A crash leaves the mount, which `mounted` tells.
        """

    def put(self, layer_id: str) -> None:
        """Undo get, which by default was nothing. Idempotent.

        EBUSY is retried for a bounded time, then raised.
        """
        check_layer_id(layer_id)

    def mounted(self) -> set[str]:
        """IDs of the layers that are mounted now, whoever mounted them. By default none, ever."""
        return set()

    def may_be_mounted(self, layer_id: str) -> bool:
        """Whether `get` may have mounted the layer, and `put` has not undone it; one look.

        By default never.
        """
        check_layer_id(layer_id)
        return False

    def id_map(self, layer_id: str) -> str:  # noqa: ARG002
        """The map of a read-write layer's user IDs, as it was created with; empty for none.

        Raises InvalidMetadata where what is kept of it can't be used. By default there is none, as
        of a driver that takes no `userns`.
        """
        return ""

    def give_map(self, layer_id: str, id_map: str) -> list[str]:  # noqa: ARG002
        """Have a layer that was just forked have a map, in place of its source's, as if it had been
        made with it.

        Returns what has to be synced. Raises InvalidArgument where there are no such mounts.
        """
        raise InternalError(self.name, f"layer {layer_id} can't have a map of user IDs")

    def metadata(self, layer_id: str) -> dict[str, str]:
        """What `docker inspect` shows beneath GraphDriver.Data. By default nothing.

        `MergedDir` is there for a layer that `get` mounts, and only for such a one: it is where.
        A layer without it is shown where it lies, and `put` has nothing to undo.
        """
        check_layer_id(layer_id)
        return {}

    @abstractmethod
    def tree(self, layer_id: str) -> LayerTree:
        """Where the layer's own files lie."""

    @abstractmethod
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

    @abstractmethod
    def diff(
        self, layer_id: str, parent: str | None, out: BinaryIO, style: TarStyle = PLAIN
    ) -> None:
        """Write the layer's diff to `out` as an uncompressed tar with AUFS-style whiteouts.

        Raises InvalidName for names that would be whiteouts, unless `style` has them left out.
        """

    @abstractmethod
    def changes(self, layer_id: str, parent: str | None) -> Iterable[Change]:
        """Every path that differs from the parent, ordered by path."""

    @abstractmethod
    def diff_size(self, layer_id: str, parent: str | None) -> int:
        """Bytes of the layer's own files, each inode counted once. moby: Driver.DiffSize."""

    def usage(self, layer_id: str) -> int | None:
        """Bytes that the layer has for itself, as the file system's quotas count them.

        Nothing is walked. None where nothing counts them, which is what a driver without quotas
        returns, as by default. What is written and not on the disk yet may be missing.
        """
        check_layer_id(layer_id)
        return None

    def faults(self, layers: Mapping[str, str | None]) -> Iterable[Fault]:  # noqa: ARG002
        """What is wrong with the directories that are there, and with what lies beside them.

        `layers` has the ID of every layer that should be there with its parent's: None for no
        parent, an empty string where that isn't known. That a directory is missing, or nobody's,
        is told by others.

        By default nothing is.
        """
        return ()

    def mend(self, kind: FaultKind, layer_id: str) -> None:
        """Make again what follows from the rest: repair a fault of a kind that loses nothing."""
        raise InternalError(self.name, f"no fault {kind} of layer {layer_id} can be mended")

    def cleanup(self) -> None:
        """Undo what opening the driver did to the system, by default nothing. Idempotent."""
        return
