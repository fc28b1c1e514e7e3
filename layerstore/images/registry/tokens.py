"""Saying who one is to a registry: by name and secret, or by a token that is got for it.

Owns the tokens and what each host wanted to see; both are forgotten with the client. Secrets go
nowhere but to the host whose they are and, as the registry asks for it, to its realm. None is ever
part of an error.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from msgspec import Struct, structs

from layerstore.drivers.errors import AccessDenied, RegistryError, RegistryUnreachable
from layerstore.images.registry.configured.insecure import is_loopback
from layerstore.images.registry.places import Place
from layerstore.images.registry.wire.answers import Answer, BrokenAnswer, TooLong, shown
from layerstore.images.registry.wire.challenges import Challenge, challenges
from layerstore.images.registry.wire.documents import NotAsExpected, parsed
from layerstore.images.registry.wire.patience import PassingError
from layerstore.images.registry.wire.refusals import complaint, refusal
from layerstore.images.registry.wire.tls import Trust
from layerstore.images.registry.wire.urls import is_web, origin_of, site_of

_MAX_ANSWER = 1 << 20
_MAX_TOKEN = 64 << 10
_LIFE = 60.0
"""Seconds a token is good for where its server doesn't say: docker's least."""
_EARLY = 10.0
"""Seconds before its end that a token is no longer used."""
_MAX_SCOPES = 16
_NOT_US = (400, 401, 403)
"""What realms say to credentials that aren't good; the first is OAuth2's."""
_VISIBLE = re.compile(r"[\x21-\x7e]+\Z")
_WHAT = "to log in"


class Login(Protocol):
    """Who one is at a place; what isn't known is empty."""

    @property
    def user(self) -> str:
        """The name."""

    @property
    def secret(self) -> str:
        """The password, or what stands for it."""

    @property
    def identity_token(self) -> str:
        """What tokens are got for, rather than for a password."""

    @property
    def registry_token(self) -> str:
        """A token that is shown as it is."""


class Logins(Protocol):
    """Who one is, place by place."""

    def for_place(self, place: Place) -> Login | None:
        """Return who one is there; None for nobody."""


class Asks(Protocol):
    """What asks a token server: `RegistryClient.send`."""

    def __call__(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        trust: Trust,
        body: bytes | None,
        about: tuple[Place, str],
    ) -> Answer:
        """Ask once; raises PassingError and RegistryError."""


class Visit(Struct, frozen=True):
    """Where something is about to be asked, and what for."""

    ask: Asks
    scheme: str
    place: Place
    scopes: frozenset[str]
    """What a token has to be good for, as in `repository:team/app:pull`."""

    @property
    def home(self) -> str:
        """What URLs of the place begin with."""
        return f"{self.scheme}://{self.place.host}"

    @property
    def met(self) -> tuple[str, bool]:
        """Who is spoken to, and whether that is sure: else it may be somebody else who answers."""
        return self.home, self.place.verify

    @property
    def key(self) -> tuple[str, bool, str, frozenset[str]]:
        """What a token is kept for."""
        return *self.met, self.place.registry, self.scopes


class _Token(Struct, frozen=True):
    header: str
    until: float


class _Answered(Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None


class Tokens:
    """The tokens of a client."""

    __slots__ = ("_logins", "_tokens", "_wanted")

    def __init__(self, logins: Logins | None) -> None:
        self._logins = logins
        self._wanted: dict[tuple[str, bool], Challenge] = {}
        self._tokens: dict[tuple[str, bool, str, frozenset[str]], _Token] = {}

    def header(self, visit: Visit) -> str | None:
        """Return the Authorization that is known to be wanted there; None if none is."""
        wanted = self._wanted.get(visit.met)
        if wanted is None:
            return None
        token = self._tokens.get(visit.key)
        if token is not None and token.until > time.monotonic():
            return token.header
        return self._made(wanted, visit, visit.scopes)

    def challenged(self, visit: Visit, refused: Answer, shown: str | None) -> str | None:
        """Return the Authorization that a refusal asks for, got anew; None if that was `shown`.

        Raises AccessDenied where nobody has logged in, or the realm says no.
        """
        wanted = _chosen(challenges(refused.headers.getlist("WWW-Authenticate")))
        if wanted is None:
            return None
        self._wanted[visit.met] = wanted
        made = self._made(wanted, visit, visit.scopes | _more(wanted, visit.scopes))
        if made is None:
            raise AccessDenied(visit.place.registry, _WHAT, "it wants a login, and there is none")
        return made if made != shown else None

    def _made(self, wanted: Challenge, visit: Visit, scopes: frozenset[str]) -> str | None:
        login = self._logins.for_place(visit.place) if self._logins is not None else None
        if wanted.scheme == "basic":
            return _basic(login) if login is not None and login.user else None
        if login is not None and login.registry_token:
            return f"Bearer {_checked_token(login.registry_token, visit.place, _WHAT)}"
        realm = _checked_realm(wanted.parameters.get("realm", ""), visit, login)
        service = wanted.parameters.get("service", "")
        token = _got(visit, realm, service, scopes, login)
        self._tokens[visit.key] = token
        return token.header


def _got(
    visit: Visit, realm: str, service: str, scopes: frozenset[str], login: Login | None
) -> _Token:
    """Get a token of a realm, as docker's and OAuth2's protocols have it."""
    place = visit.place
    headers = {"Accept": "application/json"}
    about = [("service", service)] if service else []
    body = None
    if login is not None and login.identity_token:
        form = [("grant_type", "refresh_token"), ("refresh_token", login.identity_token)]
        form += [("client_id", "layerstore"), ("scope", " ".join(sorted(scopes))), *about]
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        method, url, body = "POST", realm, urlencode(form).encode()
    else:
        about += [("scope", scope) for scope in sorted(scopes)]
        if login is not None and login.user:
            about.append(("account", login.user))
            headers["Authorization"] = _basic(login)
        method, url = "GET", _with_query(realm, about)
    trust = trust_of(place, is_home=origin_of(realm) == origin_of(visit.home))
    if _has_to_be_sure(realm, place, login):
        trust = structs.replace(trust, verify=True)
    what = f"token from {site_of(realm)}"
    return _read(visit.ask(method, url, headers, trust, body, (place, what)), place, what)


def trust_of(place: Place, *, is_home: bool) -> Trust:
    """Return how TLS is done at a place, and where it sends us: there nobody has to know us."""
    return Trust(
        verify=place.verify,
        ca_files=place.ca_files,
        client_certificate=place.client_certificate if is_home else None,
    )


def _read(answer: Answer, place: Place, what: str) -> _Token:
    """Return the token that a realm answers with."""
    if answer.status in _NOT_US:
        with answer:
            raise AccessDenied(place.registry, what, complaint(answer))
    if answer.status == 404:  # nothing is said of what is in the registry
        with answer:
            raise RegistryError(place.registry, what, complaint(answer))
    if answer.status != 200:
        raise refusal(answer, place.registry, what)
    try:
        with answer:
            found = parsed(answer.read_all(_MAX_ANSWER), _Answered)
    except TooLong:
        raise RegistryError(place.registry, what, "the answer is too long for a token") from None
    except BrokenAnswer as error:
        raise PassingError(RegistryUnreachable(place.registry, what, str(error))) from error
    except NotAsExpected:
        # What was sent may hold a token, so it isn't told.
        raise RegistryError(place.registry, what, "the answer isn't a token's JSON") from None
    token = _checked_token(found.token or found.access_token or "", place, what)
    life = found.expires_in if found.expires_in and found.expires_in > 0 else _LIFE
    return _Token(f"Bearer {token}", time.monotonic() + life - min(_EARLY, life / 5))


def _chosen(offered: Sequence[Challenge]) -> Challenge | None:
    for kind in ("bearer", "basic"):
        for challenge in offered:
            if challenge.scheme == kind:
                return challenge
    return None


def _checked_token(token: str, place: Place, what: str) -> str:
    if len(token) > _MAX_TOKEN or not _VISIBLE.match(token):
        raise RegistryError(place.registry, what, "there is no token in it that may be one")
    return token


def _checked_realm(realm: str, visit: Visit, login: Login | None) -> str:
    registry = visit.place.registry
    if not is_web(realm):
        reason = f"its realm {shown(realm[:200])!r} is no URL of HTTP"
        raise RegistryError(registry, _WHAT, reason)
    is_plain_fine = visit.scheme == "http" and not _has_to_be_sure(realm, visit.place, login)
    if realm.startswith("http:") and not is_plain_fine:
        raise RegistryError(registry, _WHAT, f"its realm {site_of(realm)} isn't encrypted")
    return realm


def _has_to_be_sure(realm: str, place: Place, login: Login | None) -> bool:
    """Whether a realm must have a good certificate though the registry needn't."""
    return login is not None and place.verify_realm and not is_loopback(origin_of(realm)[1])


def _more(wanted: Challenge, scopes: frozenset[str]) -> frozenset[str]:
    """Return what a challenge wants to be allowed beside what was known of: no other repository."""
    named = tuple(scope.rpartition(":")[0] + ":" for scope in scopes)
    asked = wanted.parameters.get("scope", "").split()[:_MAX_SCOPES]
    return frozenset(s for s in asked if named and s.startswith(named) and _VISIBLE.match(s))


def _with_query(url: str, more: Sequence[tuple[str, str]]) -> str:
    parts = urlsplit(url)
    query = [*parse_qsl(parts.query, keep_blank_values=True), *more]
    return urlunsplit(parts._replace(query=urlencode(query), fragment=""))


def _basic(login: Login) -> str:
    return "Basic " + base64.b64encode(f"{login.user}:{login.secret}".encode()).decode()
