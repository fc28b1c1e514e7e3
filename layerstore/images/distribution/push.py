"""Pushing images: their layers, several at a time, then the configuration, and the manifest last.

Owns that order, so that nobody finds a manifest before what it lists. What is told of progress is
told in the caller's thread.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import NamedTuple

from layerstore.asking.progress import Progress
from layerstore.drivers.errors import (
    ImageDoesNotExist,
    InvalidArgument,
    InvalidName,
    LayerDoesNotExist,
)
from layerstore.drivers.model.ids import ChainID, DiffID, hex_of
from layerstore.drivers.model.image_config import parse_config
from layerstore.drivers.model.reference import (
    DEFAULT_TAG,
    Reference,
    parse_reference,
    repository_of,
)
from layerstore.images.distribution.manifests import LayerBlob, format_for, image_manifest
from layerstore.images.distribution.manner import Manner, Pushed
from layerstore.images.distribution.sending import LayerSender, Report
from layerstore.images.image import Image
from layerstore.images.registry.client import RegistryClient
from layerstore.images.registry.upload import Upload
from layerstore.operations.blocking import BlockingStore

_News = Future[LayerBlob] | tuple[str, int, int]


class Push(NamedTuple):
    """Where images are to be pushed, and how."""

    repository: str
    manner: Manner
    parallel: int
    progress: Progress | None


class Plan(NamedTuple):
    """Which images are pushed, and what they are to be called there."""

    repository: str
    images: list[tuple[Image, str]]
    """With their tags."""


class Planner(NamedTuple):
    """What is known of names: by the store, and by the machine's settings."""

    get: Callable[[str], Image]
    """See ImageStore."""
    tags_meant: Callable[[str], Sequence[str]]
    """See ImageStore."""
    meant: Callable[[str], Reference]
    """See RegistrySettings."""

    def one(self, name: str, target: str | None) -> Plan:
        """Say what one name, or ID, is to be called there.

        Raises InvalidName, InvalidArgument, ImageDoesNotExist.
        """
        image = self.get(name)
        if target is None:
            called = [tag for tag in image.names if tag in self.tags_meant(_tagged(name))]
            if not called:
                reason = "it isn't asked for by a tag, so say what it is to be called there"
                raise InvalidArgument(name, reason)
            target = called[0]
        there = self.meant(target)
        if there.digest is not None:
            raise InvalidArgument(target, "the digest is what comes of pushing")
        return Plan(there.repository, [(image, there.tag or DEFAULT_TAG)])

    def all_tags(self, repository: str, target: str | None) -> Plan:
        """Say what all tags of a repository are to be called there. Raises as `one`."""
        for text in filter(None, (repository, target)):
            if not parse_reference(text).is_repository:
                raise InvalidArgument(text, "all tags are those of a repository alone")
        tags = self.tags_meant(repository)
        if not tags:
            raise ImageDoesNotExist(repository)
        there = self.meant(target or repository_of(tags[0])).repository
        return Plan(there, [(self.get(tag), str(parse_reference(tag).tag)) for tag in tags])


def _tagged(name: str) -> str:
    """Return a name with the tag that it has by default; an ID comes to nothing by that."""
    try:
        return str(parse_reference(name).looked_up())
    except InvalidName:
        return name


class Pusher:
    """Pushes images of a store to one repository, and each layer of them once."""

    def __init__(self, store: BlockingStore, client: RegistryClient, push: Push) -> None:
        """Push by a client for this alone: its stop is told where one layer fails.

        Raises InvalidName for what no registry has.
        """
        self._store = store
        self._push = push
        self.repository = push.repository
        self._stop = client.stop
        repository = client.repository(Reference(push.repository), push=True)
        self._sender = LayerSender(store, repository, push.manner)
        self._uploader = repository.uploader()

    def push(self, image: Image, config: bytes, tag: str) -> Pushed:
        """Push an image under a tag. Raises what ImageStore.push raises."""
        if image.missing is not None:
            raise LayerDoesNotExist(image.missing)
        top = self._store.get(image.chain_id) if image.chain_id is not None else None
        try:
            facts = parse_config(config, image.id)
            pairs = list(zip(facts.chain_ids(), facts.diff_ids, strict=True))
            return self._finish(config, self._layers(pairs), tag)
        finally:
            if top is not None:
                top.release()

    def _finish(self, config: bytes, layers: Sequence[LayerBlob], tag: str) -> Pushed:
        sent = self._uploader.upload(Upload("configuration", lambda: nullcontext(iter([config]))))
        written = format_for(layers, self._push.manner.format)
        media_type, content = image_manifest((sent.digest, sent.size), layers, written)
        digest = self._uploader.put_manifest(tag, media_type, content)
        return Pushed(str(Reference(self.repository, tag)), digest, len(content))

    def _layers(self, pairs: Sequence[tuple[ChainID, DiffID]]) -> list[LayerBlob]:
        """Have all layers in the repository, and return them in their order."""
        news: queue.SimpleQueue[_News] = queue.SimpleQueue()
        coming: dict[DiffID, Future[LayerBlob]] = {}
        with ThreadPoolExecutor(self._push.parallel, "layerstore-push") as threads:
            try:
                for chain, diff in pairs:
                    if diff not in coming:
                        report = _reporting(news, diff, watched=self._push.progress is not None)
                        coming[diff] = threads.submit(self._sender.send, chain, diff, report)
                        coming[diff].add_done_callback(news.put)
                self._await(len(coming), news)
            except BaseException:
                self._stop.tell()
                threads.shutdown(cancel_futures=True)
                raise
        return [coming[diff].result() for _, diff in pairs]

    def _await(self, left: int, news: queue.SimpleQueue[_News]) -> None:
        while left:
            match news.get():
                case Future() as done:
                    done.result()
                    left -= 1
                case what, done, total:
                    if self._push.progress is not None:
                        self._push.progress(what, done, total)


def _reporting(news: queue.SimpleQueue[_News], diff: DiffID, *, watched: bool) -> Report:
    what = hex_of(diff)[:12]
    return (lambda done, total: news.put((what, done, total))) if watched else _unwatched


def _unwatched(done: int, total: int) -> None:
    """Tell nobody."""
