"""What asyncio does with images and registries, in a thread."""

# Written by `python -m tools.faces`; edit what it is made from instead.

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from layerstore.api.threads import InThread
from layerstore.asking.progress import Notice, Progress
from layerstore.images.distribution.policy import (
    PARALLEL,
    PullPolicy,
    PushFormat,
)
from layerstore.images.image import Image

if TYPE_CHECKING:
    from layerstore.drivers.tar.compress import Way
    from layerstore.images.distribution.manner import Pushed
    from layerstore.images.distribution.remote_image import RemoteImage
    from layerstore.images.registry.client import RegistryClient

    pass


class AsyncDistributing:
    """What images have to do with registries; see ImageStore."""

    __slots__ = ("_store",)

    def __init__(self, store: InThread) -> None:
        self._store = store

    async def pull(
        self,
        name: str,
        *,
        policy: PullPolicy = "always",
        platform: str | None = None,
        parallel: int = PARALLEL,
        progress: Progress | None = None,
        notice: Notice | None = None,
        client: RegistryClient | None = None,
    ) -> Image:
        """Have an image of a registry in the store, and return it.

        `name` is as docker takes it: `app:1` and `team/app` are of docker's own registry,
        `example.org:5000/team/app:1` is of another, and `@sha256:...` decides. What the store has
        of its layers is not fetched; the others are unpacked while they come, `parallel` at once.
        The image gets that name, and the one with the digest of its manifest, which `names` has.

        `policy` says when the registry is asked. `platform` (`os/architecture[/variant]`, by
        default this machine's) chooses from a multi-platform image; one that is there for another
        is as if it weren't, if a platform is asked for. `progress` is called with the
        first 12 digits of a layer's blob, the bytes that came and its size. `notice` is called
        with a line where the image is for another platform, or a mirror didn't answer; by default
        that is logged as a warning. `client` has other settings and credentials than this
        machine's. A task that is cancelled ends it.

        Raises InvalidName, ImageDoesNotExist where it isn't there and `policy` is never,
        NotInRegistry, AccessDenied, RegistryUnreachable and RegistryError, InvalidImage,
        IntegrityError where a blob isn't what its digest says, LimitExceeded, JobCancelled, and
        what LayerStore.register raises. What ends it in the middle leaves layers that were whole,
        for the next time, unless they, or what they came with, were bad.
        """
        owner = self._store.blocking.images
        return await self._store.until_stopped(
            lambda stop: owner.pull(
                name,
                policy=policy,
                platform=platform,
                parallel=parallel,
                progress=progress,
                notice=notice,
                client=client,
                stop=stop,
            )
        )

    async def push(
        self,
        name: str,
        target: str | None = None,
        *,
        all_tags: bool = False,
        format: PushFormat | None = None,
        compression: Way | None = None,
        level: int | None = None,
        foreign: bool = False,
        parallel: int = PARALLEL,
        progress: Progress | None = None,
        client: RegistryClient | None = None,
    ) -> tuple[Pushed, ...]:
        """Give an image to a registry, under its name or another one, and return what it has now.

        `target` is `repository[:tag]` where the image is to be called otherwise there. With
        `all_tags` both are repositories, and all tags of the first are pushed. A layer that was
        pulled or pushed before goes as the blob that it was, where the repository has that, or
        another one of the registry does that is known; all others are compressed here, `parallel`
        at once, and always to the same bytes. The manifest goes last.

        `format` is docker's, unless a layer that is there is compressed by zstd. `compression` has
        layers sent anew that are there compressed otherwise; `level` is how hard that is tried, 1
        to 9 with gzip, by default 4, and 1 to 19 with zstd, by default 3. Layers that are to be had
        elsewhere (docker's foreign ones) are only listed, unless `foreign`. `progress` is called
        with the first 12 digits of a layer's diff ID, the bytes read of it and those there are.
        `client` and `stop` are as for `pull`. An image that has a tag of the repository gets the
        name with the digest of its manifest too. moby: ImageService.PushImage.

        Raises InvalidName, InvalidArgument where it can't be told what it is to be called,
        ImageDoesNotExist, LayerDoesNotExist for a broken image, AccessDenied, RegistryUnreachable
        and RegistryError, IntegrityError where a layer's files are no longer those that were
        registered, and JobCancelled. What the registry has by then stays there, nameless.
        """
        owner = self._store.blocking.images
        return await self._store.until_stopped(
            lambda stop: owner.push(
                name,
                target,
                all_tags=all_tags,
                format=format,
                compression=compression,
                level=level,
                foreign=foreign,
                parallel=parallel,
                progress=progress,
                client=client,
                stop=stop,
            )
        )

    async def push_index(
        self,
        name: str,
        members: Sequence[str],
        *,
        format: PushFormat | None = None,
        client: RegistryClient | None = None,
    ) -> Pushed:
        """Have a name of a registry stand for several images, of which a pull chooses by platform.

        `members` are names, by tag or digest, of images in the same repository that were pushed
        already; each is listed with the platform that its configuration says, of a multi-platform
        image all of its are. The index is docker's list, if all its members are docker's manifests,
        unless `format` says otherwise. `client` and `stop` are as for `pull`. docker: manifest
        create and push.

        Raises InvalidName, InvalidArgument for no members, one of another repository, and two for
        one platform, NotInRegistry, InvalidImage, and what `push` raises of registries.
        """
        owner = self._store.blocking.images
        return await self._store.until_stopped(
            lambda stop: owner.push_index(name, members, format=format, client=client, stop=stop)
        )

    async def tags(
        self, repository: str, *, client: RegistryClient | None = None
    ) -> tuple[str, ...]:
        """Return the tags that a repository has in its registry, in the registry's order.

        Raises InvalidName, also for a name with a tag, and what a registry raises; see `pull`.
        """
        owner = self._store.blocking.images
        return await self._store.until_stopped(
            lambda stop: owner.tags(repository, client=client, stop=stop)
        )

    async def remote(
        self, name: str, *, platform: str | None = None, client: RegistryClient | None = None
    ) -> RemoteImage:
        """Return what a registry says of an image, without fetching its layers.

        Raises what `pull` raises. skopeo: inspect.
        """
        owner = self._store.blocking.images
        return await self._store.until_stopped(
            lambda stop: owner.remote(name, platform=platform, client=client, stop=stop)
        )
