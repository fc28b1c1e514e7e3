"""What is imported when: a command waits for nothing it can do without, embedders miss nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import layerstore
from layerstore import LayerStore

_TELLING = """
import json, sys
from layerstore_command import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
_TELLING_OF_A_CHILD = """
import importlib, json, sys, types
package = types.ModuleType("layerstore")
package.__path__ = sys.argv[2:]
sys.modules["layerstore"] = package
importlib.import_module(f"layerstore.drivers.sandbox.{sys.argv[1]}")
print(json.dumps(sorted(sys.modules)))
"""
_FOR_TARS = {
    "layerstore.archive.oci",
    "layerstore.drivers.tar.unpack.apply",
    "layerstore.drivers.tar.write",
    "layerstore.images.making.changes",
}
_FOR_OTHERS = {
    "asyncio",
    "argcomplete",
    "layerstore.api.aio",
    "layerstore.command.systemd",
    "layerstore.command.verbs.running.run",
    "layerstore.drivers.graph.overlay2.driver",
    "layerstore.drivers.upkeep.check",
    "rich",
    "secrets",
    "shutil",
    "tempfile",
    "tenacity",
    "urllib3",
}
_FOR_OWNERS = {
    "ctypes",
    "hashlib",
    "layerstore.actors.registries",
    "layerstore.actors.workers",
    "layerstore.api.owned",
    "layerstore.drivers.confine",
    "layerstore.drivers.graph.protocol",
    "layerstore.drivers.root.disk",
    "layerstore.drivers.sandbox.root",
    "layerstore.drivers.worker",
    "layerstore.engine.core",
    "layerstore.observe",
    "layerstore.operations.deferred",
    "subprocess",
}


def called(*words: str) -> tuple[str, set[str]]:
    """Return what a command prints, and the modules that it has imported at its end."""
    done = subprocess.run(
        [sys.executable, "-c", _TELLING, *words], capture_output=True, text=True, check=True
    )
    return done.stdout, set(json.loads(done.stderr.splitlines()[-1]))


def test_type_checkers_are_told_the_same_as_programs() -> None:
    tree = ast.parse(Path(layerstore.__file__).read_text())
    told = {
        (node.module, name.name)
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert {name for _, name in told} == set(layerstore.__all__) <= set(dir(layerstore))
    for module, name in told:
        __import__(str(module))
        assert getattr(layerstore, name) is getattr(sys.modules[str(module)], name)


def test_a_name_that_is_not_public_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'layerstore' has no attribute 'Unheard'"):
        layerstore.Unheard  # type: ignore[attr-defined]  # noqa: B018


def test_a_command_that_lists_imports_nothing_for_tars_or_for_other_commands(
    tmp_path: Path,
) -> None:
    LayerStore(tmp_path, driver="vfs", durability="relaxed", prespawn=False).close()
    printed, imported = called("--root", str(tmp_path), "--driver", "vfs", "ls")
    assert printed.startswith("ID")
    assert imported & (_FOR_TARS | _FOR_OTHERS) == set()


def test_a_command_that_attaches_imports_nothing_for_a_root_of_its_own(root_dir: Path) -> None:
    with LayerStore(root_dir, driver="vfs", durability="relaxed", prespawn=False):
        printed, imported = called("--root", str(root_dir), "ls")
    assert printed.startswith("ID")
    assert imported & (_FOR_TARS | _FOR_OTHERS | _FOR_OWNERS) == set()


@pytest.mark.parametrize("module", ["child", "joining.child", "warm.process"])
def test_who_forks_commands_has_little_in_memory(module: str) -> None:
    """All of it is copied, or set up to be, for each of them."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _TELLING_OF_A_CHILD, module, *layerstore.__path__],
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"dataclasses", "inspect", "msgspec", "platform", "subprocess", "tempfile"}
    assert heavy & set(json.loads(done.stdout)) == set()


def test_a_help_imports_no_store() -> None:
    printed, imported = called("--help")
    assert "List images" in printed
    assert (
        imported & {"layerstore.api.store", "layerstore.command.verbs.listings", "pykka"} == set()
    )
