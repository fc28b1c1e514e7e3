"""The front door to images: ImageStore, the `images` of a LayerStore.

Owns turning names into queries and putting the steps of each operation in order. The books are the
ImageRegistry's.
"""

# ruff: noqa: PLC0415 - who lists images waits for no archive's code, nor for a Dockerfile's

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from layerstore.actors import messages as m
from layerstore.asking.progress import Notice, Progress
from layerstore.drivers.errors import (
    ImageDoesNotExist,
    ImageInUse,
    InvalidArgument,
    InvalidImage,
    LayerDoesNotExist,
)
from layerstore.drivers.model.annotations import Annotations
from layerstore.drivers.model.image_config import HistoryEntry, ImageID, parse_config
from layerstore.drivers.model.platform import host_platform, parse_platform
from layerstore.drivers.model.reference import parse_tag, repository_of
from layerstore.drivers.model.times import moment, now
from layerstore.drivers.model.tree import TarStyle
from layerstore.images.distributing import Distributing
from layerstore.images.image import Image, Images, make_query
from layerstore.images.making.flattening import Flattening
from layerstore.images.origins import Making, Origins
from layerstore.images.pruning import Pruning
from layerstore.operations.blocking import BlockingStore, RWLayer

if TYPE_CHECKING:
    from layerstore.archive.open import ArchiveSource
    from layerstore.images.save import ArchiveTarget

log = logging.getLogger("layerstore")


class ImageStore(Distributing, Pruning, Making, Flattening):
    """The images of a store. Every image keeps its layers; a name keeps its image.

    Images are named as with docker: by `repository[:tag]` or `repository@digest` with or without
    what docker takes for granted there (its own host, and `library/`), by ID, or by the start of an
    ID; a digest beside a tag decides. Where a name was loaded with another host that it is from, it
    is found without that too, if only one fits.
    """

    __slots__ = ("_core", "_origins", "_store")

    def __init__(self, store: BlockingStore) -> None:
        self._store = store
        self._core = store.core
        self._origins = Origins(store)

    def list(self) -> Images:
        """Return every image, the newest first, those with missing layers included."""
        found: list[m.ImageMetadata] = self._ask(m.ListImages())
        return sorted(map(Image, found), key=lambda one: (one.created, one.id), reverse=True)

    def count(self) -> int:
        """Return how many images there are; none is listed."""
        return int(self._ask(m.CountEntries()))

    def get(self, name: str) -> Image:
        """Return one image. Raises ImageDoesNotExist, AmbiguousName, InvalidName."""
        return Image(self._ask(m.FindImage(query=make_query(name))))

    def config(self, name: str) -> dict[str, Any]:
        """Return an image's configuration. Raises ImageDoesNotExist, IntegrityError."""
        document: dict[str, Any] = msgspec.json.decode(self._config(self.get(name)))
        return document

    def history(self, name: str) -> tuple[HistoryEntry, ...]:
        """Return the steps that made an image, the first one first."""
        return self.get(name).history

    def load(
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
        from layerstore.archive.wanted import make_wanted
        from layerstore.images.load import loaded_layers

        wanted = make_wanted(reference, platform, name, every_platform=all_platforms)
        with loaded_layers(self._store, source, wanted, progress) as found:
            loaded = []
            for one in found.images:
                image = self._add(one.config, one.all_names, one.parent, one.annotations)
                loaded += [image] if not one.is_step else []
            for line in found.notes:
                (notice or log.warning)(line)
            return loaded

    def _add(
        self,
        config: bytes,
        names: Sequence[str],
        parent: ImageID | None,
        annotations: Sequence[Annotations] = (),
    ) -> Image:
        message = m.AddImage(
            facts=parse_config(config, "the configuration"),
            config=config,
            parent=parent,
            names={name: repository_of(name) for name in names},
            last_updated=now(),
            annotations=tuple(annotations),
        )
        return self._origins.used(Image(self._ask(message), names))

    def save(
        self,
        names: Sequence[str],
        target: ArchiveTarget,
        *,
        progress: Progress | None = None,
    ) -> None:
        """Write images to a path or a binary file, as one tar for docker and OCI tools alike.

        Or to what a transport says. A repository without a tag means all its tags, as for docker.
        An image that is asked for by ID is written without a name. Annotations that call an image
        what is no name here are written as a layout had them. Equal images give equal bytes.

        Raises InvalidArgument for no names, ImageDoesNotExist, LayerDoesNotExist for a broken
        image, IntegrityError where a layer's files are no longer those that were registered,
        EngineError, DriverError, StorageFull. After any of them a path is as it was.
        """
        from layerstore.archive.write import SavedImage
        from layerstore.images.save import save_images

        if not names:
            raise InvalidArgument("", "at least one image is saved")
        saved: dict[str, SavedImage] = {}
        meant = ((asked, tag) for asked in names for tag in self._tags_meant(asked) or ("",))
        for name, tag in meant:
            image = self.get(tag or name)
            if image.missing is not None:
                raise LayerDoesNotExist(image.missing)
            if image.id not in saved:
                config = self._config(image)
                facts = parse_config(config, image.id)
                saved[image.id] = SavedImage(
                    config=config, facts=facts, names=[], annotations=image.annotations
                )
            if tag and (known := parse_tag(tag)) not in saved[image.id].names:
                saved[image.id].names.append(known)
        save_images(self._store, saved.values(), target, progress)

    def _tags_meant(self, asked: str) -> Sequence[str]:
        """Return all tags that are asked for; none for what is asked for by ID or digest."""
        return list(self._ask(m.ListTags(query=make_query(asked))))

    def import_tar(
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
        from layerstore.images.making.changes import changed_config
        from layerstore.images.making.importing import imported_config, imported_layer

        tags = [parse_tag(name)] if name is not None else []
        wanted = parse_platform(platform) if platform is not None else host_platform()
        made_at = moment(created)
        changed_config(b"{}", changes)  # a bad one is told before anything is read
        with imported_layer(self._store, source, progress) as diff:
            config = imported_config(
                diff, changes=changes, comment=comment, created=made_at, platform=wanted
            )
            return self._add(config, tags, parent=None)

    def tag(self, image: str, name: str) -> Image:
        """Give an image one more name, taking it from another that has it.

        Raises ImageDoesNotExist, InvalidName.
        """
        tag = parse_tag(name)
        message = m.TagImage(query=make_query(image), name=tag, repository=repository_of(tag))
        return Image(self._ask(message))

    def remove(self, name: str, *, force: bool = False, prune: bool = True) -> m.RemovedImage:
        """Take a name away; the last one takes the image, and the layers that nothing else keeps.

        By ID an image goes with all its names. With `prune` the nameless images it was made from go
        too, if nothing else needs them. An image that others are made from loses its name only.
        Raises ImageDoesNotExist, and ImageInUse where the ID is that of such a one, and without
        `force` where a read-write layer is made from it or the ID stands for names of several
        repositories.
        moby: ImageDelete.
        """
        image = self.get(name)
        removed = self._remove(image, make_query(name), force=force)
        if removed.deleted is None or not prune:
            return removed
        gone = list(self._remove_nameless(image.parent))
        return msgspec.structs.replace(
            removed,
            parents=tuple(parent.deleted for parent in gone if parent.deleted is not None),
            layers=tuple(layer for part in (removed, *gone) for layer in part.layers),
        )

    def _remove_nameless(self, parent: str | None) -> Iterator[m.RemovedImage]:
        """Remove an image and those that it was made from, up to one that has a name or a use."""
        while parent is not None:
            try:
                image = self.get(parent)
                yield self._remove(image, make_query(image.id), nameless=True)
            except (ImageDoesNotExist, ImageInUse):
                return  # it is needed, or gone already: that is no failure
            parent = image.parent

    def _remove(
        self, image: Image, query: m.ImageQuery, *, force: bool = False, nameless: bool = False
    ) -> m.RemovedImage:
        used_by: tuple[str, ...] | None = () if force else None
        while True:
            message = m.RemoveImage(query=query, force=force, used_by=used_by, nameless=nameless)
            removed: m.RemovedImage | None = self._ask(message)
            if removed is not None:
                return removed
            # Looked for only where the image would go.
            used_by = tuple(self._origins.users_of(image))

    def commit(
        self,
        rw: RWLayer,
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
        from layerstore.images.making.commit import Commit

        tags = [parse_tag(name)] if name is not None else []
        base = self.image_of(rw.mount_id, rw.parent)
        if base is None and rw.parent is not None:
            reason = "no image in the store has the layers that it was made from"
            raise InvalidImage(f"of {rw.name}", reason)
        commit = Commit(
            created=moment(created),
            author=author,
            comment=comment,
            changes=changes,
            style=TarStyle(sparse, skip_whiteout_names),
            notice=notice or log.warning,
        )
        parent = self._config(base) if base is not None else None
        with commit.made(self._store, rw, parent) as config:
            return self._add(config, tags, ImageID(base.id) if base is not None else None)

    def _config(self, image: Image) -> bytes:
        config: str = self._ask(m.ReadImageConfig(image_id=ImageID(image.id)))
        return config.encode()

    def _ask(self, message: Any) -> Any:
        return self._core.call(self._core.actors.images, message)
