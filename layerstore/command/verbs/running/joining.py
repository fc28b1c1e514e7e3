"""The verb exec: a second command beside one that runs.

Owns its exit status and what it prints. The store isn't opened: whoever runs the first one needn't
have it open either.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from layerstore.command.verbs.long_forms import variables_of
from layerstore.command.verbs.running.attached import (
    Signals,
    environment,
    outputs,
    root_of,
    tell_of_memory,
)
from layerstore.drivers.errors import CommandNotRun, NotRunning
from layerstore.sandbox.reachable import ExecOptions
from layerstore.sandbox.records import member_of
from layerstore.sandbox.running import Running


def execute(options: argparse.Namespace) -> int:
    """Run a second command; returns its exit status, or one of docker's."""
    try:
        return _execute(options)
    except CommandNotRun as error:
        print(f"layerstore: {error}", file=sys.stderr)
        return error.status


def _execute(options: argparse.Namespace) -> int:
    name, *argv = options.words
    in_files = [variable for path in options.env_files for variable in variables_of(path)]
    asked: ExecOptions = {
        "env": environment([*in_files, *options.env]),
        "time_limit": options.time_limit,
    }
    if options.workdir is not None:
        asked["workdir"] = options.workdir
    if options.user is not None:
        asked["user"] = options.user
    stdin = None if options.interactive else subprocess.DEVNULL
    signals = Signals()
    root = root_of(options)
    with (
        signals.passed_on(),
        member_of(root, name) as first,
        outputs(options) as (out, err),
    ):
        spec = first.second(argv, terminal=options.tty, **asked)
        with Running(spec.root, spec, stdin=stdin, stdout=out, stderr=err, joins=first) as running:
            signals.attach(running)
            try:
                finished = signals.as_told(running.wait())
            except NotRunning as error:  # it ended meanwhile
                raise NotRunning(name) from error
    tell_of_memory(finished, None)
    return finished.status
