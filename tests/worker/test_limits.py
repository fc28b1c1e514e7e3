"""Limits of a store that its workers keep: on depth, on the ratio of inflation, on memory."""

from __future__ import annotations

import io
import lzma
import zlib
from pathlib import Path

import pytest
import zstandard

from layerstore import LimitExceeded, Limits
from tests.command.fixtures import Run
from tests.conftest import OpenStore
from tests.support.tars import layer_tar
from tests.tar.corpus.builder import directory, file, symlink, tar

pytestmark = pytest.mark.root


def test_depth_is_limited(open_store: OpenStore) -> None:
    store = open_store(limits=Limits(max_depth=3))
    store.register(tar(directory("a/b/c/")))
    with pytest.raises(LimitExceeded, match="depth of a path in components exceeds the limit of 3"):
        store.register(tar(file("a/b/c/d", b"")))
    with pytest.raises(LimitExceeded, match="depth"):
        store.register(tar(symlink("a/b/c/d", "x")))


def test_the_ratio_of_inflation_is_limited_from_a_size_on(open_store: OpenStore) -> None:
    zeros = tar(file("zeros", bytes(4 << 20)))
    packed = zstandard.compress(zeros)
    store = open_store(limits=Limits(max_ratio=100, ratio_from=1 << 20))
    with pytest.raises(
        LimitExceeded, match="ratio to its compressed size exceeds the limit of 100"
    ):
        store.register(packed, compression="auto")
    assert store.map() == {}
    store.register(zeros)
    store.register(zstandard.compress(tar(file("few", bytes(900 << 10)))), compression="auto")
    store.close()
    assert open_store().register(packed, compression="auto").diff_size == 4 << 20


def test_memory_is_limited(open_store: OpenStore) -> None:
    """An xz stream that claims a dictionary of 1 GiB, which a reader must provide."""
    packed = bytearray(lzma.compress(tar(file("a", b"1")), check=lzma.CHECK_CRC32))
    header = packed[12:24]
    assert header[:4] == b"\x02\x00\x21\x01"
    header[4] = 36
    header[8:] = zlib.crc32(header[:8]).to_bytes(4, "little")
    packed[12:24] = header
    with lzma.open(io.BytesIO(packed)) as unbounded:
        assert unbounded.read(3)
    store = open_store(limits=Limits(max_memory=1 << 29))
    with pytest.raises(LimitExceeded, match=f"memory of a worker in bytes exceeds .* {1 << 29}"):
        store.register(bytes(packed), compression="auto")
    assert store.map() == {}
    assert store.register(layer_tar({"a": b"1"}))


def test_limits_are_options_of_the_command(run: Run, archive: Path) -> None:
    said = run("--limit", "max_entries=1", "load", archive, status=1)
    assert "the number of entries exceeds the limit of 1" in said
    assert "Loaded" in run("--limit", "max_entries=100", "--limit", "max_depth=9", "load", archive)
    for wrong in ("max_entries", "max_entries=x", "no=1"):
        with pytest.raises(SystemExit):
            run("--limit", wrong, "images")
