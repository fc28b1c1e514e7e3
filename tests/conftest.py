"""Fixtures that every test may use, and the check that a test leaves nothing behind."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from layerstore import LayerStore
from layerstore.drivers.system.mountinfo import mount_points
from layerstore.drivers.system.proc_children import children_of
from layerstore.drivers.system.syscalls import umount
from tests.support.filesystems import LoopFileSystem
from tests.support.programs import is_installed
from tests.support.ways.opening import Opening
from tests.tar.corpus import reference as tar_reference
from tests.tar.corpus.corpus import Workshop
from tests.tar.corpus.reference import Reference

NEEDS_FUSE = pytest.mark.needs("fuse-overlayfs", "/dev/fuse")
NOWHERE = Path(__file__).parent / "support/registries/nowhere.conf"
T = TypeVar("T")

pytest_plugins = [
    "tests.command.fixtures",
    "tests.ordeals.crash.rig.fixtures",
    "tests.support.figures",
    "tests.support.options",
    "tests.support.registries.fixtures",
    "tests.support.ways.fixtures",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-root-tests",
        action="store_true",
        help="fail, rather than skip, the tests that need root, overlay mounts or other programs",
    )
    parser.addoption(
        "--install-examples", action="store_true", help="execute the README's way to install"
    )


def pytest_configure(config: pytest.Config) -> None:
    # It isn't for runs of pytest that a test starts, but it is for the processes of this one.
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        os.environ.pop("PYTEST_ADDOPTS", None)
    # Nothing that a test starts asks a registry but one of its own.
    os.environ["CONTAINERS_REGISTRIES_CONF"] = str(NOWHERE)
    # A shell has what it runs in the background ignore this, and all that is started from there.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def why_no_root_tests() -> str:
    """Why tests that mount can't run here, or nothing if they can."""
    if os.geteuid() != 0:
        return "needs root"
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory() as place:
        for name in ("l", "u", "w", "m"):
            os.mkdir(f"{place}/{name}")
        data = f"lowerdir={place}/l,upperdir={place}/u,workdir={place}/w"
        target = f"{place}/m".encode()
        if libc.mount(b"overlay", target, b"overlay", 0, data.encode()):
            return f"the kernel mounts no overlay here: {os.strerror(ctypes.get_errno())}"
        libc.umount2(target, 0)
    return ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # What takes longest is begun first, so that no process is left with it while others are done.
    marks = ("long", "thorough")
    first = [item for item in items if any(item.get_closest_marker(name) for name in marks)]
    begun = set(first)
    later = [item for item in items if item not in begun]
    items[:] = dealt(first, later, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    _skip_without_programs(config, items)
    marked = [item for item in items if item.get_closest_marker("root")]
    reason = why_no_root_tests() if marked else ""
    if not reason:
        return
    if config.getoption("--require-root-tests"):
        raise pytest.UsageError(f"{len(marked)} tests need root and overlay mounts: {reason}")
    for item in marked:
        item.add_marker(pytest.mark.skip(reason=reason))


def dealt(first: list[T], later: list[T], processes: int) -> list[T]:
    """Put items in an order of which each process, which gets a row of them, begins with `first`.

    pytest-xdist's worksteal deals out as many to each, in order; who is done takes others' last.
    """
    found: list[T] = []
    for left in range(processes, 0, -1):
        own = len(first) // left
        more = (len(first) + len(later)) // left - own
        found += [*first[:own], *later[:more]]
        first, later = first[own:], later[more:]
    return found


def _skip_without_programs(config: pytest.Config, items: list[pytest.Item]) -> None:
    missing: dict[pytest.Item, list[str]] = {}
    for item in items:
        named = {name for mark in item.iter_markers("needs") for name in mark.args}
        absent = sorted(name for name in named if not is_installed(name))
        if absent:
            missing[item] = absent
    if missing and config.getoption("--require-root-tests"):
        names = sorted({name for absent in missing.values() for name in absent})
        raise pytest.UsageError(f"{len(missing)} tests need what is not here: {', '.join(names)}")
    for item, absent in missing.items():
        item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(absent)}"))


@pytest.fixture(scope="session")
def base_directory() -> Iterator[Path]:
    """A directory on a real file system (not an overlay), for store roots."""
    place = Path(tempfile.mkdtemp(prefix="layerstore-test-", dir="/var/tmp"))
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="session")
def btrfs_directory(make_file_system: Callable[[str, int], Path]) -> Path:
    """A directory on btrfs."""
    return make_file_system("btrfs", 4096)


@pytest.fixture
def root_dir(base_directory: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """An empty directory to open a store in, where its driver works."""
    drivers = request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()
    above = request.getfixturevalue("btrfs_directory") if "btrfs" in drivers else base_directory
    place = Path(tempfile.mkdtemp(dir=above))
    yield place
    left = _mounts(place)
    for path in left:
        umount(path)
    shutil.rmtree(place)
    assert left == set()


@pytest.fixture(
    params=[
        pytest.param("overlay2", marks=pytest.mark.root),
        pytest.param("btrfs", marks=[pytest.mark.root, pytest.mark.seldom(8)]),
        pytest.param("fuse-overlayfs", marks=[pytest.mark.root, pytest.mark.seldom(8), NEEDS_FUSE]),
        "vfs",
    ]
)
def driver_name(request: pytest.FixtureRequest) -> str:
    """Every graph driver in turn."""
    name: str = request.param
    if os.geteuid() != 0:
        pytest.skip(f"{name} keeps owners and device nodes, which needs root")
    return name


OpenStore = Callable[..., LayerStore]


@pytest.fixture
def prespawn() -> bool:
    """Whether stores spawn their children ahead: most tests need one at most."""
    return False


@pytest.fixture
def open_store(opening: Opening, driver_name: str) -> OpenStore:
    """What opens the test's store, or another root, with every driver in turn."""
    return partial(opening.store, driver=driver_name)


@pytest.fixture
def store(open_store: OpenStore) -> LayerStore:
    """An open store."""
    return open_store()


@pytest.fixture(scope="session")
def make_file_system(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str, int], Path]]:
    """A function that makes and mounts a file system of a type and a size in MiB, of its own."""
    made: list[LoopFileSystem] = []

    def make(fstype: str, size: int) -> Path:
        system = LoopFileSystem(tmp_path_factory.mktemp(fstype), fstype, size)
        made.append(system)
        return system.path

    yield make
    for system in made:
        system.remove()


@pytest.fixture(scope="session")
def reference_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference for tar-split files, built once."""
    return tar_reference.build(tmp_path_factory.mktemp("reference"))


@pytest.fixture
def reference(reference_program: Path, tmp_path: Path) -> Iterator[Reference]:
    """A running reference for tar-split files."""
    (tmp_path / "exchange").mkdir()
    with Reference(reference_program, tmp_path / "exchange") as running:
        yield running


@pytest.fixture
def workshop(request: pytest.FixtureRequest, tmp_path: Path) -> Workshop:
    """What the corpus of tars is made with."""
    has_go = all(is_installed(name) for name in tar_reference.NEEDED.args)
    return Workshop(tmp_path, request.getfixturevalue("reference") if has_go else None)


@pytest.fixture(autouse=True)
def leaves_nothing_behind(base_directory: Path) -> Iterator[None]:
    """No thread, no child process and no mount outlives a test."""
    threads, children, mounts = _threads(), _children(), _mounts(base_directory)
    yield
    left = _threads() - threads
    for thread in left:
        thread.join(5)  # one that has answered, and is about to end
    assert {thread for thread in left if thread.is_alive()} == set()
    assert _children() - children == set()
    assert _mounts(base_directory) - mounts == set()


def _threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def _children() -> set[int]:
    """Return this process's children, zombies too; to ask ps takes as long as many a test."""
    return set(children_of(os.getpid()))


def _mounts(place: Path) -> set[str]:
    return {point.path for point in mount_points() if point.path.startswith(f"{place}/")}
