"""Commands on a root that a process has open: they attach to it, and do what they always do."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore import LayerStore
from layerstore.drivers.root.lock import is_locked
from tests.command.fixtures import Run
from tests.support.archives import NAME
from tests.support.waiting import wait_until


@pytest.fixture
def owner(arguments: list[str], driver_name: str) -> Iterator[LayerStore]:
    """The store of the commands' root, which this process has open."""
    relaxed = arguments[-1] == "relaxed"
    durability = "relaxed" if relaxed else "durable"
    with LayerStore(arguments[1], driver=driver_name, durability=durability) as store:  # type: ignore[arg-type]
        yield store


def test_it_is_seen_whether_a_root_is_open_and_nobody_is_disturbed(root_dir: Path) -> None:
    assert not is_locked(f"{root_dir}/none")
    with LayerStore(root_dir, driver="vfs", durability="relaxed", prespawn=False):
        assert is_locked(str(root_dir))
    assert not is_locked(str(root_dir))
    with LayerStore(root_dir, driver="vfs", durability="relaxed", prespawn=False) as store:
        assert is_locked(str(root_dir))
        assert store.mounts() == []


def test_every_command_works_with_the_store_that_is_open(
    owner: LayerStore, run: Run, archive: Path, root_dir: Path
) -> None:
    (root_dir / "file").write_bytes(b"content")
    run("load", archive)
    assert "test/app" in run("images")
    run("create", "--name", "web", NAME)
    assert "web" in run("ls")
    path = Path(run("mount", "web").strip())
    assert (path / "etc/name").read_bytes() == b"top"
    assert owner.mounts()[0].mount_count == 1
    run("cp", root_dir / "file", "web:/new")
    assert "A /new" in run("diff", "web")
    run("commit", "web", "web:1")
    run("umount", "web")
    assert len(run("history", "web:1").splitlines()) > 1
    assert json.loads(run("inspect", "web"))[0]["Name"] == "web"
    assert run("du")
    run("save", "-o", root_dir / "saved.tar", "web:1")
    run("export", "-o", root_dir / "exported.tar", "web")
    run("import", root_dir / "exported.tar", "flat:1")
    run("tag", "flat:1", "flat:2")
    assert run("check") == ""
    run("rm", "web")
    run("rmi", "web:1", "flat:1", "flat:2", NAME)
    run("prune", "-f")
    wait_until(lambda: not owner.mounts() and not owner.map() and not owner.images.list())
    owner.drain()
    assert owner.check(full=True) == []


@pytest.mark.root
def test_a_run_is_made_and_removed_by_the_owner(owner: LayerStore, app: Run) -> None:
    name = owner.images.list()[0].names[0]
    assert app("run", name, "sh", "-c", "echo done") == "done\n"
    assert owner.mounts() == []


def test_info_tells_whose_store_it_is(owner: LayerStore, run: Run) -> None:
    assert owner.owner is None
    facts = json.loads(run("info", "--json"))
    assert facts["Owner"].startswith(f"process {os.getpid()}, layerstore ")
    assert re.search(r", for (less than a|[0-9]+) seconds?$", facts["Owner"])


@pytest.mark.parametrize(
    "option",
    [
        ["--driver", "none"],
        ["--confine", "off"],
        ["--limit", "max_path=5"],
        ["--trace", "trace"],
    ],
    ids=" ".join,
)
def test_an_option_of_the_owners_that_differs_is_refused(
    owner: LayerStore, run: Run, option: list[str]
) -> None:
    message = run(*option, "images", status=1)
    assert message.startswith(f"layerstore: choosing {option[0]}: only process {os.getpid()} can")
    assert run("--confine", "auto", "images")
    assert owner.mounts() == []


def test_a_repair_is_the_owners(owner: LayerStore, run: Run) -> None:
    assert "repairing the store: only process" in run("repair", status=1)
    assert owner.check() == []
