"""Stories of a few members, unpacked in every format: inside the root, and given back to the bit.

The bytes are not a tar but choose members from short lists, so that names meet: what replaces what,
what leads through which link, what hides what. The process sees nothing but a directory of its own.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from layerstore.drivers.confine.narrow import see_only_root
from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.tree import LayerTree, WhiteoutFormat
from layerstore.drivers.tar.split.replay_bytes import assemble
from layerstore.drivers.tar.unpack.apply import apply_tar
from tests.ordeals.hostile.attacks import raw

LONGEST = 64
_NAMES = (
    b"a", b"b", b"c", b"a/b", b"a/c", b"b/a", b"a/b/c", b"c/a", b".", b"/a", b"a/../b", b"../x",
    b".wh.a", b".wh.b", b"a/.wh.b", b"a/.wh..wh..opq", b".wh..wh..opq", b"a/b/.wh.c", b".wh..wh.x",
)  # fmt: skip
_TARGETS = (b"a", b"b", b"a/b", b"/", b"..", b"../../x", b"/c", b".", b"c/a", b"/a/b", b"a/c")
_KINDS = (b"0", b"0", b"5", b"2", b"1", b"0", b"3", b"6")
_CONTENTS = (b"", b"x", b"y", b"xx", b"x" * 600)
_LIMITS = Limits(max_entries=100)


class _Place:
    """A directory of this process's own, beside which nothing is seen, with a file to be kept."""

    def __init__(self, directory: Path) -> None:
        see_only_root(str(directory))
        self.top = top = str(directory / "place")
        self.tree = f"{top}/tree"
        self.lower = f"{top}/lower"
        os.makedirs(f"{top}/x")
        with open(f"{top}/x/secret", "wb") as secret:
            secret.write(b"secret")
        self.expected = self.look()

    def look(self) -> tuple[object, ...]:
        status = os.stat(f"{self.top}/x/secret")
        names = sorted(os.listdir(self.top)), os.listdir(f"{self.top}/x"), os.listdir("/")
        return (*names, status.st_nlink, status.st_mtime_ns, status.st_mode, status.st_uid)


_places: list[_Place] = []


def seeds() -> Iterator[bytes]:
    yield bytes([0, 0, 0, 0])
    for kind in range(len(_KINDS)):
        yield bytes([1, *(part for name in range(4) for part in (kind, name, name))])
        yield bytes([2, 2, 0, 0, kind, 3, 1, 0, 12, 0, kind, 3, 1])


def prepare(directory: Path) -> None:
    """See nothing but the directory from now on."""
    _places.append(_Place(directory))


def run(data: bytes) -> None:
    """Unpack two layers, one upon the other, in each format."""
    place = _places[0]
    cut = data[0] % 8 * 3 if data else 0
    below, above = _story(data[1 : 1 + cut]), _story(data[1 + cut :])
    for whiteouts in WhiteoutFormat:
        try:
            _unpack(place, below, above, whiteouts)
        finally:
            for path in (place.tree, place.lower):
                shutil.rmtree(path, ignore_errors=True)
        assert place.look() == place.expected


def _story(choices: bytes) -> bytes:
    """Make a tar of members, three bytes each: a kind, a name, a target or a content."""
    found = b""
    for kind, name, more in zip(choices[::3], choices[1::3], choices[2::3], strict=False):
        type_ = _KINDS[kind % len(_KINDS)]
        content = _CONTENTS[more % len(_CONTENTS)] if type_ == b"0" else b""
        found += raw.member(
            _NAMES[name % len(_NAMES)],
            content,
            type_,
            link=_TARGETS[more % len(_TARGETS)],
            mode=0o755,
            device=(1, more % 4),
        )
    return found + raw.END


def _unpack(place: _Place, below: bytes, above: bytes, whiteouts: WhiteoutFormat) -> None:
    os.mkdir(place.lower)
    os.mkdir(place.tree)
    complete = whiteouts is WhiteoutFormat.REMOVE
    first = LayerTree(place.tree if complete else place.lower, (), whiteouts)
    second = LayerTree(place.tree, () if complete else (place.lower,), whiteouts)
    with contextlib.suppress(LayerStoreError):
        _apply(first, below)
        _apply(second, above)


def _apply(tree: LayerTree, data: bytes) -> None:
    records = io.BytesIO()
    applied = apply_tar(io.BytesIO(data), tree, tar_split=records, limits=_LIMITS)
    records.seek(0)
    out = io.BytesIO()
    try:
        assert assemble(records, tree.root, out) == applied.diff_id
    except LayerStoreError as error:
        raise AssertionError("what was registered can't be given back") from error
    assert out.getvalue() == data
