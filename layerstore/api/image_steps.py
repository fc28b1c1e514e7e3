"""What asyncio does with images, in a thread."""

# Written by `python -m tools.faces`; edit what it is made from instead.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from layerstore.actors import messages as m
from layerstore.api.registry_steps import AsyncDistributing
from layerstore.asking.progress import Notice, Progress
from layerstore.drivers.model.image_config import (
    HistoryEntry,
)
from layerstore.drivers.records.containers import ContainerRecord
from layerstore.drivers.userns.id_map import IdMap
from layerstore.drivers.work import Init
from layerstore.images.image import Image, Images
from layerstore.operations.asynchronous import AsyncRWLayer
from layerstore.operations.blocking import RWLayer

if TYPE_CHECKING:
    from layerstore.archive.open import ArchiveSource
    from layerstore.images.save import ArchiveTarget

    pass


class AsyncImageStore(AsyncDistributing):
    """The images of a store; see ImageStore. Its steps run in a thread.

    A task that is cancelled doesn't wait for them; they go on to their end, and a read-write layer
    that comes of them is released. What is asked of registries ends first.
    """

    __slots__ = ()

    async def list(self) -> Images:
        """Return every image, the newest first, those with missing layers included."""
        owner = self._store.blocking.images
        return await self._store.in_thread(owner.list)

    async def count(self) -> int:
        """Return how many images there are; none is listed."""
        owner = self._store.blocking.images
        return await self._store.in_thread(owner.count)

    async def get(self, name: str) -> Image:
        """Return one image. Raises ImageDoesNotExist, AmbiguousName, InvalidName."""
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
        which may be compressed), a binary file with such a tar, or a text with a transport, such as
        `docker-daemon:app:1` (docs/command.md lists them; `./oci:x` is a path). Layers that are
        there already aren't unpacked again. `reference` chooses one of several images: what a
        layout's annotations call it, a docker archive's tag, or `@N` for the Nth that is listed,
        from 0. `platform` (`os/architecture[/variant]`, by default this machine's) chooses from
        multi-platform images, of which `all_platforms` takes all; the chosen one gets the names.
        `name` is a repository for images that an OCI layout names by a mere tag. `notice` is called
        with a line for each image that is left out, comes without a name or is for another
        platform; by default that is logged as a warning.

        Raises InvalidImage where no image can be taken, or if it is the only one IntegrityError
        where a blob isn't what its digest says, LimitExceeded, MaxDepthExceeded; EngineError, and
        what LayerStore.register raises. After any of them nothing of the archive is left.
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

        Or to what a transport says. A repository without a tag means all its tags, as for docker.
        An image that is asked for by ID is written without a name. Annotations that call an image
        what is no name here are written as a layout had them. Equal images give equal bytes.

        Raises InvalidArgument for no names, ImageDoesNotExist, LayerDoesNotExist for a broken
        image, IntegrityError where a layer's files are no longer those that were registered,
        EngineError, DriverError, StorageFull. After any of them a path is as it was.
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

    async def flatten(
        self,
        image: str,
        name: str | None = None,
        *,
        created: str | None = None,
        sparse: bool = False,
        progress: Progress | None = None,
    ) -> Image:
        """Make an image of one layer that shows what all layers of an image show together.

        What else the image says is kept: environment, command, user, labels, platform; and its
        history, with one step more. The image itself stays. Equal content gives an equal layer.
        `created` is RFC 3339, by default now; `sparse` is as for `commit`. `progress` is called
        with the bytes that were read, and with those of all layers. moby: SquashImage.

        Raises InvalidName, ImageDoesNotExist, LayerDoesNotExist for a broken image, and what
        LayerStore.register raises; nothing is left then.
        """
        owner = self._store.blocking.images
        return await self._store.in_thread(
            lambda: owner.flatten(image, name, created=created, sparse=sparse, progress=progress)
        )

    async def flatten_rw_layer(
        self,
        rw: AsyncRWLayer,
        name: str | None = None,
        *,
        created: str | None = None,
        sparse: bool = False,
        progress: Progress | None = None,
    ) -> Image:
        """Make an image of one layer that shows what a read-write layer shows.

        As `commit` and `flatten` after it, but for files of an init layer, which are in it as in
        `docker export`'s; and it is done where the chain has no room for a commit's layer. Writers
        should be quiet meanwhile.

        Raises InvalidName, also for a file whose name is a whiteout's in a layer (`.wh.name`),
        InvalidImage where the layer has a parent but no image to go on from, and what
        LayerStore.register raises; nothing is left then.
        """
        owner = self._store.blocking.images
        return await self._store.in_thread(
            lambda: owner.flatten_rw_layer(
                rw.as_handle(RWLayer), name, created=created, sparse=sparse, progress=progress
            )
        )

    async def prune(
        self, *, every: bool = False, unused_for: float = 0.0, keep_bytes: int | None = None
    ) -> tuple[m.RemovedImage, ...]:
        """Remove images that no read-write layer is made from, and return what went.

        Without `every` only those without a name. Those that were used (made, loaded, pulled, or
        made a read-write layer from) within `unused_for` seconds stay. With `keep_bytes` only so
        many go, those first that weren't used for longest, that all layers together take no more
        than that, as their sizes are counted. One that others are made from goes after them.

        Raises InvalidMetadata, DriverError; those before it are gone.
        """
        owner = self._store.blocking.images
        return await self._store.in_thread(
            lambda: owner.prune(every=every, unused_for=unused_for, keep_bytes=keep_bytes)
        )

    async def last_used(self, image: Image) -> float:
        """Return when an image was used last, in seconds since the epoch; or else when it came."""
        owner = self._store.blocking.images
        return await self._store.in_thread(lambda: owner.last_used(image))

    async def create(
        self,
        name: str,
        image: str,
        *,
        mount_label: str = "",
        storage_opt: Mapping[str, str] | None = None,
        init: Init | None = None,
        id_map: str | IdMap | None = None,
    ) -> AsyncRWLayer:
        """Make a read-write layer on an image, and record which; see LayerStore.create_rw_layer.

        Raises ImageDoesNotExist, LayerDoesNotExist for a broken image, and what that raises.
        """
        owner = self._store.blocking.images
        made = await self._store.in_thread(
            lambda: owner.create(
                name,
                image,
                mount_label=mount_label,
                storage_opt=storage_opt,
                init=init,
                id_map=id_map,
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
