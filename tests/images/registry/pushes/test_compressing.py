"""Equal tars are compressed to equal bytes, which every tool can read."""

from __future__ import annotations

import io
import random
import subprocess
import sys
from pathlib import Path

import pytest

from layerstore.drivers.errors import InvalidArgument, LayerStoreError
from layerstore.drivers.tar.compress import Way, checked_level, compressed

WORDS = [b"%x" % (number * 2654435761) for number in range(5000)]
CONTENT = b" ".join(random.Random(1).choices(WORDS, k=400_000))  # noqa: S311 - no secret
SIZES = (0, 1, 1024, 1 << 20, (1 << 20) + 1, len(CONTENT))
TOOLS: dict[Way, list[str]] = {"gzip": ["gzip", "-dc"], "zstd": ["zstd", "-dc"]}


class InPieces(io.BytesIO):
    """Gives less than it is asked for, as pipes do."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, random.Random(self.tell()).randrange(1, 70_000)))  # noqa: S311


def _compressed(content: io.BytesIO, packing: Way, level: int | None = None) -> bytes:
    return b"".join(compressed(content, packing, checked_level(packing, level)))


@pytest.mark.parametrize("packing", TOOLS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.needs("zstd", "gzip")
def test_every_tool_reads_it(packing: Way, size: int) -> None:
    packed = _compressed(io.BytesIO(CONTENT[:size]), packing)
    assert len(packed) < size or size < 1024
    unpacked = subprocess.run(TOOLS[packing], input=packed, capture_output=True, check=True)
    assert (unpacked.stdout, unpacked.stderr) == (CONTENT[:size], b"")


@pytest.mark.parametrize("packing", TOOLS)
def test_in_which_pieces_it_comes_makes_no_difference(packing: Way) -> None:
    assert _compressed(InPieces(CONTENT), packing) == _compressed(io.BytesIO(CONTENT), packing)


def test_how_many_threads_there_are_makes_no_difference(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(CONTENT)
    script = (
        "import os, sys; os.sched_getaffinity = lambda _: range(int(sys.argv[2]))\n"
        "from layerstore.drivers.tar.compress import compressed\n"
        "for piece in compressed(open(sys.argv[1], 'rb'), 'gzip', 6):\n"
        "    sys.stdout.buffer.write(piece)"
    )
    packed = {
        subprocess.run(
            [sys.executable, "-c", script, content, threads], capture_output=True, check=True
        ).stdout
        for threads in ("1", "7")
    }
    assert packed == {_compressed(io.BytesIO(CONTENT), "gzip", 6)}


def test_the_bytes_are_what_they_were(tmp_path: Path) -> None:
    """They are what a registry has; a change has every layer pushed anew."""
    # zlib's and libzstd's are theirs to change; what is around them isn't.
    packed = _compressed(io.BytesIO(b"layer"), "gzip")
    assert packed[:10].hex() == "1f8b08000000000000ff"
    assert packed[-10:].hex() == "03001a21dbe405000000"


@pytest.mark.parametrize(
    ("packing", "level"), [("gzip", 0), ("gzip", 10), ("zstd", 0), ("zstd", 20), ("bzip2", None)]
)
def test_other_ways_and_levels_are_refused(packing: Way, level: int | None) -> None:
    with pytest.raises(InvalidArgument):
        checked_level(packing, level)


@pytest.mark.parametrize("packing", TOOLS)
def test_a_tar_that_fails_fails_so_and_leaves_no_thread(packing: Way) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(size) or self.fail()

        def fail(self) -> bytes:
            raise LayerStoreError("its disk is gone")

    with pytest.raises(LayerStoreError, match="its disk is gone"):
        _compressed(Failing(CONTENT), packing)
    given_up = compressed(io.BytesIO(CONTENT), packing, 1)
    next(given_up)
    given_up.close()
