"""Messages to the MountRegistry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from layerstore.actors.runtime.message import Message
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.work import Descriptors, Init, MountWork, TarSource


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRWLayer(Message):
    """Make a read-write layer; answered with MountMetadata, held by `reference`."""

    public: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...]] = (
        "reference",
        "name",
        "parent",
        "mount_label",
        "storage_opt",
    )

    reference: int
    name: str
    parent: ChainID | None
    mount_label: str = ""
    storage_opt: Mapping[str, str] = field(default_factory=dict)
    init: Init | None = field(default=None, repr=False)

    @property
    def abandoned_by(self) -> int:
        """See Message."""
        return self.reference

    def summary(self) -> str:
        """Return the name."""
        return self.name

    def for_journal(self) -> Mapping[str, Any]:
        """See Message."""
        return {**Message.for_journal(self), "init": self.init is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class GetRWLayer(Message):
    """Hold a read-write layer by a new reference; answered with MountMetadata."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...]] = ("reference", "name")

    reference: int
    name: str

    @property
    def abandoned_by(self) -> int:
        """See Message."""
        return self.reference

    def summary(self) -> str:
        """Return the name."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRWLayer(Message):
    """Give a reference back; the last one removes the layer. Answered as ReleaseLayer is."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...]] = ("reference", "name")

    reference: int
    name: str

    def summary(self) -> str:
        """Return the name."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class GetMountID(Message):
    """Answered with the mount ID of a read-write layer."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...]] = ("name",)

    name: str

    def summary(self) -> str:
        """Return the name."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMounts(Message):
    """Answered with a list of MountMetadata, ordered by name, those in between included."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount(Message):
    """Mount a read-write layer once more; answered with its path."""

    public: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...]] = ("reference", "name", "mount_label")

    reference: int
    name: str
    mount_label: str = ""

    def summary(self) -> str:
        """Return the name."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmount(Message):
    """Undo one Mount; the last one unmounts."""

    public: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...]] = ("reference", "name")

    reference: int
    name: str

    def summary(self) -> str:
        """Return the name."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOnMount(Message):
    """Have a worker read or change a read-write layer; answered with the job's outcome."""

    public: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...]] = ("reference", "request", "name", "what")

    reference: int
    request: int
    """A number of its own, to be abandoned by."""
    name: str
    what: MountWork
    source: TarSource | None = None
    descriptors: Descriptors = field(default=(), repr=False)

    @property
    def abandoned_by(self) -> int:
        """See Message."""
        return self.request

    def summary(self) -> str:
        """Return the name and what is done."""
        return f"{self.name} {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmountAll(Message):
    """Unmount what was mounted through this store; answered with the names that could not be."""

    public: ClassVar[bool] = True
