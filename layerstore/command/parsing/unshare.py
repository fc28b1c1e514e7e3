"""The verb unshare, with its arguments and help."""

from __future__ import annotations

import argparse

from layerstore.command.parsing.grammar import Commands, Verbs, add_verb


def _add_unshare(commands: Commands, about: str) -> None:
    from layerstore.command.verbs.running.unshare import unshare

    parser = add_verb(
        commands,
        "unshare",
        unshare,
        about,
        details="""
        For ordinary users: it is root there, its mounts last until it has ended, and files of a
        store can be looked at and removed, whoever owns them in their images. Each command of an
        ordinary user's is in such a namespace, and those that run at the same time in the same one.
        """,
        examples="""
        layerstore unshare sh -c 'ls "$(layerstore mount web)"'
        """,
        opens=False,
        makes=True,
    )
    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="COMMAND",
        help="with its words (default: $SHELL)",
    )


UNSHARE_VERB: Verbs = {
    "unshare": ("Run a command as root of the store's user namespace", _add_unshare)
}
