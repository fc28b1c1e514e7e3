"""What may come next on a command line, for shells.

Owns where names come from: the store's files, read without its lock, so that a TAB waits for
nobody. Options and verbs are argcomplete's business.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import argcomplete

from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.graph.builtin import DRIVERS
from layerstore.drivers.graph.plugin import installed_names
from layerstore.drivers.records.imagedb import ImageDatabase

_OF_MOUNTS = frozenset({"mount", "umount", "rm", "diff", "commit"})
_OF_ANYTHING = frozenset({"export", "inspect"})
_OF_FILES = "cp"

Completer = Callable[..., list[str]]


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell and end the process."""
    for action in parser._actions:
        if action.dest == "driver":
            action.completer = _all_drivers  # type: ignore[attr-defined]
        if isinstance(action, argparse._SubParsersAction):
            for verb, its_parser in action.choices.items():
                _equip(verb, its_parser)
    argcomplete.autocomplete(parser)


def _equip(verb: str, parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        completer: Completer | None = None
        if action.metavar == "IMAGE" and not (
            verb == "commit" or action.option_strings == ["--commit"]
        ):
            completer = _images if action.nargs != argparse.PARSER else _image_and_files
        elif action.metavar == "NAME" and not action.option_strings:
            if verb in _OF_MOUNTS:
                completer = _mounts
            elif verb in _OF_ANYTHING:
                completer = _anything
        elif verb == _OF_FILES and not action.option_strings:
            completer = _files
        if completer is not None:
            action.completer = completer  # type: ignore[attr-defined]


def _images(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    return [
        name
        for driver in _drivers(parsed_args.root)
        for names in ImageDatabase(parsed_args.root, driver, durable=False).repositories().values()
        for name in names
    ]


def _image_and_files(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Complete an image and, after it, the words of a command."""
    if not parsed_args.words:
        return _images(parsed_args)
    return list(argcomplete.completers.FilesCompleter()(prefix))


def _mounts(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    found: list[str] = []
    for driver in _drivers(parsed_args.root):
        with contextlib.suppress(FileNotFoundError):
            found += os.listdir(f"{parsed_args.root}/image/{driver}/layerdb/mounts")
    return found


def _anything(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    return [*_mounts(parsed_args), *_images(parsed_args)]


def _files(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    files = argcomplete.completers.FilesCompleter()(prefix)
    return [*(f"{name}:" for name in _mounts(parsed_args)), *files]


def _all_drivers(**_: Any) -> list[str]:
    return sorted({*DRIVERS, *installed_names()})


def _drivers(root: str) -> Iterator[str]:
    with contextlib.suppress(OSError, LayerStoreError):  # where nothing is, nothing is completed
        yield from os.listdir(f"{root}/image")
