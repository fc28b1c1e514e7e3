"""Tars that try to leave the root, in every format; tests/hostile has all that is published."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from layerstore.drivers.errors import (
    InvalidTar,
    LimitExceeded,
)
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.tree import WhiteoutFormat
from tests.tar.corpus.builder import Layer, directory, file, link, symlink, tar

pytestmark = pytest.mark.root


@pytest.fixture(params=list(WhiteoutFormat))
def layer(request: pytest.FixtureRequest, tmp_path: Path) -> Layer:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    return Layer(tmp_path / "layer", request.param)


def assert_outside_is_untouched(layer: Layer) -> None:
    outside = layer.root.parent / "outside"
    assert os.listdir(outside) == ["secret"]
    status = (outside / "secret").stat()
    assert (outside / "secret").read_text() == "secret"
    assert (status.st_nlink, status.st_uid, status.st_mode & 0o777) == (1, 0, 0o644)
    assert sorted(os.listdir(layer.root.parent)) == ["layer", "outside"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "..", "./../outside/secret"])
def test_names_that_lead_out_are_refused(layer: Layer, name: str) -> None:
    with pytest.raises(InvalidTar, match="leads out") as caught:
        layer.apply(tar(file("good", b"x"), file(name, b"bad")))
    assert caught.value.offset == 1024
    assert_outside_is_untouched(layer)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("target", ["../outside", "../../..", "{outside}", "/", "a/../../outside"])
@pytest.mark.parametrize(
    "member",
    [
        file("link/secret", b"changed"),
        file("link/new", b"made"),
        directory("link/", mode=0o777),
        symlink("link/secret", "x"),
        file("link/.wh.secret"),
        file("link/.wh..wh..opq"),
        link("link/new", "good"),
        file("link/deeper/new", b"made"),
    ],
)
def test_symbolic_links_never_lead_out(layer: Layer, target: str, member: object) -> None:
    outside = layer.root.parent / "outside"
    way = target.format(outside=outside)
    # Some are refused and some land inside the root: neither may touch what is outside.
    with contextlib.suppress(InvalidTar):
        layer.apply(tar(file("good", b"x"), symlink("link", way), member))  # type: ignore[arg-type]
    assert_outside_is_untouched(layer)


@pytest.mark.parametrize("target", ["../outside/secret", "/../outside/secret", "link/secret"])
def test_hard_links_never_reach_out(layer: Layer, target: str) -> None:
    outside = layer.root.parent / "outside"
    with pytest.raises(InvalidTar) as caught:
        layer.apply(tar(symlink("link", str(outside)), link("stolen", target)))
    assert caught.value.entry == "stolen"
    assert_outside_is_untouched(layer)


def test_the_content_of_a_member_is_never_written_through_a_link(layer: Layer) -> None:
    secret = str(layer.root.parent / "outside/secret")
    layer.apply(tar(symlink("f", secret), file("f", b"changed", uid=5), symlink("g", secret)))
    assert not (layer.root / "f").is_symlink()
    assert_outside_is_untouched(layer)


def test_links_inside_the_root_are_followed_as_in_a_chroot(layer: Layer) -> None:
    layer.apply(
        tar(
            directory("real/"),
            symlink("absolute", "/real"),
            symlink("relative", "../../real"),
            file("absolute/a", b"1"),
            file("relative/b", b"2"),
        )
    )
    assert sorted(os.listdir(layer.root / "real")) == ["a", "b"]


def test_a_file_reached_by_two_names_is_given_back_as_both(layer: Layer) -> None:
    layer.apply(
        tar(
            directory("real/"),
            symlink("alias", "real"),
            file("alias/f", b"first"),
            file("real/f", b"second"),
            file("alias/f", b"third"),
        )
    )
    assert (layer.root / "real/f").read_bytes() == b"third"


def test_content_that_vanishes_later_is_given_back_all_the_same(layer: Layer) -> None:
    layer.apply(
        tar(
            file("d/e/deep", b"1" * 3_000_000),
            file("d/other", b"2"),
            file("x", b"3"),
            symlink("x", "d"),
            file("x/through", b"4"),
            file("d", b"now a file"),
            directory("x/"),
        )
    )
    assert layer.names() == ["d", "x/"]


@pytest.mark.parametrize(
    "member", [link("a", "a"), link("a", ""), link("a", "./"), link("a", "d"), link("a", "none")]
)
def test_hard_links_to_what_cannot_be_linked_are_refused(layer: Layer, member: object) -> None:
    with pytest.raises(InvalidTar, match="hard link"):
        layer.apply(tar(directory("d/"), file("a", b"x"), member))  # type: ignore[arg-type]


def test_a_link_to_a_whiteout_does_not_make_another(tmp_path: Path) -> None:
    layer = Layer(tmp_path / "layer")
    with pytest.raises(InvalidTar, match="does not exist"):
        layer.apply(tar(file(".wh.gone"), link("also", "gone")))


@pytest.mark.parametrize("name", ["", ".", "./", "/", "a/.."])
def test_the_root_can_only_be_a_directory(layer: Layer, name: str) -> None:
    with pytest.raises(InvalidTar, match="root"):
        layer.apply(tar(file(name, b"x")))


def test_a_name_longer_than_the_file_system_allows_is_refused(layer: Layer) -> None:
    with pytest.raises(InvalidTar, match="name too long"):
        layer.apply(tar(file("n" * 256, b"x")))


def test_a_path_longer_than_the_limit_is_refused(layer: Layer) -> None:
    with pytest.raises(LimitExceeded, match="name"):
        layer.apply(tar(file("d/" * 3000 + "f")))


def test_a_very_deep_path_is_made_and_replaced(layer: Layer) -> None:
    deep = tar(file("d/" * 2000 + "f", b"x"), file("d", b"y"))
    layer.apply(deep, Limits(max_depth=4096))
    assert layer.names() == ["d"]
