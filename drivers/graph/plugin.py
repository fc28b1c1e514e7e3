"""What a package says of the graph driver that it brings: an entry point leads to this.

Owns the version of the driver protocol, what may be a driver's name, and finding the drivers of
installed packages. It opens none, and imports one only when that is wanted. docs/drivers.md is the
manual.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Set
from typing import TYPE_CHECKING

from msgspec import Struct

from layerstore.drivers.errors import DriverNotSupported

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from layerstore.drivers.graph.protocol import GraphDriver

PROTOCOL = 1
"""The version of the driver protocol: raised where a driver of the version before would no longer
do what is expected of it. A method with a default, which is what new ones have, raises it not."""
GROUP = "layerstore.drivers"
"""The group of entry points, each named as the driver that it leads to."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
_GRAMMAR = "a driver's name is at most 64 lower-case letters, digits, '_' and '-'"
_RESERVED = frozenset(
    {"builder", "buildkit", "containerd", "containers", "image", "layerstore", "network"}
    | {"plugins", "runtimes", "swarm", "tmp", "trust", "volumes"}
)
"""What lies beside drivers' directories in a Docker data root."""


class DriverPlugin(Struct, frozen=True, kw_only=True):
    """A graph driver as a package has it: how it is tried and opened on a root."""

    name: str
    """Its name in the layout, too: layers lie in `<root>/<name>`, what is known of them in
    `<root>/image/<name>`. Docker's names are for those that lie as docker's do."""
    protocol: int
    """The PROTOCOL that it was written for, as a number."""
    needs: str
    """What file system and kernel have to have for it, to end a sentence with."""
    open: Callable[[str, bool], GraphDriver]
    """Gets a root, an absolute path, and whether what is made is to be on the disk before its call
    returns. Changes nothing, and imports all that the driver ever needs: a confined process in
    which it works sees no other files than the root's. Raises LayerStoreError."""
    why_not: Callable[[str], str]
    """Returns why the driver can't work on a root, a sentence, empty if it can; best found out by
    trying beneath `<root>/layerstore`. Raises NotPermitted where a privilege is missing, and
    DriverError where the root can't be used."""
    automatic: bool = False
    """Whether it may be chosen for a root that nobody named a driver for: where those that need no
    copies can't be used, before vfs."""


def is_driver_name(name: str) -> bool:
    """Whether a driver may have this name; it becomes a directory's."""
    return _NAME.match(name) is not None and name not in _RESERVED


def installed_names() -> list[str]:
    """Return the names of the drivers that installed packages say they have, sorted."""
    return sorted({point.name for point in _entry_points()})


def automatic_plugins(builtin: Set[str]) -> tuple[list[DriverPlugin], list[str]]:
    """Return the plugins that may be chosen by themselves, and what is wrong with others.

    Those come first whose names are first in the alphabet.
    """
    found, faults = [], []
    for name in installed_names():
        if name in builtin:
            reason = "that name is a built-in driver's"
            faults.append(f"{name} of {packages_of(name)} can't be used: {reason}")
            continue
        try:
            plugin = find_plugin(name, "")
        except DriverNotSupported as error:
            faults.append(f"{name} can't be used: {error.reason}")
            continue
        if plugin is not None and plugin.automatic:
            found.append(plugin)
    return found, faults


def find_plugin(name: str, root: str) -> DriverPlugin | None:
    """Return an installed package's plugin by the driver's name; None where nobody has it.

    Raises DriverNotSupported, naming the package, for one that can't be imported, is of another
    protocol, or is no plugin; and where several packages have one of that name.
    """
    points = [point for point in _entry_points() if point.name == name]
    if not points:
        return None
    packages = sorted({distribution_of(point) for point in points})
    if len(points) > 1:
        reason = f"several packages have a driver of that name: {', '.join(packages)}"
        raise DriverNotSupported(name, root, reason)
    reason, plugin = _loaded(points[0])
    if plugin is None:
        raise DriverNotSupported(name, root, f"{reason} (from {packages[0]})")
    return plugin


def distribution_of(point: EntryPoint) -> str:
    """Return the name and version of the package that an entry point is of."""
    package = point.dist
    return f"{package.name} {package.version}" if package is not None else point.value


def packages_of(name: str) -> str:
    """Return the name and version of the package that has a driver, for people to read."""
    return ", ".join(distribution_of(point) for point in _entry_points() if point.name == name)


def _loaded(point: EntryPoint) -> tuple[str, DriverPlugin | None]:
    """Return the plugin that an entry point leads to, or why there is none."""
    if not is_driver_name(point.name):
        return _GRAMMAR, None
    try:
        plugin = point.load()
    except Exception as error:  # noqa: BLE001 - whatever somebody else's module raises
        return f"{point.value} can't be imported: {type(error).__name__}: {error}", None
    if not isinstance(plugin, DriverPlugin):
        return f"{point.value} is of type {type(plugin).__name__}, not a DriverPlugin", None
    if plugin.protocol != PROTOCOL:
        reason = f"it was written for version {plugin.protocol} of the driver protocol"
        return f"{reason}, and this is version {PROTOCOL}", None
    if plugin.name != point.name:
        return f"its entry point names it {point.name!r}, and itself {plugin.name!r}", None
    return "", plugin


def _entry_points() -> list[EntryPoint]:
    # Looked for where a driver isn't built in: it takes longer than many a command.
    from importlib.metadata import entry_points  # noqa: PLC0415

    return list(entry_points(group=GROUP))


def check_driver(driver: object, name: str, root: str) -> None:
    """Raise DriverNotSupported for what a plugin has opened and is no driver of that name."""
    # Only for plugins: those that are built in are checked by mypy.
    from layerstore.drivers.graph.protocol import GraphDriver  # noqa: PLC0415

    reason = ""
    if not isinstance(driver, GraphDriver):
        reason = f"what was opened is of type {type(driver).__name__}, no GraphDriver"
    elif driver.name != name:
        reason = f"a driver was opened that has the name {driver.name!r}"
    elif not f"{os.path.normpath(driver.home)}/".startswith(f"{root}/{name}/"):
        reason = f"its home {driver.home} doesn't lie in {root}/{name}"
    if reason:
        raise DriverNotSupported(name, root, f"{reason} (from {packages_of(name)})")
