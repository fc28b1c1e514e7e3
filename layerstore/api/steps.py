"""What asyncio does in a thread: rows of many steps, as the blocking face takes them.

A task that is cancelled doesn't wait for them; they go on to their end, and what comes of them
is undone where it can be.
"""

# Written by `python -m tools.faces`; edit what it is made from instead.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from layerstore.actors import messages as m
from layerstore.api.threads import InThread
from layerstore.archive.open import ArchiveSource
from layerstore.asking.progress import Notice, Progress
from layerstore.drivers.model.faults import Fault
from layerstore.drivers.model.image_config import HistoryEntry
from layerstore.drivers.model.repair_step import RepairStep
from layerstore.drivers.records.containers import ContainerRecord
from layerstore.drivers.work import Init
from layerstore.engine.repairing import Announce
from layerstore.images.image import Image, Images
from layerstore.images.save import ArchiveTarget
from layerstore.observe.metrics import Metrics
from layerstore.operations.asynchronous import AsyncRWLayer
from layerstore.operations.blocking import RWLayer


class AsyncSteps(InThread):
    """The steps of a store; what they call back is called in their thread."""

    async def metrics(self) -> Metrics:
        """Return a snapshot of what the store holds, has done and is doing.

        `layerstore.prometheus` serves it. Raises StoreClosed, DriverError.
        """
        owner = self.blocking
        return await self.in_thread(owner.metrics)

    async def check(self, *, full: bool = False, progress: Progress | None = None) -> list[Fault]:
        """Compare the disk with the metadata and return what is wrong; nothing is changed.

        With `full` every layer's files are read, and must give the tar that was registered;
        `progress` is called with the bytes of the layers done. The store may be used meanwhile:
        what is just being made or removed is no fault. Raises CallTimeout, WorkerDied, DriverError
        where the disk can't be looked at.
        """
        owner = self.blocking
        return await self.in_thread(lambda: owner.check(full=full, progress=progress))

    async def repair(
        self,
        *,
        force: bool = False,
        dry_run: bool = False,
        announce: Announce | None = None,
        progress: Progress | None = None,
    ) -> list[RepairStep]:
        """Remove what nothing names and make again what follows from the rest; returns all steps.

        Without `force` nothing is lost, and steps whose `force` is set are only told. With it every
        layer is verified first, and layers, mounts and images that aren't whole go, with all that
        is made on them; layers beneath them stay. `announce` is called with the steps before the
        first is taken; `dry_run` takes none.

        A repair has the store to itself: where there is something to do, it lets go of all
        references, as closing does, keeps mounts (found again by get_rw_layer, and no longer
        unmounted by `close`), and opens the store anew. Waits until what was removed is deleted.
        Raises DriverError where a step fails; those before it are done, and it may be tried again.
        Raises OwnersAlone for an attached store.
        """
        owner = self.blocking
        return await self.in_thread(
            lambda: owner.repair(force=force, dry_run=dry_run, announce=announce, progress=progress)
        )


class AsyncImageStore:
    """The images of a store; see ImageStore. Its steps run in a thread.

    A task that is cancelled doesn't wait for them; they go on to their end, and a read-write layer
    that comes of them is released.
    """

    __slots__ = ("_store",)

    def __init__(self, store: InThread) -> None:
        self._store = store

    async def list(self) -> Images:
        """Return every image, the newest first, those with missing layers included."""
        owner = self._store.blocking.images
        return await self._store.in_thread(owner.list)

    async def get(self, name: str) -> Image:
        """Return one image. Raises ImageDoesNotExist, InvalidName where an ID is ambiguous."""
        owner = self._store.blocking.images
        return await self._store.in_thread(lambda: owner.get(name))

    async def config(self, name: str) -> dict[str, Any]:
        """Return an image's configuration. Raises ImageDoesNotExist, IntegrityError."""
        owner = self._store.blocking.images
        return await self._store.in_thread(lambda: owner.config(name))

    async def history(self, name: str) -> tuple[HistoryEntry, ...]:
        """Return the steps that made an image, the first one first."""
        owner = self._store.blocking.images
        return await self._store.in_thread(lambda: owner.history(name))

    async def load(
        self,
        source: ArchiveSource,
        *,
        progress: Progress | None = None,
        reference: str | None = None,
        platform: str | None = None,
        all_platforms: bool = False,
        name: str | None = None,
        notice: Notice | None = None,
    ) -> Images:
        """Load every image of an archive that can be taken, and return them.

        `source` is the path of a docker archive or an OCI image layout (a directory, or a tar,
        which may be compressed), or a binary file with such a tar. Layers that are there already
        aren't unpacked again. `reference` chooses one of several images: what a layout's
        annotations call it, a docker archive's tag, or `@N` for the Nth that is listed, from 0.
        `platform` (`os/architecture[/variant]`, by default this machine's) chooses from
        multi-platform images, of which `all_platforms` takes all; the chosen one gets the names.
        `name` is a repository for images that an OCI layout names by a mere tag. `notice` is called
        with a line for each image that is left out, comes without a name or is for another
        platform; by default that is logged as a warning.

        Raises InvalidImage where no image can be taken, IntegrityError where a blob isn't what its
        digest says, LimitExceeded, and what LayerStore.register raises. After any of them nothing
        of the archive is left.
        """
        owner = self._store.blocking.images
        return await self._store.in_thread(
            lambda: owner.load(
                source,
                progress=progress,
                reference=reference,
                platform=platform,
                all_platforms=all_platforms,
                name=name,
                notice=notice,
            )
        )

    async def save(
        self, names: Sequence[str], target: ArchiveTarget, *, progress: Progress | None = None
    ) -> None:
        """Write images to a path or a binary file, as one tar for docker and OCI tools alike.

        A repository without a tag means all its tags, as for docker. An image that is asked for by
        ID is written without a name. Annotations that call an image what is no name here are
        written as a layout had them. Equal images give equal bytes.

        Raises InvalidArgument for no names, ImageDoesNotExist, LayerDoesNotExist for a broken
        image, IntegrityError where a layer's files are no longer those that were registered,
        DriverError, StorageFull. After any of them a path is as it was.
        """
        owner = self._store.blocking.images
        await self._store.in_thread(lambda: owner.save(names, target, progress=progress))

    async def import_tar(
        self,
        source: ArchiveSource,
        name: str | None = None,
        *,
        changes: Sequence[str] = (),
        comment: str = "",
        created: str | None = None,
        platform: str | None = None,
        progress: Progress | None = None,
    ) -> Image:
        """Make an image of one layer from a plain tar of a root file system, as `docker import`.

        `source` is a path or a binary file; the tar may be compressed. `changes` are instructions
        of a Dockerfile such as `CMD ["sh"]` and `ENV A=$B`, those that docker takes here, and as it
        takes them. Raises InvalidName, and what LayerStore.register raises.
        """
        owner = self._store.blocking.images
        return await self._store.in_thread(
            lambda: owner.import_tar(
                source,
                name,
                changes=changes,
                comment=comment,
                created=created,
                platform=platform,
                progress=progress,
            )
        )

    async def tag(self, image: str, name: str) -> Image:
        """Give an image one more name, taking it from another that has it.

        Raises ImageDoesNotExist, InvalidName.
        """
        owner = self._store.blocking.images
        return await self._store.in_thread(lambda: owner.tag(image, name))

    async def remove(self, name: str, *, force: bool = False, prune: bool = True) -> m.RemovedImage:
        """Take a name away; the last one takes the image, and the layers that nothing else keeps.

        By ID an image goes with all its names. With `prune` the nameless images it was made from go
        too, if nothing else needs them. An image that others are made from loses its name only.
        Raises ImageDoesNotExist, and ImageInUse where the ID is that of such a one, and without
        `force` where a read-write layer is made from it or the ID stands for names of several
        repositories.
        moby: ImageDelete.
        """
        owner = self._store.blocking.images
        return await self._store.in_thread(lambda: owner.remove(name, force=force, prune=prune))

    async def create(
        self,
        name: str,
        image: str,
        *,
        mount_label: str = "",
        storage_opt: Mapping[str, str] | None = None,
        init: Init | None = None,
    ) -> AsyncRWLayer:
        """Make a read-write layer on an image, and record which; see LayerStore.create_rw_layer.

        Raises ImageDoesNotExist, LayerDoesNotExist for a broken image, and what that raises.
        """
        owner = self._store.blocking.images
        made = await self._store.in_thread(
            lambda: owner.create(
                name, image, mount_label=mount_label, storage_opt=storage_opt, init=init
            ),
            RWLayer.release,
        )
        return made.as_handle(AsyncRWLayer)

    async def record_of(self, mount_id: str) -> ContainerRecord | None:
        """Return what was recorded when a read-write layer was made from an image."""
        owner = self._store.blocking.images
        return await self._store.in_thread(lambda: owner.record_of(mount_id))

    async def image_of(self, mount_id: str, parent: str | None) -> Image | None:
        """Return the image that a read-write layer was made from.

        Where that isn't recorded, or the image is gone, it is one whose top layer is `parent`.
        """
        owner = self._store.blocking.images
        return await self._store.in_thread(lambda: owner.image_of(mount_id, parent))

    async def commit(
        self,
        rw: AsyncRWLayer,
        name: str | None = None,
        *,
        author: str = "",
        comment: str = "",
        created: str | None = None,
        changes: Sequence[str] = (),
        sparse: bool = False,
        skip_whiteout_names: bool = False,
        notice: Notice | None = None,
    ) -> Image:
        """Make an image of a read-write layer's changes on the image it was made from.

        `created` is RFC 3339, by default now. `changes` are as for `import_tar`. A layer without
        changes gives the image a step of history but no layer. Writers should be quiet meanwhile.
        With `sparse` the layer has sparse members for files that are mostly holes; dockerd can
        load such an image and run it, but not save or push it. A file whose name is a
        whiteout's in a layer (`.wh.name`) is refused, or with `skip_whiteout_names` left out, which
        `notice` is told; by default that is logged as a warning. moby: CreateImageFromContainer.

        Raises InvalidName, InvalidImage where the layer has a parent but no image to go on from,
        and what LayerStore.register raises.
        """
        owner = self._store.blocking.images
        return await self._store.in_thread(
            lambda: owner.commit(
                rw.as_handle(RWLayer),
                name,
                author=author,
                comment=comment,
                created=created,
                changes=changes,
                sparse=sparse,
                skip_whiteout_names=skip_whiteout_names,
                notice=notice,
            )
        )
