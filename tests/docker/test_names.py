"""dockerd finds by each name the image that layerstore finds, in a root that layerstore named."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from benchmarks.dockerd import DockerdRefused
from tests.docker.api import Docker
from tests.docker.root import DockerRoot, need_dockerd
from tests.images.names.lookups import OURS, SAME, THEIRS, name_images

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


def found(docker: Docker, name: str) -> str | None:
    try:
        return str(docker.inspect_image(quote(name))["Id"])
    except DockerdRefused:
        return None


def test_dockerd_finds_the_same(request: pytest.FixtureRequest, base_directory: Path) -> None:
    need_dockerd(request, base_directory)
    root = DockerRoot(base_directory / "names", "vfs")
    named = name_images(root.store)
    with root.docker() as docker:
        table = SAME + OURS + THEIRS
        by_docker = {asked: found(docker, named.word(asked)) for asked, _ in table}
        listed = docker.images()
    assert by_docker == {
        **{asked: named.image(which) for asked, which in SAME + THEIRS},
        **{asked: None for asked, _ in OURS},
    }
    assert listed[named.first] == {"base:1", "team/app:latest"}
