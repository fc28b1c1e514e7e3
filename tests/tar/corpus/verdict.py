"""Whether a tar is given back to the bit, by us and by the reference from what we wrote.

Owns the comparison of our tar-split with the reference's. It makes no archives.
"""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

from layerstore.drivers.errors import InvalidTar, LimitExceeded
from layerstore.drivers.model.tree import WhiteoutFormat
from layerstore.drivers.tar.names import clean
from layerstore.drivers.tar.split.records import FILE, read_records
from tests.tar.corpus.builder import Layer
from tests.tar.corpus.corpus import EQUAL, KEPT, NEITHER, OURS, THEIRS
from tests.tar.corpus.reference import Reference, Refused


def judge(
    reference: Reference,
    data: bytes,
    root: Path,
    whiteouts: WhiteoutFormat = WhiteoutFormat.OVERLAY,
) -> str:
    """Apply a tar beneath `root`, which is made, and compare; return which of the verdicts holds.

    Asserts that a tar which is taken comes back, from us and from the reference with our lines, and
    that lines differ only where the reference's own don't give the tar back.
    """
    try:
        theirs: bytes | None = reference.disassemble(data)
    except Refused:
        theirs = None
    layer = Layer(root, whiteouts)
    try:
        layer.apply(data)
    except (InvalidTar, LimitExceeded) as error:
        check_refusal(error, data)
        return NEITHER if theirs is None else THEIRS
    assert reference.assemble(layer.records, root) == data, "docker could not give it back"
    if theirs is None:
        return OURS
    if theirs == layer.records:
        return EQUAL
    assert not gives_back(reference, theirs, root, data), "the reference's lines would do"
    return KEPT


def gives_back(reference: Reference, lines: bytes, root: Path, data: bytes) -> bool:
    if _waits(lines, root):
        return False
    try:
        return reference.assemble(lines, root) == data
    except Refused:
        return False


def _waits(lines: bytes, root: Path) -> bool:
    """Whether the reference would wait for ever: for content of a pipe that nobody writes to."""
    return any(
        stat.S_ISFIFO(os.stat(path).st_mode)
        for record in read_records(io.BytesIO(lines), "the reference's lines")
        if record.type == FILE
        and record.size
        and os.path.exists(path := os.path.join(os.fsencode(root), clean(record.file_name) or b""))
    )


def check_refusal(error: InvalidTar | LimitExceeded, data: bytes) -> None:
    """Assert that an error names a place in the tar, and no failure of ours to keep its content."""
    if isinstance(error, InvalidTar):
        assert 0 <= error.offset <= len(data), error
        assert "given back" not in error.reason, error
        assert "kept" not in error.reason, error
