"""Putting a directory in another's place by one step, so that a crash leaves either, whole.

Owns the order of syncs around that step, and that the old one goes into the trash.
"""

from __future__ import annotations

import logging
import os

from layerstore.drivers.errors import DriverError
from layerstore.drivers.system.durable import sync_directory
from layerstore.drivers.system.syscalls import exchange
from layerstore.drivers.system.throwing_away import throw_away

_log = logging.getLogger("layerstore")


def exchange_for_good(new: str, old: str, *, durable: bool) -> None:
    """Have a directory take another's place, which has the new one's then; on an error neither.

    Raises OSError and DriverError.
    """
    if durable:
        sync_directory(new)
    exchange(new, old)
    if durable:
        try:
            sync_directory(os.path.dirname(old))
        except DriverError:
            exchange(new, old)
            raise


def throw_spare_away(spare: str, trash: str) -> None:
    """Move what is left of a reset into the trash, or leave it to the next open."""
    try:
        throw_away(spare, trash, os.path.basename(spare))
    except DriverError as error:
        _log.warning("%s stays until the store is opened again: %s", spare, error)
