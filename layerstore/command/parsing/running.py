"""The verbs about commands that run already: exec, pause, resume, stats."""

from __future__ import annotations

import argparse

from layerstore.command.parsing import grammar
from layerstore.command.parsing.grammar import Commands, Verb, Verbs, add_verb
from layerstore.command.parsing.run import add_words, time_limit


def _add_exec(commands: Commands, about: str) -> None:
    from layerstore.command.verbs.running import joining

    parser = add_verb(
        commands,
        "exec",
        joining.execute,
        about,
        details="""
        The command joins all namespaces and bounds of the first one, and has no more privileges
        than that. Variables, working directory and user are the first one's where nothing else is
        said. It ends with the first one at the latest.

        The exit status is the command's; 128 and its number where a signal killed it; 124 where its
        time was over; 126 where the program can't be executed, 127 where there is none; 1 where it
        could not be started.
        """,
        examples="""
        layerstore exec box ps
        layerstore exec -u 1000 -e LEVEL=2 box sh -c 'echo $LEVEL'
        """,
        opens=False,
    )
    parser.add_argument(
        "words",
        nargs=argparse.PARSER,
        metavar="NAME",
        help="of the read-write layer in which a command runs, and the command with its words",
    )
    add_words(parser)
    parser.add_argument(
        "--time-limit", type=time_limit, metavar="SECONDS", help="kill it after that long"
    )


def _add_pause(commands: Commands, about: str) -> None:
    from layerstore.command.verbs.running import pausing

    _add_of_names(
        commands,
        "pause",
        pausing.pause,
        about,
        details="They mind no signal but SIGKILL until resume; a time limit goes on.",
    )


def _add_resume(commands: Commands, about: str) -> None:
    from layerstore.command.verbs.running import pausing

    _add_of_names(commands, "resume", pausing.resume, about)


def _add_of_names(
    commands: Commands, verb: str, run: Verb, about: str, *, details: str = ""
) -> None:
    examples = f"layerstore {verb} box"
    parser = add_verb(commands, verb, run, about, details=details, examples=examples, opens=False)
    parser.add_argument("names", nargs="+", metavar="NAME")


def _add_stats(commands: Commands, about: str) -> None:
    from layerstore.command.verbs.running import stats

    parser = add_verb(
        commands,
        "stats",
        stats.stats,
        about,
        details="""
        Drawn again each second; q ends it. CPU is the part of one CPU's time, memory is without
        page cache that is for the taking. What this machine doesn't count is shown as --.
        """,
        examples="""
        layerstore stats --no-stream
        layerstore stats --no-stream --format '{{.Name}} {{.MemPeak}}' box
        layerstore stats --json box
        """,
        opens=False,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="(default: all that run)")
    parser.add_argument("--no-stream", action="store_true", help="once, after a second")
    grammar.add_forms(parser, stats.STATS.titles)
    grammar.add_nothing(parser, "-a", "--all", why="what doesn't run uses nothing")
    grammar.add_nothing(parser, "--no-trunc", why="nothing is cut short")


RUNNING_VERBS: Verbs = {
    "exec": ("Run a second command beside one that runs", _add_exec),
    "pause": ("Have all processes of runs stand still", _add_pause),
    "resume": ("Have paused runs go on", _add_resume),
    "stats": ("Show what runs use: CPU time, memory, processes", _add_stats),
}
