"""Attributes, permissions and times that making something else would clear are there in the end."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest

from layerstore import LayerStore
from layerstore.drivers.tree.xattrs import CAPABILITY
from tests.tar.corpus.builder import Layer, Member, directory, file, link, tar

pytestmark = pytest.mark.root

CAP_NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")
CAP_OF_ROOT_ID = bytes.fromhex("010000030020000000000000000000000000000040420f00")
"""Version 3: it counts for the user namespace whose root is user 1,000,000."""


def capable(name: str, value: bytes = CAP_NET_RAW, **fields: object) -> Member:
    text = value.decode("utf-8", "surrogateescape")
    records = {f"SCHILY.xattr.{CAPABILITY}": text}
    return file(name, b"#!", mode=0o755, pax_headers=records, **fields)


def tar_of(*members: Member) -> bytes:
    return tar(*members, errors="surrogateescape")


@pytest.fixture
def layer(tmp_path: Path) -> Layer:
    return Layer(tmp_path / "layer")


@pytest.mark.parametrize(
    "more",
    [
        (link("ping4", "ping", mode=0o755),),
        (link("ping4", "ping", mode=0o755, uid=5, gid=6),),
        (link("ping4", "ping", mode=0o755), link("a/ping6", "ping4", mode=0o755)),
        (directory("bin/"), link("bin/ping", "ping", mode=0o4755)),
    ],
)
def test_capabilities_are_those_of_the_file_whatever_its_names(
    layer: Layer, more: tuple[Member, ...]
) -> None:
    layer.apply(tar_of(capable("ping"), *more))
    last = more[-1].info
    for name in ("ping", *(m.info.name for m in more if m.info.islnk())):
        assert os.getxattr(layer.root / name, CAPABILITY) == CAP_NET_RAW
        status = (layer.root / name).stat()
        assert (status.st_uid, status.st_gid) == (last.uid, last.gid)
        assert stat.S_IMODE(status.st_mode) == last.mode


def test_a_link_that_has_capabilities_of_its_own_sets_them(layer: Layer) -> None:
    again = link("ping4", "ping", mode=0o755)
    again.info.pax_headers = capable("x", CAP_OF_ROOT_ID).info.pax_headers
    layer.apply(tar_of(capable("ping"), again))
    assert os.getxattr(layer.root / "ping", CAPABILITY) == CAP_OF_ROOT_ID


def test_a_file_without_capabilities_gets_none_by_a_link(layer: Layer) -> None:
    layer.apply(tar(file("ping", b"#!"), link("ping4", "ping")))
    assert os.listxattr(layer.root / "ping4") == []


def test_a_link_to_a_lower_file_has_its_capabilities(tmp_path: Path, layer: Layer) -> None:
    layer.apply(tar_of(capable("ping")))
    above = Layer(tmp_path / "above", layer.tree.whiteouts, layer)
    above.apply(tar(link("ping4", "ping", mode=0o755)))
    assert os.getxattr(above.root / "ping4", CAPABILITY) == CAP_NET_RAW


def test_times_of_directories_are_theirs_whatever_comes_into_them_later(layer: Layer) -> None:
    made = [directory("a/", mtime=1000), directory("a/b/", mtime=2000)]
    layer.apply(tar(*made, file("a/b/c"), file("d", b"1"), link("a/e", "d"), file("a/f")))
    assert (layer.root / "a").stat().st_mtime == 1000
    assert (layer.root / "a/b").stat().st_mtime == 2000


def test_capabilities_of_a_file_with_two_names_outlive_commit_load_and_stream(
    store: LayerStore,
) -> None:
    base = store.register(tar_of(capable("ping"), link("ping4", "ping", mode=0o755)))
    with store.create_rw_layer("web", base.chain_id) as rw:
        with rw.mounted() as path:
            for name in ("ping", "ping4"):
                assert os.getxattr(f"{path}/{name}", CAPABILITY) == CAP_NET_RAW
            Path(path, "own").write_bytes(b"#!")
            os.setxattr(f"{path}/own", CAPABILITY, CAP_NET_RAW)
            os.link(f"{path}/own", f"{path}/own2")
        with rw.tar_stream() as stream:
            changes = stream.read()
    committed = store.register(changes, base.chain_id)
    with committed.tar_stream_from(None) as stream:
        whole = stream.read()
    flat = store.register(whole)
    for chain in (committed.chain_id, flat.chain_id):
        with store.create_rw_layer("again", chain) as rw, rw.mounted() as path:
            for name in ("ping", "ping4", "own", "own2"):
                assert os.getxattr(f"{path}/{name}", CAPABILITY) == CAP_NET_RAW, name


def test_every_name_of_a_file_is_written_with_its_capabilities(store: LayerStore) -> None:
    """As docker writes them, for those whose unpacking takes them with the owner."""
    with store.create_rw_layer("web") as rw:
        with rw.mounted() as path:
            Path(path, "own").write_bytes(b"#!")
            os.setxattr(f"{path}/own", CAPABILITY, CAP_NET_RAW)
            os.link(f"{path}/own", f"{path}/own2")
        with rw.tar_stream() as stream:
            content = io.BytesIO(stream.read())
    assert content.getvalue().count(f"SCHILY.xattr.{CAPABILITY}=".encode()) == 2
