"""Streams that are no tars, members that can't be, and sources that fail."""

from __future__ import annotations

import os
import random
import tarfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerstore.drivers.errors import (
    DriverError,
    InvalidTar,
    LayerStoreError,
    LimitExceeded,
    StorageFull,
)
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.tree import WhiteoutFormat
from layerstore.drivers.system.syscalls import mount, umount
from layerstore.drivers.tar.unpack.apply import apply_tar
from tests.tar.corpus.builder import Layer, directory, file, link, symlink, tar
from tests.tar.corpus.odd import checked

pytestmark = pytest.mark.root


@pytest.fixture(params=list(WhiteoutFormat))
def layer(request: pytest.FixtureRequest, tmp_path: Path) -> Layer:
    return Layer(tmp_path / "layer", request.param)


@pytest.mark.parametrize("kind", [b"V", b"M", b"D", b"N", b"X", b"\xff"])
def test_members_of_unknown_kinds_are_refused(layer: Layer, kind: bytes) -> None:
    with pytest.raises(InvalidTar, match="member type"):
        layer.apply(tar(file("f", type=kind)))


@pytest.mark.parametrize(
    "data", [b"hello", b"\x1f\x8b\x08" * 500, b"\xff" * 1024, b"\1" + bytes(511)]
)
def test_garbage_is_refused_where_it_begins(layer: Layer, data: bytes) -> None:
    with pytest.raises(InvalidTar) as caught:
        layer.apply(tar(file("f", b"x"))[:1024] + data)
    assert 1024 <= caught.value.offset <= 1024 + len(data)


def test_a_stream_that_ends_anywhere_but_between_members_is_refused(layer: Layer) -> None:
    data = tar(file("n" * 120, b"x" * 1000), form=tarfile.GNU_FORMAT)
    ends = [1, 511, 513, 1023, 1025, 1535, 1537, 2000, 2535]
    for end in ends:
        with pytest.raises(InvalidTar, match="ends"):
            layer.apply(data[:end])


@pytest.mark.parametrize("number", ["9" * 20, "-1", "x", "1_0", "+", " 5"])
@pytest.mark.parametrize("key", ["size", "uid", "gid"])
def test_numbers_that_cannot_be_are_refused(layer: Layer, key: str, number: str) -> None:
    with pytest.raises((InvalidTar, LimitExceeded)):
        layer.apply(tar(file("f", b"", pax_headers={key: number})))


@pytest.mark.parametrize("key", ["size", "uid", "gid"])
def test_numbers_may_have_a_sign_and_zeros_in_front_as_in_go(layer: Layer, key: str) -> None:
    layer.apply(tar(file("f", b"12345", pax_headers={key: "+" + "0" * 30 + "5"})))
    status = (layer.root / "f").stat()
    assert {"size": status.st_size, "uid": status.st_uid, "gid": status.st_gid}[key] == 5


@pytest.mark.parametrize(
    ("name", "length"), [("", 1), ("user." + "n" * 300, 1), ("user.x", 70_000)]
)
def test_attributes_that_cannot_be_are_refused(layer: Layer, name: str, length: int) -> None:
    records = {f"SCHILY.xattr.{name}": "v" * length}
    with pytest.raises(InvalidTar) as caught:
        layer.apply(tar(file("good"), file("f", pax_headers=records)))
    assert caught.value.entry == "f"


@pytest.mark.parametrize("number", [1 << 40, -1, -(1 << 40), (1 << 32) - 1])
@pytest.mark.parametrize(
    ("name", "at", "kind"),
    [
        (".wh.x", 108, tarfile.REGTYPE),
        (".wh.x", 116, tarfile.REGTYPE),
        ("n", 108, tarfile.REGTYPE),
        ("n", 329, tarfile.CHRTYPE),
        ("n", 337, tarfile.BLKTYPE),
    ],
)
def test_owners_and_devices_that_cannot_be_are_refused(
    layer: Layer, name: str, at: int, kind: bytes, number: int
) -> None:
    info = tarfile.TarInfo(name)
    info.type = kind
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    block[at : at + 8] = (number & (1 << 64) - 1 | 1 << 63).to_bytes(8, "big")
    with pytest.raises(InvalidTar) as caught:
        layer.apply(tar(file("good", b"x"))[:1024] + checked(block) + bytes(1024))
    assert caught.value.offset == 1024


@pytest.mark.parametrize("time", ["x", "1.x", "1e5", "--1", "1.-5"])
def test_times_that_cannot_be_are_refused(layer: Layer, time: str) -> None:
    with pytest.raises(InvalidTar, match="no time"):
        layer.apply(tar(file("f", pax_headers={"mtime": time})))


def test_limits_are_kept(layer: Layer) -> None:
    with pytest.raises(LimitExceeded, match="entries exceeds the limit of 2"):
        layer.apply(tar(*[file(str(number)) for number in range(3)]), Limits(max_entries=2))
    with pytest.raises(LimitExceeded, match="bytes exceeds the limit of 9"):
        layer.apply(tar(file("a", b"12345"), file("b", b"12345")), Limits(max_bytes=9))
    with pytest.raises(LimitExceeded, match="extended header"):
        layer.apply(tar(file("a", pax_headers={"k": "v" * 2000})), Limits(max_header=1000))


def test_headers_upon_headers_are_bounded(layer: Layer) -> None:
    extended = tar(file("n" * 5000), form=tarfile.GNU_FORMAT)[: 512 + 5120]
    with pytest.raises(LimitExceeded, match="headers"):
        layer.apply(extended * 200, Limits(max_header=100_000))


def test_a_claimed_size_takes_no_memory_before_the_bytes_come(layer: Layer) -> None:
    member = tarfile.TarInfo("f")
    member.size = 1 << 39
    with pytest.raises(InvalidTar, match="ends"):
        layer.apply(member.tobuf(tarfile.GNU_FORMAT) + b"x" * 1000)


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount("tmpfs", str(small), "tmpfs", 0, "size=1m")
    try:
        layer = Layer(small / "layer")
        with pytest.raises(StorageFull) as caught:
            layer.apply(tar(file("f", b"x" * (2 << 20))))
        assert caught.value.path == str(small / "layer/f")
    finally:
        umount(str(small))


def test_a_source_that_fails_is_told_as_such(layer: Layer) -> None:
    with (
        open("/proc/self/mem", "rb", buffering=0) as source,
        pytest.raises(DriverError, match="the tar stream"),
    ):
        apply_tar(source, layer.tree)


def test_no_thread_or_descriptor_is_left_after_success_or_failure(layer: Layer) -> None:
    large = tar(file("f", os.urandom(5 << 20)))
    layer.apply(large)
    before = (threading.active_count(), len(os.listdir("/proc/self/fd")))
    for data in (large, large[:-2000000], tar(file("f", b"x")) + b"y" * (3 << 20)):
        try:
            layer.apply(data)
        except InvalidTar:
            continue
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_tar_is_applied_or_refused_but_never_worse(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever bytes are changed, the tar either comes back to the bit or is refused clearly."""
    layer = Layer(tmp_path_factory.mktemp("damaged") / "layer")
    intact = tar(
        directory("d/"),
        file("d/f", b"content" * 20, pax_headers={"mtime": "1.5"}),
        link("h", "d/f"),
        symlink("s", "d"),
        file("s/g", b"more"),
        file("d/.wh.x"),
    )
    damaged = bytearray(intact)
    generator = random.Random(data.draw(st.integers(0, 2**32)))  # noqa: S311
    for _ in range(data.draw(st.integers(1, 3))):
        start = generator.randrange(0, len(intact) - 6000, 512)
        header = damaged[start : start + 512]
        at = generator.choice([generator.randrange(157), generator.randrange(257, 420)])
        header[at] = generator.randrange(256)
        header[148:156] = b"        "
        header[148:156] = b"%06o\0 " % sum(header)
        damaged[start : start + 512] = header
    try:
        layer.apply(bytes(damaged))
    except LayerStoreError as error:
        assert str(error)  # noqa: PT017 - not to be raised is as good
