"""Images to and from a docker daemon over its socket."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore import (
    DriverError,
    EngineError,
    InvalidArgument,
    InvalidImage,
    LayerStore,
    LayerStoreError,
)
from tests.docker.api import Docker
from tests.docker.root import DockerRoot, control_groups, need_dockerd
from tests.docker.transports.answering import answering, http
from tests.images.samples import BASE, LAYERS, disk, load
from tests.support.archives import as_tar, config_of, digest_of, docker_archive
from tests.support.nasty_image import nasty_layers

NASTY = nasty_layers()[:-1]


@pytest.fixture(scope="module")
def docker(request: pytest.FixtureRequest, base_directory: Path) -> Iterator[Docker]:
    """A running dockerd with an image."""
    need_dockerd(request, base_directory)
    with tempfile.TemporaryDirectory(prefix="d-", dir=base_directory) as place:
        archive = Path(place, "image.tar")
        archive.write_bytes(as_tar(docker_archive(NASTY, ["app:1", "app:2", "other:1"])))
        with control_groups(), DockerRoot(Path(place), "vfs").docker() as running:
            running.load(str(archive))
            yield running


@pytest.mark.root
def test_an_image_comes_from_a_daemon_and_goes_back(
    store: LayerStore, docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = digest_of(config_of(NASTY))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{docker.daemon.address}")
    (loaded,) = store.images.load("docker-daemon:app:2")
    assert (loaded.id, loaded.names) == (image, ("app:2",))  # and no other name of it
    (loaded,) = store.images.load(f"docker-daemon:{image}")
    assert (loaded.id, loaded.loaded_as) == (image, ())
    store.images.save(["app:2"], "docker-daemon:example.org/new:3")
    assert docker.images()[image] == {"app:1", "app:2", "other:1", "example.org/new:3"}
    load(store, docker_archive([*NASTY, BASE], ["app:9"]))
    store.images.save(["app:9"], "docker-daemon:app")
    (newer,) = (one for one, names in docker.images().items() if "app:latest" in names)
    assert newer == store.images.get("app:9").id
    with pytest.raises(EngineError, match="nope:latest: reference does not exist"):
        store.images.load("docker-daemon:nope")


SAVED = as_tar(docker_archive(LAYERS, ["app:1"]))
OTHERS = as_tar(docker_archive(LAYERS, ["evil:1"]))

ANSWERS = {
    "none at all": (b"", "closed"),
    "no HTTP": (b"hello\r\n\r\n", "hello"),
    "its own reason": (http(b'{"message":"reference does not exist"}', "404 Not Found"), "exist"),
    "no reason": (http(b"<html>", "500 Oh No"), r"Oh No \(500\)"),
    "a redirect": (http(b"", "302 Found", Location="http://example.org/"), r"Found \(302\)"),
    "half of it": (http(SAVED)[:-5000], "ends too early"),
    "half of it in pieces": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n200\r\n" + SAVED[:512] + b"\r\n4",
        "ends too early",
    ),
    "half of a tar": (http(SAVED[: len(SAVED) // 2]), "docker-daemon:app:1"),
    "nothing": (http(b""), "empty"),
    "another image": (http(OTHERS), "no image of that name"),
}


def test_a_daemon_that_gives_no_image_is_told_of(
    store: LayerStore, root_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = disk(store)
    for number, (what, (answer, reason)) in enumerate(ANSWERS.items()):
        place = root_dir / str(number)
        place.mkdir()
        with answering(place, answer) as asked:
            monkeypatch.setenv("DOCKER_HOST", asked.host)
            with pytest.raises((EngineError, InvalidImage), match=reason):
                store.images.load("docker-daemon:app:1")
        assert asked.requests[0].startswith(b"GET /images/get?names=app%3A1 HTTP/1.1\r\n"), what
        assert store.images.list() == [], what
        assert disk(store) == before, what


def test_names_that_were_not_asked_for_are_not_taken(
    store: LayerStore, root_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = http(as_tar(docker_archive(LAYERS, ["evil:1", "app:1", "evil/app:1"])))
    with answering(root_dir, saved, saved) as asked:
        monkeypatch.setenv("DOCKER_HOST", asked.host)
        (image,) = store.images.load("docker-daemon:app:1")
        assert (image.names, image.loaded_as) == (("app:1",), ("app:1",))
        (image,) = store.images.load(f"docker-daemon:{image.id}")
        assert (image.names, image.loaded_as) == (("app:1",), ())


REFUSALS = {
    "its own reason": (http(b'{"message":"no space"}', "500 Internal Server Error"), "no space"),
    "an error in the middle": (
        http(
            json.dumps({"stream": "Loading"}).encode()
            + b"\r\n"
            + json.dumps({"errorDetail": {"message": "m"}, "error": "bad layer"}).encode()
        ),
        "bad layer",
    ),
    "an error in a line without an end": (http(b'{"error":"x'), "doesn't say"),
    "nothing": (http(b""), "doesn't say"),
    "a line without an end": (http(b"x" * (3 << 20)), "no end"),
    "half of an answer": (http(b'{"stream":"Loaded image: app:1"}' + b" " * 100)[:-50], "early"),
}


def test_a_daemon_that_does_not_take_an_image_is_told_of(
    store: LayerStore, root_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(store, docker_archive(LAYERS, ["app:1"]))
    before = disk(store)
    for number, (what, (answer, reason)) in enumerate(REFUSALS.items()):
        place = root_dir / str(number)
        place.mkdir()
        with answering(place, http(b"OK"), answer) as asked:
            monkeypatch.setenv("DOCKER_HOST", asked.host)
            with pytest.raises(EngineError, match=reason):
                store.images.save(["app:1"], "docker-daemon:app:1")
        posted = b"POST /images/load?quiet=1 HTTP/1.1\r\n"
        assert asked.requests[1].startswith(posted), what
        assert disk(store) == before, what


def test_a_daemon_that_reads_no_body_is_heard_all_the_same(
    store: LayerStore, root_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = docker_archive([BASE + bytes(8 << 20)], ["app:1"])
    load(store, big)
    refusal = http(b'{"message":"not now"}', "503 Unavailable")
    (root_dir / "at").mkdir()
    with answering(root_dir / "at", http(b"OK"), refusal, read_body=False) as asked:
        monkeypatch.setenv("DOCKER_HOST", asked.host)
        with pytest.raises(EngineError, match=r"not now \(503\)|reset"):
            store.images.save(["app:1"], "docker-daemon:app:1")


HOSTS = {
    "tcp://192.0.2.1:2375": "of this machine",
    "tcp://example.org:2375": "no address",
    "tcp://user@127.0.0.1:2375": "of this machine",
    "tcp://127.0.0.1:99999": "no address",
    "ssh://root@localhost": "unix:///PATH",
    "unix://relative": "unix:///PATH",
    "fd://": "unix:///PATH",
}


def test_no_other_machine_is_asked_and_none_with_tls(
    store: LayerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for host, reason in HOSTS.items():
        monkeypatch.setenv("DOCKER_HOST", host)
        with pytest.raises(InvalidArgument, match=reason):
            store.images.load("docker-daemon:app:1")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    with pytest.raises(InvalidArgument, match="TLS"):
        store.images.load("docker-daemon:app:1")


def test_a_daemon_that_is_not_there_is_told_before_anything_is_written(
    store: LayerStore, root_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(store, docker_archive(LAYERS, ["app:1"]))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{root_dir}/none.sock")
    for act in (
        lambda: store.images.load("docker-daemon:app:1"),
        lambda: store.images.save(["app:1"], "docker-daemon:app:1"),
    ):
        with pytest.raises(DriverError, match=r"connect to unix://.*none\.sock: No such file"):
            act()
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(LayerStoreError, match=r"tcp://127\.0\.0\.1:1: Connection refused"):
        store.images.load("docker-daemon:app:1")
