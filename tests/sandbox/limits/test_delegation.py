"""Where groups of runs are made in cgroup v2, and what is refused, on a tree of plain files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from layerstore import DriverError
from layerstore.drivers.cgroup import group
from layerstore.drivers.cgroup.control import bound
from layerstore.drivers.cgroup.hierarchies import Hierarchy
from layerstore.drivers.cgroup.limits import ResourceLimits, resource_limits
from layerstore.drivers.cgroup.place import OURS, base_of, keeper_of, make_beneath, this_keeper
from layerstore.drivers.cgroup.usage import usage_of


def a_group(path: Path, controllers: str = "", given: str = "") -> Path:
    """Make a directory with the files that the kernel has in a group."""
    path.mkdir(parents=True)
    for name, content in (
        ("cgroup.procs", ""),
        ("cgroup.controllers", controllers),
        ("cgroup.subtree_control", given),
    ):
        (path / name).write_text(content)
    return path


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return a_group(tmp_path / "cgroup", "cpu io memory pids")


def tree(top: Path, own: Path) -> Hierarchy:
    return Hierarchy(str(top), str(own), unified=True)


def test_the_nearest_group_that_is_delegated_is_divided(top: Path) -> None:
    service = a_group(top / "user.slice" / "user@7.service")
    (top / "user.slice" / "cgroup.procs").write_text("")
    own = a_group(service / "app.slice" / "one.scope")
    (service / "app.slice" / "cgroup.procs").write_text("")
    assert base_of(tree(top, own)) == str(top)
    try:
        os.setxattr(service, "user.delegate", b"1")
    except OSError:
        pytest.skip("the file system has no attributes of users")
    assert base_of(tree(top, own)) == str(service)
    os.setxattr(own, "user.delegate", b"1")
    assert base_of(tree(top, own)) == str(own)


def test_processes_are_counted_in_v1_where_v2_is_not_this_user_s(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    trees = {"": tree(top, top), "pids": Hierarchy(str(pids), str(pids), unified=False)}
    monkeypatch.setattr(group, "hierarchies", lambda: trees)
    made = group.make_group(ResourceLimits(), str(tmp_path))
    assert made.unified is not None
    assert made.legacy == {}
    made.end()
    (top / "cgroup.procs").unlink()
    made = group.make_group(ResourceLimits(), str(tmp_path))
    assert made.unified is None
    assert set(made.legacy) == {"pids"}
    made.end()
    assert list(pids.iterdir()) == []


def test_what_is_no_group_in_between_ends_the_way_up(top: Path) -> None:
    own = a_group(top / "between" / "own")
    assert base_of(tree(top, own)) == str(own)
    (own / "cgroup.procs").unlink()
    assert base_of(tree(top, own)) is None


def test_a_controller_that_is_missing_is_named(top: Path) -> None:
    base = a_group(top / "base", "cpu pids", "pids")
    with pytest.raises(DriverError, match="no controller memory"):
        make_beneath(str(base), "run-1-2-3", {"memory"})
    assert not (base / OURS).exists() or os.listdir(base / OURS) == []


def test_names_of_groups_tell_who_keeps_them() -> None:
    keeper = this_keeper()
    assert keeper.pid == os.getpid()
    assert keeper_of(f"/x/{OURS}/{keeper.name}") == keeper
    assert keeper.is_there
    assert not keeper._replace(start_time=1).is_there
    assert keeper._replace(namespace=1, pid=1 << 30).is_there, "nobody here can tell"
    assert keeper_of(f"/x/{OURS}/{keeper.name}-7") == keeper, "it may keep several"
    for other in (f"/x/{keeper.name}", f"/x/{OURS}/run-1-2", f"/x/{OURS}/run-1-2-3-4-5", "/"):
        assert keeper_of(other) is None


def test_bounds_are_written_as_the_kernel_wants_them(top: Path) -> None:
    for name in ("memory.max", "memory.swap.max", "cpu.max", "pids.max"):
        (top / name).write_text("max")
    limits = resource_limits(memory="64m", memory_swap="96m", cpus=1.5, pids=7)
    bound(str(top), {}, limits, "/")
    assert (top / "memory.max").read_text() == str(64 << 20)
    assert (top / "memory.swap.max").read_text() == str(32 << 20)
    assert (top / "cpu.max").read_text() == "150000 100000"
    assert (top / "pids.max").read_text().startswith("7")
    bound(str(top), {}, resource_limits(memory="64m", memory_swap=-1), "/")
    assert (top / "memory.swap.max").read_text().startswith("max")
    (top / "cpu.max").unlink()
    with pytest.raises(DriverError, match=r"cpu\.max"):
        bound(str(top), {}, limits, "/")


def test_what_the_kernel_counts_is_read(top: Path) -> None:
    for name, content in (
        ("memory.current", "9000"),
        ("memory.stat", "anon 1\ninactive_file 5000\n"),
        ("memory.max", "max"),
        ("memory.peak", "9999"),
        ("memory.events", "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\n"),
        ("cpu.stat", "usage_usec 1500000\nuser_usec 1\n"),
        ("pids.current", "3"),
        ("pids.max", "9"),
        ("io.stat", "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2 rios=1\n"),
    ):
        (top / name).write_text(content)
    used = usage_of(str(top), {})
    assert (used.memory, used.memory_limit, used.peak_memory) == (4000, None, 9999)
    assert (used.cpu_seconds, used.oom_kills) == (1.5, 2)
    assert (used.pids, used.pids_limit) == (3, 9)
    assert (used.read_bytes, used.written_bytes) == (11, 22)
