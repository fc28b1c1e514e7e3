"""Who asks a registry: what docker's and containers' files on this machine say, or a program.

Owns where these files are, which one counts, and which is written. A secret goes out by
`for_place` alone.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from msgspec import Struct

from layerstore.drivers.errors import DriverError, InvalidSettings
from layerstore.images.registry.logins import writing
from layerstore.images.registry.logins.files import AuthFile, read_auth_file
from layerstore.images.registry.logins.login import Login
from layerstore.images.registry.places import Place
from layerstore.images.registry.settings import config_home, home_directory, registry_name

_CONFIG = "config.json"
_AUTH = "auth.json"
_MACHINES = "/run/containers"
"""Where everybody has such a file who has no directory for that. Root's podman makes it."""


class Credentials:
    """Logins by place: those that were given, then those of files, in their order.

    Several threads may ask. A program that keeps credentials is asked once for each place.
    """

    __slots__ = ("_files", "_given", "_known")

    def __init__(self, given: Mapping[str, Login] | None = None) -> None:
        """Make some of logins by what their registries are called, and of no file."""
        self._given = {registry_name(name): login for name, login in (given or {}).items()}
        self._files: list[tuple[str, AuthFile]] = []
        self._known: dict[tuple[str, str], tuple[Login, str] | None] = {}

    @classmethod
    def read(
        cls,
        *,
        authfile: str | None = None,
        given: Mapping[str, Login] | None = None,
        home: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Credentials:
        """Read the files that docker and containers have; `authfile` alone where it is given.

        `given` logins come before those of files, as in `Credentials(given)`. `home` and
        `environment` are the process's by default. Raises InvalidSettings for a file that isn't as
        its format says, DriverError for one that can't be read.
        """
        said = os.environ if environment is None else environment
        place = home_directory() if home is None else home
        credentials = cls(given)
        for path in [authfile] if authfile is not None else _paths(place, said):
            try:
                found = read_auth_file(path)
            except DriverError as error:
                if not (error.errno == errno.EACCES and path.startswith(f"{_MACHINES}/")):
                    raise
                continue  # where root alone gets in, nothing is kept for somebody else
            if found is not None:
                credentials._files.append((path, found))
            elif authfile is not None:
                raise InvalidSettings(path, "there is no such file")
        return credentials

    def for_place(self, place: Place) -> Login | None:
        """Return who asks there, None for nobody.

        Raises InvalidSettings for an entry that can't be read, RegistryError for a program that
        keeps credentials and fails.
        """
        if place.registry in self._given:
            return self._given[place.registry]
        found = self._found(place)
        return found[0] if found is not None else None

    def source(self, place: Place) -> str | None:
        """Return the path of the file that says who asks there. Raises as for_place."""
        found = self._found(place)
        return found[1] if found is not None else None

    def _found(self, place: Place) -> tuple[Login, str] | None:
        wanted = (place.registry, place.repository)
        if wanted not in self._known:
            self._known[wanted] = self._looked_up(*wanted)
        return self._known[wanted]

    def _looked_up(self, registry: str, repository: str) -> tuple[Login, str] | None:
        for path, file in self._files:
            login = file.login(path, registry, repository)
            if login is not None:
                return login, path
        return None

    def __repr__(self) -> str:
        names = [*self._given, *(path for path, _ in self._files)]
        return f"<Credentials of {', '.join(names) or 'nobody'}>"


class Kept(Struct, frozen=True):
    """Where a login is kept."""

    path: str
    """The file that says so."""
    program: str | None
    """NAME of the docker-credential-NAME that has it; None: it is in the file."""


def store_login(registry: str, login: Login, *, authfile: str | None = None) -> Kept:
    """Keep a login for a registry, where docker's command keeps it, or in a file of its form.

    The file is `authfile`, else that of REGISTRY_AUTH_FILE, else docker's config.json. What else is
    in it stays. Whoever else may read it can't any more where the secret itself is in it. Raises
    InvalidArgument for what is no registry, InvalidSettings for a file that isn't as its format
    says, RegistryError for a program that fails, DriverError.
    """
    path = authfile or _written()
    return Kept(path, writing.store_login(path, registry_name(registry), login))


def erase_login(registry: str, *, authfile: str | None = None) -> bool:
    """Forget the login that store_login keeps; returns whether there was one. Raises as that."""
    return writing.erase_login(authfile or _written(), registry_name(registry))


def _written() -> str:
    chosen = os.environ.get("REGISTRY_AUTH_FILE")
    return chosen or docker_config(home_directory(), os.environ)


def docker_config(home: str, environment: Mapping[str, str]) -> str:
    """Return where docker's command keeps credentials."""
    return f"{environment.get('DOCKER_CONFIG') or f'{home}/.docker'}/{_CONFIG}"


def _paths(home: str, environment: Mapping[str, str]) -> list[str]:
    chosen = environment.get("REGISTRY_AUTH_FILE")
    if chosen:
        return [chosen]
    # containers/common: auth.GetDefaultAuthFile; without XDG_RUNTIME_DIR a directory of root's.
    running = environment.get("XDG_RUNTIME_DIR")
    here = f"{running}/containers" if running else f"{_MACHINES}/{os.getuid()}"
    return [
        f"{here}/{_AUTH}",
        f"{config_home(home, environment)}/containers/{_AUTH}",
        docker_config(home, environment),
    ]
