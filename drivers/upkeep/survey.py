"""Reading all metadata of layers and mounts, however damaged: what each file says, and its faults.

Owns the rules of a file's content; they are those of drivers/records/layerdb.py, told file by
file. It changes nothing, and opens directories and files without following a symbolic link. What
can't be looked at because the system has run out of descriptors or memory is no fault but a
DriverError.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from layerstore.drivers.errors import DriverError, LayerStoreError, is_passing
from layerstore.drivers.model.faults import Fault, FaultKind
from layerstore.drivers.model.ids import (
    ChainID,
    DiffID,
    chain_id,
    chain_of,
    check_layer_id,
    check_mount_name,
    diff_id,
)
from layerstore.drivers.records.layerdb import MAX_DESCRIPTOR, MAX_SMALL_FILE, REMOVING
from layerstore.drivers.system.small_file import names_in, read_small

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_GZIP = b"\x1f\x8b\x08"
T = TypeVar("T")


@dataclass(slots=True)
class SurveyedLayer:
    """What can be read of one layer's metadata; None for what can't."""

    name: str
    """Of its directory."""
    path: str
    chain: ChainID | None = None
    diff: DiffID | None = None
    parent: ChainID | None = None
    cache_id: str | None = None
    size: int | None = None
    faults: list[Fault] = field(default_factory=list)


@dataclass(slots=True)
class SurveyedMount:
    """What can be read of one read-write layer's metadata; None for what can't or isn't there."""

    name: str
    path: str
    mount_id: str | None = None
    init_id: str | None = None
    parent: ChainID | None = None
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Removing:
    """A `-removing` directory: a layer's metadata whose removal was cut off."""

    path: str
    chain: str
    cache_id: str | None


class _Place:
    """One metadata directory that is open, whatever becomes of its name meanwhile."""

    def __init__(self, path: str, about: str, faults: list[Fault], kind: FaultKind) -> None:
        self.path = path
        self._about = about
        self._faults = faults
        try:
            self._fd = os.open(path, _DIRECTORY)
        except OSError as error:
            if is_passing(error):
                raise DriverError.from_os_error("open", path, error) from error
            self._fd = -1
            self.add(kind, path, f"not a directory that can be read: {error.strerror}")

    def tell(self, faults: list[Fault]) -> None:
        """Have faults put into this list from now on."""
        self._faults = faults

    def add(self, kind: FaultKind, path: str, reason: str) -> None:
        self._faults.append(Fault(kind=kind, path=path, reason=reason, about=(self._about,)))

    def read(
        self,
        name: str,
        kind: FaultKind,
        check: Callable[[str], T],
        *,
        optional: bool = False,
        limit: int = MAX_SMALL_FILE,
    ) -> T | None:
        """Return what a file says, or None where that is a fault or allowed."""
        path = f"{self.path}/{name}"
        try:
            content = self.bytes(name, limit + 1)
            if len(content) > limit:
                self.add(kind, path, f"longer than {limit} bytes")
            else:
                return check(content.decode())
        except FileNotFoundError:
            if not optional:
                self.add(kind, path, "missing")
        except OSError as error:
            if is_passing(error):
                raise DriverError.from_os_error("read", path, error) from error
            self.add(kind, path, f"can't be read: {error.strerror}")
        except (LayerStoreError, ValueError) as error:
            self.add(kind, path, str(error))
        return None

    def bytes(self, name: str, limit: int) -> bytes:
        """Return the start of a regular file. Raises OSError."""
        return read_small(name, limit, directory=self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    @property
    def is_open(self) -> bool:
        return self._fd >= 0


def survey_layers(home: str) -> Iterator[SurveyedLayer]:
    """Read every layer beneath a layer database's `sha256`."""
    for name in names_in(home):
        if not name.endswith(REMOVING):
            yield _survey_layer(f"{home}/{name}", name)


def _survey_layer(path: str, name: str) -> SurveyedLayer:
    layer = SurveyedLayer(name, path)
    about = f"sha256:{name}"
    try:
        layer.chain = chain_id(about)
    except LayerStoreError as error:
        fault = Fault(kind=FaultKind.LAYER_NAME, path=path, reason=str(error), about=(about,))
        layer.faults.append(fault)
        layer.cache_id = _cache_id_of(path)
        return layer
    place = _Place(path, about, layer.faults, FaultKind.LAYER_NAME)
    try:
        if place.is_open:
            _read_layer(place, layer)
    finally:
        place.close()
    return layer


def _read_layer(place: _Place, layer: SurveyedLayer) -> None:
    kinds = FaultKind
    layer.diff = place.read("diff", kinds.LAYER_DIFF, diff_id)
    layer.size = place.read("size", kinds.LAYER_SIZE, _size)
    layer.cache_id = place.read("cache-id", kinds.LAYER_CACHE_ID, check_layer_id)
    before = len(layer.faults)
    layer.parent = place.read("parent", kinds.LAYER_PARENT, chain_id, optional=True)
    parent_known = len(layer.faults) == before
    place.read(
        "descriptor.json", kinds.LAYER_DESCRIPTOR, _json, optional=True, limit=MAX_DESCRIPTOR
    )
    if parent_known and layer.diff is not None:
        follows = chain_of(layer.parent, layer.diff)
        if follows != layer.chain:
            reason = f"the chain ID of its parent and diff ID is {follows}"
            place.add(kinds.LAYER_CHAIN, layer.path, reason)
    try:
        if place.bytes("tar-split.json.gz", len(_GZIP)) == _GZIP:
            return
        reason = "not gzip"
    except FileNotFoundError:
        reason = "missing"
    except OSError as error:
        if is_passing(error):
            raise DriverError.from_os_error("read", place.path, error) from error
        reason = f"can't be read: {error.strerror}"
    place.add(kinds.LAYER_TAR_SPLIT, f"{layer.path}/tar-split.json.gz", reason)


def _size(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError("not a decimal number")
    return int(text)


def _json(text: str) -> None:
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error


def survey_removing(home: str) -> Iterator[Removing]:
    """Read every removal of a layer that was cut off."""
    for name in names_in(home):
        if name.endswith(REMOVING):
            path = f"{home}/{name}"
            about = f"sha256:{name.partition('-')[0]}"
            yield Removing(path, about, _cache_id_of(path))


def _cache_id_of(path: str) -> str | None:
    place = _Place(path, "", [], FaultKind.LAYER_NAME)
    try:
        if not place.is_open:
            return None
        return place.read("cache-id", FaultKind.LAYER_CACHE_ID, check_layer_id)
    finally:
        place.close()


def survey_mounts(home: str) -> Iterator[SurveyedMount]:
    """Read every read-write layer beneath a layer database's `mounts`."""
    for name in names_in(home):
        yield _survey_mount(f"{home}/{name}", name)


def _survey_mount(path: str, name: str) -> SurveyedMount:
    kinds = FaultKind
    mount = SurveyedMount(name, path)
    found: list[Fault] = []
    place = _Place(path, name, mount.faults, kinds.MOUNT_NAME)
    try:
        if place.is_open:
            place.tell(found)
            mount.mount_id = place.read("mount-id", kinds.MOUNT_ID, check_layer_id)
            mount.init_id = place.read(
                "init-id", kinds.MOUNT_INIT_ID, check_layer_id, optional=True
            )
            mount.parent = place.read("parent", kinds.MOUNT_PARENT, chain_id, optional=True)
            check_mount_name(name)
            mount.faults.extend(found)
    except LayerStoreError as error:
        if is_passing(error):
            raise
        # What isn't a mount has whatever files it has.
        mount.faults.append(
            Fault(kind=kinds.MOUNT_NAME, path=path, reason=str(error), about=(name,))
        )
    finally:
        place.close()
    return mount
