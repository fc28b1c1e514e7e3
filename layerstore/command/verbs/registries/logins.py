"""The verbs that say who asks a registry from now on: login, logout; each returns the status.

Owns what is asked for, and docker's words for what comes of it. No password is ever printed.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys

from layerstore.command.output.notes import tell
from layerstore.command.registries import settings_of
from layerstore.drivers.errors import AccessDenied, InvalidArgument
from layerstore.drivers.system.printable import escaped
from layerstore.images.registry.credentials import Credentials, erase_login, store_login
from layerstore.images.registry.logins.login import Login
from layerstore.images.registry.places import Place
from layerstore.images.registry.settings import RegistrySettings, registry_name

_LONGEST = 64 << 10
"""Bytes of a password: tokens of some registries are long."""


def login(options: argparse.Namespace) -> int:
    """Ask a registry whether it takes a login, and keep it where it does."""
    settings = settings_of(options)
    place = settings.registry(options.registry or settings.default_registry)
    known = _read(options).for_place(place)
    if options.password is not None:
        warning = "WARNING! Using --password via the CLI is insecure. Use --password-stdin."
        print(warning, file=sys.stderr)
    says_who = options.username is not None or options.password is not None
    if not (says_who or options.password_stdin or known is None):
        print("Authenticating with existing credentials...")
        if _is_taken(settings, place, known):
            print("Login Succeeded")
            return 0
    given = _given(options, known.user if known is not None else "")
    _check(settings, place, given)
    kept = store_login(place.registry, given, authfile=options.authfile)
    if kept.program is None:
        tell(f"the password is in {kept.path}, unencrypted: credsStore there names a program "
             "that keeps it elsewhere")  # fmt: skip
    used = Credentials.read(authfile=options.authfile).source(place)
    if used not in (None, kept.path):
        tell(f"{used} has a login for {place.registry}, too, which is used rather than this one")
    print("Login Succeeded")
    return 0


def logout(options: argparse.Namespace) -> int:
    """Forget a login."""
    name = registry_name(options.registry or settings_of(options).default_registry)
    if erase_login(name, authfile=options.authfile):
        print(f"Removing login credentials for {name}")
    else:
        print(f"Not logged in to {name}")
    left = _read(options).source(Place(registry=name, host=name, repository=""))
    if left is not None:
        tell(f"{left} has a login for {name} all the same")
    return 0


def _read(options: argparse.Namespace) -> Credentials:
    # Who names a file that isn't there wants it to be made.
    if options.authfile is not None and not os.path.exists(options.authfile):
        return Credentials()
    return Credentials.read(authfile=options.authfile)


def _is_taken(settings: RegistrySettings, place: Place, known: Login) -> bool:
    try:
        _check(settings, place, known)
    except AccessDenied as error:
        print(f"Login did not succeed, error: {escaped(str(error))}", file=sys.stderr)
        return False
    return True


def _check(settings: RegistrySettings, place: Place, given: Login) -> None:
    # Only here: it imports what speaks HTTP.
    from layerstore.images.registry.client import RegistryClient  # noqa: PLC0415

    with RegistryClient(settings, Credentials({place.registry: given})) as client:
        client.check_login(place)


def _given(options: argparse.Namespace, known: str) -> Login:
    """Return what is said in options, and ask for the rest. Raises InvalidArgument."""
    user, password = options.username, options.password
    if options.password_stdin:
        if user is None:
            raise InvalidArgument("--password-stdin", "--username goes with it")
        password = _line(sys.stdin.buffer.read(_LONGEST + 1))
    if (user is None or password is None) and not sys.stdin.isatty():
        what = "nobody can be asked where there is no terminal: --username and --password-stdin"
        raise InvalidArgument("-", f"{what} say it")
    if user is None:
        print(f"Username ({known}): " if known else "Username: ", end="", flush=True)
        user = sys.stdin.readline().strip() or known
    if not user or ":" in user:
        # What is behind the colon may be the password.
        raise InvalidArgument(user.partition(":")[0], "a user's name is not empty and has no colon")
    if password is None:
        password = getpass.getpass("Password: ")
    if not password:
        raise InvalidArgument("", "a password is not empty")
    return Login(user=user, secret=password)


def _line(given: bytes) -> str:
    """Return a password without the end of its line, as docker does. Raises InvalidArgument."""
    if len(given) > _LONGEST:
        raise InvalidArgument("--password-stdin", f"a password has at most {_LONGEST} bytes")
    try:
        return given.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise InvalidArgument("--password-stdin", "a password is UTF-8") from None
