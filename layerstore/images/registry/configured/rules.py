"""What containers' tools go by for names that begin in some way, and for short names.

Owns which rule is a name's, and what the name becomes where it is asked for. Source:
containers-registries.conf(5).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from layerstore.drivers.errors import InvalidSettings
from layerstore.images.registry.configured.insecure import is_host

_WILDCARD = "*."
_SEPARATORS = ("", "/", ":", "@")


class MirrorRule(Struct, frozen=True, kw_only=True):
    """One mirror of what a rule is about."""

    location: str
    """What stands for the rule's prefix there."""
    insecure: bool | None = None
    asked_for: Literal["all", "digest-only", "tag-only"] = "all"
    """Which names it is asked for."""

    def serves(self, *, by_digest: bool) -> bool:
        """Whether it is asked for a name with a digest, or for one without."""
        return self.asked_for != ("tag-only" if by_digest else "digest-only")


class RegistryRule(Struct, frozen=True, kw_only=True):
    """What holds for all names that begin with `prefix`; a longer prefix comes before a shorter."""

    prefix: str
    """`host[:port]`, with a path or even a tag or digest, or `*.host` for all hosts in a domain."""
    location: str = ""
    """What stands for the prefix where they are pulled from, if not the prefix itself."""
    insecure: bool | None = None
    """Whether certificates needn't be good, and plain HTTP is tried; None: it isn't said here."""
    blocked: bool = False
    mirrors: tuple[MirrorRule, ...] = ()
    """Asked before the location, in this order."""
    source: str = "the settings"
    """The file that says so, for errors."""

    def matched(self, name: str) -> int | None:
        """Return how much of a full name the prefix stands for; None where it isn't the name's."""
        if not self.prefix.startswith(_WILDCARD):
            end = len(self.prefix) if name.startswith(self.prefix) else None
        else:
            domain = self.prefix.removeprefix("*")
            at = name.find(domain, 1)
            end = None if at == -1 or "/" in name[:at] else at + len(domain)
        return end if end is not None and name[end : end + 1] in _SEPARATORS else None

    def moved(self, repository: str, location: str) -> tuple[str, str]:
        """Return host and path of one of its repositories where the prefix is at a location.

        Raises InvalidSettings where that makes no repository.
        """
        end = self.matched(repository)
        # A prefix with a tag is longer than its repository.
        rest = repository[end:] if end is not None else ""
        moved = location + rest if location else repository
        host, _, path = moved.partition("/")
        if not is_host(host) or not path or ":" in path:
            raise InvalidSettings(self.source, f"{moved} is no repository, for {repository}")
        return host, path

    @property
    def redirects(self) -> bool:
        """Whether it says to ask somewhere else than where the name says."""
        return bool(self.mirrors) or self.location not in ("", self.prefix)


def rule_of(rules: Iterable[RegistryRule], name: str) -> RegistryRule | None:
    """Return the one rule that is a full name's: that with the longest prefix."""
    found = [rule for rule in rules if rule.matched(name) is not None]
    return max(found, key=lambda rule: len(rule.prefix), default=None)
