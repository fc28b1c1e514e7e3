"""Which image is found by which name; dockerd is asked the same in `tests/docker`."""

from __future__ import annotations

import io

import pytest

from layerstore import ImageDoesNotExist, InvalidName, LayerStore
from layerstore.command.output.filters import fits
from layerstore.drivers.model.reference import DEFAULT_HOST, parse_reference, parse_tag
from tests.conftest import OpenStore
from tests.images.names.lookups import DIGEST, OLD_HOST, OURS, SAME, THEIRS, name_images
from tests.support.archives import as_tar, docker_archive
from tests.support.tars import layer_tar

FULL = f"{DEFAULT_HOST}/library/base:1"


def found(store: LayerStore, name: str) -> str | None:
    try:
        return store.images.get(name).id
    except (ImageDoesNotExist, InvalidName):
        return None


def test_every_way_to_ask_finds_what_it_means(open_store: OpenStore) -> None:
    named = name_images(open_store)
    store = open_store()
    wanted = {named.word(asked): named.image(which) for asked, which in SAME + OURS}
    wanted |= dict.fromkeys((asked for asked, _ in THEIRS), None)
    assert {asked: found(store, asked) for asked in wanted} == wanted


def test_every_operation_takes_a_name_in_any_form(store: LayerStore) -> None:
    store.images.load(io.BytesIO(as_tar(docker_archive([layer_tar({"f": b"x"})], ["base:1"]))))
    images = store.images
    assert images.tag(FULL, f"{OLD_HOST}/again").names == ("again:latest", "base:1")
    assert images.history(FULL) == images.history("base:1")
    assert images.config(f"{DEFAULT_HOST}/again") == images.config("base:1")
    with images.create("rw", f"{OLD_HOST}/base:1") as rw:
        made = images.commit(rw, f"{DEFAULT_HOST}/library/made:2")
    assert made.names == ("made:2",)
    imported = images.import_tar(io.BytesIO(layer_tar({"g": b"y"})), f"{DEFAULT_HOST}/own/i")
    assert imported.names == ("own/i:latest",)
    out = io.BytesIO()
    images.save([f"{DEFAULT_HOST}/library/again", FULL], out)
    assert images.remove(f"{OLD_HOST}/library/again").untagged == ("again:latest",)
    assert images.remove(FULL).untagged == ("base:1",)
    (loaded,) = images.load(io.BytesIO(out.getvalue()))
    assert set(loaded.names) == {"again:latest", "base:1"}


def test_a_name_on_the_disk_that_is_not_in_its_normal_form_is_found_by_all(
    open_store: OpenStore,
) -> None:
    store = open_store()
    archive = as_tar(docker_archive([layer_tar({"f": b"x"})], ["base:1"]))
    (image,) = store.images.load(io.BytesIO(archive))
    path = f"{store.root}/image/{store.driver_name}/repositories.json"
    store.close()
    with open(path, "w", encoding="utf-8") as file:
        names = f'{{"{FULL.removesuffix(":1")}": {{"{FULL}": "{image.id}"}}}}'
        file.write(f'{{"Repositories": {names}}}')
    store = open_store()
    for name in (FULL, "base:1", f"{OLD_HOST}/base:1"):
        assert found(store, name) == image.id
    assert store.images.remove(FULL).deleted == image.id


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (FULL, "base:1"),
        (f"{OLD_HOST}/team/app", "team/app:latest"),
        ("library/a/b:1", "library/a/b:1"),
        (f"{DEFAULT_HOST}/localhost", "localhost:latest"),
        # Without the host these would be those of another host.
        (f"{DEFAULT_HOST}/a.b/c:1", f"{DEFAULT_HOST}/a.b/c:1"),
        (f"{OLD_HOST}/localhost/c:1", f"{DEFAULT_HOST}/localhost/c:1"),
        ("a.b:5000/library/c:1", "a.b:5000/library/c:1"),
    ],
)
def test_a_name_has_one_normal_form(text: str, name: str) -> None:
    assert parse_tag(text) == parse_tag(parse_tag(text)) == name
    assert parse_tag(parse_reference(text).canonical()) == name


def test_a_repository_is_as_long_as_docker_takes_it() -> None:
    longest = "a" * (255 - len(f"{DEFAULT_HOST}/library/"))
    assert parse_tag(longest) == f"{longest}:latest"
    with pytest.raises(InvalidName):
        parse_tag(f"{longest}a")


@pytest.mark.parametrize(
    ("pattern", "does"),
    [
        ("base", True),
        ("base:1", True),
        ("b*", True),
        ("*", True),
        ("[a-c]ase:?", True),
        ("[^x]ase", True),
        ("[^b]ase", False),
        (f"{DEFAULT_HOST}/library/b*", True),
        ("library/base", True),
        ("*/base", False),
        ("base:2", False),
        (f"base@{DIGEST}", False),
    ],
)
def test_a_pattern_fits_names_as_docker_matches_them(pattern: str, does: bool) -> None:
    assert fits("base:1", pattern) is does
    assert not fits("team/base:1", pattern) or pattern == "*/base"
