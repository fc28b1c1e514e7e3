"""The verb run: a throw-away root file system for one command, and its exit status.

Owns the order: make and mount, let go of the store, run, take the store again, commit if that was
asked for, remove. While the command runs other processes may use the store.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

from layerstore.command.interrupts import handled
from layerstore.command.opening import opened
from layerstore.command.output.apart import apart_from_terminal
from layerstore.command.verbs.long_forms import mount_of, variables_of
from layerstore.drivers.errors import (
    CommandNotRun,
    InvalidArgument,
    LayerStoreError,
    MountDoesNotExist,
)
from layerstore.sandbox.process import ImageProcess, image_process
from layerstore.sandbox.runnable import hostname_of, run_spec
from layerstore.sandbox.running import Finished, Running, Volume, mount_points
from layerstore.sandbox.volumes import image_volumes

if TYPE_CHECKING:
    from layerstore.api.store import LayerStore
    from layerstore.drivers.sandbox.spec import RunSpec

FAILED = 125
_PATIENCE = 60.0
_PASSED_ON = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGWINCH,
)  # fmt: skip

_OF_DOCKERS_ALONE = {"z", "Z", "cached", "delegated", "consistent"}
"""Modes of a volume that are taken and ask for nothing here: labels for SELinux domains that a run
has none of, and ways to share a directory with a virtual machine."""


def run(options: argparse.Namespace) -> int:
    """Run a command in a new read-write layer; returns its exit status, or one of docker's."""
    try:
        return _run(options)
    except LayerStoreError as error:
        print(f"layerstore: {error}", file=sys.stderr)
        return error.status if isinstance(error, CommandNotRun) else FAILED


def _run(options: argparse.Namespace) -> int:
    image, command = _image_and_command(options.words)
    name = options.name or f"run-{os.urandom(6).hex()}"
    volumes = [_volume(text) for text in options.volumes]
    volumes += [mount_of(text) for text in options.mounts]
    in_files = [variable for path in options.env_files for variable in variables_of(path)]
    env = _environment([*in_files, *options.env])
    stdin = None if options.interactive else subprocess.DEVNULL
    signals = _Signals()
    with signals.passed_on():
        with opened(options) as store:
            config = store.images.config(image)
            process = image_process(config, command, entrypoint=options.entrypoint)
            spec = _spec(process, volumes, env, name, options)
            path, more = _make(store, name, image, process.volumes, volumes)
            spec = replace(spec, volumes=(*volumes, *more))
        finished = None
        try:
            if signals.early is None:
                with (
                    _outputs(options) as (out, err),
                    Running(path, spec, stdin=stdin, stdout=out, stderr=err) as running,
                ):
                    signals.attach(running)
                    finished = signals.as_told(running.wait())
        finally:
            signals.attach(None)
            _remove(name, options, finished)
    return finished.status if finished is not None else 128 + (signals.early or 0)


@contextlib.contextmanager
def _outputs(options: argparse.Namespace) -> Iterator[tuple[int | None, int | None]]:
    if options.tty:  # it has a terminal of its own
        yield None, None
        return
    with apart_from_terminal(1) as out, apart_from_terminal(2) as err:
        yield out, err


def _image_and_command(words: list[str]) -> tuple[str, list[str]]:
    if words[0] == "--" and len(words) > 1:  # the end of the options; newer Pythons take it off
        words = words[1:]
    return words[0], words[1:]


def _make(
    store: LayerStore, name: str, image: str, paths: tuple[str, ...], given: list[Volume]
) -> tuple[str, tuple[Volume, ...]]:
    """Make and mount the layer, and the volumes of it that aren't given."""
    rw = store.images.create(name, image, init=mount_points)
    try:
        path = rw.mount()
        return path, image_volumes(store, rw, paths, given)
    except BaseException:
        rw.release()
        raise


def _spec(
    process: ImageProcess,
    volumes: list[Volume],
    env: dict[str, str],
    name: str,
    options: argparse.Namespace,
) -> RunSpec:
    return run_spec(
        process.argv,
        env={**process.env, **env},
        workdir=options.workdir or process.workdir,
        user=options.user if options.user is not None else process.user,
        volumes=volumes,
        network=options.network,
        hostname=options.hostname or hostname_of(name),
        read_only=options.read_only,
        init=options.init,
        terminal=options.tty,
        time_limit=options.time_limit,
    )


def _remove(name: str, options: argparse.Namespace, finished: Finished | None) -> None:
    """Commit where the command did well and it was asked for; then remove or at least unmount."""
    with opened(options, patience=_PATIENCE) as store:
        try:
            rw = store.get_rw_layer(name)
        except MountDoesNotExist:
            print(f"layerstore: {name} was removed by somebody else", file=sys.stderr)
            return
        try:
            if options.commit is not None and finished is not None and finished.status == 0:
                store.images.commit(rw, options.commit)
        finally:
            if options.keep and finished is not None:
                if "LowerDir" in rw.metadata():  # else nothing is mounted
                    rw.unmount()
            else:
                rw.release()


class _Signals:
    """What this process is told to do is the command's to hear; it never ends in the middle."""

    def __init__(self) -> None:
        self.early: int | None = None
        """A signal to end that came before there was a command."""
        self._running: Running | None = None

    def attach(self, running: Running | None) -> None:
        """Pass signals on to a command, or to none any more."""
        self._running = running
        if running is not None and self.early is not None:
            running.kill()

    def as_told(self, finished: Finished) -> Finished:
        """Return how a command ended; one that was killed for a signal, as if it had got that."""
        return finished if self.early is None else replace(finished, status=128 + self.early)

    @contextlib.contextmanager
    def passed_on(self) -> Iterator[None]:
        """Handle signals for a `with` block."""
        with handled(_PASSED_ON, self._handle):
            yield

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._running is not None:
            self._running.send_signal(number)
        elif number != signal.SIGWINCH:
            self.early = number


def _volume(text: str) -> Volume:
    source, colon, rest = text.partition(":")
    target, _, given = rest.partition(":")
    modes = set(given.split(",")) if given else set()
    fits = modes <= {"ro", "rw"} | _OF_DOCKERS_ALONE and not modes >= {"ro", "rw"}
    if not colon or not source or not target.startswith("/") or not fits:
        raise InvalidArgument(text, "a volume is SOURCE:/TARGET, SOURCE:/TARGET:ro or :rw")
    return Volume(source=os.path.abspath(source), target=target, read_only="ro" in modes)


def _environment(given: list[str]) -> dict[str, str]:
    """Return the variables that were given; one without a value has the one that it has here."""
    found = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key:
            raise InvalidArgument(text, "a variable is KEY=VALUE or KEY")
        if equals or key in os.environ:
            found[key] = value if equals else os.environ[key]
    return found
