"""Pushing a name that stands for images of several platforms: an OCI index, or docker's list.

Owns what it lists: manifests that the repository has already, each with the platform that its
configuration names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from layerstore.archive.layout import INDEXES, Index, Manifest, decode
from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.model.image_config import MAX_CONFIG, parse_config
from layerstore.drivers.model.platform import Platform
from layerstore.drivers.model.reference import DEFAULT_TAG, Reference
from layerstore.images.distribution.manifests import Member, index
from layerstore.images.distribution.manner import Pushed
from layerstore.images.distribution.policy import PushFormat
from layerstore.images.registry.client import RegistryClient
from layerstore.images.registry.manifests import DOCKER_MANIFEST, Fetched
from layerstore.images.registry.repository import Repository


def push_index(
    client: RegistryClient,
    name: str,
    members: Sequence[str],
    written: PushFormat | None,
) -> Pushed:
    """Push an index under a name. Raises what ImageStore.push_index raises."""
    meant = client.settings.meant
    there = meant(name)
    if there.digest is not None:
        raise InvalidArgument(name, "the digest is what comes of pushing")
    wanted = [_checked(member, meant, there) for member in members]
    repository = client.repository(Reference(there.repository), push=True)
    listed = [one for member in wanted for one in _listed(repository, member)]
    _check_platforms(name, listed)
    docker = all(member.media_type == DOCKER_MANIFEST for member in listed)
    media_type, content = index(listed, written or ("docker" if docker else "oci"))
    tag = there.tag or DEFAULT_TAG
    digest = repository.uploader().put_manifest(tag, media_type, content)
    return Pushed(str(Reference(there.repository, tag)), digest, len(content))


def _checked(member: str, meant: Callable[[str], Reference], there: Reference) -> str:
    """Return the tag or digest of a member, which is of the same repository."""
    found = meant(member).looked_up()
    if found.repository != there.repository:
        reason = f"an index lists what its own repository has, which is {there.repository}"
        raise InvalidArgument(member, reason)
    return str(found.digest or found.tag)


def _listed(repository: Repository, wanted: str) -> Iterator[Member]:
    """Give a manifest as it is to be listed; of an index all that it lists."""
    found = repository.manifest(wanted)
    if found.media_type not in INDEXES:
        yield _member(repository, found)
        return
    for descriptor in decode(found.content, Index, wanted).manifests:
        if not descriptor.is_attestation:
            yield _member(repository, repository.manifest(descriptor.digest))


def _member(repository: Repository, found: Fetched) -> Member:
    config = decode(found.content, Manifest, found.digest).config
    content = repository.blob(config.digest, config.size, MAX_CONFIG)
    facts = parse_config(content, f"the configuration of {found.digest}")
    platform = Platform(facts.os or "linux", facts.architecture, facts.variant)
    return Member(found.media_type, found.digest, len(found.content), platform)


def _check_platforms(name: str, members: Sequence[Member]) -> None:
    if not members:
        raise InvalidArgument(name, "an index lists at least one image")
    seen: dict[Platform, str] = {}
    for member in members:
        other = seen.setdefault(member.platform, member.digest)
        if other != member.digest:
            reason = f"{other} and {member.digest} are both for {member.platform}"
            raise InvalidArgument(name, reason)
