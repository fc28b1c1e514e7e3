"""The short links of overlay2 are named by layers, and go with them, whoever named them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore import LayerDoesNotExist
from layerstore.drivers.graph.overlay2.layout import Layout
from layerstore.drivers.model.ids import new_id

MOBYS = "ABCDEFGHIJKLMNOPQRSTUVWXY2"
BUILDKITS = "0123456789abcdefghijklmno"


@pytest.fixture
def trash(tmp_path: Path) -> str:
    made = tmp_path / "trash"
    made.mkdir()
    return str(made)


@pytest.fixture(params=["by paths", "by open directories"])
def layout(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Layout]:
    made = Layout(str(tmp_path), durable=False)
    made.prepare()
    if request.param == "by paths":
        yield made
    else:
        with made.near() as near:
            yield near


def links(layout: Layout) -> dict[str, str]:
    return {name: os.readlink(f"{layout.links}/{name}") for name in os.listdir(layout.links)}


def test_each_layer_has_its_own(layout: Layout, trash: str) -> None:
    mount = new_id()
    ids = [mount, f"{mount}-init", new_id(), BUILDKITS]
    for layer in ids:
        layout.make(layer, None)
    assert sorted(links(layout).values()) == sorted(f"../{layer}/diff" for layer in ids)
    assert {layout.link(layer) for layer in ids} == set(links(layout))
    layout.take_away(ids[0], trash)
    assert sorted(links(layout).values()) == sorted(f"../{layer}/diff" for layer in ids[1:])


def test_a_layer_can_be_entered_whatever_the_umask(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path), durable=False)
    layout.prepare()
    before = os.umask(0o077)
    try:
        layers = [new_id(), new_id()]
        layout.make(layers[0], None)
        with layout.near() as near:
            near.make(layers[1], None)
        assert os.umask(0o077) == 0o077
        modes = [os.stat(f"{layout.path(layer)}/diff").st_mode & 0o777 for layer in layers]
        assert modes == [0o755] * 2
    finally:
        os.umask(before)


def test_one_that_another_engine_named_goes_with_its_layer(layout: Layout, trash: str) -> None:
    layer, other = new_id(), new_id()
    layout.make(layer, None)
    layout.make(other, None)
    os.rename(f"{layout.links}/{layout.link(layer)}", f"{layout.links}/{MOBYS}")
    Path(layout.path(layer), "link").write_text(MOBYS)
    layout.take_away(layer, trash)
    assert list(links(layout).values()) == [f"../{other}/diff"]


def test_one_that_leads_to_another_layer_is_nobody_elses_to_take(
    layout: Layout, trash: str
) -> None:
    layer, other = new_id(), new_id()
    layout.make(layer, None)
    layout.make(other, None)
    place = f"{layout.links}/{layout.link(layer)}"
    os.unlink(place)
    os.symlink(f"../{other}/diff", place)
    Path(layout.path(layer), "link").unlink()
    layout.take_away(layer, trash)
    assert links(layout)[os.path.basename(place)] == f"../{other}/diff"


def test_a_layer_that_is_made_again_finds_the_link_that_was_left(
    layout: Layout, trash: str
) -> None:
    layer = new_id()
    layout.make(layer, None)
    os.rename(layout.path(layer), f"{trash}/gone")  # and killed before the link went
    layout.take_away(layer, trash)
    assert links(layout) == {}
    layout.make(layer, None)
    assert list(links(layout).values()) == [f"../{layer}/diff"]


def test_a_parent_that_is_gone_is_missed_however_often_it_was_used(
    layout: Layout, trash: str
) -> None:
    parent = new_id()
    layout.make(parent, None)
    for _ in range(3):
        child = new_id()
        layout.make(child, parent)
        assert layout.lowers(child) == [f"l/{layout.link(parent)}"]
    os.rename(layout.path(parent), f"{trash}/gone")
    with pytest.raises(LayerDoesNotExist):
        layout.make(new_id(), parent)


def test_a_link_without_its_layer_goes_whatever_else_lies_beside_layers(layout: Layout) -> None:
    layer = new_id()
    layout.make(layer, None)
    os.symlink(f"../{new_id()}/diff", f"{layout.links}/{MOBYS}")
    for name in ("backingFsBlockDev", "another"):
        Path(layout.home, name).touch()
    layout.tidy()
    assert list(links(layout).values()) == [f"../{layer}/diff"]
