"""Forks and resets as graph drivers make them."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerstore import DriverError, LayerDoesNotExist
from layerstore.drivers.graph.choose import open_driver
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.model.ids import new_id
from layerstore.drivers.root.trash import prepare_trash, trash_path
from layerstore.drivers.upkeep.recovery import prepare_root
from tests.support.tars import layer_tar
from tests.support.trees import Facts, read_tree

pytestmark = [pytest.mark.root, pytest.mark.each_driver]

PAGES = 8


@pytest.fixture(scope="module", params=("btrfs", "tmpfs"))
def place(request: pytest.FixtureRequest, make_file_system: Callable[[str, int], Path]) -> Path:
    return make_file_system(request.param, 512)


@pytest.fixture(params=["overlay2", "vfs", "btrfs"])
def driver(place: Path, request: pytest.FixtureRequest) -> Iterator[GraphDriver]:
    if request.param == "btrfs" and "btrfs" not in place.parent.name:
        pytest.skip("btrfs is a file system, too")
    root = str(place / request.param)
    prepare_root(root, durable=True)
    prepare_trash(trash_path(root))
    found, _ = open_driver(request.param, root, durable=True)
    found.prepare()
    yield found
    for layer_id in found.mounted():
        found.put(layer_id)
    found.cleanup()


@pytest.fixture
def trash(driver: GraphDriver, place: Path) -> str:
    return trash_path(str(place / driver.name))


@pytest.fixture
def base(driver: GraphDriver) -> str:
    layer_id = new_id()
    driver.create(layer_id, None)
    files = {"a": b"1", "dir": None, "dir/b": b"2", "dir/c": b"3"}
    driver.apply_diff(layer_id, None, io.BytesIO(layer_tar(files)))
    return layer_id


def read_write(driver: GraphDriver, parent: str | None) -> str:
    layer_id = new_id()
    driver.create_read_write(layer_id, parent)
    return layer_id


def fork(driver: GraphDriver, source: str, parent: str | None) -> str:
    layer_id = new_id()
    driver.fork(layer_id, source, parent)
    driver.fill(layer_id, source)
    return layer_id


def shown(driver: GraphDriver, layer_id: str) -> dict[str, Facts]:
    path = driver.get(layer_id)
    try:
        return read_tree(path)
    finally:
        driver.put(layer_id)


def beneath_the_top(tree: dict[str, Facts]) -> dict[str, Facts]:
    return {path: facts for path, facts in tree.items() if path != "."}


def change_all_sorts(path: str) -> None:
    """Change a mounted tree in every way that a layer can tell of."""
    top = Path(path)
    (top / "a").unlink()
    (top / "dir/b").unlink()
    (top / "dir/c").unlink()
    (top / "dir").rmdir()
    (top / "dir").mkdir()
    (top / "dir/new").write_bytes(b"new")
    os.link(top / "dir/new", top / "another")
    (top / "link").symlink_to("/nowhere")
    os.lchown(top / "link", 7, 8)
    os.mkfifo(top / "fifo")
    os.mknod(top / "socket", stat.S_IFSOCK | 0o755)
    os.mknod(top / "device", 0o20600, os.makedev(1, 3))
    with open(top / "sparse", "wb") as file:
        file.seek(8 << 20)
        file.write(b"end")
    os.chown(top / "dir/new", 1000, 1001)
    os.chmod(top / "dir/new", 0o4751)
    os.setxattr(top / "sparse", "user.note", b"\0\1")
    os.setxattr(
        top / "dir/new", "security.capability", bytes.fromhex("0100000200040000" + "00" * 12)
    )
    os.utime(top / "dir", ns=(1, 1_234_567_891))
    os.chmod(top, 0o751)
    os.utime(top, ns=(2, 2_345_678_912))


def test_a_fork_shows_and_tells_what_its_source_does(driver: GraphDriver, base: str) -> None:
    source = read_write(driver, base)
    path = driver.get(source)
    change_all_sorts(path)
    one = fork(driver, source, base)
    expected = read_tree(path)
    assert list(driver.changes(one, base)) == list(driver.changes(source, base))
    driver.put(source)
    another = fork(driver, source, base)
    assert shown(driver, one) == expected
    assert shown(driver, another) == expected
    out = [io.BytesIO(), io.BytesIO()]
    for layer_id, file in zip((source, one), out, strict=True):
        driver.diff(layer_id, base, file)
    assert out[0].getvalue() == out[1].getvalue()
    sparse = os.stat(f"{driver.tree(one).root}/sparse")
    assert sparse.st_blocks * 512 < sparse.st_size / 2


def test_a_fork_and_its_source_change_apart(driver: GraphDriver, base: str) -> None:
    source = read_write(driver, base)
    path = driver.get(source)
    Path(path, "mine").write_bytes(b"before")
    one = fork(driver, source, base)
    Path(path, "mine").write_bytes(b"after")
    other = Path(driver.get(one))
    assert (other / "mine").read_bytes() == b"before"
    (other / "a").write_bytes(b"the fork's")
    (other / "mine").unlink()
    assert Path(path, "a").read_bytes() == b"1"
    assert Path(path, "mine").read_bytes() == b"after"


def test_two_mounts_of_one_content_are_two_file_systems(driver: GraphDriver, base: str) -> None:
    source = read_write(driver, base)
    first = driver.get(source)
    second = driver.get(fork(driver, source, base))
    if driver.name == "overlay2":
        assert os.statvfs(first).f_fsid != os.statvfs(second).f_fsid


def test_what_cannot_be_forked_leaves_nothing(driver: GraphDriver, base: str) -> None:
    source, before = read_write(driver, base), set(driver.ids())
    with pytest.raises(DriverError, match=source):
        driver.fork(source, source, base)
    assert set(driver.ids()) == before
    with pytest.raises((DriverError, LayerDoesNotExist)):
        fork(driver, new_id(), base)


def test_a_reset_layer_is_as_it_was_made(driver: GraphDriver, base: str, trash: str) -> None:
    layer, untouched = read_write(driver, base), read_write(driver, base)
    change_all_sorts(driver.get(layer))
    driver.put(layer)
    before = set(driver.ids()), len(os.listdir(trash))
    for _ in range(2):
        driver.reset(layer, new_id(), base, trash)
        assert list(driver.changes(layer, base)) == []
        found, expected = shown(driver, layer), shown(driver, untouched)
        assert beneath_the_top(found) == beneath_the_top(expected)
        assert found["."].mode == expected["."].mode
    assert (set(driver.ids()), len(os.listdir(trash))) == (before[0], before[1] + 2)


def test_a_layer_without_a_parent_is_forked_and_reset(driver: GraphDriver, trash: str) -> None:
    source = read_write(driver, None)
    Path(driver.get(source), "file").write_bytes(b"1")
    one = fork(driver, source, None)
    driver.reset(source, new_id(), None, trash)
    assert os.listdir(driver.get(source)) == []
    assert os.listdir(driver.get(one)) == ["file"]


def test_a_reset_that_fails_leaves_the_layer(driver: GraphDriver, base: str, trash: str) -> None:
    layer, missing = read_write(driver, base), new_id()
    Path(driver.get(layer), "kept").touch()
    driver.put(layer)
    with pytest.raises(DriverError):
        driver.reset(missing, new_id(), base, trash)
    with pytest.raises(DriverError):
        driver.reset(layer, layer, base, f"{trash}/missing")
    assert [str(change) for change in driver.changes(layer, base)] == ["A /kept"]
    assert not driver.exists(missing)


class Hammer:
    """Threads that change a tree in every way, all the time."""

    def __init__(self, path: str) -> None:
        self.top = Path(path)
        self._done = threading.Event()
        self.rounds = 0
        ways = (self._replace, self._move, self._turn, self._grow)
        self._threads = [threading.Thread(target=self._run, args=(way,)) for way in ways]

    def __enter__(self) -> Hammer:
        (self.top / "tree/in/deep").mkdir(parents=True)
        for number in range(20):
            (self.top / f"tree/in/deep/{number}").write_bytes(b"x" * 5000)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _run(self, way: Callable[[int], None]) -> None:
        number = 0
        while not self._done.is_set():
            way(number)
            number += 1
            self.rounds += 1

    def _replace(self, number: int) -> None:
        content = bytes([ord("a") + number % 26]) * 4096 * PAGES
        (self.top / "new").write_bytes(content)
        os.rename(self.top / "new", self.top / "always")

    def _move(self, number: int) -> None:
        here, there = ("tree/in", "moved") if number % 2 == 0 else ("moved", "tree/in")
        os.rename(self.top / here, self.top / there)

    def _turn(self, number: int) -> None:
        name = self.top / "turns"
        match number % 4:
            case 0:
                name.mkdir()
                (name / "file").touch()
                (name / "file").unlink()
                name.rmdir()
            case 1:
                name.symlink_to("elsewhere")
                name.unlink()
            case 2:
                os.mkfifo(name)
                name.unlink()
            case _:
                name.write_bytes(b"turn")
                os.setxattr(name, "user.one", b"1" * (number % 50))
                os.removexattr(name, "user.one")
                name.unlink()

    def _grow(self, number: int) -> None:
        with open(self.top / "log", "ab") as file:
            file.write(b"line\n" * 100)
        if number % 20 == 0:
            os.truncate(self.top / "log", 0)


def test_what_is_written_to_is_forked_as_it_stands(driver: GraphDriver, base: str) -> None:
    source = read_write(driver, base)
    path = driver.get(source)
    Path(path, "quiet").write_bytes(b"quiet")
    with Hammer(path) as hammer:
        Path(path, "always").write_bytes(b"a" * 4096 * PAGES)
        forks = [fork(driver, source, base) for _ in range(15)]
    assert hammer.rounds > 100
    for layer in forks:
        top = Path(driver.get(layer))
        assert (top / "quiet").read_bytes() == b"quiet"
        always = (top / "always").read_bytes()
        assert always == always[:1] * 4096 * PAGES
        for number in range(20):
            for place in ("tree/in", "moved"):
                file = top / place / f"deep/{number}"
                assert not file.exists() or file.read_bytes() == b"x" * 5000
        driver.put(layer)
