"""The same layers show the same tree: merged by the kernel, as copies, and unpacked by umoci.

Random small layers in random orders of members. Two differences are the file system's own, and are
left out: an opaque marker at the root (overlayfs has no root to hide beneath), and a member beneath
a symbolic link (in a copy one of a lower layer is followed, overlayfs has a directory instead; one
of its own layer leads nowhere in overlayfs, where only a lower layer has what it leads to).

Two more are umoci's. An opaque marker makes its directory here, as for dockerd, even in the place
of a file; in umoci it makes nothing. And umoci refuses what lies beneath a file of an earlier layer
or entry, where the file goes here, as for dockerd's overlay2.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st

from layerstore.drivers.errors import InvalidTar
from layerstore.drivers.model.tree import LayerTree, WhiteoutFormat
from layerstore.drivers.system.syscalls import mount, umount
from layerstore.drivers.tar.unpack.apply import apply_tar
from tests.docker.other_engines import make_layout
from tests.support.trees import Facts, differences, read_tree
from tests.tar.corpus.builder import Member, directory, file, link, symlink, tar

pytestmark = pytest.mark.root

PATHS = ("a", "b", "a/x", "a/y", "b/x", "a/x/z", "a/x/w")
IGNORED = frozenset({"mtime", "links"})
"""Directories that no member is have the time at which they are made, and overlayfs makes a file
of a lower layer a file of its own when it gets one more name."""
_PATH = st.sampled_from(PATHS)
MEMBER = st.one_of(
    st.builds(file, _PATH, st.sampled_from([b"1", b"22"])),
    st.builds(lambda path: directory(f"{path}/"), _PATH),
    st.builds(symlink, _PATH, st.sampled_from(["a", "b", "../b", "nowhere"])),
    st.builds(link, _PATH, _PATH),
    st.builds(lambda path: file(_whiteout(path)), _PATH),
    st.builds(lambda path: file(path + OPAQUE), st.sampled_from(["a", "b", "a/x"])),
)
OPAQUE = "/.wh..wh..opq"
UMOCI_EXAMPLES = max(5, settings().max_examples // 10)
"""As many trees as are worth the time that a program takes."""
_LAYERS = st.lists(st.lists(MEMBER, min_size=1, max_size=5), min_size=1, max_size=4)


def _whiteout(path: str) -> str:
    above, slash, name = path.rpartition("/")
    return f"{above}{slash}.wh.{name}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats")


@contextlib.contextmanager
def merged(layers: list[Path], target: Path) -> Iterator[Path]:
    """Show layers, the lowest first, as the kernel does."""
    (target / "empty").mkdir(parents=True)
    (target / "merged").mkdir()
    lower = ":".join(str(layer) for layer in [*reversed(layers), target / "empty"])
    mount("overlay", str(target / "merged"), "overlay", 0, f"lowerdir={lower}")
    try:
        yield target / "merged"
    finally:
        umount(str(target / "merged"))


def applied(data: bytes, tree: LayerTree) -> str:
    """Apply a tar; returns why it was refused, if it was."""
    try:
        apply_tar(io.BytesIO(data), tree)
    except InvalidTar as error:
        return error.reason
    return ""


def below_a_link(members: list[Member], shown: Path) -> bool:
    """Whether a member lies beneath a symbolic link, of the layers beneath or of its own."""
    links = {member.info.name for member in members if member.info.issym()}
    return any(
        (shown / above).is_symlink() or str(above) in links
        for member in members
        for above in Path(member.info.name).parents
        if str(above) != "."
    )


def facts(root: Path) -> dict[str, Facts]:
    tree = read_tree(root)
    del tree["."]
    return tree


@given(layers=_LAYERS)
def test_a_merged_tree_and_a_copy_are_the_same(place: Path, layers: list[list[Member]]) -> None:
    top = Path(tempfile.mkdtemp(dir=place))
    try:
        copy = top / "copy"
        copy.mkdir()
        done: list[Path] = []
        for number, members in enumerate(layers):
            note(
                f"layer {number}: {[(m.info.name, m.info.type, m.info.linkname) for m in members]}"
            )
            assume(not below_a_link(members, copy))
            root = top / f"layer{number}"
            root.mkdir()
            lowers = tuple(str(layer) for layer in reversed(done))
            data = tar(*members)
            refused = applied(data, LayerTree(str(root), lowers, WhiteoutFormat.OVERLAY))
            again = top / f"copy{number}"
            shutil.copytree(copy, again, symlinks=True)
            refused_in_copy = applied(data, LayerTree(str(again), (), WhiteoutFormat.REMOVE))
            assert bool(refused) == bool(refused_in_copy), (refused, refused_in_copy)
            if refused:
                assert os.listdir(root) == []
                return
            copy = again
            done.append(root)
            with merged(done, top / f"shown{number}") as shown:
                assert differences(facts(shown), facts(copy), ignore=IGNORED) == []
                for name in os.listdir(shown):
                    assert os.path.lexists(shown / name), name
    finally:
        shutil.rmtree(top)


def made_by_markers(layers: list[list[Member]]) -> set[str]:
    """Return the directories of opaque markers, and those above them."""
    names = [member.info.name for members in layers for member in members]
    marked = [Path(name.removesuffix(OPAQUE)) for name in names if name.endswith(OPAQUE)]
    return {str(path) for one in marked for path in (one, *one.parents)}


def unpacked_by_umoci(layers: list[list[Member]], top: Path) -> Path | None:
    """Have umoci unpack layers; None where it refuses what lies beneath a file."""
    layout = make_layout([tar(*members) for members in layers], top / "layout")
    command = ["umoci", "raw", "unpack", "--image", f"{layout}:latest", str(top / "umoci")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        assert "not a directory" in done.stderr, done.stderr
        return None
    return top / "umoci"


@pytest.mark.needs("umoci")
@settings(max_examples=UMOCI_EXAMPLES)
@given(layers=_LAYERS)
def test_umoci_unpacks_what_a_copy_shows(place: Path, layers: list[list[Member]]) -> None:
    top = Path(tempfile.mkdtemp(dir=place))
    try:
        copy = top / "copy"
        copy.mkdir()
        for number, members in enumerate(layers):
            note(
                f"layer {number}: {[(m.info.name, m.info.type, m.info.linkname) for m in members]}"
            )
            assume(not below_a_link(members, copy))
            # What is refused leaves a layer in part, which is nothing to compare.
            assume(not applied(tar(*members), LayerTree(str(copy), (), WhiteoutFormat.REMOVE)))
        theirs = unpacked_by_umoci(layers, top)
        if theirs is None:
            return
        found = differences(facts(copy), facts(theirs), ignore=IGNORED)
        marked = made_by_markers(layers)
        assert [line for line in found if not explained(line, marked)] == []
    finally:
        shutil.rmtree(top)


def explained(line: str, marked: set[str]) -> bool:
    """Whether a difference is about a directory that an opaque marker has made."""
    return line.removeprefix("only ours: ").partition(":")[0] in marked


@pytest.mark.parametrize("format_", [WhiteoutFormat.OVERLAY, WhiteoutFormat.REMOVE])
def test_directories_in_the_place_of_files_go_with_a_tar_that_fails(
    place: Path, format_: WhiteoutFormat
) -> None:
    root = Path(tempfile.mkdtemp(dir=place))
    names = [f"a/{number}" for number in range(30)]
    members = [*(file(name) for name in names), *(directory(f"{name}/") for name in names)]
    assert applied(tar(*members, link("a", "a")), LayerTree(str(root), (), format_))
    assert os.listdir(root) == []
