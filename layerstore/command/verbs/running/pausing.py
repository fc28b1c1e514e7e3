"""The verbs pause and resume: commands that run stand still, and go on.

Owns what is printed: the name of each, as docker does.
"""

from __future__ import annotations

import argparse

from layerstore.command.verbs.running.attached import root_of
from layerstore.sandbox.records import member_of


def pause(options: argparse.Namespace) -> int:
    """Have all processes of runs stand still."""
    root = root_of(options)
    for name in options.names:
        with member_of(root, name) as member:
            member.group().freeze()
        print(name)
    return 0


def resume(options: argparse.Namespace) -> int:
    """Have them go on."""
    root = root_of(options)
    for name in options.names:
        with member_of(root, name) as member:
            member.group().thaw()
        print(name)
    return 0
