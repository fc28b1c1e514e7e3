"""The verb unshare: a command in the user namespace in which an ordinary user's store is used.

Owns what that command gets: the store's path, and nothing of this process's but its ID.
"""

from __future__ import annotations

import argparse
import os
import signal

from layerstore.api.user_namespace import enter_user_namespace
from layerstore.drivers.errors import CommandNotRun

_SHELL = "/bin/sh"


def unshare(options: argparse.Namespace) -> int:
    """Become a command, as root of a user namespace; returns only by an error."""
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    words = words or [os.environ.get("SHELL") or _SHELL]
    root = os.path.realpath(options.root)
    enter_user_namespace(root)
    # There it is root, whose store would be another.
    environment = {**os.environ, "LAYERSTORE_ROOT": root}
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(words[0], words, environment)  # noqa: S606
    except OSError as error:
        raise CommandNotRun(words[0], error.errno or 0) from error
