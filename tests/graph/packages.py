"""Packages with graph drivers, installed for a test: what pip leaves, and nothing else."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

COPYING = """
from layerstore.drivers.graph.plugin import PROTOCOL, DriverPlugin
from layerstore.drivers.graph.vfs import VfsDriver

class Driver(VfsDriver):
    name = "{name}"

    @property
    def home(self):
        return self._root + "/{name}/layers"

    def __init__(self, root, durable):
        super().__init__(root, [("Kept by", "a package")], durable=durable)
        self._root = root

plugin = DriverPlugin(
    name="{name}", protocol=PROTOCOL, needs="nothing", open=Driver,
    why_not=lambda root: {why_not!r}, automatic={automatic},
)
"""


class Packages:
    """A directory in which Python looks for packages."""

    def __init__(self, place: Path, patch: pytest.MonkeyPatch) -> None:
        self._place = place
        patch.syspath_prepend(str(place))
        patch.setenv("PYTHONPATH", str(place))

    def install(self, package: str, driver: str, code: str) -> None:
        """Install a package `package` 1.0 whose module has a driver's `plugin`."""
        module = package.replace("-", "_")
        (self._place / f"{module}.py").write_text(textwrap.dedent(code))
        info = self._place / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[layerstore.drivers]\n{driver} = {module}:plugin\n"
        )

    def copying(
        self, package: str, driver: str, *, automatic: bool = False, why_not: str = ""
    ) -> None:
        """Install one with a driver that copies."""
        code = COPYING.format(name=driver, automatic=automatic, why_not=why_not)
        self.install(package, driver, code)
