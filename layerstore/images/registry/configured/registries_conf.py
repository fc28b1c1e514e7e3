"""What containers' tools are told: registries.conf, and the files in registries.conf.d.

Owns which of them are read in which order, and version 2 of their format. Sources:
containers-registries.conf(5), containers-registries.conf.d(5).
"""

from __future__ import annotations

import os
import re
from typing import Any, Literal

import msgspec
from msgspec import Struct

from layerstore.drivers.errors import InvalidName, InvalidSettings
from layerstore.drivers.model.reference import parse_reference, says_host
from layerstore.drivers.system.small_file import names_in
from layerstore.images.registry.configured.files import read_toml
from layerstore.images.registry.configured.insecure import is_host
from layerstore.images.registry.configured.rules import MirrorRule, RegistryRule

_WILDCARD = re.compile(r"\*\.[a-zA-Z0-9][a-zA-Z0-9.-]*\Z")


class ContainersSettings(Struct, frozen=True, kw_only=True):
    """What containers' tools would go by."""

    search: tuple[str, ...] = ()
    """Registries of names that say none, in this order."""
    aliases: dict[str, str] = msgspec.field(default_factory=dict)
    """Full names of short ones."""
    rules: tuple[RegistryRule, ...] = ()


class _Mirror(Struct, rename="kebab"):
    location: str
    insecure: bool | None = None
    pull_from_mirror: Literal["", "all", "digest-only", "tag-only"] = ""


class _Registry(Struct, rename="kebab"):
    prefix: str = ""
    location: str = ""
    insecure: bool | None = None
    blocked: bool = False
    mirror: list[_Mirror] = msgspec.field(default_factory=list)
    mirror_by_digest_only: bool = False


class _File(Struct, rename="kebab"):
    unqualified_search_registries: list[str] | None = None
    registry: list[_Registry] = msgspec.field(default_factory=list)
    aliases: dict[str, str] = msgspec.field(default_factory=dict)
    registries: Any = None


def read_registries(etc: str, user: str, main: str | None) -> ContainersSettings:
    """Read the files in `etc`, or those in the `user`'s directory where that has a registries.conf.

    Both are directories that hold `registries.conf`; `main` replaces that file of both. Raises
    InvalidSettings and DriverError.
    """
    own = f"{user}/registries.conf"
    if main is not None:
        files = [main, *_drop_ins(etc), *_drop_ins(user)]
        if not os.path.exists(main):
            raise InvalidSettings(main, "there is no such file")
    elif os.path.exists(own):
        files = [own, *_drop_ins(user)]
    else:
        files = [f"{etc}/registries.conf", *_drop_ins(etc), *_drop_ins(user)]
    search: tuple[str, ...] = ()
    aliases: dict[str, str] = {}
    rules: dict[str, RegistryRule] = {}
    for path in files:
        found = read_toml(path, _File)
        if found is None:
            continue
        if found.registries is not None:
            raise InvalidSettings(path, "registries is of version 1 of the format; 2 is read")
        if found.unqualified_search_registries is not None:
            search = _search(path, found.unqualified_search_registries)
        aliases |= _aliases(path, found.aliases)
        rules |= _rules(path, found.registry)
    return ContainersSettings(
        search=search,
        aliases={name: full for name, full in aliases.items() if full},
        rules=tuple(rules.values()),
    )


def _drop_ins(directory: str) -> list[str]:
    place = f"{directory}/registries.conf.d"
    paths = [f"{place}/{name}" for name in names_in(place) if name.endswith(".conf")]
    return [path for path in paths if not os.path.isdir(path)]


def _search(path: str, registries: list[str]) -> tuple[str, ...]:
    for number, registry in enumerate(registries):
        if not is_host(registry):
            field = f"unqualified-search-registries[{number}]"
            raise InvalidSettings(path, f"{field} is no host, with its port")
    return tuple(registries)


def _aliases(path: str, aliases: dict[str, str]) -> dict[str, str]:
    for short, full in aliases.items():
        field = f"aliases.{short}"
        try:
            if says_host(short) or not parse_reference(short).is_repository:
                raise InvalidSettings(path, f"{field} is no short name without tag and digest")
            # What is empty takes an alias of an earlier file away.
            if full and not (says_host(full) and parse_reference(full).is_repository):
                what = "no full name without tag and digest"
                raise InvalidSettings(path, f"{field} is {what}")
        except InvalidName as error:
            raise InvalidSettings(path, f"{field}: {error}") from error
    return aliases


def _rules(path: str, registries: list[_Registry]) -> dict[str, RegistryRule]:
    rules: dict[str, RegistryRule] = {}
    for number, found in enumerate(registries):
        rule = _rule(path, f"registry[{number}]", found)
        first = rules.setdefault(rule.prefix, rule)
        if (first.blocked, bool(first.insecure)) != (rule.blocked, bool(rule.insecure)):
            what = f"says otherwise of {rule.prefix} than another before it: blocked or insecure"
            raise InvalidSettings(path, f"registry[{number}] {what}")
    return rules


def _rule(path: str, field: str, found: _Registry) -> RegistryRule:
    prefix = (found.prefix or found.location).rstrip("/")
    if not prefix:
        raise InvalidSettings(path, f"{field} has neither prefix nor location")
    if prefix.startswith("*"):
        if not _WILDCARD.match(prefix):
            raise InvalidSettings(path, f"{field}.prefix has a * that isn't all of `*.host`")
    else:
        _check_place(path, f"{field}.prefix", prefix, tag=True)
    location = found.location.rstrip("/")
    if location.startswith("*"):
        raise InvalidSettings(path, f"{field}.location is no host: it has a *")
    if location:
        _check_place(path, f"{field}.location", location)
    return RegistryRule(
        prefix=prefix,
        location=location,
        insecure=found.insecure,
        blocked=found.blocked,
        mirrors=tuple(
            _mirror(path, f"{field}.mirror[{at}]", one, found.mirror_by_digest_only)
            for at, one in enumerate(found.mirror)
        ),
        source=path,
    )


def _mirror(path: str, field: str, found: _Mirror, by_digest_only: bool) -> MirrorRule:
    location = found.location.rstrip("/")
    _check_place(path, f"{field}.location", location)
    if by_digest_only and found.pull_from_mirror:
        what = "is said where mirror-by-digest-only is"
        raise InvalidSettings(path, f"{field}.pull-from-mirror {what}")
    asked_for = "digest-only" if by_digest_only else found.pull_from_mirror or "all"
    return MirrorRule(location=location, insecure=found.insecure, asked_for=asked_for)


def _check_place(path: str, field: str, text: str, *, tag: bool = False) -> None:
    host, slash, rest = text.partition("/")
    if "://" in text:
        raise InvalidSettings(path, f"{field} is no host: it has a scheme")
    if not is_host(host):
        raise InvalidSettings(path, f"{field} doesn't begin with a host, with its port")
    try:
        if slash and not (parse_reference(f"localhost/{rest}").is_repository or tag):
            raise InvalidSettings(path, f"{field} has a tag or a digest")
    except InvalidName as error:
        raise InvalidSettings(path, f"{field} has a path that no repository has") from error
