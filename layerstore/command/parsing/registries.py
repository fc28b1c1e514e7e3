"""The verbs that ask registries, with their arguments and help, and what others have of these.

The options are docker's, skopeo's and podman's; `registries` of the command reads those that say
who asks, and how sure it has to be.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, get_args

from layerstore.command.parsing import grammar
from layerstore.command.parsing.grammar import Commands, Verbs, add_verb
from layerstore.drivers.errors import InvalidArgument
from layerstore.images.distribution.policy import PARALLEL, PullPolicy, PushFormat

if TYPE_CHECKING:
    from layerstore.images.registry.logins.login import Login


def add_registry_options(parser: argparse.ArgumentParser, *, creds: bool = True) -> None:
    """Add --authfile, --tls-verify, --cert-dir and, unless it is said otherwise, --creds."""
    parser.add_argument(
        "--authfile",
        metavar="FILE",
        help="credentials, instead of those in containers' auth.json and docker's config.json",
    )
    if creds:
        parser.add_argument(
            "--creds",
            type=_login,
            metavar="USER:PASSWORD",
            help="who asks the registry; layerstore login keeps it out of the list of processes",
        )
    parser.add_argument(
        "--tls-verify",
        action=argparse.BooleanOptionalAction,
        help="whether certificates must be good, and plain HTTP isn't tried (default: as "
        "registries.conf and daemon.json say; for this machine itself they needn't)",
    )
    parser.add_argument(
        "--insecure",
        dest="tls_verify",
        action="store_false",
        default=None,
        help="the same as --no-tls-verify",
    )
    parser.add_argument(
        "--cert-dir",
        metavar="DIR",
        help="*.crt of authorities, and *.cert and *.key that say who asks (default: the "
        "registry's in certs.d)",
    )


def add_pulling(parser: argparse.ArgumentParser) -> None:
    """Add what says whether and how an image is fetched that a command is for."""
    parser.add_argument(
        "--pull",
        choices=get_args(PullPolicy),
        default="missing",
        help="ask the image's registry for it always, if it isn't in the store (the default), or "
        "never",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="tell nothing of fetching it")
    _add_platform(parser)
    parser.set_defaults(parallel=PARALLEL)
    add_registry_options(parser)
    grammar.add_nothing(parser, "--disable-content-trust", why="no signature is looked at")


def _add_platform(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--platform", help="os/architecture[/variant] to fetch (default: this machine's)"
    )


def _add_pull(commands: Commands, about: str) -> None:
    from layerstore.command.verbs.registries import asking

    pull = add_verb(
        commands,
        "pull",
        asking.pull,
        about,
        details="""
        A name without a registry is of docker's own one, unless registries.conf says otherwise. Of
        a multi-platform image the one for this machine is fetched. Layers that are in the store
        already aren't fetched again; a pull that ends in the middle leaves those that were whole,
        and the next one goes on from there. Mirrors, certificates and credentials are read where
        docker and containers have theirs.
        """,
        examples="""
        layerstore pull localhost:5000/app:1
        layerstore pull --platform linux/arm64 --quiet localhost:5000/app:1
        """,
        makes=True,
    )
    pull.add_argument("image", metavar="NAME[:TAG|@DIGEST]")
    pull.add_argument(
        "-a", "--all-tags", action="store_true", help="fetch all that the repository has"
    )
    pull.add_argument("-q", "--quiet", action="store_true", help="print the name only")
    _add_platform(pull)
    pull.add_argument(
        "--parallel",
        type=int,
        default=PARALLEL,
        metavar="N",
        help=f"layers that are fetched at once (default: {PARALLEL})",
    )
    add_registry_options(pull)
    grammar.add_nothing(pull, "--disable-content-trust", why="no signature is looked at")


def _add_push(commands: Commands, about: str) -> None:
    from layerstore.command.verbs.registries import pushing

    push = add_verb(
        commands,
        "push",
        pushing.push,
        about,
        details="""
        Under its name, or under the one that follows it. What the registry has isn't sent, also
        where that is in another repository, if layers were pulled or pushed there before. All else
        is compressed to the same bytes each time.
        """,
        examples="""
        layerstore push app:1 localhost:5000/team/app:1
        layerstore tag app:1 localhost:5000/app:2 && layerstore push localhost:5000/app:2
        layerstore push --all-tags --quiet localhost:5000/app
        layerstore push --compression zstd app:1 localhost:5000/app:zstd
        """,
    )
    push.add_argument("image", metavar="NAME[:TAG]")
    push.add_argument("target", nargs="?", metavar="TARGET", help="what it is to be called there")
    push.add_argument(
        "-a", "--all-tags", action="store_true", help="push all tags that the repository has here"
    )
    push.add_argument("-q", "--quiet", action="store_true", help="print the names only")
    _add_format(push, "docker's, unless a layer is compressed by zstd")
    push.add_argument(
        "--compression",
        choices=("gzip", "zstd"),
        help="of all layers, also of those that are there otherwise (default: gzip, of new ones)",
    )
    push.add_argument(
        "--compression-level",
        type=int,
        metavar="N",
        help="1 to 9 with gzip (default: 4), 1 to 19 with zstd (default: 3)",
    )
    push.add_argument(
        "--allow-nondistributable",
        action="store_true",
        help="push layers, too, that are to be fetched from elsewhere",
    )
    push.add_argument(
        "--parallel",
        type=int,
        default=PARALLEL,
        metavar="N",
        help=f"layers that are sent at once (default: {PARALLEL})",
    )
    add_registry_options(push)
    grammar.add_nothing(push, "--disable-content-trust", why="nothing is signed")


def _add_format(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--format",
        choices=get_args(PushFormat),
        help=f"whose media types the manifest has (default: {default})",
    )


def _add_index(commands: Commands, about: str) -> None:
    from layerstore.command.verbs.registries import pushing

    index = add_verb(
        commands,
        "index",
        pushing.index,
        about,
        details="""
        A pull of that name gets the one that is for its machine. All have been pushed to the same
        repository, and each is listed with the platform that it says it is for; of a multi-platform
        image all that it lists are.
        """,
        examples="""
        layerstore index localhost:5000/app:1 localhost:5000/app:amd64 localhost:5000/app:arm64
        """,
        opens=False,
    )
    index.add_argument("name", metavar="NAME[:TAG]")
    index.add_argument("members", nargs="+", metavar="IMAGE", help="by tag or by digest")
    _add_format(index, "docker's, if all that it lists have them")
    add_registry_options(index)


def _add_tags(commands: Commands, about: str) -> None:
    from layerstore.command.verbs.registries import asking

    tags = add_verb(
        commands,
        "tags",
        asking.tags,
        about,
        details="As the registry has them; images in the store are listed by layerstore images.",
        examples="""
        layerstore tags localhost:5000/app
        """,
        opens=False,
    )
    tags.add_argument("repository", metavar="REPOSITORY")
    add_registry_options(tags)


def _login(text: str) -> Login:
    from layerstore.images.registry.logins.login import Login

    user, colon, secret = text.partition(":")
    if not (user and colon):
        # Whatever it is, it may be secret.
        raise argparse.ArgumentTypeError("it isn't USER:PASSWORD")
    try:
        return Login(user=user, secret=secret)
    except InvalidArgument:
        raise argparse.ArgumentTypeError("it isn't of whole characters") from None


def add_remotely(parser: argparse.ArgumentParser) -> None:
    """Add --remote, of inspect, with what is asked by: then no store is opened."""
    parser.add_argument(
        "--remote",
        nargs=0,
        action=_Remotely,
        help="ask the registries of images, without fetching these",
    )
    parser.add_argument(
        "--platform", help="with --remote: os/architecture[/variant] (default: this machine's)"
    )
    add_registry_options(parser)


class _Remotely(argparse.Action):
    def __call__(
        self, _parser: argparse.ArgumentParser, found: argparse.Namespace, *_: Any
    ) -> None:
        from layerstore.command.verbs.registries import asking

        found.opens, found.run = False, asking.inspect


REGISTRY_VERBS: Verbs = {
    "pull": ("Fetch an image from its registry", _add_pull),
    "push": ("Give an image to a registry", _add_push),
    "index": ("Have a name of a registry stand for images of several platforms", _add_index),
    "tags": ("List the tags that a repository has in its registry", _add_tags),
}
"""Those that ask registries."""
