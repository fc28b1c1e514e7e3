"""Fetching an image for a command, and what is told of that, and of sending one.

Owns the words, which are docker's.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from layerstore.command.output.notes import tell
from layerstore.command.output.progress import Words, progress
from layerstore.drivers.errors import ImageDoesNotExist
from layerstore.drivers.model.reference import Reference

if TYPE_CHECKING:
    from layerstore.api.store import LayerStore
    from layerstore.asking.progress import Progress
    from layerstore.images.image import Image
    from layerstore.images.registry.client import RegistryClient
    from layerstore.images.registry.stop import Stop

SCHEME = "docker://"
"""As skopeo and podman say where a name is from."""


def have(
    store: LayerStore, name: str, options: argparse.Namespace, stop: Stop | None = None
) -> None:
    """Have an image in the store that a command is for, as `--pull` says.

    What is told of it goes to standard error, as standard output is the command's. Raises what
    ImageStore.pull raises; JobCancelled where `stop` was told.
    """
    if options.pull != "always":
        try:
            store.images.pull(name, policy="never", platform=options.platform)
        except ImageDoesNotExist:
            if options.pull == "never":
                raise
            if not options.quiet:
                print(f"Unable to find image {name!r} locally", file=sys.stderr)
        else:
            return
    # Only here: mostly the image is there, and nobody is asked.
    from layerstore.command.registries import registry_client  # noqa: PLC0415

    name = name.removeprefix(SCHEME)
    with store.shared(), registry_client(options, name, stop=stop, notice=tell) as client:
        pulled(store, client, name, options, sys.stderr)


def pulled(
    store: LayerStore,
    client: RegistryClient,
    name: str,
    options: argparse.Namespace,
    out: IO[str],
) -> Image:
    """Pull an image, and tell of it what is told before that has ended."""
    meant = client.settings.meant(name).looked_up()
    if not options.quiet:
        path = Reference(meant.repository).canonical().partition("/")[2]
        print(f"{meant.tag or meant.digest}: Pulling from {path}", file=out, flush=True)
    with told(out, PULLING, quiet=options.quiet) as report:
        return store.images.pull(
            name,
            platform=options.platform,
            parallel=options.parallel,
            progress=report,
            notice=tell,
            client=client,
        )


PULLING = Words("Already exists", "Pulling fs layer", "Downloading", "Pull complete")
PUSHING = Words("Layer already exists", "Pushing", "Pushing", "Pushed")


@contextlib.contextmanager
def told(out: IO[str], words: Words, *, quiet: bool) -> Iterator[Progress | None]:
    """Give what draws bars for a `with` block; where there is no terminal, what writes lines."""
    with progress(quiet=quiet, words=words) as bars:
        yield bars if bars is not None or quiet else _Lines(out, words)


class _Lines:
    """A line for each layer that is begun, and one when it is there."""

    def __init__(self, out: IO[str], words: Words) -> None:
        self._out = out
        self._words = words
        self._begun: set[str] = set()

    def __call__(self, what: str, done: int, total: int) -> None:
        first = what not in self._begun
        self._begun.add(what)
        if first or done == total:
            state = self._words.of(done, total, first=first)
            print(f"{what}: {state}", file=self._out, flush=True)
