"""Whether every directory of a Docker root belongs to a layer or a mount that is listed.

Reads the root's files by itself, asking the code it checks for nothing but the driver's home, and
changes nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support.homes import OVERLAYS, home_of


class DiskView:
    """What lies in a root, for one storage driver, while nobody has it open."""

    def __init__(self, root: Path, driver: str) -> None:
        self._driver = driver
        self._layerdb = root / "image" / driver / "layerdb"
        self._home = home_of(root, driver)
        self.chains = {f"sha256:{name}" for name in _names(self._layerdb / "sha256")}
        self.mounts = _names(self._layerdb / "mounts")

    def leaks(self, chains: Iterable[str], mounts: Iterable[str]) -> list[str]:
        """Return a line for whatever no layer and no mount leads to, or that one leads to in vain.

        `chains` and `mounts` are all that is listed.
        """
        found = _compare("layerdb/sha256", self.chains, set(chains))
        found += _compare("layerdb/mounts", self.mounts, set(mounts))
        found += [f"layerdb/tmp/{name}" for name in _names(self._layerdb / "tmp")]
        named = self._named()
        found += [f"{name} is named {count} times" for name, count in named.items() if count > 1]
        directories = _names(self._home) - {"l"}
        found += _compare(str(self._home), directories, set(named))
        if self._driver in OVERLAYS:
            found += self._link_leaks(directories)
        return found

    def _named(self) -> Counter[str]:
        """Count how often each directory of the driver is named in the layer database."""
        layers = [self._layerdb / "sha256" / name / "cache-id" for name in self._hex()]
        mounts = [self._layerdb / "mounts" / name / "mount-id" for name in self.mounts]
        inits = [self._layerdb / "mounts" / name / "init-id" for name in self.mounts]
        files = [*layers, *mounts, *(path for path in inits if path.exists())]
        return Counter(path.read_text() for path in files)

    def _hex(self) -> list[str]:
        return [chain.removeprefix("sha256:") for chain in self.chains]

    def _link_leaks(self, directories: set[str]) -> list[str]:
        """Each directory has one short link, and each lower file leads to what is there."""
        links = {name: os.readlink(self._home / "l" / name) for name in _names(self._home / "l")}
        wanted = {
            (self._home / name / "link").read_text(): f"../{name}/diff" for name in directories
        }
        found = [f"{self._driver}/l: {link}" for link in links.items() ^ wanted.items()]
        for name in directories:
            lower = self._home / name / "lower"
            parts = lower.read_text().split(":") if lower.exists() else []
            found += [f"{lower}: {part}" for part in parts if part[2:] not in links]
        return found


def expected_references(
    parents: Mapping[str, str | None], image_tops: Iterable[str], mount_parents: Iterable[str]
) -> dict[str, int]:
    """Return how many children, images and mounts keep each layer."""
    counts = Counter(parent for parent in parents.values() if parent is not None)
    counts.update(image_tops)
    counts.update(mount_parents)
    return {chain: counts[chain] for chain in parents}


def _names(path: Path) -> set[str]:
    return set(os.listdir(path)) if path.exists() else set()


def _compare(what: str, found: set[str], wanted: set[str]) -> list[str]:
    return [f"{what}: {name} leads nowhere" for name in sorted(found - wanted)] + [
        f"{what}: {name} is missing" for name in sorted(wanted - found)
    ]
