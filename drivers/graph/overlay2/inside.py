"""Whether what is mounted lies in the home: a mount follows links, whoever has put them there.

Owns that look, once for each layer and each short link, as only who could mount may change them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from layerstore.drivers.errors import DriverError, InvalidMetadata
from layerstore.drivers.graph.overlay2.layout import Layout

_MOST_KNOWN = 4_096


class Inside:
    """The layers of one home that don't lead out of it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._known: set[str] = set()
        """Layers by ID, and short links."""

    def lowers(self, layer_id: str) -> list[str]:
        """Return what a layer lies on, as Layout.lowers, once all of it is known to lie inside.

        Raises InvalidMetadata, DriverError.
        """
        layout = self._layout
        lowers = layout.known_lowers(layer_id)
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        if layer_id not in self._known:
            names = ("", "/diff", "/work") if lowers else ("", "/diff")
            _check_directories(f"{layout.path(layer_id)}{name}" for name in names)
            self._known.add(layer_id)
        for lower in lowers:
            if lower not in self._known:
                target = layout.target(lower)
                _check_directories((os.path.dirname(target), target))
                self._known.add(lower)
        return lowers


def _check_directories(paths: Iterable[str]) -> None:
    for path in paths:
        try:
            is_directory = stat.S_ISDIR(os.lstat(path).st_mode)
        except OSError as error:
            raise DriverError.from_os_error("look at", path, error) from error
        if not is_directory:
            raise InvalidMetadata(path, "it should be a directory")
