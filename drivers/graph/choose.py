"""Choosing the graph driver of a root.

Owns the order of preference: what the root was used with before, then the best that works there.
Only the one that is opened is imported, and other packages' are looked for only where none that is
built in is meant.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from layerstore.drivers.errors import DriverNotSupported, InvalidName, NotPermitted
from layerstore.drivers.graph import plugin as plugins
from layerstore.drivers.graph.builtin import DRIVERS, LAST_RESORT, PREFERENCE
from layerstore.drivers.system.mountinfo import file_system_of
from layerstore.drivers.system.printable import escaped
from layerstore.drivers.userns.standing import standing

if TYPE_CHECKING:
    from layerstore.drivers.graph.protocol import GraphDriver

_log = logging.getLogger("layerstore")
_BY_NAME = "it was asked for by name"
_BEFORE = "the root was used with it before"


def open_driver(
    name: str | None,
    root: str,
    *,
    durable: bool = True,
    options: Mapping[str, str] | None = None,
) -> tuple[GraphDriver, str]:
    """Open the named driver, or choose one; returns it and a sentence on why it is this one.

    With `durable` what the driver makes is on the disk before its calls return, the content of
    layers aside.

    Raises DriverNotSupported for an unknown driver or one that can't work on `root`, NotPermitted
    where only a privilege is missing, ReadOnlyStorage and DriverError where the root can't be used,
    InvalidName for an option that no driver knows.
    """
    for key in options or {}:
        raise InvalidName(key, "the graph drivers have no such option")
    if name is not None:
        named = known_driver(name, root)
        return _tried(named, root, durable=durable), _BY_NAME + _whose(named)
    before = _used_before(root)
    if before is not None:
        return _tried(before, root, durable=durable), _BEFORE + _whose(before)
    refused: list[str] = []
    for candidate in _candidates(refused):
        objection = _objection_if_left_to_us(candidate, root)
        if not objection:
            fits = f"the file system ({file_system_of(root)}) and the kernel support"
            if refused:
                reasons = escaped("; ".join(refused))
                _log.warning("%s is to be used with %s: %s", root, candidate.name, reasons)
            why = "; ".join(refused) or f"{fits} {candidate.needs}"
            return _opened(candidate, root, durable=durable), why + _whose(candidate)
        refused.append(f"{candidate.name} can't be used: {objection}")
    raise DriverNotSupported("of any kind", root, "; ".join(refused))


def find_driver(name: str | None, root: str, *, durable: bool) -> tuple[GraphDriver, str]:
    """Open the driver that a root was used with, without trying it; else as open_driver.

    So nothing is written or mounted where only the layout is to be looked at.
    """
    before = None
    if name is None:
        before = _used_before(root)
    elif plugins.is_driver_name(name) and was_used(name, root):
        before = known_driver(name, root)
    if before is not None:
        return _opened(before, root, durable=durable), _BEFORE + _whose(before)
    return open_driver(name, root, durable=durable)


def reopen_driver(name: str, root: str, *, durable: bool) -> GraphDriver:
    """Open a driver that open_driver has chosen for this root, without trying it again."""
    return _opened(known_driver(name, root), root, durable=durable)


def known_driver(name: str, root: str) -> plugins.DriverPlugin:
    """Return a driver by its name, whoever brings it; raises DriverNotSupported."""
    if name in DRIVERS:
        return DRIVERS[name]
    found = plugins.find_plugin(name, root)
    if found is None:
        reason = f"the graph drivers are {', '.join(PREFERENCE)}"
        if others := sorted({*plugins.installed_names()} - {*PREFERENCE}):
            reason += f"; installed are {', '.join(others)}"
        raise DriverNotSupported(name, root, reason)
    return found


def was_used(name: str, root: str) -> bool:
    """Whether the root has layers of this driver. dockerd looks for the same."""
    return os.path.isdir(f"{root}/image/{name}/layerdb")


def _used_before(root: str) -> plugins.DriverPlugin | None:
    """Return the driver that a root was used with, if that is one that there is.

    Where it is nobody's that is known here, dockerd's perhaps, the root is new to us.
    """
    for name in PREFERENCE:
        if was_used(name, root):
            return DRIVERS[name]
    others = [name for name in _names_beneath(f"{root}/image") if was_used(name, root)]
    if not others:
        return None
    for name in others:
        if plugins.is_driver_name(name):
            found = plugins.find_plugin(name, root)
            if found is not None:
                return found
    return None


def _names_beneath(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _candidates(faults: list[str]) -> Iterator[plugins.DriverPlugin]:
    """Give the drivers that may be chosen, the best first; `faults` gets what keeps others out."""
    for name, driver in DRIVERS.items():
        if name == LAST_RESORT:
            others, wrong = plugins.automatic_plugins(DRIVERS.keys())
            faults.extend(wrong)
            yield from others
        if driver.automatic:
            yield driver


def _tried(driver: plugins.DriverPlugin, root: str, *, durable: bool) -> GraphDriver:
    objection = driver.why_not(root)
    if objection:
        raise DriverNotSupported(driver.name, root, objection)
    return _opened(driver, root, durable=durable)


def _opened(driver: plugins.DriverPlugin, root: str, *, durable: bool) -> GraphDriver:
    opened = driver.open(root, durable)
    if driver.name not in DRIVERS:
        plugins.check_driver(opened, driver.name, root)
    return opened


def _whose(driver: plugins.DriverPlugin) -> str:
    """Return whose a driver is that isn't built in, in brackets."""
    return "" if driver.name in DRIVERS else f" ({plugins.packages_of(driver.name)})"


def _objection_if_left_to_us(driver: plugins.DriverPlugin, root: str) -> str:
    """Return why a driver that nobody asked for can't be used; a user's lack of rights is one."""
    try:
        return driver.why_not(root)
    except NotPermitted as error:
        where = standing()
        if os.geteuid() == 0 and where.is_first:
            detail = "it needs CAP_SYS_ADMIN, which containers lack; the driver vfs mounts nothing"
            raise NotPermitted(error.operation, error.path, error.errno, detail) from error
        if os.geteuid() == 0:
            return "mounting isn't allowed in this user namespace"
        why = where.refused or "enter_user_namespace() makes one"
        return f"mounting needs root, or a user namespace: {why}"
    except Exception as error:
        if driver.name in DRIVERS:
            raise
        return f"{type(error).__name__}: {error}{_whose(driver)}"  # nobody asked for that one
