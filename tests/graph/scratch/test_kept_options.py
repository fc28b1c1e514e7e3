"""What a read-write layer was asked to be is kept beside it, and read as if anybody had put it."""

import os
from pathlib import Path

import pytest

from layerstore.drivers.errors import DriverError, InvalidMetadata
from layerstore.drivers.graph.kept_options import KEPT, read_kept, write_kept
from layerstore.drivers.graph.storage_options import StorageOptions


@pytest.mark.parametrize(
    "options", [StorageOptions(1 << 20, "memory"), StorageOptions(scratch="disk")]
)
def test_what_was_kept_is_read_again(options: StorageOptions, tmp_path: Path) -> None:
    assert write_kept(str(tmp_path), options) == [f"{tmp_path}/{KEPT}"]
    assert read_kept(str(tmp_path)) == options


def test_a_layer_like_any_other_needs_no_file(tmp_path: Path) -> None:
    assert write_kept(str(tmp_path), StorageOptions()) == []
    assert os.listdir(tmp_path) == []
    assert read_kept(str(tmp_path)) == StorageOptions()


def test_options_are_kept_once(tmp_path: Path) -> None:
    write_kept(str(tmp_path), StorageOptions(1))
    with pytest.raises(DriverError, match=KEPT):
        write_kept(str(tmp_path), StorageOptions(2))
    assert read_kept(str(tmp_path)) == StorageOptions(1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"size":"1"}',
        b'{"size":0}',
        b'{"size":9223372036854775808}',
        b'{"scratch":"tape"}',
        b'{"speed":1}',
        b'{"size":1}' + b" " * 20_000,
        b"[" * 10_000,
    ],
)
def test_what_nobody_wrote_is_refused_with_its_path(content: bytes, tmp_path: Path) -> None:
    (tmp_path / KEPT).write_bytes(content)
    with pytest.raises(InvalidMetadata, match=KEPT):
        read_kept(str(tmp_path))


def test_no_link_is_followed_and_no_pipe_waited_for(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"{}")
    (tmp_path / KEPT).symlink_to("real")
    with pytest.raises(InvalidMetadata, match=KEPT):
        read_kept(str(tmp_path))
    (tmp_path / KEPT).unlink()
    os.mkfifo(tmp_path / KEPT)
    with pytest.raises(InvalidMetadata, match=KEPT):
        read_kept(str(tmp_path))
