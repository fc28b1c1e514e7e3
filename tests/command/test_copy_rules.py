"""What cp makes of two paths: docker's rules, as a table, and what is in the way of hostile links.

Each line was tried once with docker 20.10. Links that lead out, or to themselves, docker doesn't
copy to this machine; here they are copied as they are, and followed by nobody.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from layerstore import DriverError
from layerstore.sandbox import copying
from layerstore.sandbox.copying import Place, copy
from tests.sandbox.flipping import flipping

TABLE = """
f web:/dir -> dir/f
f web:/dir/ -> dir/f
f web:/dir/. -> dir/f
f web:/new -> new
f web:/new/ -> !
f web:/new/. -> !
f web:/file -> file
f web:/file/ -> !
f web:/missing/new -> !
f/ web:/dir -> !
f/. web:/dir -> !
missing web:/dir -> !
to-f web:/dir -> dir/to-f
to-tree web:/dir -> dir/to-tree
to-tree/ web:/dir -> dir/to-tree/sub/u dir/to-tree/t
to-tree/. web:/dir -> dir/sub/u dir/t
to-tree/. web:/new -> new/sub/u new/t
tree web:/dir -> dir/tree/sub/u dir/tree/t
tree web:/new -> new/sub/u new/t
tree web:/new/ -> new/sub/u new/t
tree web:/new/. -> !
tree web:/file -> !
tree/. web:/dir -> dir/sub/u dir/t
tree/. web:/new -> new/sub/u new/t
tree/. web:/file -> !
tree/ web:/dir -> dir/tree/sub/u dir/tree/t
f web:/to-dir -> dir/f
f web:/to-dir/new -> dir/new
f web:/to-file -> file
f web:/to-up/new -> new
tree web:/to-dir -> dir/tree/sub/u dir/tree/t
tree web:/to-file -> !
f web:/dangling -> dir/new
f web:/dangling-up -> dir/new
f web:/dangling-abs -> dir/new
f web:/dangling-twice -> dir/new
f web:dangling-slash -> dir/new
f web:/dir/dangling -> dir/new
f web:/dangling-deep -> !
f web:/dangling/ -> !
tree web:/dangling -> dir/new/sub/u dir/new/t
tree web:/dangling/ -> !
tree web:/dangling-up -> dir/new/sub/u dir/new/t
tree web:/loop -> !
f web:/missing/../new -> new
f web:/missing/.. -> f
f web:/file/../new -> new
f web:/to-dir/../new -> new
f web:/dir/sub/../new -> dir/new
tree/. web:/missing/deep/../../new -> new/sub/u new/t
f web:/.. -> f
f web:.. -> f
f web:new -> new
f web://dir//new -> dir/new
f web:/ -> f
web:/file tree -> tree/file
web:/file new -> new
web:/file new/ -> !
web:/file f -> f
web:/file f/ -> !
web:/file tree/. -> tree/file
web:/file to-tree -> tree/file
web:/file to-tree/ -> tree/file
web:/file to-f -> f
web:/file hdang -> tree/new
web:/file habs -> tree/new
web:/file hdangd -> !
web:/file hloop -> !
web:/file missing/../new -> new
web:/file missing/new -> !
web:/file . -> file
web:/file dir -> dir
web:/file/ new -> !
web:/dir tree -> tree/dir/dangling tree/dir/leaf tree/dir/sub/deep
web:/dir new -> new/dangling new/leaf new/sub/deep
web:/dir new/ -> new/dangling new/leaf new/sub/deep
web:/dir new/. -> !
web:/dir f -> !
web:/dir dir -> !
web:/dir/. tree -> tree/dangling tree/leaf tree/sub/deep
web:/dir/. new -> new/dangling new/leaf new/sub/deep
web:/dir/. . -> dangling leaf sub/deep
web:/dir/sub/.. new -> new/dangling new/leaf new/sub/deep
web:/dir/sub/../. tree -> tree/dangling tree/leaf tree/sub/deep
web:/to-dir new -> new
web:/to-dir/ tree -> tree/to-dir/dangling tree/to-dir/leaf tree/to-dir/sub/deep
web:/to-dir/ new -> new/dangling new/leaf new/sub/deep
web:/to-dir/. tree -> tree/dangling tree/leaf tree/sub/deep
web:/to-dir/sub new -> new/deep
web:/to-file tree -> tree/to-file
web:/dangling new -> new
web:/missing/../file new -> new
web:/missing new -> !
-L web:/to-file tree -> tree/to-file
-L web:/to-file new -> new
-L web:/to-dir tree -> tree/to-dir/dangling tree/to-dir/leaf tree/to-dir/sub/deep
-L web:/dangling new -> !
-L web:/loop new -> !
-L to-f web:/dir -> dir/to-f
-L to-tree web:/dir -> dir/to-tree/sub/u dir/to-tree/t
-L to-tree web:/new -> new/sub/u new/t
"""
"""`[-L] SOURCE TARGET -> files and links that are new or changed`, or `!` where it is refused."""

LAYER: dict[str, str | tuple[str]] = {
    "dir/leaf": "leaf", "dir/sub/deep": "deep", "dir/dangling": ("new",), "file": "file",
    "to-dir": ("dir",), "to-file": ("file",), "to-root": ("/",), "to-up": ("/dir/..",),
    "dangling": ("dir/new",), "dangling-deep": ("missing/new",), "dangling-twice": ("dangling",),
    "dangling-up": ("../../../../dir/new",), "dangling-abs": ("/dir/new",), "loop": ("loop",),
    "dangling-slash": ("dir/new/",),
}  # fmt: skip
HERE: dict[str, str | tuple[str]] = {
    "f": "f", "tree/t": "t", "tree/sub/u": "u", "dir": "x", "to-f": ("f",), "to-tree": ("tree",),
    "hdang": ("tree/new",), "hdangd": ("missing/new",), "hloop": ("hloop",),
    "habs": ("HERE/tree/new",),
}  # fmt: skip


def make(place: Path, what: dict[str, str | tuple[str]]) -> dict[str, str]:
    """Make files with this content and links that lead there; returns what is there then."""
    for name, content in what.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, tuple):
            path.symlink_to(content[0].replace("HERE", str(place)))
        else:
            path.write_text(content)
    return seen(place)


def seen(place: Path) -> dict[str, str]:
    """Return what each file has and where each link leads, by its name beneath a place."""
    return {
        str(path.relative_to(place)): os.readlink(path) if path.is_symlink() else path.read_text()
        for path in place.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    place = tmp_path / "layer"
    place.mkdir()
    return place


@pytest.fixture
def here(tmp_path: Path) -> Path:
    place = tmp_path / "some/where/here"
    place.mkdir(parents=True)
    return place


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_two_paths_mean_what_docker_takes_them_for(layer: Path, here: Path, line: str) -> None:
    before = (make(layer, LAYER), make(here, HERE))
    words, _, result = line.partition(" -> ")
    *options, source, target = words.split()

    def place(text: str) -> Place:
        if text.startswith("web:"):
            return Place(str(layer), text.removeprefix("web:"))
        return Place("/", f"{here}/{text}")

    if result == "!":
        with pytest.raises(DriverError):
            copy(place(source), place(target), follow=bool(options))
    else:
        copy(place(source), place(target), follow=bool(options))
    after = (seen(layer), seen(here))
    changed = [
        name
        for was, now in zip(before, after, strict=True)
        for name, content in now.items()
        if was.get(name) != content
    ]
    assert sorted(changed) == (result.split() if result != "!" else [])
    assert os.listdir(here.parent) == ["here"]
    assert sorted(os.listdir(layer.parent)) == ["layer", "some"]


@pytest.mark.parametrize(
    "leads_to", ["/OUT/planted", "../../../../../../../OUT/planted", "up/planted"]
)
def test_a_dangling_link_is_made_good_inside_only(
    layer: Path, here: Path, tmp_path: Path, leads_to: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    make(here, HERE)
    (layer / "up").symlink_to("../../../../../../.." + str(outside))
    (layer / "link").symlink_to(leads_to.replace("/OUT", str(outside)))
    target = Place(str(layer), "link")
    with pytest.raises(DriverError, match="find link: No such file"):
        copy(Place("/", f"{here}/f"), target)
    inside = Path(f"{layer}{outside}")
    inside.mkdir(parents=True)
    copy(Place("/", f"{here}/f"), target)
    assert (inside / "planted").read_text() == "f"
    assert os.listdir(outside) == []


def test_a_chain_of_dangling_links_ends(layer: Path, here: Path) -> None:
    make(here, HERE)
    for number in range(60):
        (layer / f"l{number}").symlink_to(f"l{number + 1}")
    with pytest.raises(DriverError, match="find l0: Too many levels of symbolic links"):
        copy(Place("/", f"{here}/f"), Place(str(layer), "l0"))


def test_a_directory_that_becomes_a_link_meanwhile_leads_nowhere_else(
    layer: Path, here: Path, tmp_path: Path
) -> None:
    """CVE-2018-15664, CVE-2019-10152; CVE-2021-41089: no modes are changed outside either."""
    outside = tmp_path / "outside"
    make(outside, {"secret": "hidden", "t": "outside"})
    make(here, HERE)
    make(layer, {"flip/t": "in", "flip/secret": "inside"})
    outside.chmod(0o700)
    before = (os.stat(outside), os.stat(outside / "t"))
    with flipping(layer / "flip", outside) as count:
        for number in range(150):
            for source, target in (
                (Place("/", f"{here}/tree/."), Place(str(layer), "flip")),
                (Place(str(layer), "flip/secret"), Place("/", f"{here}/file-{number}")),
                (Place(str(layer), "flip"), Place("/", f"{here}/tree-{number}")),
            ):
                with suppress(DriverError):
                    copy(source, target)
        assert count() > 100
    after = (os.stat(outside), os.stat(outside / "t"))
    assert [(s.st_mode, s.st_mtime_ns) for s in after] == [
        (s.st_mode, s.st_mtime_ns) for s in before
    ]
    copied = {
        content for name, content in seen(here).items() if name.startswith(("file-", "tree-"))
    }
    assert "inside" in copied
    assert copied.isdisjoint({"hidden", "outside"})


def test_what_comes_to_be_above_a_dangling_link_meanwhile_leads_nowhere_else(
    layer: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link says `above/..`: once `above` leads to the root, that is what the root lies in."""
    make(here, HERE)
    (layer / "link").symlink_to("above/..")
    look = copying._inside

    def looked(root: int, path: str, flags: int) -> str:
        try:
            return look(root, path, flags)
        except FileNotFoundError:
            if path.endswith("/.."):
                (layer / "above").symlink_to("/")
            raise

    monkeypatch.setattr(copying, "_inside", looked)
    with pytest.raises(DriverError, match="find link: No such file"):
        copy(Place("/", f"{here}/f"), Place(str(layer), "link"))
    assert (layer / "above").is_symlink()
    assert not (layer.parent / "f").exists()
