"""Read-write layers that are made together wait for the disk together; one that fails is alone."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from layerstore import LayerStoreError
from layerstore.drivers import work
from layerstore.drivers.root.creation import creating
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.durable import unwritten
from tests.worker.site import Site

MANY = 10


def created(
    site: Site, creations: list[work.CreateMount], *, at_once: bool = True
) -> list[LayerStoreError | None]:
    with creating(site.disk, at_once=at_once) as making:
        for creation in creations:
            making.make(creation)
        found = making.finish()
    return [found.get(creation.transaction) for creation in creations]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], Counter[str]]:
    """A function after which a kind of sync fails from the nth on; its answer counts both kinds."""

    def fail(kind: str, at: int) -> Counter[str]:
        seen: Counter[str] = Counter()

        def counted(name: str, sync: Callable[[int], None]) -> Callable[[int], None]:
            def call(fd: int) -> None:
                seen[name] += 1
                if name == kind and seen[name] >= at:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                sync(fd)

            return call

        monkeypatch.setattr(os, "fsync", counted("fsync", os.fsync))
        monkeypatch.setattr(
            "layerstore.drivers.system.durable.syncfs", counted("syncfs", syscalls.syncfs)
        )
        return seen

    return fail


def test_many_are_synced_at_once(site: Site, failing: Callable[[str, int], Counter[str]]) -> None:
    seen = failing("none", 1)
    assert created(site, [site.creation(f"rw{number}") for number in range(MANY)]) == [None] * MANY
    assert seen == {"syncfs": 1, "fsync": 1}  # what they are, and that they are


def test_what_is_unwritten_is_what_is_dirty_and_on_its_way(tmp_path: Path) -> None:
    table = tmp_path / "meminfo"
    table.write_text("MemFree: 9 kB\nDirty:        12 kB\nWriteback:  3 kB\nWritebackTmp: 7 kB\n")
    assert unwritten(str(table)) == 15 * 1024
    assert unwritten() >= 0
    assert unwritten(str(tmp_path / "none")) == 0


@pytest.mark.root
@pytest.mark.parametrize("driver_name", ["overlay2"])
def test_beside_much_that_others_write_only_their_own_files_are_synced(
    site: Site, failing: Callable[[str, int], Counter[str]]
) -> None:
    seen = failing("none", 1)
    creations = [site.creation(f"rw{number}") for number in range(2)]
    assert created(site, creations, at_once=False) == [None] * 2
    one = len({"link", "lower", "its directory", "short links", "home"}) + len(
        {"mount-id", "parent", "transaction"}
    )
    assert seen == {"fsync": 2 * one + 1}


@pytest.mark.root
@pytest.mark.parametrize("driver_name", ["overlay2"])
def test_where_the_file_system_can_not_be_synced_each_tells_of_its_own(
    site: Site, failing: Callable[[str, int], Counter[str]]
) -> None:
    seen = failing("syncfs", 1)
    creations = [site.creation(f"rw{number}") for number in range(2)]
    assert created(site, creations) == [None] * 2
    assert all(site.is_whole(creation) for creation in creations)
    assert seen["fsync"] > 2


@pytest.mark.parametrize("driver_name", ["vfs"])
def test_copies_that_can_not_be_synced_are_not_there(
    site: Site, failing: Callable[[str, int], Counter[str]]
) -> None:
    failing("syncfs", 1)
    creations = [site.creation(f"rw{number}") for number in range(2)]
    assert [str(error).split()[0] for error in created(site, creations)] == ["syncfs"] * 2
    assert all(site.is_gone(creation) for creation in creations)


@pytest.mark.parametrize("at_once", [True, False], ids=["their names", "what they are"])
def test_what_can_not_be_synced_is_not_there(
    at_once: bool, site: Site, failing: Callable[[str, int], Counter[str]]
) -> None:
    failing("fsync", 1)
    creations = [site.creation(f"rw{number}") for number in range(3)]
    found = created(site, creations, at_once=at_once)
    assert [str(error).split()[0] for error in found] == ["fsync"] * 3
    assert all(site.is_gone(creation) for creation in creations)
    assert site.is_tidy()


def test_one_that_fails_at_any_step_fails_alone(site: Site) -> None:
    taken = site.creation("rw1")
    assert created(site, [taken]) == [None]
    creations = [site.creation(f"rw{number}") for number in range(3)]  # rw1 for a second time
    found = created(site, creations)
    assert [error and type(error).__name__ for error in found] == [None, "InvalidMetadata", None]
    assert site.is_whole(taken)
    assert not site.disk.driver.exists(creations[1].mount_id)
    orphans = [site.creation("rw3"), site.creation("rw4")]
    broken = structs.replace(orphans[0], parent_cache_id="0" * 64)
    found = created(site, [broken, orphans[1]])
    assert found[0] is not None
    assert found[1] is None
    assert site.is_gone(broken)
    assert site.is_tidy()


def test_one_that_was_there_already_is_left_whatever_fails_before_that_is_seen(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    creation = site.creation("there")
    assert created(site, [creation]) == [None]

    def no_room(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    again = structs.replace(creation, again=True)
    with monkeypatch.context() as failing:
        failing.setattr(os, "statvfs", no_room)
        (error,) = created(site, [again])
    assert isinstance(error, LayerStoreError)
    assert site.is_whole(creation)
    assert created(site, [again]) == [None]
    assert site.is_whole(creation)


def test_a_name_that_somebody_who_died_has_given_is_synced(
    site: Site, failing: Callable[[str, int], Counter[str]]
) -> None:
    creation = site.creation("there")
    assert created(site, [creation]) == [None]
    seen = failing("none", 1)
    assert created(site, [structs.replace(creation, again=True)]) == [None]
    assert seen["fsync"] == int(site.disk.durable)
