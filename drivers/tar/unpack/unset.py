"""The extended attributes that a file system doesn't take: left out, and told once for each kind.

Owns which refusals are tolerated (moby tolerates the same) and their words.
"""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass

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

    def tolerates(self, name: str, entry: str, error: OSError) -> bool:
        """Whether an attribute may be left out that couldn't be set; then it is counted."""
        if error.errno not in _WHY:
            return False
        namespace = name.partition(".")[0][:_SHOWN]
        kind = self._kinds.setdefault((namespace, error.errno), _Kind(0, name, entry))
        kind.count += 1
        return True

    def tell(self) -> None:
        """Log a line for each kind."""
        for (namespace, why), kind in self._kinds.items():
            _log.warning(
                "%d extended attribute%s of the kind %s left out, %s: %s of %s%s",
                kind.count,
                "s" if kind.count > 1 else "",
                namespace,
                _WHY[why],
                kind.name[:_SHOWN],
                kind.entry[:_SHOWN],
                " first" if kind.count > 1 else "",
            )
        self._kinds.clear()
