"""What follows a transport's colon, and what is no transport."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerstore import InvalidArgument, InvalidName, LayerStore
from layerstore.archive.engines.transport import given_transport
from tests.images.samples import LAYERS, load
from tests.support.archives import NAME, as_directory, docker_archive, oci_layout

MEANT = {
    "oci:dir": ("dir", None, ""),
    "oci:/a/dir:latest": ("/a/dir", "latest", ""),
    "oci:dir:app:1": ("dir", "app:1", ""),
    "oci:dir:@2": ("dir", "@2", ""),
    "oci-archive:a.tar:x": ("a.tar", "x", ""),
    "docker-archive:a.tar:localhost:5000/app:1": ("a.tar", "localhost:5000/app:1", ""),
    "dir:some:where": ("some:where", None, ""),
    "docker-daemon:app": ("", "app:latest", ""),
    "docker-daemon:docker.io/library/app:1": ("", "app:1", ""),
    f"docker-daemon:sha256:{'a' * 64}": ("", f"sha256:{'a' * 64}", ""),
    "containers-storage:app:1": ("", "app:1", ""),
    "containers-storage:[/root]app": ("/root", "app", ""),
    "containers-storage:[vfs@/root+/run:opt=1,b]app@0123": ("/root", "app@0123", "vfs"),
    "containers-storage:[overlay2@/r]x": ("/r", "x", "overlay2"),
}

REFUSED = {
    "oci:": "oci:DIR:REF",
    "oci::latest": "oci:DIR:REF",
    "oci:dir:": "oci:DIR:REF",
    "docker-archive:": "docker-archive:FILE:REF",
    "dir:": "dir:DIR",
    "docker-daemon:": "docker-daemon:NAME",
    "docker-daemon:UPPER": "lower-case",
    "containers-storage:": "NAME",
    "containers-storage:[/root]": "NAME",
    "containers-storage:[]app": "NAME",
    "containers-storage:[@/root]app": "NAME",
    "containers-storage:[vfs@]app": "NAME",
    "docker://alpine:3": "layerstore pull alpine:3",
    "ostree:x@/y": "OSTree",
    "sif:x.sif": "SIF",
    "tarball:x.tar": "layerstore import",
    "https://example.org/x.tar": "https is no transport",
}


@pytest.mark.parametrize("text", MEANT)
def test_a_transport_says_where_and_which(text: str) -> None:
    given = given_transport(text)
    assert given is not None
    assert (given.path, given.reference, given.driver) == MEANT[text]
    assert given.transport == text.partition(":")[0]


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_meant_is_told_with_its_form(text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        given_transport(text)
    assert REFUSED[text] in str(caught.value)


@pytest.mark.parametrize("place", ["image.tar", "./oci:x", "/oci:x", "app:1", "OCI:x", "docker:x"])
def test_other_words_are_paths(place: str) -> None:
    assert given_transport(place) is None
    assert given_transport(Path("oci:x")) is None


def test_a_path_may_look_like_a_transport(
    store: LayerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    as_directory(oci_layout(LAYERS, {"org.opencontainers.image.ref.name": NAME}), Path("oci:x"))
    (image,) = store.images.load("./oci:x")
    assert [image.id] == [one.id for one in store.images.load(Path("oci:x"))]
    store.images.save([NAME], "./oci:y")
    assert Path("oci:y").is_file()


def test_only_one_of_two_words_says_which_image(store: LayerStore, tmp_path: Path) -> None:
    load(store, docker_archive(LAYERS))
    store.images.save([NAME], f"oci:{tmp_path}/layout")
    with pytest.raises(InvalidArgument, match="another word"):
        store.images.load(f"oci:{tmp_path}/layout:1", reference="1")
    assert store.images.load(f"oci:{tmp_path}/layout", reference=NAME)[0].loaded_as == (NAME,)
