"""A client of registries: what is asked of all of them goes through one.

Owns the way from a name to its repository, and what is open while it is used.
"""

from __future__ import annotations

import copy
import logging
from types import TracebackType
from typing import Protocol, Self

from layerstore.asking.progress import Notice
from layerstore.drivers.model.reference import Reference
from layerstore.images.registry.asker import Asker, Question
from layerstore.images.registry.credentials import Credentials
from layerstore.images.registry.places import Place
from layerstore.images.registry.repository import Repository
from layerstore.images.registry.settings import RegistrySettings
from layerstore.images.registry.stop import Stop
from layerstore.images.registry.tokens import Logins
from layerstore.images.registry.wire.patience import Patience

_log = logging.getLogger("layerstore")


class Places(Protocol):
    """What names mean, and where repositories are: RegistrySettings, or a program's own."""

    def meant(self, name: str) -> Reference:
        """Return what a name means that somebody typed. Raises InvalidName."""

    def places(self, reference: Reference, *, push: bool = False) -> list[Place]:
        """Return them in the order to try: mirrors first, the registry itself last."""


class RegistryClient:
    """Connections, tokens and places; a context manager, for any number of threads at once."""

    def __init__(
        self,
        settings: Places | None = None,
        credentials: Logins | None = None,
        *,
        stop: Stop | None = None,
        notice: Notice | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Ask as this machine's files say, unless something else is given.

        Raises InvalidSettings for such a file that isn't as its format says, DriverError for one
        that can't be read.
        """
        self.settings = settings if settings is not None else RegistrySettings.read()
        self.stop = stop or Stop()
        self._notice = notice or _log.warning
        logins = credentials if credentials is not None else Credentials.read()
        self._asker = Asker(logins, self.stop, patience or Patience())
        self._is_guest = False

    def again(self, stop: Stop, notice: Notice | None = None) -> RegistryClient:
        """Return a client that another stop ends, and that has all else in common with this one.

        But for `notice`, where there is one. It is good until this one is closed.
        """
        other = copy.copy(self)
        other.stop = stop
        other._notice = notice or self._notice
        other._asker = self._asker.ended_by(stop)
        other._is_guest = True
        return other

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def check_login(self, place: Place) -> None:
        """Ask a registry whether it takes who asks there.

        One that asks nobody takes everybody. Raises AccessDenied where it doesn't, NotInRegistry
        for what is no registry, RegistryUnreachable, RegistryError, JobCancelled.
        """
        with self._asker.ask(Question(place=place, path="/v2/", what="to log in")):
            pass

    def close(self) -> None:
        """Close the connections that nothing is read from; whoever reads closes the others."""
        if not self._is_guest:
            self._asker.close()

    def repository(self, reference: Reference, *, push: bool = False) -> Repository:
        """Return the repository that a name means; nothing is asked yet. Mirrors only serve pulls.

        Raises InvalidName.
        """
        places = self.settings.places(reference, push=push)
        actions = "pull,push" if push else "pull"
        return Repository(self._asker, reference, places, self._notice, actions)
