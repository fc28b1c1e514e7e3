"""Who grants access to a registry: a token server, whose signature that registry knows.

Owns the key, the users and what they may. Anybody may pull what is below `public/`; a user who says
the right password, or brings the refresh token that was given for that, may do everything.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import jwt

from tests.support.registries.certificates import Authority, Certificate
from tests.support.registries.http import Connection, Server

SERVICE = "registry.test"
ISSUER = "tokens.test"
USER, PASSWORD = "somebody", "open sesame"
PUBLIC = "public/"


@dataclass
class TokenServer(Server):
    """Gives tokens at `/token`, by GET and by OAuth's POST, as the distribution's documents say."""

    certificate: Certificate = field(kw_only=True)
    """Its key signs; a registry trusts who vouches for it."""
    lifetime: int = 300
    """Seconds that it says tokens are good for."""
    has_oauth: bool = True
    """Else it knows GET alone, as older ones do."""
    granted: list[list[str]] = field(default_factory=list, init=False)
    """The scopes of every token that was given."""
    refreshing: set[str] = field(default_factory=set, init=False)
    """The refresh tokens that it has given, which are as good as the password."""

    @property
    def realm(self) -> str:
        return f"{self.url}/token"

    async def serve(self, connection: Connection) -> None:
        request = connection.request
        is_oauth = request.method == "POST"
        if request.path != "/token" or (is_oauth and not self.has_oauth):
            await connection.answer("404 Not Found")
            return
        said = parse_qs((await connection.body()).decode()) if is_oauth else request.query
        user = self._who(said) if is_oauth else self._basic(request.headers)
        if user is None:
            await connection.answer("401 Unauthorized", {"Content-Type": "application/json"}, b"{}")
            return
        scopes = [scope for value in said.get("scope", []) for scope in value.split(" ")]
        answer = {"expires_in": self.lifetime, "access_token": self._token(user, scopes)}
        if is_oauth:
            answer["scope"] = " ".join(scopes)
        else:
            answer["token"] = answer["access_token"]
        if user and (
            "true" in said.get("offline_token", []) or "offline" in said.get("access_type", [])
        ):
            answer["refresh_token"] = self.refresh_token()
        body = json.dumps(answer).encode()
        await connection.answer("200 OK", {"Content-Type": "application/json"}, body)

    def refresh_token(self) -> str:
        """Return a new one, as `login` has them kept for later."""
        token = secrets.token_urlsafe(20)
        self.refreshing.add(token)
        return token

    def _who(self, said: dict[str, list[str]]) -> str | None:
        match said.get("grant_type"):
            case ["password"]:
                right = said.get("username") == [USER] and said.get("password") == [PASSWORD]
            case ["refresh_token"]:
                right = said.get("refresh_token", [""])[0] in self.refreshing
            case _:
                right = False
        return USER if right else None

    def _basic(self, headers: Mapping[str, str]) -> str | None:
        said = headers.get("authorization")
        if said is None:
            return ""
        right = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return USER if said == f"Basic {right}" else None

    def _token(self, user: str, scopes: list[str]) -> str:
        self.granted.append(scopes)
        now = int(time.time())
        claims = {
            **{"iss": ISSUER, "aud": SERVICE, "sub": user, "jti": secrets.token_hex(8)},
            **{"iat": now, "nbf": now - 10, "exp": now + self.lifetime},
            "access": [access for scope in scopes if (access := _access(user, scope))],
        }
        # The leaf alone: the registry looks for a way from it to the certificates that it trusts.
        leaf = self.certificate.certificate.read_text().split("-----")[2]
        return jwt.encode(
            claims,
            self.certificate.key.read_text(),
            algorithm="ES256",
            headers={"x5c": ["".join(leaf.split())]},
        )


def new_tokens(authority: Authority) -> TokenServer:
    """Return one that isn't serving yet, whose key the authority vouches for."""
    return TokenServer(certificate=authority.issue())


def _access(user: str, scope: str) -> dict[str, object] | None:
    """Return what of a scope a user is granted, as a token says it."""
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    granted = actions.split(",")
    if not user:
        granted = ["pull"] if name.startswith(PUBLIC) and "pull" in granted else []
    return {"type": kind, "name": name, "actions": granted} if granted else None
