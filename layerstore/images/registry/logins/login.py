"""Who somebody is to one registry."""

from __future__ import annotations

from msgspec import Struct

from layerstore.drivers.errors import InvalidArgument


class Login(Struct, frozen=True, kw_only=True):
    """A user and a secret, or a token that stands for both. It is never printed.

    Raises InvalidArgument for what is no text.
    """

    user: str = ""
    secret: str = ""
    """Password, or what the registry gives out to be used as one."""
    identity_token: str = ""
    """An OAuth2 refresh token, by which a token server is asked instead of user and secret."""
    registry_token: str = ""
    """A bearer token that the registry itself takes as it is."""

    def __post_init__(self) -> None:
        try:
            "".join((self.user, self.secret, self.identity_token, self.registry_token)).encode()
        except UnicodeEncodeError:
            # As a terminal gives bytes that are no character; they aren't told, they may be secret.
            raise InvalidArgument(
                "login", "a user and a password are of whole characters"
            ) from None

    def __repr__(self) -> str:
        return f"Login(user={self.user!r}, ...)"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("user", self.user)]
