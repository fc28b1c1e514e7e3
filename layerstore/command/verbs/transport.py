"""The verbs that move files: cp, import, export and flatten; each returns the exit status.

Owns how their arguments are read. The work is LayerStore's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from typing import TYPE_CHECKING, cast

from layerstore.command.output.progress import progress
from layerstore.command.output.stream import streamed
from layerstore.command.verbs.changing import find
from layerstore.drivers.errors import InvalidArgument, MountDoesNotExist
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.tar.source import open_source
from layerstore.drivers.work import OwnedDescriptor, TarSource
from layerstore.images.export import export as export_tar
from layerstore.sandbox.copying import Place, copy, copy_in, copy_out

if TYPE_CHECKING:
    from layerstore.api.store import LayerStore

_IN_LAYER = re.compile(r"([^/:.][^/:]*):(.*)", re.DOTALL)
_STREAM = "-"


def copy_files(store: LayerStore, options: argparse.Namespace) -> int:
    """Copy between a read-write layer and the machine, or a tar."""
    source, target = _IN_LAYER.match(options.source), _IN_LAYER.match(options.target)
    if (source is None) == (target is None):
        raise InvalidArgument(
            f"{options.source} {options.target}", "one of the two is NAME:PATH, the other is not"
        )
    if not (source or target)[2]:  # type: ignore[index]
        given = options.source if source is not None else options.target
        raise InvalidArgument(given, "a path in a read-write layer isn't empty; its root is /")
    if source is not None:
        _copy_out(store, source[1], source[2], options)
    elif target is not None:
        _copy_in(store, target[1], target[2], options)
    return 0


def _copy_out(store: LayerStore, name: str, path: str, options: argparse.Namespace) -> None:
    if options.target == _STREAM and sys.stdout.isatty():
        raise InvalidArgument(_STREAM, "a tar is not for a terminal: redirect the output")
    rw = find(store, name)
    with rw.mounted() as root:
        source = Place(root, path, rw.id_map)
        limits = Limits(**dict(options.limits))
        if options.target == _STREAM:
            with streamed(store) as out:
                copy_out(source, out, follow=options.follow_link)
        else:
            owner = None if options.archive else (os.geteuid(), os.getegid())
            target = _local(options.target)
            copy(source, target, follow=options.follow_link, owner=owner, limits=limits)


def _copy_in(store: LayerStore, name: str, path: str, options: argparse.Namespace) -> None:
    owner = None if options.archive else (0, 0)
    limits = Limits(**dict(options.limits))
    rw = find(store, name)
    with rw.mounted() as root:
        target = Place(root, path, rw.id_map)
        if options.source == _STREAM:
            # docker keeps the owners of a tar.
            with (
                store.shared(),
                contextlib.closing(OwnedDescriptor(os.dup(sys.stdin.fileno()))) as given,
                open_source(TarSource(inflate=True), (given,), limits) as tar,
            ):
                copy_in(tar.stream, target, limits=limits)
        else:
            source = _local(options.source)
            copy(source, target, follow=options.follow_link, owner=owner, limits=limits)


def _local(path: str) -> Place:
    joined = os.path.join(os.getcwd(), path) if path not in (".", "") else f"{os.getcwd()}/."
    return Place("/", joined)


def import_tar(store: LayerStore, options: argparse.Namespace) -> int:
    """Make an image of a root file system's tar."""
    if options.tar == _STREAM and sys.stdin.isatty():
        raise InvalidArgument(_STREAM, "name a tar to import, or redirect standard input from one")
    source = sys.stdin.buffer if options.tar == _STREAM else options.tar
    with store.shared(), progress(quiet=options.quiet) as report:
        image = store.images.import_tar(
            source,
            options.name,
            changes=options.changes,
            comment=options.message or f"Imported from {options.tar}",
            platform=options.platform,
            progress=report,
        )
    print(image.id)
    return 0


def flatten(store: LayerStore, options: argparse.Namespace) -> int:
    """Make an image of one layer from one of many."""
    with progress(quiet=options.quiet) as report:
        image = store.images.flatten(
            options.image, options.name, sparse=options.sparse, progress=report
        )
    print(image.id)
    return 0


def export(store: LayerStore, options: argparse.Namespace) -> int:
    """Write a whole root file system as a tar."""
    if options.output is None and sys.stdout.isatty():
        raise InvalidArgument(_STREAM, "a tar is not for a terminal: use -o, or redirect it")
    with contextlib.ExitStack() as stack:
        to_stream = options.output in (None, _STREAM)
        target = stack.enter_context(streamed(store)) if to_stream else options.output
        try:
            what = find(store, options.name)
        except MountDoesNotExist:
            what = store.images.get(options.name)  # type: ignore[assignment]
        report = stack.enter_context(progress(quiet=options.quiet))
        export_tar(store, what, cast("str", target), progress=report, sparse=options.sparse)
    return 0
