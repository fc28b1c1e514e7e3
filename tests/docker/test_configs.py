"""dockerd reads the configurations that layerstore takes, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.dockerd import DockerdRefused
from tests.docker.api import Docker
from tests.docker.root import DockerRoot, need_dockerd
from tests.images.shapes.test_configs import OTHER, READ, REFUSED
from tests.support.archives import as_tar, docker_archive

pytestmark = [pytest.mark.root, pytest.mark.thorough, pytest.mark.timeout(300)]


def takes(docker: Docker, place: Path, fields: dict[str, Any]) -> bool:
    archive = place / "image.tar"
    archive.write_bytes(as_tar(docker_archive([OTHER], ["odd:1"], **fields)))
    try:
        docker.load(str(archive))
    except DockerdRefused:
        return False
    docker.images()  # which fails for all if it can't read one
    return True


def test_dockerd_takes_and_refuses_the_same(
    request: pytest.FixtureRequest, base_directory: Path
) -> None:
    need_dockerd(request, base_directory)
    place = base_directory / "configs"
    place.mkdir()
    with DockerRoot(place, "vfs").docker() as docker:
        assert [one for one in REFUSED if takes(docker, place, one)] == []
        assert [one for one in READ if not takes(docker, place, one)] == []
