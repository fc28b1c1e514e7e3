"""What of a tar's files isn't as the tar says: left out, and told once for each kind.

Owns which refusals of extended attributes are tolerated (moby tolerates the same), and the words
for all of it.
"""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass

from layerstore.drivers.system.printable import escaped

_log = logging.getLogger("layerstore")
_SHOWN = 100
_WHY = {
    errno.ENOTSUP: "which the file system doesn't have, or not for such files",
    errno.EPERM: "which may not be set, by this process or on such files",
}


@dataclass(slots=True)
class _Kind:
    count: int
    name: str
    entry: str


class Unset:
    """Counts them for one tar."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, int], _Kind] = {}
        """By the name up to the first dot, and by why."""
        self._others: dict[str, _Kind] = {}
        """What isn't about a file system's attributes, by its words."""

    def tolerates(self, name: str, entry: str, error: OSError) -> bool:
        """Whether an attribute may be left out that couldn't be set; then it is counted."""
        if error.errno not in _WHY:
            return False
        namespace = name.partition(".")[0][:_SHOWN]
        kind = self._kinds.setdefault((namespace, error.errno), _Kind(0, name, entry))
        kind.count += 1
        return True

    def owner_is_lost(self, entry: str) -> None:
        """Count an owner that can't be given and isn't kept: links and pipes have no attributes."""
        self._count(
            "owners that can't be given here are lost, where no attribute keeps them", entry
        )

    def stands_for_device(self, entry: str) -> None:
        """Count a device node that can't be made."""
        self._count("device nodes can't be made here: empty files stand for them", entry)

    def forges_owner(self, entry: str) -> None:
        """Count an attribute by which a tar would say an owner that its header doesn't."""
        self._count("extended attributes that would change an owner are left out", entry)

    def _count(self, what: str, entry: str) -> None:
        self._others.setdefault(what, _Kind(0, "", entry)).count += 1

    def tell(self) -> None:
        """Log a line for each kind."""
        for what, kind in self._others.items():
            first = escaped(kind.entry[:_SHOWN])
            _log.warning("%s: %d, the first of %s", what, kind.count, first)
        self._others.clear()
        for (namespace, why), kind in self._kinds.items():
            _log.warning(
                "%d extended attribute%s of the kind %s left out, %s: %s of %s%s",
                kind.count,
                "s" if kind.count > 1 else "",
                escaped(namespace),
                _WHY[why],
                escaped(kind.name[:_SHOWN]),
                escaped(kind.entry[:_SHOWN]),
                " first" if kind.count > 1 else "",
            )
        self._kinds.clear()
