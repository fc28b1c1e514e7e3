"""Files of credentials: docker's config.json, and containers' auth.json, which are alike.

Owns their format as it is read; `writing` changes them. Sources: docker/cli:
cli/config/configfile; containers-auth.json(5).
"""

from __future__ import annotations

import base64

from msgspec import Struct

from layerstore.drivers.errors import InvalidArgument, InvalidSettings
from layerstore.images.registry.configured.files import read_json
from layerstore.images.registry.logins.keys import key_of, normal_key, wanted_keys
from layerstore.images.registry.logins.login import Login
from layerstore.images.registry.logins.programs import got


class Entry(Struct):
    """What a file says about one registry."""

    auth: str | None = None
    username: str | None = None
    password: str | None = None
    identitytoken: str | None = None
    registrytoken: str | None = None


class AuthFile(Struct, rename="camel"):
    """What is read of a file."""

    auths: dict[str, Entry | None] | None = None
    cred_helpers: dict[str, str] | None = None
    creds_store: str | None = None

    def helper(self, registry: str) -> tuple[str, str] | None:
        """Return the program that keeps a registry's credentials, and by which key it does."""
        for key, program in (self.cred_helpers or {}).items():
            if normal_key(key) == registry:
                return (program, key) if program else None
        return (self.creds_store, key_of(registry)) if self.creds_store else None

    def login(self, path: str, registry: str, repository: str) -> Login | None:
        """Return who one is at a repository, by the file, which lies at `path`, or by its program.

        Raises InvalidSettings, and RegistryError for a program that fails.
        """
        program = self.helper(registry)
        if program is not None:
            found = got(*program)
            # What is kept for all registries may have been begun later than the file.
            if found is not None or program[0] != self.creds_store:
                return found
        auths = self.auths or {}
        for wanted in wanted_keys(registry, repository):
            # The very key first; there may be others of old.
            for key in [wanted, *(key for key in auths if normal_key(key) == wanted)]:
                entry = auths.get(key)
                found = _login(path, key, entry) if entry is not None else None
                if found is not None:
                    return found
        return None


def read_auth_file(path: str) -> AuthFile | None:
    """Read a file, None where there is none. Raises InvalidSettings and DriverError."""
    return read_json(path, AuthFile)


def encoded(login: Login) -> str:
    """Return the user and the secret as files have them."""
    return base64.b64encode(f"{login.user}:{login.secret}".encode()).decode()


def _login(path: str, key: str, entry: Entry) -> Login | None:
    user, secret = entry.username or "", entry.password or ""
    if entry.auth:
        try:
            text = base64.b64decode(entry.auth, validate=True).decode()
        except ValueError:
            raise InvalidSettings(path, f"auths[{key!r}].auth is no base64") from None
        user, colon, secret = text.partition(":")
        if not colon:
            raise InvalidSettings(path, f"auths[{key!r}].auth has no : after the user")
        secret = secret.strip("\0")
    try:
        found = Login(
            user=user,
            secret=secret,
            identity_token=entry.identitytoken or "",
            registry_token=entry.registrytoken or "",
        )
    except InvalidArgument:
        raise InvalidSettings(path, f"auths[{key!r}] holds half a character") from None
    return found if found != Login() else None
