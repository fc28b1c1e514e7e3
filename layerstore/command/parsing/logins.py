"""The verbs about who asks registries, with their arguments and help."""

from __future__ import annotations

from layerstore.command.parsing.grammar import Commands, Verbs, add_verb
from layerstore.command.parsing.registries import add_registry_options


def _add_login(commands: Commands, about: str) -> None:
    from layerstore.command.verbs.registries import logins

    login = add_verb(
        commands,
        "login",
        logins.login,
        about,
        details="""
        The registry is asked whether it takes them; only then they are kept, in docker's
        config.json ($DOCKER_CONFIG or ~/.docker), in $REGISTRY_AUTH_FILE, or where credHelpers and
        credsStore there say. Without -u what is known already is tried first. What isn't said is
        asked for.
        """,
        examples="""
        echo secret | layerstore login -u me --password-stdin localhost:5000
        """,
        opens=False,
    )
    login.add_argument("registry", nargs="?", metavar="REGISTRY", help=_REGISTRY)
    login.add_argument("-u", "--username", metavar="USER")
    passwords = login.add_mutually_exclusive_group()
    passwords.add_argument(
        "-p", "--password", metavar="PASSWORD", help="which the list of processes shows meanwhile"
    )
    passwords.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input"
    )
    add_registry_options(login, creds=False)


def _add_logout(commands: Commands, about: str) -> None:
    from layerstore.command.verbs.registries import logins

    logout = add_verb(
        commands,
        "logout",
        logins.logout,
        about,
        details="""
        Where login keeps them. Those of containers' auth.json stay, unless it is the one that
        --authfile names.
        """,
        examples="""
        layerstore logout localhost:5000
        """,
        opens=False,
    )
    logout.add_argument("registry", nargs="?", metavar="REGISTRY", help=_REGISTRY)
    logout.add_argument("--authfile", metavar="FILE", help="instead of docker's config.json")
    # What else is asked of the machine's settings is the default registry.
    logout.set_defaults(tls_verify=None, cert_dir=None)


_REGISTRY = "host, with its port (default: docker.io, or the first that registries.conf searches)"

LOGIN_VERBS: Verbs = {
    "login": ("Keep a user and password for a registry", _add_login),
    "logout": ("Forget the user and password for a registry", _add_logout),
}
"""Those about who asks."""
