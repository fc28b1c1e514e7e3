"""Where a name's registry is, by what docker and containers are told on this machine, or a program.

Owns what becomes of a name, and which places are asked for it in which order. It reads files when
it is made by `read`, and certificates' directories when it is asked; it speaks to no registry.
docs/registries.md says what wins where files differ.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from layerstore.drivers.errors import InvalidArgument, InvalidSettings, RegistryError
from layerstore.drivers.model.reference import DEFAULT_HOST, Reference, parse_reference, says_host
from layerstore.images.registry.configured.certificates import (
    Certificates,
    find_certificates,
    read_certificates,
)
from layerstore.images.registry.configured.daemon import read_daemon
from layerstore.images.registry.configured.insecure import is_host, is_listed, is_loopback
from layerstore.images.registry.configured.registries_conf import read_registries
from layerstore.images.registry.configured.rules import RegistryRule, rule_of
from layerstore.images.registry.places import Place

_DOCKERS_HOST = f"registry-1.{DEFAULT_HOST}"
"""Where docker's own registry is, whose name is that of its web site. moby: registry/config.go."""
DOCKERS_NAMES = (DEFAULT_HOST, f"index.{DEFAULT_HOST}", _DOCKERS_HOST)
"""All that it is called in files and by users."""
_TLS = ("https",)
_ANY = ("https", "http")


class RegistrySettings(Struct, frozen=True, kw_only=True):
    """Where registries are, and how they are reached. Without arguments: as docker has it."""

    default_registry: str = DEFAULT_HOST
    """Where names are that say no registry, as in `registry.example.org:5000`."""
    aliases: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Full names, without a tag, of names that say no registry."""
    rules: tuple[RegistryRule, ...] = ()
    """What holds for names that begin in some way: other locations, mirrors, blocked ones."""
    docker_mirrors: tuple[str, ...] = ()
    """URLs of mirrors of docker's own registry, where no rule says otherwise."""
    insecure: tuple[str, ...] = ()
    """Hosts with their ports, and networks as in `10.1.0.0/16`: their certificates needn't be good,
    and where they speak no TLS, plain HTTP is spoken. This machine itself always is one, unless
    there is an authority for it."""
    verify: bool | None = None
    """Whether everybody's certificate must be good (True), or nobody's (False), whatever else is
    said about them."""
    ca_files: tuple[str, ...] = ()
    """PEM files of authorities that are trusted for every registry, beside the system's."""
    certificate_directory: str | None = None
    """Where `*.crt`, `*.cert` and `*.key` for every registry lie, instead of those below."""
    certificate_directories: tuple[str, ...] = ()
    """Where directories named HOST or HOST:PORT with such files lie; the first one counts."""

    @classmethod
    def read(
        cls,
        *,
        etc: str = "/etc",
        home: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> RegistrySettings:
        """Read what docker and containers are told on this machine.

        `home` and `environment` are the process's by default. Raises InvalidSettings for a file
        that isn't as its format says, DriverError for one that can't be read.
        """
        given = os.environ if environment is None else environment
        user = config_home(home_directory() if home is None else home, given)
        docker = read_daemon([f"{user}/docker/daemon.json", f"{etc}/docker/daemon.json"])
        containers = read_registries(
            f"{etc}/containers",
            f"{user}/containers",
            given.get("CONTAINERS_REGISTRIES_CONF") or None,
        )
        return cls(
            default_registry=containers.search[0] if containers.search else DEFAULT_HOST,
            # Distributions ship lists of aliases, of which docker knows nothing.
            aliases=containers.aliases if containers.search else {},
            rules=containers.rules,
            docker_mirrors=docker.mirrors,
            insecure=docker.insecure,
            certificate_directories=tuple(
                f"{place}/{name}/certs.d"
                for place in (user, etc)
                for name in ("containers", "docker")
            ),
        )

    def meant(self, name: str) -> Reference:
        """Return what a name means that somebody typed, with its registry where it isn't docker's.

        Raises InvalidName.
        """
        found = parse_reference(name)
        if says_host(name):
            return found
        rest = str(found).removeprefix(found.repository)
        if found.repository in self.aliases:
            return parse_reference(self.aliases[found.repository] + rest)
        return parse_reference(f"{self.default_registry}/{found.repository}{rest}")

    def places(self, reference: Reference, *, push: bool = False) -> list[Place]:
        """Return where a repository is, in the order to try: mirrors first.

        What is pushed goes where its name says, past mirrors and other locations. Raises
        RegistryError for a name that is blocked, InvalidSettings and DriverError for certificates
        that can't be used.
        """
        name = reference.canonical()
        repository = Reference(reference.repository).canonical()
        host, _, path = repository.partition("/")
        rule = rule_of(self.rules, name)
        if rule is None:
            return [*(() if push else self._docker_mirrors(host, path)), self._place(host, path)]
        if rule.blocked:
            raise RegistryError(host, str(reference), f"it is blocked by {rule.source}")
        if push:
            return [self._place(host, path, rule.insecure)]
        mirrors = [
            self._place(*rule.moved(repository, mirror.location), mirror.insecure, mirror=True)
            for mirror in rule.mirrors
            if mirror.serves(by_digest=reference.digest is not None)
        ]
        if not rule.redirects:
            mirrors = self._docker_mirrors(host, path)
        return [*mirrors, self._place(*rule.moved(repository, rule.location), rule.insecure)]

    def registry(self, name: str) -> Place:
        """Return where a registry is, of which no repository is asked for.

        `name` is what users call it; a URL is taken too. Raises InvalidArgument for what is none,
        and what `places` raises.
        """
        host = registry_name(name)
        rule = rule_of(self.rules, host)
        if rule is not None and rule.blocked:
            raise RegistryError(host, "the registry", f"it is blocked by {rule.source}")
        return self._place(host, "", rule.insecure if rule is not None else None)

    def _docker_mirrors(self, host: str, path: str) -> list[Place]:
        if host != DEFAULT_HOST:
            return []
        parts = [url.partition("://") for url in self.docker_mirrors]
        return [
            self._place(at, path, mirror=True, scheme=scheme)
            for scheme, _, at in parts
            if scheme in _TLS or not self.verify
        ]

    def _place(
        self,
        registry: str,
        repository: str,
        insecure: bool | None = None,
        *,
        mirror: bool = False,
        scheme: str | None = None,
    ) -> Place:
        if registry in DOCKERS_NAMES:
            registry, host = DEFAULT_HOST, _DOCKERS_HOST
        else:
            host = registry
        found = self._certificates(dict.fromkeys((registry, host)))
        authorities = (*self.ca_files, *found.authorities)
        if self.verify is not None:
            insecure = not self.verify
        elif insecure is None:
            insecure = is_listed(host, self.insecure) or None
        if by_default := insecure is None:
            insecure = is_loopback(host) and not authorities
        return Place(
            registry=registry,
            host=host,
            repository=repository,
            schemes=(scheme,) if scheme is not None else _ANY if insecure else _TLS,
            verify=not insecure,
            verify_realm=insecure and by_default,
            ca_files=authorities,
            client_certificate=found.client,
            is_mirror=mirror,
        )

    def _certificates(self, names: Iterable[str]) -> Certificates:
        if self.certificate_directory is None:
            return find_certificates(self.certificate_directories, names)
        found = read_certificates(self.certificate_directory)
        if found is None:
            raise InvalidSettings(self.certificate_directory, "there is no such directory")
        return found


def registry_name(text: str) -> str:
    """Return what a registry is called, of its name or a URL of it. Raises InvalidArgument."""
    host = re.sub(r"\Ahttps?://", "", text).partition("/")[0]
    if not is_host(host):
        # What is before the @ may be a password.
        raise InvalidArgument(
            text.rpartition("@")[2], "a registry is a host's name or address, and maybe :port"
        )
    return DEFAULT_HOST if host in DOCKERS_NAMES else host


def home_directory() -> str:
    """Return the user's own directory; the root where there is nobody of that number."""
    found = os.path.expanduser("~")
    return found if os.path.isabs(found) else "/"


def config_home(home: str, environment: Mapping[str, str]) -> str:
    """Return where programs have a user's own settings."""
    return environment.get("XDG_CONFIG_HOME") or f"{home}/.config"
