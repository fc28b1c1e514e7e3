"""The tar-split reader: whatever its lines say, a tar is written or the file refused."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

from fastcrc import crc64

from layerstore.drivers.confine.narrow import see_only_root
from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.tar.split.records import file_line, read_records, segment_line
from layerstore.drivers.tar.split.replay_bytes import assemble

LONGEST = 2048
_FILES = {"a": b"content", "d/b": b"x" * 1000, "d/c": b""}
_roots: list[str] = []


def seeds() -> Iterator[bytes]:
    for name, content in _FILES.items():
        crc = crc64.go_iso(content)
        yield segment_line(b"header", 0) + file_line(name.encode(), len(content), crc, 1)
    yield file_line(b"/etc/passwd", 7, 0, 0) + file_line(b"../a", 7, 1 << 63, 1)
    yield file_line(b"link/b", 1000, crc64.go_iso(_FILES["d/b"]), 0)
    yield file_line(b"caf\xe9", 3, 5, 0) + file_line(b"pipe", 1, 1, 1) + file_line(b"null", 1, 1, 2)
    yield b'{"type":1,"name":"a","size":-1,"payload":null,"position":0}\n'
    yield b'{"type":2,"payload":"","position":99999999999999999999}\n\n[]\n'


def run(data: bytes) -> None:
    """Replay over a few files in a directory of this process's own."""
    with contextlib.suppress(LayerStoreError):
        for record in read_records(io.BytesIO(data), "fuzz"):
            assert record.size >= 0
    out = io.BytesIO()
    with contextlib.suppress(LayerStoreError):
        found = assemble(io.BytesIO(data), _roots[0], out)
        assert found == "sha256:" + hashlib.sha256(out.getvalue()).hexdigest()
    assert b"outside" not in out.getvalue() or b"outside" in data


def prepare(directory: Path) -> None:
    """Make the files, a link that leads out to others, a pipe and a device that never answer."""
    top = directory / "replay"
    root = f"{top}/root"
    os.makedirs(f"{root}/d")
    for name, content in _FILES.items():
        with open(f"{root}/{name}", "wb") as file:
            file.write(content)
    for name in ("passwd", "b"):
        with open(f"{top}/{name}", "wb") as file:
            file.write(b"outside")
    os.symlink("..", f"{root}/up")
    os.symlink("d", f"{root}/link")
    os.mkfifo(f"{root}/pipe")
    os.mknod(f"{root}/null", 0o20666, os.makedev(1, 3))
    see_only_root(str(directory))
    _roots.append(root)
