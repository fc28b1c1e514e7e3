"""The verb run, with its arguments and help."""

from __future__ import annotations

import argparse

from layerstore.command.parsing import grammar
from layerstore.command.parsing.grammar import Commands, Verbs, add_verb
from layerstore.command.parsing.limits import add_limits, add_storage
from layerstore.command.parsing.registries import add_pulling
from layerstore.drivers.errors import InvalidArgument


def _add_run(commands: Commands, about: str) -> None:
    from layerstore.command.verbs.running import run

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

        The exit status is the command's; 128 and its number where a signal killed it (137, and a
        line on standard error, where that was for want of memory); 124 where its time was over; 125
        where it could not be started, 126 where the program can't be executed, 127 where there is
        none.
        """,
        examples="""
        layerstore run app:1 cat /etc/os-release
        layerstore run -e GREETING=hello -w /tmp app:1 sh -c 'echo $GREETING > here && cat here'
        layerstore run -v "$PWD:/src:ro" --time-limit 60 app:1 ls /src
        layerstore run --network private -p 127.0.0.1:8080:80 app:1 ip route
        layerstore run --commit app:2 app:1 touch /new
        layerstore run -m 512m --cpus 1.5 --pids-limit 100 app:1 ls /
        layerstore run --scratch=memory --storage-opt size=64m app:1 touch /new
        """,
        opens=False,
        short_help=False,
        makes=True,
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
    add_limits(parser)
    add_pulling(parser)
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
    add_storage(parser)
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


def add_words(parser: argparse.ArgumentParser) -> None:
    """Add what is said of any command, a first or a second one."""
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
    parser.add_argument(
        "-i", "--interactive", action="store_true", help="pass standard input to the command"
    )
    parser.add_argument("-t", "--tty", action="store_true", help="give it a terminal")


def _add_surroundings(parser: argparse.ArgumentParser) -> None:
    add_words(parser)
    parser.add_argument("--entrypoint", metavar="PROGRAM", help="what the command is given to")
    parser.add_argument(
        "-h", "--hostname", metavar="NAME", help="at most 64 bytes (default: the layer's name)"
    )
    parser.add_argument(
        "--init", action="store_true", help="a first process that passes on signals and reaps"
    )
    _add_network(parser)
    parser.add_argument(
        "--time-limit", type=time_limit, metavar="SECONDS", help="kill it after that long"
    )


def _add_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--network",
        "--net",
        choices=("none", "host", "private"),
        default="none",
        help="none: a loopback interface of its own (the default); host: this machine's; private:"
        " one of its own with a way out, by slirp4netns or pasta",
    )
    parser.add_argument(
        "-p",
        "--publish",
        action="append",
        default=[],
        metavar="[[ADDRESS:]PORT:]PORT[/udp]",
        help="have a port of this machine lead to one of a private network (default: of all"
        " addresses, any port, which is told then)",
    )
    parser.add_argument(
        "--dns",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="a resolver of a private network (default: this machine's)",
    )


def time_limit(text: str) -> float:
    """Read a time limit in seconds."""
    from layerstore.sandbox.runnable import checked_time_limit

    try:
        return checked_time_limit(float(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from error
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error.grammar}") from error


RUN_VERB: Verbs = {"run": ("Run a command in a new root file system, and remove that", _add_run)}
