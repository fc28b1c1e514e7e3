"""The verb run, with its arguments and help."""

from __future__ import annotations

import argparse

from layerstore.command.parsing import grammar
from layerstore.command.parsing.grammar import Commands, Verbs, add_verb
from layerstore.drivers.errors import InvalidArgument


def _add_run(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import run

    parser = add_verb(
        commands,
        "run",
        run.run,
        about,
        details="""
        Makes a read-write layer from the image, mounts it, runs the command in it apart from this
        machine, and removes it, whatever happens. Command, entrypoint, environment, working
        directory and user are the image's where nothing else is said. Meanwhile others may use the
        store.

        The command has mount, process, IPC, UTS and network namespaces of its own, docker's default
        capabilities, and no way to more. Signals are passed on to it; the third SIGINT or SIGTERM
        kills it.

        The exit status is the command's; 128 and its number where a signal killed it; 124 where its
        time was over; 125 where it could not be started, 126 where the program can't be executed,
        127 where there is none.
        """,
        examples="""
        layerstore run app:1 cat /etc/os-release
        layerstore run -e GREETING=hello -w /tmp app:1 sh -c 'echo $GREETING > here && cat here'
        layerstore run -v "$PWD:/src:ro" --time-limit 60 app:1 ls /src
        layerstore run --commit app:2 app:1 touch /new
        """,
        opens=False,
        short_help=False,
    )
    # As a subparser's arguments, they are all taken as they are: a -- there is the command's own.
    parser.add_argument(
        "words",
        nargs=argparse.PARSER,
        metavar="IMAGE",
        help="and the command with its words (default: the image's)",
    )
    _add_place(parser)
    _add_surroundings(parser)
    grammar.add_pulling(parser)
    grammar.add_nothing(parser, "--sig-proxy", why="signals are always passed on")
    grammar.add_nothing(parser, "--no-healthcheck", why="no health is checked")


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="of the read-write layer (default: a random one)")
    after = parser.add_mutually_exclusive_group()
    after.add_argument("--rm", action="store_true", help="remove it in the end (the default)")
    after.add_argument(
        "--keep", action="store_true", help="keep it, unmounted, for diff and commit"
    )
    parser.add_argument(
        "--commit",
        dest="commit",
        metavar="IMAGE",
        help="make an image of the changes if the command exits with 0",
    )
    parser.add_argument("--read-only", action="store_true", help="nothing in it can be changed")
    parser.add_argument(
        "-v",
        "--volume",
        dest="volumes",
        action="append",
        default=[],
        metavar="SOURCE:/TARGET[:ro]",
        help="show a directory or file of this machine there",
    )
    parser.add_argument(
        "--mount",
        dest="mounts",
        action="append",
        default=[],
        metavar="type=bind,source=SOURCE,target=/TARGET[,readonly]",
        help="the same in docker's long form",
    )


def _add_surroundings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-e", "--env", action="append", default=[], metavar="KEY[=VALUE]")
    parser.add_argument(
        "--env-file",
        dest="env_files",
        action="append",
        default=[],
        metavar="FILE",
        help="a line for each variable, # for comments",
    )
    parser.add_argument("-w", "--workdir", metavar="DIRECTORY")
    parser.add_argument("-u", "--user", metavar="USER[:GROUP]", help="names or numbers")
    parser.add_argument("--entrypoint", metavar="PROGRAM", help="what the command is given to")
    parser.add_argument(
        "-h", "--hostname", metavar="NAME", help="at most 64 bytes (default: the layer's name)"
    )
    parser.add_argument(
        "-i", "--interactive", action="store_true", help="pass standard input to the command"
    )
    parser.add_argument("-t", "--tty", action="store_true", help="give it a terminal")
    parser.add_argument(
        "--init", action="store_true", help="a first process that passes on signals and reaps"
    )
    parser.add_argument(
        "--network",
        "--net",
        choices=("none", "host"),
        default="none",
        help="none: a loopback interface of its own (the default); host: this machine's",
    )
    parser.add_argument(
        "--time-limit", type=_seconds, metavar="SECONDS", help="kill it after that long"
    )


def _seconds(text: str) -> float:
    from layerstore.sandbox.runnable import checked_time_limit

    try:
        return checked_time_limit(float(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from error
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error.grammar}") from error


RUN_VERB: Verbs = {"run": ("Run a command in a new root file system, and remove that", _add_run)}
