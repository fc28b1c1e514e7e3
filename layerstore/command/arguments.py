"""The arguments of the command: every verb with its options.

Owns the grammar and the help. A parsed namespace has the verb's function as `run`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from importlib.metadata import version
from typing import TypeAlias

from layerstore.command import listings, upkeep, verbs
from layerstore.drivers.protocol import Limits
from layerstore.store import LayerStore

_ROOT = "/var/lib/layerstore"
_WAIT_SECONDS = 5.0

Verb = Callable[[LayerStore, argparse.Namespace], int]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse arguments, by default the process's; ends the process for --help and wrong usage."""
    return _parser().parse_args(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="layerstore",
        description="Images, layers and throw-away root file systems, without a daemon.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('layerstore')}")
    parser.add_argument(
        "--root",
        default=os.environ.get("LAYERSTORE_ROOT") or _ROOT,
        help=f"the store's directory (default: $LAYERSTORE_ROOT or {_ROOT})",
    )
    parser.add_argument("--driver", help="graph driver: overlay2 or vfs (default: the best there)")
    parser.add_argument(
        "--durability",
        choices=("durable", "relaxed"),
        default="durable",
        help="relaxed: leave it to the kernel when changes get to the disk",
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=_WAIT_SECONDS,
        metavar="SECONDS",
        help="how long to wait for another process that has the store open (default: %(default)g)",
    )
    parser.add_argument(
        "--limit",
        dest="limits",
        action="append",
        default=[],
        type=_limit,
        metavar="NAME=NUMBER",
        help="bound what one tar may unpack to: "
        + ", ".join(f"{field.name} ({field.default})" for field in fields(Limits)),
    )
    parser.add_argument(
        "--confine",
        choices=("auto", "required", "off"),
        default="auto",
        help="how far processes that unpack give up what they don't need; info tells",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_images(commands)
    _add_mounts(commands)
    _add_store(commands)
    return parser


def _limit(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in {field.name for field in fields(Limits)}:
        raise argparse.ArgumentTypeError(f"there is no limit {name!r}")
    if not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{number!r} is no number")
    return name, int(number)


def _add(commands: Commands, name: str, run: Verb, about: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=about, description=about)
    parser.set_defaults(run=run, recover=True)
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_images(commands: Commands) -> None:
    load = _add(commands, "load", verbs.load, "Load images from a docker archive or an OCI layout")
    load.add_argument("archive", nargs="?", help="a tar, or a directory (default: standard input)")
    load.add_argument("-i", "--input", dest="archive_option", metavar="FILE", help="the same")
    load.add_argument("--name", help="repository for images that the archive names by a tag only")
    load.add_argument("--platform", help="os/architecture[/variant] to choose (default: this one)")
    load.add_argument("-q", "--quiet", action="store_true", help="draw no progress bars")

    save = _add(commands, "save", verbs.save, "Write images to a tar, for docker and OCI tools")
    save.add_argument("images", nargs="+", metavar="IMAGE")
    save.add_argument("-o", "--output", metavar="FILE", help="(default: standard output)")
    save.add_argument("-q", "--quiet", action="store_true", help="draw no progress bars")

    images = _add(commands, "images", listings.images, "List images")
    images.add_argument("-q", "--quiet", action="store_true", help="print IDs only")
    images.add_argument("--no-trunc", action="store_true", help="print IDs whole")
    _add_json(images)

    tag = _add(commands, "tag", verbs.tag, "Give an image one more name")
    tag.add_argument("image", metavar="IMAGE")
    tag.add_argument("name", metavar="NAME")

    rmi = _add(commands, "rmi", verbs.remove_images, "Remove images")
    rmi.add_argument("images", nargs="+", metavar="IMAGE")
    rmi.add_argument("-f", "--force", action="store_true", help="even if it is in use")


def _add_mounts(commands: Commands) -> None:
    create = _add(commands, "create", verbs.create, "Make a read-write layer and print its ID")
    create.add_argument("name", metavar="NAME")
    create.add_argument("--image", help="what it is made from (default: nothing)")
    create.add_argument("--mount-label", default="", help="SELinux context")
    create.add_argument("--storage-opt", action="append", default=[], metavar="KEY=VALUE")

    mount = _add(commands, "mount", verbs.mount, "Mount a read-write layer and print the path")
    mount.add_argument("name", metavar="NAME")
    mount.add_argument("--mount-label", default="", help="SELinux context")

    for name, run, about in (
        ("umount", verbs.unmount, "Unmount read-write layers"),
        ("rm", verbs.remove, "Remove read-write layers, unmounting them first"),
    ):
        parser = _add(commands, name, run, about)
        parser.add_argument("names", nargs="+", metavar="NAME")

    diff = _add(commands, "diff", listings.diff, "List what is changed: Added, Changed, Deleted")
    diff.add_argument("name", metavar="NAME")
    _add_json(diff)

    commit = _add(commands, "commit", verbs.commit, "Make an image of a read-write layer's changes")
    commit.add_argument("name", metavar="NAME")
    commit.add_argument("image", nargs="?", metavar="IMAGE", help="name of the new image")
    commit.add_argument("-a", "--author", default="")
    commit.add_argument("-m", "--message", default="")

    ls = _add(commands, "ls", listings.mounts, "List read-write layers")
    ls.add_argument("-q", "--quiet", action="store_true", help="print names only")
    ls.add_argument("--no-trunc", action="store_true", help="print IDs whole")
    _add_json(ls)


def _add_store(commands: Commands) -> None:
    du = _add(commands, "du", listings.disk_usage, "Tell what takes how much disk")
    du.add_argument("-v", "--verbose", action="store_true", help="list every layer and mount")
    _add_json(du)
    _add_json(_add(commands, "info", listings.info, "Tell about the store and its driver"))

    check = _add(commands, "check", upkeep.check, "Compare the disk with the metadata")
    check.add_argument("--full", action="store_true", help="read and verify every layer")
    repair = _add(commands, "repair", upkeep.repair, "Repair what check finds, losing nothing")
    repair.add_argument(
        "--force",
        action="store_true",
        help="verify all layers, and remove what isn't whole with all that is made on it",
    )
    repair.add_argument("--dry-run", action="store_true", help="only tell what would be done")
    for parser in (check, repair):
        # What a crash left is to be told before an open tidies it up.
        parser.set_defaults(recover=False)
        parser.add_argument("-q", "--quiet", action="store_true", help="draw no progress bar")
        _add_json(parser)
