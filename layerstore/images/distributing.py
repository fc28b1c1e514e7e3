"""The part of ImageStore that speaks to registries.

Owns what is asked there for a caller, and what the store gets of it. The connections are
RegistryClient's; one that a caller hands in is the caller's to close.
"""

# ruff: noqa: PLC0415 - who asks no registry waits for no HTTP

from __future__ import annotations

import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from layerstore.actors import messages as m
from layerstore.asking.progress import Notice, Progress
from layerstore.drivers.errors import (
    ImageDoesNotExist,
    IntegrityError,
    InvalidMetadata,
    JobCancelled,
)
from layerstore.drivers.model.annotations import Annotations
from layerstore.drivers.model.ids import algorithm_of
from layerstore.drivers.model.image_config import ImageID
from layerstore.drivers.model.platform import parse_platform
from layerstore.drivers.model.reference import Reference, parse_reference
from layerstore.images.distribution.policy import (
    PARALLEL,
    PullPolicy,
    PushFormat,
    check_parallel,
    check_policy,
)
from layerstore.images.image import Image, make_query
from layerstore.operations.blocking import BlockingStore

if TYPE_CHECKING:
    from layerstore.drivers.tar.compress import Way
    from layerstore.images.distribution.manner import Pushed
    from layerstore.images.distribution.push import Pusher
    from layerstore.images.distribution.remote_image import RemoteImage
    from layerstore.images.registry.client import RegistryClient
    from layerstore.images.registry.stop import Stop

log = logging.getLogger("layerstore")


class Distributing(ABC):
    """What images have to do with registries."""

    __slots__ = ()

    _store: BlockingStore

    @abstractmethod
    def get(self, name: str) -> Image:
        """See ImageStore."""

    @abstractmethod
    def _add(
        self,
        config: bytes,
        names: Sequence[str],
        parent: ImageID | None,
        annotations: Sequence[Annotations] = (),
    ) -> Image:
        """Add an image whose layers are in the store, with names that are checked."""

    @abstractmethod
    def _config(self, image: Image) -> bytes:
        """Return an image's configuration."""

    @abstractmethod
    def _tags_meant(self, asked: str) -> Sequence[str]:
        """Return all tags that are asked for."""

    @abstractmethod
    def _ask(self, message: Any) -> Any:
        """Ask the books of the images."""

    def pull(
        self,
        name: str,
        *,
        policy: PullPolicy = "always",
        platform: str | None = None,
        parallel: int = PARALLEL,
        progress: Progress | None = None,
        notice: Notice | None = None,
        client: RegistryClient | None = None,
        stop: Stop | None = None,
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
        machine's. Whoever tells `stop`, from any thread, ends it.

        Raises InvalidName, ImageDoesNotExist where it isn't there and `policy` is never,
        NotInRegistry, AccessDenied, RegistryUnreachable and RegistryError, InvalidImage,
        IntegrityError where a blob isn't what its digest says, LimitExceeded, JobCancelled, and
        what LayerStore.register raises. What ends it in the middle leaves layers that were whole,
        for the next time, unless they, or what they came with, were bad.
        """
        check_policy(policy)
        check_parallel(parallel)
        wanted = parse_platform(platform) if platform is not None else None
        if policy != "always":
            try:
                there = self.get(name)
                if wanted is None or there.fits(wanted):
                    return there
                raise ImageDoesNotExist(f"{name} for {wanted}")
            except ImageDoesNotExist:
                if policy == "never":
                    raise
        from layerstore.images.distribution.pull import Pull, digest_name, pulled

        with asked(self._store, client, stop, notice) as registries:
            pull = Pull(
                reference=registries.settings.meant(name),
                platform=platform,
                parallel=parallel,
                progress=progress,
                notice=notice or log.warning,
                kept_config=self._kept_config,
            )
            with pulled(self._store, registries, pull) as (image, digest):
                names = (*image.names, digest_name(pull.reference, digest))
                return self._add(image.config, names, parent=None)

    def _kept_config(self, digest: str) -> bytes | None:
        """Return a configuration if it is an image's that is there, whose ID is its digest."""
        if algorithm_of(digest) != "sha256":
            return None
        try:
            config: str = self._ask(m.ReadImageConfig(image_id=ImageID(digest)))
        except (ImageDoesNotExist, IntegrityError, InvalidMetadata):
            return None  # the registry has a good one
        return config.encode()

    def push(
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
        stop: Stop | None = None,
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
        from layerstore.images.distribution.manner import make_manner
        from layerstore.images.distribution.push import Planner, Push, Pusher

        check_parallel(parallel)
        manner = make_manner(format=format, compression=compression, level=level, foreign=foreign)
        with asked(self._store, client, stop) as registries:
            planner = Planner(self.get, self._tags_meant, registries.settings.meant)
            plan = planner.all_tags(name, target) if all_tags else planner.one(name, target)
            push = Push(plan.repository, manner, parallel, progress)
            pusher = Pusher(self._store, registries, push)
            return tuple(self._push(pusher, image, tag) for image, tag in plan.images)

    def _push(self, pusher: Pusher, image: Image, tag: str) -> Pushed:
        pushed = pusher.push(image, self._config(image), tag)
        there = pusher.repository
        if any(parse_reference(name) == Reference(there, tag) for name in image.names):
            name = str(Reference(there, digest=pushed.digest))
            self._ask(m.TagImage(query=make_query(image.id), name=name, repository=there))
        return pushed

    def push_index(
        self,
        name: str,
        members: Sequence[str],
        *,
        format: PushFormat | None = None,
        client: RegistryClient | None = None,
        stop: Stop | None = None,
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
        from layerstore.images.distribution.index import push_index
        from layerstore.images.distribution.manner import check_format

        check_format(format)
        with asked(self._store, client, stop) as registries:
            return push_index(registries, name, members, format)

    def tags(
        self, repository: str, *, client: RegistryClient | None = None, stop: Stop | None = None
    ) -> tuple[str, ...]:
        """Return the tags that a repository has in its registry, in the registry's order.

        Raises InvalidName, also for a name with a tag, and what a registry raises; see `pull`.
        """
        from layerstore.images.distribution.remote_image import remote_tags

        with asked(self._store, client, stop) as registries:
            return remote_tags(registries, repository)

    def remote(
        self,
        name: str,
        *,
        platform: str | None = None,
        client: RegistryClient | None = None,
        stop: Stop | None = None,
    ) -> RemoteImage:
        """Return what a registry says of an image, without fetching its layers.

        Raises what `pull` raises. skopeo: inspect.
        """
        from layerstore.images.distribution.remote_image import remote_image

        with asked(self._store, client, stop) as registries:
            return remote_image(registries, name, platform, self._store.core.disk.limits)


@contextlib.contextmanager
def asked(
    store: BlockingStore,
    client: RegistryClient | None,
    stop: Stop | None,
    notice: Notice | None = None,
) -> Iterator[RegistryClient]:
    """Give a client for one call, for a `with` block: like a caller's, or of this machine's files.

    It ends when `stop` is told, or the caller's client is, or the store is closed, which raises
    StoreClosed; what ends it ends no other.
    """
    from layerstore.images.registry.client import RegistryClient
    from layerstore.images.registry.stop import Stop

    here = Stop()
    with contextlib.ExitStack() as stack:
        for told in (stop, client.stop if client is not None else None):
            if told is not None:
                stack.enter_context(told.on(here.tell))
        stack.enter_context(store.core.at_end(here.tell))
        if client is not None:
            made = client.again(here, notice)
        else:
            made = RegistryClient(stop=here, notice=notice)
        try:
            yield stack.enter_context(made)
        except JobCancelled:
            store.core.check_open()
            raise
