"""The verb run: a throw-away root file system for one command, and its exit status.

Owns the order: make and mount, let go of the store, run, take the store again, commit if that was
asked for, remove. While the command runs other processes may use the store.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from layerstore.command.opening import opened
from layerstore.command.storage import storage_of
from layerstore.command.verbs.long_forms import mount_of, variables_of
from layerstore.command.verbs.registries.pulling import have
from layerstore.command.verbs.running.attached import (
    Signals,
    environment,
    io_of,
    outputs,
    tell_of_memory,
)
from layerstore.drivers.errors import (
    CommandNotRun,
    InvalidArgument,
    JobCancelled,
    LayerStoreError,
    MountDoesNotExist,
)
from layerstore.sandbox.process import ImageProcess, image_process
from layerstore.sandbox.records import recorded
from layerstore.sandbox.runnable import check_network_of_mapped, hostname_of, run_spec
from layerstore.sandbox.running import Finished, Running, Volume, mount_points
from layerstore.sandbox.volumes import image_volumes

if TYPE_CHECKING:
    from layerstore.api.store import LayerStore
    from layerstore.drivers.sandbox.spec import RunSpec

FAILED = 125
_PATIENCE = 60.0

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
    env = environment([*in_files, *options.env])
    storage = storage_of(options)
    stdin = None if options.interactive else subprocess.DEVNULL
    signals = Signals()
    with signals.passed_on():
        with opened(options) as store:
            try:
                have(store, image, options, signals.stop)
            except JobCancelled:
                if signals.early is None:
                    raise
                return 128 + signals.early
            config = store.images.config(image)
            process = image_process(config, command, entrypoint=options.entrypoint)
            spec = _spec(process, volumes, env, name, options)
            path, more, id_map = _make(store, name, image, process.volumes, volumes, storage)
            spec = spec._replace(volumes=(*volumes, *more), id_map=id_map)
        finished = None
        try:
            if signals.early is None:
                with (
                    outputs(options) as (out, err),
                    Running(path, spec, stdin=stdin, stdout=out, stderr=err) as running,
                ):
                    _tell_ports(spec, running)
                    signals.attach(running)
                    with recorded(os.path.realpath(options.root), name, running):
                        finished = signals.as_told(running.wait())
        finally:
            signals.attach(None)
            _remove(name, options, finished)
    if finished is None:
        return 128 + (signals.early or 0)
    tell_of_memory(finished, spec.limits)
    if finished.network_lost:
        print(f"layerstore: {finished.network_lost}", file=sys.stderr)
    return finished.status


def _tell_ports(spec: RunSpec, running: Running) -> None:
    """Say which ports of this machine it has got, where that was left open."""
    asked = spec.private_network.ports if spec.private_network is not None else ()
    for wanted, got in zip(asked, running.ports, strict=True):
        if wanted != got:
            print(f"layerstore: published {got}", file=sys.stderr)


def _image_and_command(words: list[str]) -> tuple[str, list[str]]:
    if words[0] == "--" and len(words) > 1:  # the end of the options; newer Pythons take it off
        words = words[1:]
    return words[0], words[1:]


def _make(
    store: LayerStore,
    name: str,
    image: str,
    paths: tuple[str, ...],
    given: list[Volume],
    storage: dict[str, str],
) -> tuple[str, tuple[Volume, ...], str]:
    """Make and mount the layer, and the volumes of it that aren't given; with its map of IDs."""
    rw = store.images.create(name, image, storage_opt=storage, init=mount_points)
    try:
        path = rw.mount()
        return path, image_volumes(store, rw, paths, given), rw.id_map
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
    if "userns" in storage_of(options):
        check_network_of_mapped(options.network)
    return run_spec(
        process.argv,
        env={**process.env, **env},
        workdir=options.workdir or process.workdir,
        user=options.user if options.user is not None else process.user,
        volumes=volumes,
        network=options.network,
        publish=options.publish,
        dns=options.dns,
        hostname=options.hostname or hostname_of(name),
        read_only=options.read_only,
        init=options.init,
        terminal=options.tty,
        time_limit=options.time_limit,
        memory=options.memory,
        memory_swap=options.memory_swap,
        cpus=options.cpus,
        pids=options.pids_limit,
        io=io_of(options),
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
                if "MergedDir" in rw.metadata():  # else nothing is mounted
                    rw.unmount()
            else:
                rw.release()


def _volume(text: str) -> Volume:
    source, colon, rest = text.partition(":")
    target, _, given = rest.partition(":")
    modes = set(given.split(",")) if given else set()
    fits = modes <= {"ro", "rw"} | _OF_DOCKERS_ALONE and not modes >= {"ro", "rw"}
    if not colon or not source or not target.startswith("/") or not fits:
        raise InvalidArgument(text, "a volume is SOURCE:/TARGET, SOURCE:/TARGET:ro or :rw")
    return Volume(source=os.path.abspath(source), target=target, read_only="ro" in modes)
