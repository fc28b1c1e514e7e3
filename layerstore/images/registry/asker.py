"""Asking places: a question goes where it is for, with what has to be shown there.

Owns connections, tokens, and what is known of hosts: which scheme they speak. It follows redirects
of what only reads, and shows what is wanted to see to the host that wants it, and to no other.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import version
from typing import TypeVar

from msgspec import Struct

from layerstore.drivers.errors import AccessDenied, RegistryError, RegistryUnreachable
from layerstore.images.registry.places import Place
from layerstore.images.registry.stop import Stop
from layerstore.images.registry.tokens import Logins, Tokens, Visit, trust_of
from layerstore.images.registry.wire.answers import Answer, BrokenAnswer
from layerstore.images.registry.wire.patience import PassingError, Patience, patiently
from layerstore.images.registry.wire.refusals import refusal
from layerstore.images.registry.wire.tls import Trust, Unusable
from layerstore.images.registry.wire.transport import Body, Transport, Unreachable
from layerstore.images.registry.wire.urls import is_web, origin_of, site_of

_T = TypeVar("_T")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 10


class Question(Struct, frozen=True, kw_only=True):
    """One request to a place."""

    place: Place
    path: str
    """From the host's root, as in `/v2/team/app/tags/list`; or a whole URL that the place gave."""
    what: str
    """What is asked for, as errors name it."""
    method: str = "GET"
    headers: Mapping[str, str] = {}
    body: Body | None = None
    scopes: frozenset[str] = frozenset()
    """What a token has to be good for, as in `repository:team/app:pull`."""
    fine: Collection[int] = frozenset({200})
    """Statuses that are no error."""
    is_anonymous: bool = False
    """Whether it is asked of a host that isn't to know who we are."""


class Asker:
    """What asks, for any number of threads at once."""

    __slots__ = ("_agent", "_schemes", "_tokens", "_transport", "patience", "stop")

    def __init__(self, logins: Logins | None, stop: Stop, patience: Patience) -> None:
        self.stop = stop
        self.patience = patience
        self._transport = Transport(patience)
        self._tokens = Tokens(logins)
        self._schemes: dict[str, str] = {}
        self._agent = f"layerstore/{version('layerstore')}"

    def ended_by(self, stop: Stop) -> Asker:
        """Return one that another stop ends, and that has all else in common with this."""
        other = copy.copy(self)
        other.stop = stop
        return other

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def ask(self, question: Question) -> Answer:
        """Ask, and ask again where that may help.

        Raises NotInRegistry, AccessDenied, RegistryUnreachable, RegistryError, JobCancelled.
        """
        return self.patiently(lambda: self.once(question), question.what, question.place)

    def patiently(self, action: Callable[[], _T], what: str, place: Place) -> _T:
        """Do what asks `once`, and again where that may help."""
        return patiently(action, what, self.stop, self.patience, self.attempts(place))

    def attempts(self, place: Place) -> int:
        """Return how often something is tried at a place; of mirrors less is expected."""
        return min(2, self.patience.attempts) if place.is_mirror else self.patience.attempts

    def once(self, question: Question) -> Answer:
        """Ask once; raises PassingError for what may go well another time, else as `ask`."""
        place = question.place
        known = self._schemes.get(place.host)
        schemes = [known] if known in place.schemes else list(place.schemes)
        while True:
            scheme = schemes.pop(0)
            try:
                answer = self._admitted(scheme, question)
            except (PassingError, RegistryUnreachable) as error:
                if not schemes or not self._may_speak_another(place, error.__cause__):
                    raise
            else:
                if answer.status in question.fine:
                    return answer
                refused = refusal(answer, place.registry, question.what)
                self.stop.check(question.what)
                raise refused

    def _may_speak_another(self, place: Place, cause: BaseException | None) -> bool:
        """Whether another scheme may do: not where a host was there, but isn't who it should be."""
        is_known = place.host in self._schemes
        return not is_known and isinstance(cause, BrokenAnswer) and type(cause) is not Unreachable

    def broken(self, place: Place, what: str, error: BrokenAnswer) -> PassingError:
        """Return what is to be raised for an answer that breaks while it is read."""
        self.stop.check(what)
        return PassingError(RegistryUnreachable(place.registry, what, str(error)))

    def _admitted(self, scheme: str, question: Question) -> Answer:
        """Ask by a scheme, and once more with what the refusal asks for."""
        place = question.place
        if question.is_anonymous:
            return self._followed(scheme, question, None)
        visit = Visit(self._sent, scheme, place, question.scopes)
        shown = self._tokens.header(visit)
        answer = self._followed(scheme, question, shown)
        if answer.status != 401 or answer.origin != origin_of(visit.home):
            return answer
        with answer:
            better = self._tokens.challenged(visit, answer, shown)
            if better is None:
                raise refusal(answer, place.registry, question.what)
        if question.body is not None and not isinstance(question.body, bytes | bytearray):
            # What is left of it is not all: whoever sends it knows where to begin again.
            raise PassingError(AccessDenied(place.registry, question.what, answer.state))
        return self._followed(scheme, question, better)

    def _followed(self, scheme: str, question: Question, shown: str | None) -> Answer:
        place, what = question.place, question.what
        home = f"{scheme}://{place.host}"
        if not is_web(home):
            raise RegistryUnreachable(place.registry, what, "no host has such a name and port")
        path = question.path
        url = _allowed(path if "://" in path else home + path, scheme, place, what)
        for _ in range(_MAX_REDIRECTS + 1):
            headers = dict(question.headers)
            is_home = origin_of(url) == origin_of(home)
            if not is_home:
                shown = None  # nor is it shown where others lead us back to
            elif shown is not None:
                headers["Authorization"] = shown
            trust = trust_of(place, is_home=is_home)
            answer = self._sent(question.method, url, headers, trust, question.body, (place, what))
            if is_home and not question.is_anonymous:
                self._schemes[place.host] = scheme  # from now on it is spoken there, and no other
            if answer.status not in _REDIRECTS or question.method not in ("GET", "HEAD"):
                return answer
            with answer:
                url = _allowed(answer.location, scheme, place, what)
        raise RegistryError(place.registry, what, "it redirects again and again")

    def _sent(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        trust: Trust,
        body: Body | None,
        about: tuple[Place, str],
    ) -> Answer:
        place, what = about
        self.stop.check(what)
        try:
            sent = {"User-Agent": self._agent, **headers}
            return self._transport.send(method, url, sent, trust, body, self.stop)
        except Unusable as error:
            raise RegistryError(place.registry, what, str(error)) from error
        except Unreachable as error:
            self.stop.check(what)
            raise RegistryUnreachable(place.registry, what, str(error)) from error
        except BrokenAnswer as error:
            raise self.broken(place, what, error) from error


def _allowed(url: str | None, scheme: str, place: Place, what: str) -> str:
    """Return where a place sends us on that is asked by a scheme; raises RegistryError for where
    it mustn't.
    """
    if url is None or not is_web(url):
        raise RegistryError(place.registry, what, "it sends us on, but to no URL of HTTP")
    if url.startswith("http:") and scheme != "http":
        reason = f"it sends us on to {site_of(url)}, which isn't encrypted"
        raise RegistryError(place.registry, what, reason)
    return url
