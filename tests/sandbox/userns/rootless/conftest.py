"""Users of this machine, and a store of theirs with an image whose owners are far and near."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.userns.rootless.ordinary import (
    Ordinary,
    make_user,
    remove_those_left,
    remove_user,
)
from tests.support.archives import as_tar, docker_archive
from tests.support.busybox import rootfs_tar

FAR = "far:1"


@pytest.fixture(scope="session")
def person(base_directory: Path) -> Iterator[Ordinary]:
    """A user that has subordinate IDs."""
    yield from _user("a", base_directory, subordinate=True)


@pytest.fixture(scope="session")
def loner(base_directory: Path) -> Iterator[Ordinary]:
    """A user that has none."""
    yield from _user("b", base_directory, subordinate=False)


def _user(letter: str, place: Path, *, subordinate: bool) -> Iterator[Ordinary]:
    os.chmod(place, 0o711)
    prefix = f"layerstore-{letter}"
    remove_those_left(prefix)
    name = f"{prefix}{os.getpid()}"
    user = make_user(name, place / name, subordinate=subordinate)
    try:
        yield user
    finally:
        remove_user(user)


@pytest.fixture(scope="module")
def own(person: Ordinary) -> Ordinary:
    """A user with subordinate IDs whose store has the image."""
    person.layerstore("load", given=far_archive())
    return person


@pytest.fixture(scope="module")
def alone(loner: Ordinary) -> Ordinary:
    """A user without subordinate IDs whose store has the image."""
    loner.layerstore("load", given=far_archive())
    return loner


def far_archive() -> bytes:
    """Return a docker archive of an image with owners that no map of 65,536 IDs has."""
    layers = [rootfs_tar(), far_layer()]
    return as_tar(docker_archive(layers, [FAR], config={"Cmd": ["sh"], "Env": ["PATH=/bin"]}))


def far_layer() -> bytes:
    """Return its second layer: files and directories, links, devices, and a forged owner."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:

        def add(
            name: str, owner: str, mode: int, kind: bytes = tarfile.REGTYPE, **more: object
        ) -> None:
            member = tarfile.TarInfo(name)
            member.uid, member.gid = map(int, owner.split(":"))
            member.mode, member.type, member.mtime = mode, kind, 1_600_000_000
            for key, value in more.items():
                setattr(member, key, value)
            content = name.encode() if kind == tarfile.REGTYPE else b""
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

        add(".", "70000:70001", 0o755, tarfile.DIRTYPE)
        add("d", "70000:70001", 0o2755, tarfile.DIRTYPE)
        add("d/far", "70000:70001", 0o4755)
        add("d/hard", "70000:70001", 0o4755, tarfile.LNKTYPE, linkname="d/far")
        add("d/near", "1000:1001", 0o4755)
        add("d/link", "70000:70000", 0o777, tarfile.SYMTYPE, linkname="far")
        add("d/console", "0:5", 0o620, tarfile.CHRTYPE, devmajor=5, devminor=1)
        add("d/loop", "70000:5", 0o620, tarfile.BLKTYPE, devmajor=7, devminor=1)
        add("d/none", "70000:70001", 0)
        forged = {"SCHILY.xattr.user.containers.override_stat": "0:0:4755:file"}
        add("d/forged", "1000:1000", 0o600, pax_headers=forged)
        add("closed", "70000:70001", 0o555, tarfile.DIRTYPE)
        add("closed/in", "0:0", 0o400)
    return buffer.getvalue()
