"""What the command's verbs do that change something; each returns the exit status.

Owns what is printed about it. The work is LayerStore's.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from layerstore.archive.engines.transport import given_transport
from layerstore.command.output.notes import tell
from layerstore.command.output.progress import progress
from layerstore.command.output.stream import streamed
from layerstore.command.storage import storage_of
from layerstore.drivers.errors import (
    ImageDoesNotExist,
    InvalidArgument,
    InvalidName,
    LayerStoreError,
    MountDoesNotExist,
    NotMounted,
    NotPermitted,
    NotRunning,
)
from layerstore.drivers.system.mountinfo import mount_paths
from layerstore.drivers.userns.standing import standing

if TYPE_CHECKING:
    from layerstore.actors.messages import RemovedImage
    from layerstore.api.store import LayerStore
    from layerstore.operations.blocking import RWLayer

_START_OF_ID = re.compile(r"[0-9a-f]{4,64}\Z")
_ENDS_AT_ONCE = (
    "an ordinary user's mounts end with the last of its commands: do it in 'layerstore unshare', "
    "or while 'layerstore serve' runs"
)


def find(store: LayerStore, name: str) -> RWLayer:
    """Return a read-write layer by its name, or by the start of its ID.

    Raises MountDoesNotExist, and AmbiguousName for the start of several IDs.
    """
    try:
        return store.get_rw_layer(name)
    except (MountDoesNotExist, InvalidName) as error:
        if not _START_OF_ID.match(name):
            raise MountDoesNotExist(name) from error
        return store.get_rw_layer(store.find_rw_layer(name).name)


def load(store: LayerStore, options: argparse.Namespace) -> int:
    """Load an archive."""
    archive = options.archive if options.archive is not None else options.archive_option
    if archive is None and sys.stdin.isatty():
        raise InvalidArgument("-", "name an archive to load, or redirect standard input from one")
    path, reference = "-" if archive is None else archive, None
    if given_transport(path) is None:
        path, reference = _split_reference(path)
    with store.shared(), progress(quiet=options.quiet) as report:
        notes: list[str] = []
        images = store.images.load(
            sys.stdin.buffer if path == "-" else path,
            progress=report,
            reference=reference,
            platform=options.platform,
            all_platforms=options.all,
            name=options.name,
            notice=notes.append,
        )
    for note in notes:
        tell(note)
    for image in images:
        for name in image.loaded_as:
            print(f"Loaded image: {name}")
        if not image.loaded_as:
            print(f"Loaded image ID: {image.id}")
    return 0


def _split_reference(archive: str) -> tuple[str, str | None]:
    """Split PATH:REF; what is there as it stands is a path, else the longest such beginning.

    Raises InvalidArgument where nothing follows the colon.
    """
    path = archive
    while path and not os.path.lexists(path):
        path = path.rpartition(":")[0]
    reference = archive[len(path) + 1 :]
    if path and path != archive and not reference:
        raise InvalidArgument(archive, f"an image of {path} is to follow the colon")
    return (path, reference) if path and reference else (archive, None)


def save(store: LayerStore, options: argparse.Namespace) -> int:
    """Write an archive, or images to where a transport says."""
    images, target = options.images, options.output
    if target is None and len(images) > 1 and given_transport(images[-1]) is not None:
        *images, target = images
    if target is None and sys.stdout.isatty():
        raise InvalidArgument("-", "an archive is not for a terminal: use -o, or redirect it")
    with contextlib.ExitStack() as stack:
        report = stack.enter_context(progress(quiet=options.quiet))
        out = stack.enter_context(streamed(store)) if target in (None, "-") else target
        store.images.save(images, out, progress=report)
    return 0


def tag(store: LayerStore, options: argparse.Namespace) -> int:
    """Name an image."""
    store.images.tag(options.image, options.name)
    return 0


def remove_images(store: LayerStore, options: argparse.Namespace) -> int:
    """Remove images."""

    def remove_one(name: str) -> None:
        remove_image(store, name, force=options.force, prune=not options.no_prune)

    return _each(
        store,
        options.images,
        remove_one,
        drain=options.wait_for_disk,
        missing_is_well=options.force,
    )


def remove_image(store: LayerStore, name: str, *, force: bool, prune: bool = True) -> None:
    """Remove an image, or a name of it, and print what went; raises as ImageStore.remove."""
    print_removed(store.images.remove(name, force=force, prune=prune))


def print_removed(removed: RemovedImage) -> None:
    """Print what went with an image, or a name of one."""
    for untagged in removed.untagged:
        print(f"Untagged: {untagged}")
    if removed.deleted is not None:
        print(*(f"Deleted: {image}" for image in (removed.deleted, *removed.parents)), sep="\n")
    for layer in removed.layers:
        print(f"Deleted: {layer.chain_id}")


def create(store: LayerStore, options: argparse.Namespace) -> int:
    """Make a read-write layer."""
    if options.own_name is None:
        name, image = options.given, options.image
        if ":" in name or "@" in name:
            grammar = f"it has a name of its own: create NAME --image {name}"
            raise InvalidArgument(name, grammar)
    elif options.image is None:
        name, image = options.own_name, options.given
    else:
        words = f"--name {options.own_name} --image {options.image} {options.given}"
        raise InvalidArgument(words, "after --name and --image there is nothing left to say")
    storage = storage_of(options)
    if image is not None:
        # Only here: most verbs of this module ask no registry.
        from layerstore.command.verbs.registries.pulling import have  # noqa: PLC0415

        have(store, image, options)
    if image is None:
        rw = store.create_rw_layer(name, mount_label=options.mount_label, storage_opt=storage)
    else:
        rw = store.images.create(name, image, mount_label=options.mount_label, storage_opt=storage)
    print(rw.mount_id)
    return 0


def fork(store: LayerStore, options: argparse.Namespace) -> int:
    """Make read-write layers with what one has now."""
    rw = find(store, options.name)

    def fork_to(name: str) -> None:
        print(rw.fork(name).mount_id)

    with contextlib.ExitStack() as stack:
        if options.pause:
            # Only here: most verbs of this module know of no command that runs.
            from layerstore.sandbox.records import member_of  # noqa: PLC0415

            with contextlib.suppress(NotRunning):
                member = stack.enter_context(member_of(store.root, rw.name))
                stack.enter_context(member.paused())
        return _each(store, options.new, fork_to)


def reset(store: LayerStore, options: argparse.Namespace) -> int:
    """Have read-write layers show their parents' content again."""

    def reset_one(name: str) -> None:
        find(store, name).reset()
        print(name)

    return _each(store, options.names, reset_one, drain=options.wait_for_disk)


def mount(store: LayerStore, options: argparse.Namespace) -> int:
    """Mount; a mount that is there already is shown again.

    Raises NotPermitted for a mount that would be gone before anybody could look at it.
    """
    rw = find(store, options.name)
    path = rw.mount(options.mount_label)
    if standing().origin and path in mount_paths():
        # Only here: for root nothing of it is needed.
        from layerstore.api.user_namespace import mounts_end_with_this  # noqa: PLC0415

        if mounts_end_with_this(store.root):
            rw.unmount()
            raise NotPermitted("mount", options.name, errno.EPERM, _ENDS_AT_ONCE)
    print(path)
    return 0


def unmount(store: LayerStore, options: argparse.Namespace) -> int:
    """Unmount."""

    def unmount_one(name: str) -> None:
        rw = find(store, name)
        try:
            rw.unmount()
        except NotMounted:
            # A tree that is whole by itself is shown where it lies.
            if "MergedDir" in rw.metadata():
                raise
        print(name)

    return _each(store, options.names, unmount_one)


def remove(store: LayerStore, options: argparse.Namespace) -> int:
    """Remove read-write layers."""

    def remove_one(name: str) -> None:
        find(store, name).release()
        print(name)

    return _each(
        store,
        options.names,
        remove_one,
        drain=options.wait_for_disk,
        missing_is_well=options.force,
    )


def commit(store: LayerStore, options: argparse.Namespace) -> int:
    """Commit."""
    rw = find(store, options.name)
    image = store.images.commit(
        rw,
        options.image,
        author=options.author,
        comment=options.message,
        changes=options.changes,
        sparse=options.sparse,
        skip_whiteout_names=options.skip_whiteout_names,
        notice=tell,
    )
    print(image.id)
    return 0


def _each(
    store: LayerStore,
    names: Sequence[str],
    act: Callable[[str], None],
    *,
    drain: bool = False,
    missing_is_well: bool = False,
) -> int:
    """Do it for every name, whatever becomes of the others; then `drain`, if that is wanted.

    With `missing_is_well` what isn't there is told, and no failure.
    """
    status = 0
    for name in names:
        try:
            act(name)
        except LayerStoreError as error:
            print(f"layerstore: {error}", file=sys.stderr)
            missing = isinstance(error, MountDoesNotExist | ImageDoesNotExist)
            if not (missing and missing_is_well):
                status = 1
    if drain:
        store.drain()
    return status
