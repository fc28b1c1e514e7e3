"""Tars that somebody made to reach out of a layer: nothing outside of it changes, nor is read."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.model.ids import new_id
from layerstore.testing.driver.making import make_layer, make_read_write
from layerstore.testing.driver.trees import read_tree


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type = kind
    found.size = len(b"evil") if kind == tarfile.REGTYPE else 0
    for field, value in fields.items():
        setattr(found, field, value)
    return found


def attributes(name: str, **values: str) -> tarfile.TarInfo:
    headers = {f"SCHILY.xattr.{key.replace('__', '.')}": value for key, value in values.items()}
    return member(name, tarfile.DIRTYPE, pax_headers=headers)


ATTACKS: dict[str, Callable[[Path], list[tarfile.TarInfo]]] = {
    "a name that leads up": lambda out: [member("../" * 30 + str(out)[1:] + "/file")],
    "an absolute name": lambda out: [member(f"{out}/file")],
    "a name with dots in it": lambda _: [member("a/../../../../../b"), member("./x/../../y")],
    "a link that is gone through": lambda out: [
        member("way", tarfile.SYMTYPE, linkname=str(out)),
        member("way/file"),
    ],
    "a link to a link": lambda out: [
        member("a", tarfile.SYMTYPE, linkname=str(out.parent)),
        member("b", tarfile.SYMTYPE, linkname=f"a/{out.name}"),
        member("b/file"),
    ],
    "a hard link to what is outside": lambda out: [
        member("hard", tarfile.LNKTYPE, linkname=f"{out}/file"),
        member("hard"),
    ],
    "a hard link through a link": lambda out: [
        member("way", tarfile.SYMTYPE, linkname=str(out)),
        member("hard", tarfile.LNKTYPE, linkname="way/file"),
        member("hard"),
    ],
    "a whiteout of what is outside": lambda out: [
        member("way", tarfile.SYMTYPE, linkname=str(out)),
        member("way/.wh.file"),
        member("way/.wh..wh..opq"),
    ],
    "a whiteout that leads up": lambda _: [member(".wh..."), member("x/.wh.."), member(".wh.")],
    "a directory in a link's place": lambda out: [
        member("way", tarfile.SYMTYPE, linkname=str(out)),
        member("way", tarfile.DIRTYPE, mode=0o777, uid=12, gid=34),
        member("way/file"),
    ],
    "a device that means a whiteout": lambda _: [
        member("base", tarfile.CHRTYPE, devmajor=0, devminor=0)
    ],
    "attributes that redirect": lambda out: [
        attributes("dir", trusted__overlay__redirect=str(out), trusted__overlay__metacopy=""),
        attributes("dir2", user__overlay__redirect=str(out), user__fuseoverlayfs__opaque="y"),
    ],
    "a name too long": lambda _: [member("n" * 300), member("d/" * 3000 + "file")],
    "a name with odd bytes": lambda _: [member("a\nb\x1b[31m"), member("\udcff\udcfe")],
}


def tar_of(members: list[tarfile.TarInfo]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape"
    ) as archive:
        for one in members:
            archive.addfile(one, io.BytesIO(b"evil") if one.size else None)
    return buffer.getvalue()


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_stays_in_its_layer(
    driver: GraphDriver, trash: str, outside: Path, attack: str
) -> None:
    base = make_layer(driver, None, {"base": b"1", "dir": None, "dir/in": b"1"})
    before = (read_tree(outside), read_tree(driver.tree(base).root), set(driver.ids()))
    beside = set(os.listdir(outside.parent))
    layer = new_id()
    driver.create(layer, base)
    try:
        driver.apply_diff(layer, base, io.BytesIO(tar_of(ATTACKS[attack](outside))))
    except LayerStoreError:
        pass  # refused, as well it may be
    else:
        shown = make_read_write(driver, layer)
        path = driver.get(shown)
        for place, _, files in os.walk(path):
            for name in files:
                assert os.lstat(f"{place}/{name}").st_ino != (outside / "file").stat().st_ino
        driver.diff(layer, base, io.BytesIO())
        driver.put(shown)
        driver.remove(shown, trash)
    driver.remove(layer, trash)
    assert (read_tree(outside), read_tree(driver.tree(base).root), set(driver.ids())) == before
    assert set(os.listdir(outside.parent)) == beside


@pytest.mark.parametrize("cut", [0, 100, 512, 514, 1500])
def test_a_tar_that_breaks_off_is_refused_and_removed(
    driver: GraphDriver, trash: str, cut: int
) -> None:
    whole = tar_of([member("a"), member("b")])
    layer = new_id()
    driver.create(layer, None)
    if cut:
        with pytest.raises(LayerStoreError):
            driver.apply_diff(layer, None, io.BytesIO(whole[:cut]))
    else:
        driver.apply_diff(layer, None, io.BytesIO(b""))
    driver.remove(layer, trash)
    assert not driver.exists(layer)
