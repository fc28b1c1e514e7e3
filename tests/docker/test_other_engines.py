"""Other engines agree on content: umoci, and containers-storage with both of its drivers.

Where engines differ, the specification of OCI's image layers counts, then moby. What it leaves open
is left out of the comparison by path and field, each with its reason here; all else must be equal.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from layerstore import LayerStore
from tests.docker.other_engines import ContainersStorage, Umoci, make_layout, need
from tests.support.archives import digest_of
from tests.support.nasty_image import link_across_layers, nasty_layers
from tests.support.trees import Facts, differences, in_whole_seconds, read_tree

pytestmark = pytest.mark.root

LAYERS = nasty_layers()
THEIR_DRIVERS = ("overlay", "vfs")
MADE_ON_THE_WAY = {f"{path}: mtime" for path in ("implicit", "implicit/parents")}
"""No layer holds these directories, so they are as old as their unpacking."""
UMOCI = MADE_ON_THE_WAY | {"etc/old: mtime"}
"""umoci sets times before 1970; moby's BoundTime, containers-storage and we make them 1970."""
_NOT_HELD = ("both", "dev", "etc", "kept", "kept/sub", "links", "names", "var")
_CHANGED_ON_THE_WAY = MADE_ON_THE_WAY | {f"{path}: mtime" for path in _NOT_HELD}
"""Upper layers hold something in these directories but not themselves, of which OCI says nothing:
umoci and we keep their times, moby and containers-storage don't."""
_OWNED_ON_THE_WAY = {
    f"{path}: {field}" for path in ("both", "kept", "kept/sub") for field in ("mode", "uid", "gid")
}
"""They are 0755 and root's where an overlay's upper directory is made without looking below, as
moby does too; umoci and engines with complete trees keep mode and owner, and so do we."""
_LOST_IN_COPYING = {
    *(f"{path}: links" for path in ("dev/pipe", "dev/pipe-again")),
    *(f"{path}: links" for path in ("links/soft", "links/soft-again")),
    "names/dangling: xattrs",
}
"""containers-storage's vfs copies the layer below without hard links of pipes and of symbolic
links, and without these links' attributes."""
_ADDED_TO = {"var/mail: xattrs"}
"""Its vfs adds to a directory's attributes; OCI has them replaced ("Applying Changesets")."""
THEIRS = {
    "overlay": _CHANGED_ON_THE_WAY | _OWNED_ON_THE_WAY,
    "vfs": _CHANGED_ON_THE_WAY | _LOST_IN_COPYING | _ADDED_TO,
}


@pytest.fixture(params=THEIR_DRIVERS)
def theirs(
    request: pytest.FixtureRequest, root_dir: Path, pytestconfig: pytest.Config
) -> Iterator[ContainersStorage]:
    """A store of containers-storage with each of its drivers in turn."""
    need(pytestconfig, "containers-storage")
    with ContainersStorage(root_dir / "theirs", request.param) as engine:
        yield engine


@pytest.fixture
def ours(root_dir: Path, driver_name: str) -> Iterator[LayerStore]:
    with LayerStore(root_dir / "ours", driver=driver_name, durability="relaxed") as store:
        yield store


def add_to_ours(store: LayerStore, layers: Iterable[bytes]) -> str:
    """Register layers, each on the one before it, and return the top one's chain ID."""
    parent = None
    for tar in layers:
        parent = store.register(tar, parent, expected_diff_id=digest_of(tar)).chain_id
    assert parent is not None
    return parent


def add_to_theirs(engine: ContainersStorage, layers: Iterable[bytes]) -> str:
    parent = None
    for tar in layers:
        parent, diff_id = engine.add(tar, parent)
        assert diff_id == digest_of(tar)
    assert parent is not None
    return parent


def shown_by_ours(store: LayerStore, chain: str) -> dict[str, Facts]:
    with store.create_rw_layer("shown", chain) as rw, rw.mounted() as path:
        return without_root(path)


def shown_by_theirs(engine: ContainersStorage, layer: str) -> dict[str, Facts]:
    with engine.mounted(engine.new(layer)) as path:
        return without_root(path)


def without_root(path: str | Path) -> dict[str, Facts]:
    """Read a tree; the root directory itself is the mount's own, in moby as in the others."""
    tree = read_tree(path)
    del tree["."]
    return tree


def differing(one: dict[str, Facts], other: dict[str, Facts], but: set[str]) -> list[str]:
    """Return in what trees differ, but for lines that begin with one of `but`."""
    but_these = tuple(f"{what} " for what in but)
    return [line for line in differences(one, other) if not line.startswith(but_these)]


def test_umoci_unpacks_the_same_tree(
    ours: LayerStore, root_dir: Path, pytestconfig: pytest.Config
) -> None:
    need(pytestconfig, "umoci")
    layers = [*LAYERS, link_across_layers()]
    tree = shown_by_ours(ours, add_to_ours(ours, layers))
    assert tree["links/across"].links == ("etc/far", "links/across")
    engine = Umoci(root_dir, layers)
    assert differing(tree, without_root(engine.tree), UMOCI) == []


def test_containers_storage_mounts_the_same_tree(
    ours: LayerStore, theirs: ContainersStorage
) -> None:
    """Without the link across layers, which its overlay driver, as moby's, can't make."""
    tree = shown_by_ours(ours, add_to_ours(ours, LAYERS))
    shown = shown_by_theirs(theirs, add_to_theirs(theirs, LAYERS))
    assert differing(tree, shown, THEIRS[theirs.driver]) == []


def test_a_diff_keeps_its_digest_from_engine_to_engine(
    ours: LayerStore, theirs: ContainersStorage
) -> None:
    """There and back. What containers-storage exports of a sparse member is no tar that anybody
    reads, since its tar-split takes the file with its holes for the member's content."""
    parent = below = None
    for tar in LAYERS:
        layer = ours.register(tar, below)
        with layer.tar_stream() as stream:
            parent = theirs.add_by_applying(stream.read(), parent)
        assert theirs.diff_id(parent) == layer.diff_id == digest_of(tar)
        if tar != LAYERS[-1]:
            exported = ours.register(theirs.diff(parent), below)
            assert exported.diff_id == theirs.diff_id(parent)
        below = layer.chain_id


def test_an_image_passed_on_by_containers_storage_is_the_same_image(
    ours: LayerStore, theirs: ContainersStorage, root_dir: Path, pytestconfig: pytest.Config
) -> None:
    """Without the sparse member, for the same reason. skopeo compresses what it copies out."""
    need(pytestconfig, "skopeo")
    layout = make_layout(LAYERS[:-1], root_dir / "given")
    theirs.pass_on(layout, root_dir / "passed-on")
    (passed_on,) = ours.images.load(root_dir / "passed-on")  # first, so that its layers are read
    (given,) = ours.images.load(layout)
    assert passed_on.id == given.id
    diff_ids = ours.images.config(passed_on.id)["rootfs"]["diff_ids"]
    assert diff_ids == [digest_of(tar) for tar in LAYERS[:-1]]


def change(root: Path) -> None:
    """Change a mounted tree in every way, with times that don't depend on when."""
    (root / "new/deep").mkdir(parents=True)
    (root / "new/deep/file").write_bytes(b"new")
    (root / "new/hard").hardlink_to(root / "new/deep/file")
    os.mkfifo(root / "new/pipe", 0o640)
    os.mknod(root / "new/device", 0o600 | stat.S_IFCHR, os.makedev(4095, 1_048_575))
    (root / "new/soft").symlink_to(("日本語" * 20 + "/") * 3)
    (root / "new/ü").write_bytes(b"")
    os.setxattr(root / "new/ü", "user.note", b"\0\xff")
    (root / "etc/passwd").write_bytes(b"changed\n")
    os.chown(root / "usr/bin/wall", 3_000_000_000, 70_000)
    (root / "usr/bin/wall").chmod(0o6755)
    (root / "etc/far").unlink()
    shutil.rmtree(root / "emptied")
    (root / "emptied").mkdir()
    (root / "emptied/again").write_bytes(b"made again")
    shutil.rmtree(root / "deep")
    (root / "kept/b").unlink()
    (root / "kept/b").mkdir()
    shutil.rmtree(root / "both")
    (root / "both").write_bytes(b"a file now")
    shutil.rmtree(root / "becomes-directory")
    (root / "becomes-directory").symlink_to("kept")
    (root / "var/none").rename(root / "renamed")
    (root / "var/mail").chmod(0o1700)
    changed = ["etc", "usr", "usr/bin", "kept", "kept/b", "renamed", "var", "var/mail", "both"]
    changed += ["new", "emptied", "etc/passwd", "usr/bin/wall", "becomes-directory"]
    within = [*sorted((root / "new").rglob("*")), *(root / "emptied").rglob("*")]
    for number, path in enumerate([*map(root.joinpath, changed), *within]):
        time = (1_650_000_000 + number) * 10**9
        os.utime(path, ns=(time, time), follow_symlinks=False)


def test_changes_exported_by_either_engine_are_the_same_in_the_other(
    ours: LayerStore, theirs: ContainersStorage
) -> None:
    chain, layer = add_to_ours(ours, LAYERS), add_to_theirs(theirs, LAYERS)
    with ours.create_rw_layer("changed", chain) as rw, rw.mounted() as path:
        change(Path(path))
        expected = without_root(path)
        with rw.tar_stream() as stream:
            our_diff = stream.read()
    new = theirs.new(layer)
    with theirs.mounted(new) as their_path:
        change(their_path)
        seen = [(without_root(their_path), THEIRS[theirs.driver])]
    their_diff = theirs.diff(new)
    for diff, but in ((our_diff, set()), (their_diff, THEIRS[theirs.driver])):
        made = ours.register(diff, chain, expected_diff_id=digest_of(diff))
        seen.append((shown_by_ours(ours, made.chain_id), but))
    applied, diff_id = theirs.add(our_diff, layer)
    assert diff_id == digest_of(our_diff)
    seen.append((shown_by_theirs(theirs, applied), THEIRS[theirs.driver]))
    for tree, but in seen:
        assert differing(in_whole_seconds(expected), in_whole_seconds(tree), but) == []


def test_what_umoci_repacks_is_the_same_here(
    ours: LayerStore, root_dir: Path, pytestconfig: pytest.Config
) -> None:
    need(pytestconfig, "umoci")
    engine = Umoci(root_dir, LAYERS)
    change(engine.tree)
    expected = without_root(engine.tree)
    diff_ids = engine.repack()
    (image,) = ours.images.load(engine.layout)
    assert ours.images.config(image.id)["rootfs"]["diff_ids"] == diff_ids
    assert image.chain_id is not None
    assert differing(expected, shown_by_ours(ours, image.chain_id), UMOCI) == []
