"""What whiteouts in a tar become, and hard links to files of lower layers."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore.drivers.errors import InvalidTar
from layerstore.drivers.model.tree import WhiteoutFormat
from layerstore.drivers.system.syscalls import mount, umount
from layerstore.drivers.tar.unpack.apply import apply_tar
from layerstore.drivers.tree.lower import names_in
from layerstore.drivers.tree.xattrs import is_opaque
from tests.tar.corpus.builder import (
    OVERLAY_FORMATS,
    Layer,
    Member,
    directory,
    file,
    is_whiteout,
    link,
    symlink,
    tar,
)

pytestmark = pytest.mark.root


@pytest.fixture(params=OVERLAY_FORMATS)
def overlay(request: pytest.FixtureRequest, tmp_path: Path) -> Layer:
    """A layer on one with something that can be hidden."""
    base = Layer(tmp_path / "base", request.param)
    below = ("etc/passwd", "var/log", "a", "b", "d/old", "d/f", "gone")
    base.apply(tar(*[file(name, b"below") for name in below]))
    return Layer(tmp_path / "layer", request.param, base)


@pytest.fixture
def complete(tmp_path: Path) -> Layer:
    """A layer whose tree is a copy of its parent's."""
    layer = Layer(tmp_path / "layer", WhiteoutFormat.REMOVE)
    (layer.root / "d/e").mkdir(parents=True)
    for name in ("a", "d/b", "d/e/c"):
        (layer.root / name).write_text(name)
    return layer


def test_a_whiteout_becomes_a_device_in_an_overlay(overlay: Layer) -> None:
    applied = overlay.apply(tar(file("etc/.wh.passwd"), file(".wh.var")))
    assert overlay.names() == ["etc/", "etc/passwd!", "var!"]
    assert applied.size == 0


def test_an_opaque_marker_becomes_an_attribute_in_an_overlay(overlay: Layer) -> None:
    overlay.apply(tar(directory("d/"), file("d/f", b"x"), file("d/.wh..wh..opq")))
    assert overlay.names() == ["d/", "d/f"]
    assert is_opaque(str(overlay.root / "d"), overlay.tree.whiteouts)


def test_a_whiteout_and_a_file_of_the_same_name_leave_the_file(overlay: Layer) -> None:
    overlay.apply(
        tar(file(".wh.a"), file("a", b"1"), file("b", b"2"), file(".wh.b"), symlink("c", "x"))
    )
    assert overlay.names() == ["a", "b", "c"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_whiteout_and_a_directory_of_the_same_name_make_it_opaque(
    overlay: Layer, order: int
) -> None:
    overlay.apply(tar(*[directory("d/"), file(".wh.d")][::order], file("d/f", b"x")))
    assert overlay.names() == ["d/", "d/f"]
    assert is_opaque(str(overlay.root / "d"), overlay.tree.whiteouts)


def test_a_directory_that_hides_nothing_is_not_opaque(overlay: Layer) -> None:
    overlay.apply(tar(directory("d/"), file("d/.wh.x")))
    assert not is_opaque(str(overlay.root / "d"), overlay.tree.whiteouts)


def test_a_whiteout_removes_from_a_complete_tree(complete: Layer) -> None:
    complete.apply(tar(file(".wh.a"), file("d/.wh.e"), file(".wh.missing")))
    assert complete.names() == ["d/", "d/b"]


def test_an_opaque_marker_empties_a_directory_of_a_complete_tree(complete: Layer) -> None:
    complete.apply(tar(file("d/new", b"x"), file("d/.wh..wh..opq"), file("d/later", b"y")))
    assert complete.names() == ["a", "d/", "d/later", "d/new"]


def test_a_whiteout_never_removes_what_its_own_tar_made(complete: Layer) -> None:
    complete.apply(
        tar(
            directory("d/"), file("d/e/kept", b"x"), file(".wh.d"), file("a", b"new"), file(".wh.a")
        )
    )
    assert complete.names() == ["a", "d/", "d/e/", "d/e/kept"]


def test_whiteouts_replace_what_an_overlay_held_before(overlay: Layer) -> None:
    (overlay.root / "d/e").mkdir(parents=True)
    (overlay.root / "d/old").touch()
    (overlay.root / "gone").touch()
    overlay.apply(tar(file("d/new", b"x"), file("d/.wh..wh..opq"), file(".wh.gone")))
    assert overlay.names() == ["d/", "d/new", "gone!"]


def test_a_directorys_attributes_are_replaced_by_those_of_its_member(complete: Layer) -> None:
    os.setxattr(complete.root / "d", "user.old", b"1")
    os.setxattr(complete.root / "d", "user.both", b"1")
    os.setxattr(complete.root / "d/e", "user.kept", b"1")
    complete.apply(tar(directory("d/", pax_headers={"SCHILY.xattr.user.both": "2"}), file("d/e/f")))
    assert os.listxattr(complete.root / "d") == ["user.both"]
    assert os.getxattr(complete.root / "d", "user.both") == b"2"
    assert os.getxattr(complete.root / "d/e", "user.kept") == b"1"


@pytest.mark.parametrize("whiteouts", WhiteoutFormat)
def test_a_whiteout_beneath_what_replaced_its_directory_does_nothing(
    whiteouts: WhiteoutFormat, tmp_path: Path
) -> None:
    layer = Layer(tmp_path / "layer", whiteouts)
    layer.apply(
        tar(
            file("d", b"a file now"),
            file("d/.wh.b"),
            file("d/e/.wh..wh..opq"),
            directory("other/"),
            file("other/kept", b"x"),
            symlink("l", "other"),
            file("l/.wh.kept"),
            file("l/.wh..wh..opq"),
            file("l/.wh.more"),
        )
    )
    assert layer.names() == ["d", "l", "other/", "other/kept"]
    assert not is_opaque(str(layer.root / "other"), whiteouts)


def test_other_files_of_aufs_are_skipped(overlay: Layer) -> None:
    overlay.apply(
        tar(
            directory(".wh..wh.plnk/"),
            file(".wh..wh.plnk/12.34", b"content"),
            file(".wh..wh.aufs", b"more"),
            directory("d/.wh..wh.orph/"),
            file("d/f", b"x"),
        )
    )
    assert overlay.names() == ["d/", "d/f"]


@pytest.mark.parametrize("name", [".wh.", "d/.wh..", ".wh..."])
def test_a_whiteout_must_name_something(overlay: Layer, name: str) -> None:
    with pytest.raises(InvalidTar, match="names nothing"):
        overlay.apply(tar(file(name)))


def test_a_hard_link_to_a_file_of_a_lower_layer_copies_it_up(tmp_path: Path) -> None:
    base = Layer(tmp_path / "base")
    base.apply(
        tar(
            directory("usr/", mode=0o711, uid=4, mtime=1000),
            directory("usr/lib/", mode=0o750),
            file("usr/lib/f", b"content", mode=0o4711, uid=8, mtime=2000),
        )
    )
    os.setxattr(base.root / "usr/lib/f", "trusted.kept", b"yes")
    layer = Layer(tmp_path / "layer", WhiteoutFormat.OVERLAY, base)
    applied = layer.apply(tar(link("bin/g", "usr/lib/f", mode=0o4711, uid=8, mtime=2000)))
    assert layer.names() == ["bin/", "bin/g", "usr/", "usr/lib/", "usr/lib/f"]
    made, usr = (layer.root / "usr/lib/f").stat(), (layer.root / "usr").stat()
    assert (made.st_nlink, made.st_uid, made.st_mtime) == (2, 8, 2000)
    assert stat.S_IMODE(made.st_mode) == 0o4711
    assert os.getxattr(layer.root / "bin/g", "trusted.kept") == b"yes"
    assert (stat.S_IMODE(usr.st_mode), usr.st_uid, usr.st_mtime) == (0o711, 4, 1000)
    assert applied.size == len(b"content")


def test_the_nearest_lower_layer_counts(tmp_path: Path) -> None:
    bottom, middle = Layer(tmp_path / "bottom"), Layer(tmp_path / "middle")
    bottom.apply(tar(file("f", b"old"), file("g", b"only here"), symlink("s", "t")))
    middle.apply(tar(file("f", b"new")))
    top = Layer(tmp_path / "top", WhiteoutFormat.OVERLAY, middle, bottom)
    top.apply(tar(link("f2", "f"), link("g2", "g"), link("s2", "s")))
    assert (top.root / "f2").read_bytes() == b"new"
    assert (top.root / "g2").read_bytes() == b"only here"
    assert os.readlink(top.root / "s2") == "t"


@pytest.mark.parametrize(
    "hiding",
    [
        [file(".wh.d")],
        [file("d/.wh.f")],
        [directory("d/"), file("d/.wh..wh..opq")],
        [file("d", b"a file now")],
        [symlink("d", "e")],
    ],
)
def test_a_hard_link_to_a_file_that_is_hidden_is_refused(
    tmp_path: Path, hiding: list[Member]
) -> None:
    bottom = Layer(tmp_path / "bottom")
    bottom.apply(tar(file("d/f", b"x")))
    middle = Layer(tmp_path / "middle", WhiteoutFormat.OVERLAY, bottom)
    middle.apply(tar(*hiding))
    top = Layer(tmp_path / "top", WhiteoutFormat.OVERLAY, middle, bottom)
    with pytest.raises(InvalidTar, match="does not exist, 'd/f'"):
        top.apply(tar(link("g", "d/f")))
    same = Layer(tmp_path / "same", WhiteoutFormat.OVERLAY, bottom)
    with pytest.raises(InvalidTar, match="d/f"):
        same.apply(tar(*hiding, link("g", "d/f")))


HAS = ("a/x", "a/y", "d/e/f", "f", "g")


@pytest.fixture(params=WhiteoutFormat)
def upon(request: pytest.FixtureRequest, tmp_path: Path) -> Layer:
    """A layer of each format on one with files, a directory and a link to it."""
    members = [*(file(name, b"below") for name in HAS), symlink("l", "a")]
    if request.param is WhiteoutFormat.REMOVE:
        copy = Layer(tmp_path / "layer", request.param)
        apply_tar(io.BytesIO(tar(*members)), copy.tree)
        return copy
    base = Layer(tmp_path / "base", request.param)
    base.apply(tar(*members))
    return Layer(tmp_path / "layer", request.param, base)


def shown(layer: Layer) -> set[str]:
    """The files that a layer shows, by readdir; what readdir lists can be looked at."""
    layers = [layer.tree.root, *layer.tree.lowers]
    found: set[str] = set()
    pending: list[tuple[str, tuple[str, ...]]] = [("", tuple(layers))]
    while pending:
        above, places = pending.pop()
        visible = dict(names_in(places, layer.tree.whiteouts))
        for name, what in visible.items():
            if what.merged:
                pending.append((f"{above}{name}/", what.merged))
            else:
                found.add(above + name)
    return found


@pytest.mark.parametrize(
    ("members", "gone"),
    [
        ([file(".wh.a"), file("a/.wh.x")], {"a/x", "a/y"}),
        ([file("a/.wh.x"), file(".wh.a")], {"a/x", "a/y"}),
        ([file(".wh.d"), file("d/e/.wh.f"), file("d/.wh..wh..opq")], {"d/e/f"}),
        ([file("d/e/.wh.f"), file(".wh.d")], {"d/e/f"}),
        ([file("d/.wh.e"), file("d/e/.wh.f"), file(".wh.d")], {"d/e/f"}),
        ([file(".wh.missing"), file("a/.wh.missing")], set()),
        ([file("new/.wh.x"), file("new/deep/.wh.x")], set()),
        ([file("l/.wh.x")], set()),
        ([file("f/.wh.x")], set()),
        ([file(".wh.l")], {"l"}),
        ([file(".wh.f"), file(".wh.f")], {"f"}),
    ],
)
def test_a_whiteout_hides_what_is_there_and_makes_nothing(
    upon: Layer, members: list[Member], gone: set[str]
) -> None:
    before = shown(upon)
    apply_tar(io.BytesIO(tar(*members)), upon.tree)
    assert shown(upon) == before - gone
    if not gone and upon.tree.lowers:
        assert upon.names() == []


@pytest.mark.parametrize(
    ("members", "left"),
    [
        ([file(".wh.a"), file("a/.wh.x"), file("a/z")], {"a/z"}),
        ([file("a/.wh.x"), file("a/z"), file(".wh.a")], {"a/z"}),
        ([file(".wh.a"), directory("a/"), file("a/.wh.x")], set()),
        ([file(".wh.a"), file("a/b/c"), file("a/.wh.y")], {"a/b/c"}),
    ],
)
def test_what_a_tar_puts_into_a_directory_that_it_hides_stays(
    upon: Layer, members: list[Member], left: set[str]
) -> None:
    apply_tar(io.BytesIO(tar(*members)), upon.tree)
    assert {name for name in shown(upon) if name.startswith("a/")} == left


@pytest.fixture
def merged(tmp_path: Path) -> Iterator[Path]:
    """A base and a layer on it, shown by the kernel."""
    base = Layer(tmp_path / "base")
    base.apply(tar(*[file(f"{name}/{leaf}", b"x") for name in "abcd" for leaf in "xyz"]))
    layer = Layer(tmp_path / "layer", WhiteoutFormat.OVERLAY, base)
    layer.apply(
        tar(
            file(".wh.a"),
            file("b/.wh.x"),
            file("c/.wh..wh..opq"),
            file("c/new", b"y"),
            directory("d/"),
            file(".wh.d"),
            link("d/linked", "b/y"),
        )
    )
    target = tmp_path / "merged"
    target.mkdir()
    mount("overlay", str(target), "overlay", 0, f"lowerdir={layer.root}:{base.root}")
    yield target
    umount(str(target))


def test_the_kernel_shows_what_the_tar_said(merged: Path) -> None:
    shown = sorted(str(path.relative_to(merged)) for path in merged.rglob("*"))
    assert shown == ["b", "b/y", "b/z", "c", "c/new", "d", "d/linked"]
    assert not any(is_whiteout(path) for path in merged.rglob("*"))
