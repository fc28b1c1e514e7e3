"""The page of one read-write layer: its facts, its state, and who waits for whom to take steps."""

from __future__ import annotations

import enum
from collections.abc import Callable

from msgspec import Struct, field

from layerstore.actors.messages import MountMetadata
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.image_config import ImageID


class MountState(enum.Enum):
    """Where a read-write layer is in its life."""

    CREATING = "creating"
    READY = "ready"
    REMOVING = "removing"


class MountEntry(Struct, kw_only=True):
    """One read-write layer's page."""

    name: str
    mount_id: str
    init_id: str | None
    parent: ChainID | None
    parent_cache_id: str | None
    state: MountState
    references: set[int] = field(default_factory=set)
    made_by: int | None = None
    """The reference of whoever made it, through this store."""
    forsaken: bool = False
    """Somebody gave it up, so it goes with its last reference, however that ends."""
    mount_count: int = 0
    mounted_here: bool = False
    """The mount was made through this store, not found when it was opened."""
    path: str | None = None
    busy: bool = False
    """A mount, an unmount or the removal is under way; only one may be."""
    readers: int = 0
    """Jobs that read or write its files, those that wait for a reset too; a removal waits."""
    waiting: list[Callable[[], None]] = field(default_factory=list)
    resets: list[Callable[[], None]] = field(default_factory=list)
    """Steps that nobody may read beside; the first of them while it is under way, too."""
    reading: list[Callable[[], None]] = field(default_factory=list)
    """Readers who came after a reset, and wait for it."""
    removal: Callable[[], None] | None = None
    image: ImageID | None = None
    """Which it was made from, where that is noted."""
    id_map: str = ""
    """The map of its user IDs; empty where they are this machine's."""

    @property
    def is_ready(self) -> bool:
        """Whether it is neither being made nor removed."""
        return self.state is MountState.READY

    @property
    def diff_parent(self) -> str | None:
        """The driver's ID of what its changes are counted against."""
        return self.init_id or self.parent_cache_id

    def metadata(self) -> MountMetadata:
        """Return the facts for the outside."""
        return MountMetadata(
            name=self.name,
            mount_id=self.mount_id,
            init_id=self.init_id,
            parent=self.parent,
            references=len(self.references),
            mount_count=self.mount_count,
            path=self.path,
            state=self.state.value,
            id_map=self.id_map,
            image=self.image,
        )

    def when_free(self, step: Callable[[], None]) -> None:
        """Take the step now, or in its turn once no other is under way."""
        self.waiting.append(step)
        self.advance()

    def read(self, step: Callable[[], None]) -> None:
        """Begin to read or write its files now, or once resets that came before are done."""
        self.readers += 1
        if self.resets:
            self.reading.append(step)
        else:
            step()

    def was_read(self) -> None:
        """End what `read` has begun, and go on with what waits for that."""
        self.readers -= 1
        self.advance()

    def when_quiet(self, reset: Callable[[], None]) -> None:
        """Take a step, which ends with `free`, once no other is under way and nobody reads."""
        self.resets.append(reset)
        self.advance()

    def when_unused(self, removal: Callable[[], None]) -> None:
        """Take the last step once no other is under way and nobody reads any more."""
        self.removal = removal
        self.advance()

    def free(self) -> None:
        """End a step and go on with those that wait."""
        self.busy = False
        self.advance()

    def was_reset(self) -> None:
        """End a step of `when_quiet`; those who came after it to read, begin."""
        del self.resets[0]
        reading, self.reading = self.reading, []
        for step in reading:
            self.readers -= 1
            self.read(step)
        self.free()

    def advance(self) -> None:
        """Take the steps that wait until one of them stays under way."""
        while self.waiting and not self.busy:
            self.waiting.pop(0)()
        if self.resets and not self.busy and self.readers == len(self.reading):
            self.busy = True
            self.resets[0]()
        if self.removal is not None and not self.busy and not self.readers:
            removal, self.removal = self.removal, None
            removal()
