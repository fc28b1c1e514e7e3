"""What a store should hold, and the log in which a run notes what had been answered.

Owns the log's format: a line before each call with all states that a crash in it may leave, and a
line after it with the one state that has been answered.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from layerstore import Image, LayerStore

ANY = "?"
"""Stands for one ID that can't be known before the answer."""


@dataclass(frozen=True)
class State:
    """What a store lists."""

    layers: frozenset[str] = frozenset()
    mounts: dict[str, str | None] = field(default_factory=dict)
    """Name -> chain ID of the parent."""
    mounted: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    names: dict[str, str] = field(default_factory=dict)
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    """Name -> path -> content, in mounts."""
    damaged: str = ""
    """Which repair sees to what was done to the disk by hand: `safe`, `force` or none."""

    def plus(self, *layers: str) -> State:
        """With more layers."""
        return replace(self, layers=self.layers | set(layers))

    def minus(self, *layers: str) -> State:
        """Without some layers."""
        return replace(self, layers=self.layers - set(layers))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {k: sorted(v) if isinstance(v, frozenset) else v for k, v in asdict(self).items()}

    @staticmethod
    def from_json(data: dict[str, Any]) -> State:
        """Undo to_json."""
        fields: dict[str, Any] = {
            k: frozenset(v) if isinstance(v, list) else v for k, v in data.items()
        }
        return State(**fields)

    def objection(self, listed: State, *, mounts_survive: bool) -> str:
        """Why `listed` isn't this state, or nothing; files aside."""
        found = [
            _set_objection("layers", self.layers, listed.layers),
            _set_objection("images", self.images, listed.images),
        ]
        if self.mounts != listed.mounts:
            found.append(f"mounts {listed.mounts} instead of {self.mounts}")
        if mounts_survive and self.mounted != listed.mounted:
            found.append(f"mounted {sorted(listed.mounted)} instead of {sorted(self.mounted)}")
        known = {name: image for name, image in self.names.items() if image != ANY}
        if self.names.keys() != listed.names.keys() or not known.items() <= listed.names.items():
            found.append(f"names {listed.names} instead of {self.names}")
        return "; ".join(line for line in found if line)


def _set_objection(what: str, wanted: frozenset[str], listed: frozenset[str]) -> str:
    known = wanted - {ANY}
    spare = len(wanted) - len(known)
    if known <= listed and len(listed - known) == spare:
        return ""
    return f"{what} {_short(listed)} instead of {_short(wanted)}"


def _short(ids: Iterable[str]) -> list[str]:
    return sorted(text[:19] for text in ids)


def listed(store: LayerStore) -> State:
    """What an open store says of itself."""
    images = store.images.list()
    return State(
        layers=frozenset(store.map()),
        mounts={mount.name: mount.parent for mount in store.mounts()},
        mounted=frozenset(mount.name for mount in store.mounts() if mount.mount_count),
        images=frozenset(map(_as_listed, images)),
        names={name: image.id for image in images for name in image.names},
    )


def _as_listed(image: Image) -> str:
    """Name an image; one that was loaded, which comes with an annotation, is to have kept that."""
    kept = image.parent is not None or image.annotations
    return image.id if kept else f"{image.id} without its annotation"


@dataclass(frozen=True)
class Answers:
    """What a log says."""

    during: str
    """The call that was under way, if one was."""
    allowed: list[State]
    answered: int
    """How many calls had been answered."""


def note(log: str, entry: dict[str, Any]) -> None:
    """Add a line to a log. It lies outside of the root, so the seam doesn't see it."""
    with open(log, "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def read_answers(log: str, before: float = math.inf) -> Answers:
    """Read a log, up to what was noted before a system call of this number."""
    during, allowed, answered = "", [State()], 0
    with open(log, encoding="utf-8") as file:
        for line in file:
            entry = json.loads(line)
            if entry["at"] >= before:
                break
            allowed = [State.from_json(state) for state in entry["states"]]
            during = entry.get("begin", "")
            answered += not during
    return Answers(during, allowed, answered)
