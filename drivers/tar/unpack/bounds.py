"""How much of a tar was unpacked so far, within what its reader allows.

Owns the counting. It reads no stream and makes no file.
"""

from __future__ import annotations

from layerstore.drivers.errors import LimitExceeded
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.tar import header as th
from layerstore.drivers.tar.header import Header


class Bounds:
    """Counts the members of one tar."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._devices = 0
        self._copied = 0
        self.entries = 0
        self.size = 0
        """Bytes of all files, holes included."""

    def count(self, header: Header) -> None:
        """Take the next member, before it is made. Raises LimitExceeded."""
        self.entries += 1
        self.size += header.size
        limits = self._limits
        if self.entries > limits.max_entries:
            raise _exceeded("the number of entries", limits.max_entries, "max_entries", header)
        self._check_size(header)
        if header.type in (th.CHAR, th.BLOCK_DEVICE):
            self._devices += 1
            if self._devices > limits.max_devices:
                most = limits.max_devices
                raise _exceeded("the number of device nodes", most, "max_devices", header)

    def count_copy(self, header: Header) -> None:
        """Take a file that is made with a member's content once more. Raises LimitExceeded."""
        self._copied += header.size
        self._check_size(header)

    def _check_size(self, header: Header) -> None:
        most = self._limits.max_bytes
        if self.size + self._copied > most:
            raise _exceeded("the size of all files in bytes", most, "max_bytes", header)

    def check_depth(self, header: Header, path: bytes) -> None:
        """Refuse a clean path of too many components. Raises LimitExceeded."""
        most = self._limits.max_depth
        if path.count(b"/") >= most:
            raise _exceeded("the depth of a path in components", most, "max_depth", header)


def _exceeded(what: str, limit: int, option: str, header: Header) -> LimitExceeded:
    return LimitExceeded(what, limit, option, header.entry)
