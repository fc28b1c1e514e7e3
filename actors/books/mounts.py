"""The books of the read-write layers: which names are taken, who holds and who mounted what.

Owns the entries and decides on them; it sends nothing and does no work. The semantics are those of
moby's layer/mounted_layer.go and layer_store.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from layerstore.actors.books.id_ranges import IdRanges
from layerstore.actors.books.index import OrderedIds, only, take_out
from layerstore.actors.books.mount_entry import MountEntry, MountState
from layerstore.actors.books.retained import Mounted, MountsRetained
from layerstore.actors.messages import MountsByOrigin
from layerstore.drivers.errors import LayerNotRetained, MountDoesNotExist, MountNameConflict
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.image_config import ImageID
from layerstore.drivers.model.stored import StoredMount

_NOT_MOUNTED = Mounted(0, None, here=False)


class MountBooks:
    """All entries: by name, by ID, by reference, and by what they were made from."""

    def __init__(
        self,
        stored: Iterable[StoredMount],
        cache_ids: Mapping[ChainID, str],
        origins: Mapping[str, ImageID],
        retained: MountsRetained,
        id_ranges: IdRanges,
    ) -> None:
        """Fill the books from disk, and with what callers hold.

        `cache_ids` are the driver's IDs of the parents, `origins` the images by mount ID.
        `retained` is brought into line with the disk, and kept up to date from now on.
        """
        self._retained = retained
        self.id_ranges = id_ranges
        self._entries: dict[str, MountEntry] = {}
        self._holding: dict[int, MountEntry] = {}
        """Who is held by each reference, which its caller may have been made to forget."""
        self._by_image: dict[ImageID, set[str]] = {}
        """The names of those whose image is noted."""
        self._unnoted: dict[ChainID | None, set[str]] = {}
        """The names of the others, by parent."""
        known_mounts = list(stored)
        self._ids = OrderedIds(mount.mount_id for mount in known_mounts)
        self._with_id: dict[str, set[str]] = {}
        """The names by mount ID; of several, which a damaged root may have, none is lost."""
        makers = {mount_id: reference for reference, mount_id in retained.made.items()}
        held: dict[str, set[int]] = {}
        for reference, mount_id in retained.held.items():
            held.setdefault(mount_id, set()).add(reference)
        for mount in known_mounts:
            known = retained.mounted.get(mount.mount_id, _NOT_MOUNTED)
            entry = MountEntry(
                name=mount.name,
                mount_id=mount.mount_id,
                init_id=mount.init_id,
                parent=mount.parent,
                parent_cache_id=cache_ids[mount.parent] if mount.parent else None,
                state=MountState.READY,
                references=held.pop(mount.mount_id, set()),
                made_by=makers.get(mount.mount_id),
                mount_count=known.count,
                mounted_here=known.here,
                path=known.path,
                image=origins.get(mount.mount_id),
                id_map=mount.id_map,
            )
            self._enter(entry)
        for gone in held.values():
            for reference in gone:
                del retained.held[reference]
                retained.made.pop(reference, None)

    def hold(self, entry: MountEntry, reference: int) -> None:
        """Enter a reference that a caller holds."""
        entry.references.add(reference)
        self._holding[reference] = entry
        self._retained.held[reference] = entry.mount_id

    def hold_new(self, entry: MountEntry, reference: int) -> None:
        """Enter the reference of whoever has made a layer."""
        entry.made_by = reference
        self._retained.made[reference] = entry.mount_id
        self.hold(entry, reference)

    def drop(self, entry: MountEntry, reference: int) -> None:
        """Strike a reference out for good; out of its entry's alone it outlives these books."""
        entry.references.discard(reference)
        self._holding.pop(reference, None)
        self._retained.held.pop(reference, None)
        self._retained.made.pop(reference, None)

    def begin(self, mount_id: str) -> None:
        """Take note of a read-write layer that is being made."""
        self._retained.unanswered.add(mount_id)

    def end(self, mount_id: str) -> None:
        """Take note that whoever makes a read-write layer is being answered."""
        self._retained.unanswered.discard(mount_id)

    def counted(self, entry: MountEntry) -> None:
        """Take note of how a layer is mounted, after that has changed."""
        if entry.mount_count:
            known = Mounted(entry.mount_count, entry.path, entry.mounted_here)
            self._retained.mounted[entry.mount_id] = known
        else:
            self.changing(entry)

    def changing(self, entry: MountEntry) -> None:
        """Take note that a layer is about to be unmounted."""
        self._retained.mounted.pop(entry.mount_id, None)

    def reserve(
        self,
        name: str,
        mount_id: str,
        init_id: str | None,
        parent: ChainID | None,
        id_map: str = "",
    ) -> MountEntry:
        """Take a name, and IDs; MountNameConflict where it is taken, in whatever state that is.

        `id_map` is what a map was resolved to.
        """
        if name in self._entries:
            raise MountNameConflict(name)
        entry = MountEntry(
            name=name,
            mount_id=mount_id,
            init_id=init_id,
            parent=parent,
            parent_cache_id=None,
            state=MountState.CREATING,
            id_map=id_map,
        )
        self._enter(entry)
        return entry

    def _enter(self, entry: MountEntry) -> None:
        self._entries[entry.name] = entry
        self._ids.enter(entry.mount_id)
        self._with_id.setdefault(entry.mount_id, set()).add(entry.name)
        self._holding.update(dict.fromkeys(entry.references, entry))
        self._beside(entry).add(entry.name)
        if entry.id_map:
            self.id_ranges.take(entry.id_map)

    def _beside(self, entry: MountEntry) -> set[str]:
        if entry.image is not None:
            return self._by_image.setdefault(entry.image, set())
        return self._unnoted.setdefault(entry.parent, set())

    def _take_out(self, entry: MountEntry) -> None:
        if entry.image is not None:
            take_out(self._by_image, entry.image, entry.name)
        else:
            take_out(self._unnoted, entry.parent, entry.name)

    def note_origin(self, name: str, reference: int, image_id: ImageID) -> None:
        """Note which image a read-write layer was made from; raises what find_held does."""
        entry = self.find_held(name, reference)
        self._take_out(entry)
        entry.image = image_id
        self._beside(entry).add(entry.name)

    def made_from(self, image_id: ImageID, on_layer: ChainID | None) -> MountsByOrigin:
        """Return the names of those made from an image, and of those that may be, on its layer."""
        unnoted = self._unnoted.get(on_layer, ()) if on_layer is not None else ()
        return MountsByOrigin(
            noted=sorted(self._by_image.get(image_id, ())), unnoted=sorted(unnoted)
        )

    def strike(self, entry: MountEntry) -> None:
        """Free the name, and the IDs."""
        if entry.id_map:
            self.id_ranges.give_back(entry.id_map)
        self.end(entry.mount_id)
        del self._entries[entry.name]
        take_out(self._with_id, entry.mount_id, entry.name)
        if entry.mount_id not in self._with_id:
            self._ids.strike(entry.mount_id)
        self._take_out(entry)

    def find(self, name: str) -> MountEntry:
        """Return a ready entry; MountDoesNotExist for any other."""
        entry = self._entries.get(name)
        if entry is None or not entry.is_ready:
            raise MountDoesNotExist(name)
        return entry

    def find_beginning(self, start: str) -> MountEntry:
        """Return the ready entry whose ID begins so.

        Raises MountDoesNotExist, AmbiguousName.
        """
        names = (name for one in self._ids.beginning(start) for name in self._with_id[one])
        found = [entry for entry in map(self._entries.__getitem__, names) if entry.is_ready]
        entry = only(found, start, "read-write layers")
        if entry is None:
            raise MountDoesNotExist(start)
        return entry

    def count(self) -> int:
        """Return how many there are, with those being made or removed."""
        return len(self._entries)

    def find_any(self, name: str) -> MountEntry | None:
        """Return the entry in whatever state it is."""
        return self._entries.get(name)

    def find_held(self, name: str, reference: int) -> MountEntry:
        """Return the entry that a reference holds; LayerNotRetained where it doesn't."""
        entry = self.find(name)
        if reference not in entry.references:
            raise LayerNotRetained(name)
        return entry

    def holding(self, reference: int) -> MountEntry | None:
        """Return the entry that a reference holds, whichever it is."""
        entry = self._holding.get(reference)
        return entry if entry is not None and reference in entry.references else None

    def all(self) -> Iterator[MountEntry]:
        """Yield every entry, ordered by name."""
        return iter([self._entries[name] for name in sorted(self._entries)])
