"""The verbs about read-write layers, with their arguments and help."""

from __future__ import annotations

import argparse

from layerstore.command.parsing import grammar
from layerstore.command.parsing.grammar import Commands, Verb, Verbs, add_verb
from layerstore.command.parsing.limits import add_storage
from layerstore.command.parsing.registries import add_pulling, add_remotely


def _add_create(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import changing

    create = add_verb(
        commands,
        "create",
        changing.create,
        about,
        details="It takes a moment, however large the image is: nothing is copied.",
        examples="""
        layerstore create job-1 --image app:1
        layerstore create --name job-2 app:1
        layerstore create empty
        layerstore create --scratch=memory --storage-opt size=64m job-3 --image app:1
        """,
        makes=True,
    )
    create.add_argument("given", metavar="NAME", help="or, after --name, an IMAGE, as with docker")
    create.add_argument(
        "command", nargs="*", type=_no_command, metavar="COMMAND", help=argparse.SUPPRESS
    )
    create.add_argument("--image", metavar="IMAGE", help="what it is made from (default: nothing)")
    create.add_argument("--name", dest="own_name", metavar="NAME", help="the name")
    _add_label(create)
    add_storage(create)
    add_pulling(create)


def _no_command(text: str) -> str:
    raise argparse.ArgumentTypeError(
        f"{text!r}: create keeps nothing of a command; layerstore run runs one"
    )


def _add_mount(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import changing

    mount = add_verb(
        commands,
        "mount",
        changing.mount,
        about,
        details="""
        The mount stays until umount or rm, whichever command is run. One that is there already is
        only shown.
        """,
        examples='ls "$(layerstore mount web)"',
    )
    mount.add_argument("name", metavar="NAME")
    _add_label(mount)


def _add_label(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mount-label", default="", help="SELinux context")


def _add_fork(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import changing

    fork = add_verb(
        commands,
        "fork",
        changing.fork,
        about,
        details="""
        It may be mounted and in use: each file is taken as it is at some moment meanwhile. Nothing
        is committed, and where the file system can, nothing is copied.
        """,
        examples="""
        layerstore fork web branch-1
        layerstore fork --pause web branch-2 branch-3
        """,
    )
    fork.add_argument(
        "--pause",
        action="store_true",
        help="have a command that runs in it stand still meanwhile, so that all is of one moment",
    )
    fork.add_argument("name", metavar="NAME", help="or the start of an ID")
    fork.add_argument("new", nargs="+", metavar="NEW", help="the name of one more")


def _add_reset(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import changing

    parser = _add_of_many(
        commands,
        "reset",
        changing.reset,
        about,
        examples="""
        layerstore umount web
        layerstore reset web
        """,
    )
    grammar.add_wait(parser)


def _add_unmount(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import changing

    _add_of_many(commands, "umount", changing.unmount, about)


def _add_remove(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import changing

    parser = _add_of_many(commands, "rm", changing.remove, about)
    grammar.add_wait(parser)
    parser.add_argument(
        "-f", "--force", action="store_true", help="no failure where one isn't there"
    )
    grammar.add_nothing(parser, "-v", "--volumes", why="no volume belongs to a layer")


def _add_of_many(
    commands: Commands, name: str, run: Verb, about: str, *, examples: str = ""
) -> argparse.ArgumentParser:
    parser = add_verb(
        commands,
        name,
        run,
        about,
        details="NAME may be the start of an ID. Bad names don't keep the others.",
        examples=examples or f"layerstore {name} web",
    )
    parser.add_argument("names", nargs="+", metavar="NAME")
    return parser


def _add_diff(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import listings

    diff = add_verb(
        commands,
        "diff",
        listings.diff,
        about,
        details="A line for each path that differs from the image, as docker diff.",
        examples="""
        layerstore diff web
        layerstore diff web --format '{{.Path}}'
        """,
    )
    diff.add_argument("name", metavar="NAME")
    grammar.add_forms(diff, listings.CHANGES.titles)


def _add_commit(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import changing

    commit = add_verb(
        commands,
        "commit",
        changing.commit,
        about,
        details="On the image it was made from, whose configuration it gets. Prints the image ID.",
        examples="""
        layerstore commit web app:2 -m "what changed"
        layerstore commit -c 'WORKDIR /srv' web app:3
        """,
    )
    commit.add_argument("name", metavar="NAME")
    commit.add_argument("image", nargs="?", metavar="IMAGE", help="name of the new image")
    commit.add_argument("-a", "--author", default="")
    grammar.add_nothing(
        commit, "-p", "--pause", why="nothing is paused, so what writes to it should be quiet"
    )
    grammar.add_message(commit)
    grammar.add_changes(commit)
    grammar.add_sparse(commit)
    commit.add_argument(
        "--skip-whiteout-names",
        action="store_true",
        help="leave out files that a layer can't have, as .wh.name would say that name is gone",
    )


def _add_copy(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import transport

    copy = add_verb(
        commands,
        "cp",
        transport.copy_files,
        about,
        details="""
        One of the two is NAME:PATH. Into a directory that is there a file or directory goes under
        its own name; SOURCE/. stands for what is in a directory. With - for the other one, a tar
        (plain, gzip or zstd) is read from standard input, or one is written to standard output.

        Symbolic links in the read-write layer are resolved inside of it. What is copied out belongs
        to whoever runs this, what is copied in to root, unless --archive keeps the owners. Other
        file systems mounted beneath a directory aren't copied.
        """,
        examples="""
        layerstore cp rootfs.tar web:/srv/
        layerstore cp web:/etc/hostname name
        layerstore cp web:/etc - | tar -x
        """,
    )
    copy.add_argument("source", metavar="SOURCE")
    copy.add_argument("target", metavar="TARGET")
    copy.add_argument("-a", "--archive", action="store_true", help="keep users and groups")
    copy.add_argument(
        "-L", "--follow-link", action="store_true", help="copy what a link SOURCE leads to"
    )
    grammar.add_nothing(copy, "-q", "--quiet", why="no progress is drawn anyway")


def _add_list(commands: Commands, about: str) -> None:
    from layerstore.command.output.filters import MOUNT_FILTERS
    from layerstore.command.verbs import listings

    ls = add_verb(
        commands,
        "ls",
        listings.mounts,
        about,
        details="With the image each was made from and, where it is mounted, the path.",
        examples="""
        layerstore ls
        layerstore ls --filter status=mounted --format 'table {{.Name}}\\t{{.Path}}'
        layerstore ls --filter name=job- -q
        """,
    )
    grammar.add_nothing(ls, "-a", "--all", why="all are listed anyway")
    ls.add_argument(
        "-n", "--last", type=grammar.whole_number, metavar="N", help="the N made last, newest first"
    )
    ls.add_argument(
        "-l", "--latest", dest="last", action="store_const", const=1, help="the one made last"
    )
    ls.add_argument("-s", "--size", action="store_true", help="show sizes: its own, and in all")
    grammar.add_ids(ls, "names")
    grammar.add_filter(ls, MOUNT_FILTERS)
    grammar.add_forms(ls, listings.MOUNTS.titles)


def _add_inspect(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import inspecting

    inspect = add_verb(
        commands,
        "inspect",
        inspecting.inspect,
        about,
        details="""
        A JSON array, with docker's keys where docker has the fact. A name is looked for among
        read-write layers, then images, then layers (by chain ID, or its start).
        """,
        examples="""
        layerstore inspect web app:1
        layerstore inspect --format '{{json .Config.Cmd}}' app:1
        layerstore inspect --type mount --format '{{.Path}}' web
        layerstore inspect --remote localhost:5000/app:1
        """,
    )
    inspect.add_argument("names", nargs="+", metavar="NAME")
    inspect.add_argument(
        "--type",
        choices=("mount", "container", "image", "layer"),
        help="look for this only; container is docker's word for mount",
    )
    inspect.add_argument(
        "-f",
        "--format",
        metavar="TEMPLATE",
        help="text with {{.Key}}, {{.Key.Key}} and {{json .Key}}",
    )
    add_remotely(inspect)
    grammar.add_nothing(inspect, "-s", "--size", why="sizes are told anyway")


MOUNT_VERBS: Verbs = {
    "create": ("Make a read-write layer and print its ID", _add_create),
    "fork": ("Make read-write layers with what one has now", _add_fork),
    "reset": ("Undo all changes of read-write layers", _add_reset),
    "mount": ("Mount a read-write layer and print the path", _add_mount),
    "umount": ("Unmount read-write layers", _add_unmount),
    "rm": ("Remove read-write layers, unmounting them first", _add_remove),
    "diff": ("List what is changed: Added, Changed, Deleted", _add_diff),
    "commit": ("Make an image of a read-write layer's changes", _add_commit),
    "cp": ("Copy files into or out of a read-write layer", _add_copy),
    "ls": ("List read-write layers", _add_list),
    "inspect": ("Print all that is known of read-write layers, images and layers", _add_inspect),
}
"""Those about read-write layers."""
