"""Attributes, permissions and times that making something else would clear are there in the end."""

from __future__ import annotations

import io
import logging
import os
import stat
from pathlib import Path

import pytest

from layerstore import LayerStore
from layerstore.drivers.system.collected_log import log_again
from layerstore.drivers.tree.xattrs import CAPABILITY
from tests.tar.corpus.builder import Layer, Member, directory, file, link, symlink, tar

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


def test_attributes_that_can_not_be_had_are_told_once_for_each_kind(
    store: LayerStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Links have no attributes of users, whatever the file system; unpacking is a child's work."""
    records = {"SCHILY.xattr.user.a": "1", "SCHILY.xattr.user.b": "2"}
    members = [symlink(f"link{number}", "to", pax_headers=records) for number in range(5)]
    with caplog.at_level(logging.WARNING, "layerstore"):
        layer = store.register(tar(*members, file("f", b"1")))
    (line,) = [r.getMessage() for r in caplog.records if "attribute" in r.getMessage()]
    assert line.partition(": ")[2] == (
        "10 extended attributes of the kind user left out, which may not be set, by this process "
        "or on such files: user.a of link0 first"
    )
    with layer.tar_stream() as stream:
        assert stream.read() == tar(*members, file("f", b"1"))


def test_those_that_a_file_system_has_not_got_are_told_in_words(
    layer: Layer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "layerstore"):
        layer.apply(tar(file("f", b"1", pax_headers={"SCHILY.xattr.nobody.knows": "1"})))
    assert [r.getMessage() for r in caplog.records] == [
        "1 extended attribute of the kind nobody left out, which the file system doesn't have, or "
        "not for such files: nobody.knows of f"
    ]


def test_whatever_they_are_called_a_log_can_be_written(
    layer: Layer, caplog: pytest.LogCaptureFixture
) -> None:
    """So it is where no child unpacks, whose lines are made printable anyway."""
    odd = {"SCHILY.xattr.no\x1b.a\nb": "1"}
    layer.apply(tar(file("d\udcff\x1b", b"1", pax_headers=odd)))
    (line,) = [r.getMessage() for r in caplog.records]
    assert line.endswith(r"no\x1b.a\nb of d\udcff\x1b")
    assert line.isprintable()


def test_what_a_child_logs_is_bounded_and_printable(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "layerstore"):
        log_again([(logging.INFO, "\x1b[2J" + "x" * 5000)] * 500, 7)
    assert len(caplog.records) == 100
    assert caplog.records[0].getMessage().startswith("child 7: \\x1b[2Jx")
    assert all(len(record.getMessage()) < 1100 for record in caplog.records)
