"""Recorded requests as requests to a fresh store: other IDs, stand-ins for contents.

Owns which old ID stands for which new one, and what must be there before the first request because
it was there before the trace began. Everything in a record may be hostile: it is taken only in the
shape that a request has, and the store checks it as any caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

from layerstore.actors import messages as m
from layerstore.actors.watching.trace import TraceRecord
from layerstore.command.tracing import stand_ins
from layerstore.command.tracing.recorded import (
    Unplayable,
    fact,
    is_digest,
    listed,
    name_of,
    reference_of,
)
from layerstore.drivers.model.ids import ChainID, DiffID, chain_id, chain_of, diff_id
from layerstore.drivers.model.image_config import ImageID, parse_config
from layerstore.drivers.model.reference import parse_tag, repository_of
from layerstore.drivers.model.times import now
from layerstore.drivers.work import READING, MountWork

Facts = Mapping[str, Any]

_TAKES_REFERENCE = {"Register", "GetLayer", "CreateRWLayer", "ForkRWLayer", "GetRWLayer"}
_MAKES_MOUNT = {"CreateRWLayer", "ForkRWLayer"}
_CHAINS = ("parent", "chain_id")
_Argument = Callable[[TraceRecord, str], Any]
_RECORDED: dict[str, type[m.Message]] = {
    name: kind
    for name, kind in vars(m).items()
    if isinstance(kind, type) and issubclass(kind, m.Message) and kind.recorded is not None
}


class RequestMaker:
    """Makes messages of records."""

    def __init__(self, calls: Sequence[TraceRecord], answers: Mapping[int, TraceRecord]) -> None:
        self._calls = calls
        self._answers = answers
        self._chains: dict[str, ChainID] = {}
        self._diffs: dict[str, str] = {}
        self._images: dict[str, str] = {}
        self._mounts: dict[str, str] = {}
        self._names: set[str] = set()
        self._standing: dict[int, str] = {}
        self._arguments: dict[str, _Argument] = {
            "reference": lambda record, _: reference_of(record),
            "stays": lambda record, _: record.facts.get("stays") is True,
            "keep": lambda record, _: record.facts.get("keep") is True,
            "name": lambda record, _: name_of(record),
            "source": lambda record, _: fact(record, "source", str),
            "source_reference": lambda record, _: fact(record, "source_reference", int),
            "mount_label": lambda record, _: fact(record, "mount_label", str),
            "chain_id": lambda record, outcome: self._chain(record, "chain_id", outcome),
            "on_layer": _if_there("on_layer", self._chain),
            "image_id": lambda record, outcome: self._image(record, "image_id", outcome),
            "recorded_image": _if_there("recorded_image", self._image),
            "query": self._query,
            "start": self._start,
            "diff_id": lambda record, _: self._diff(fact(record, "diff_id", str)),
        }
        """How what a message has is made of a record, for those that have nothing else."""
        self._made: dict[str, Callable[[TraceRecord, str], m.Message]] = {
            "Register": self._register,
            "ReadLayer": self._read_layer,
            "CreateRWLayer": self._create,
            "WorkOnMount": self._work,
            "AddImage": self._add_image,
            "TagImage": self._tag_image,
            "RemoveImage": self._remove_image,
        }

    def plays(self, kind: str) -> bool:
        """Whether requests of a kind can be made again."""
        return kind in self._made or kind in self._plain

    @property
    def _plain(self) -> dict[str, tuple[type[m.Message], list[str]]]:
        """The messages with nothing in them but arguments that are recorded, and those."""
        known = {name: list(kind.__struct_fields__) for name, kind in _RECORDED.items()}
        return {
            name: (_RECORDED[name], names)
            for name, names in known.items()
            if self._arguments.keys() >= set(names)
        }

    def message(self, record: TraceRecord, outcome: str) -> m.Message:
        """Return the request to send for a recorded one with this outcome.

        Raises Unplayable, and LayerStoreError for IDs and names that are none.
        """
        if record.kind in self._made:
            return self._made[record.kind](record, outcome)
        if record.kind not in self._plain:
            raise Unplayable("it is the store's own, or its arguments aren't recorded")
        kind, names = self._plain[record.kind]
        return kind(**{name: self._arguments[name](record, outcome) for name in names})

    def learn(self, record: TraceRecord, was: Facts, now_is: Facts) -> None:
        """Take note of which new IDs an answer brought for the old ones."""
        if "chain_id" in was and "chain_id" in now_is:
            self._chains[str(was["chain_id"])] = now_is["chain_id"]
            self._diffs[str(was.get("diff_id"))] = now_is["diff_id"]
        if "mount_id" in was and "mount_id" in now_is:
            self._mounts[str(was["mount_id"])] = now_is["mount_id"]
        if record.kind == "AddImage" and "image_id" in now_is:
            self._images[str(record.facts.get("image_id"))] = now_is["image_id"]
            self._names |= set(fact(record, "names", dict[str, str]))
        if record.kind == "TagImage":
            self._names.add(name_of(record))

    # What was there before

    def before(self) -> Iterator[tuple[str, m.Message, str]]:
        """Give what makes the layers and mounts that were there before: actor, request, line."""
        made = {
            answer.facts.get("chain_id")
            for record in self._calls
            if record.kind == "Register" and (answer := self._answers.get(record.request))
        }
        numbers = iter(range(-1, -1_000_000, -1))
        for old in dict.fromkeys(self._chains_before(made)):
            yield (
                "layers",
                self._stand_in(next(numbers), old, None),
                (f"layer {old} was there before: a small one stands for it"),
            )
        for name in dict.fromkeys(self._names_before()):
            message = m.CreateRWLayer(reference=next(numbers), name=name, parent=None)
            yield (
                "mounts",
                message,
                (f"read-write layer {name} was there before: an empty one stands for it"),
            )

    def learn_before(self, message: m.Message, facts: Facts) -> None:
        """Take note of a stand-in that was made."""
        if isinstance(message, m.Register):
            self._chains[self._standing[message.reference]] = facts["chain_id"]
            # A base layer's chain ID is its diff ID.
            self._diffs.setdefault(self._standing[message.reference], facts["diff_id"])

    def held_before(self) -> Iterator[tuple[str, m.Message]]:
        """Give what takes the references that callers held before."""
        known: set[int] = set()
        for record in self._calls:
            reference, source = (record.facts.get(f) for f in ("reference", "source_reference"))
            if isinstance(source, int) and source not in known and self._outcome(record) == "ok":
                known.add(source)
                name = fact(record, "source", str)
                yield "mounts", m.GetRWLayer(reference=source, name=name)
            if record.kind in _TAKES_REFERENCE and isinstance(reference, int):
                known.add(reference)
            elif self._outcome(record) == "ok" and isinstance(reference, int):
                if reference in known or record.kind == "Abandon":
                    continue
                known.add(reference)
                if "chain_id" in record.facts:
                    chain = self._chain(record, "chain_id", "ok")
                    yield "layers", m.GetLayer(reference=reference, chain_id=chain)
                else:
                    yield "mounts", m.GetRWLayer(reference=reference, name=name_of(record))

    def _outcome(self, record: TraceRecord) -> str:
        answer = self._answers.get(record.request)
        return answer.outcome if answer is not None else ""

    def _chains_before(self, made: set[Any]) -> Iterator[str]:
        for record in self._calls:
            if record.kind == "AddImage":
                below = None
                for diff in listed(record, "diff_ids"):
                    if not is_digest(diff):
                        break
                    chain = chain_of(below, diff_id(diff))
                    if chain not in made and below is None:
                        yield chain
                    below = chain
            elif self._outcome(record) != "LayerDoesNotExist":
                for name in _CHAINS:
                    old = record.facts.get(name)
                    if isinstance(old, str) and old not in made and is_digest(old):
                        yield old

    def _names_before(self) -> Iterator[str]:
        made: set[str] = set()
        for record in self._calls:
            name = record.facts.get("name")
            if not isinstance(name, str) or record.receiver != "mounts":
                continue
            outcome = self._outcome(record)
            if record.kind in _MAKES_MOUNT:
                if outcome == "MountNameConflict" and name not in made:
                    yield name
                made.add(name)
                name = record.facts.get("source")
            if isinstance(name, str) and name not in made and outcome == "ok":
                made.add(name)
                yield name

    def _stand_in(self, number: int, old: str, parent: ChainID | None) -> m.Register:
        self._standing[number] = old
        how, descriptors = stand_ins.source(old, "ok")
        return m.Register(
            reference=number, parent=parent, descriptor=None, source=how, descriptors=descriptors
        )

    # Layers

    def _chain(self, record: TraceRecord, name: str, outcome: str) -> ChainID:
        old = fact(record, name, str)
        if old not in self._chains and outcome != "LayerDoesNotExist":
            raise Unplayable("nothing stands for its layer")
        return chain_id(self._chains.get(old, old))

    def _diff(self, old: str) -> DiffID:
        return diff_id(self._diffs.get(old, old))

    def _start(self, record: TraceRecord, outcome: str) -> str:
        """Return the start of the ID of a layer of either kind: of the one for it, all of it."""
        start = str(fact(record, "start", str))
        for old, new in (*self._chains.items(), *self._mounts.items()):
            if old.removeprefix("sha256:").startswith(start) and outcome == "ok":
                return str(new).removeprefix("sha256:")
        if outcome not in ("MountDoesNotExist", "LayerDoesNotExist"):
            raise Unplayable("IDs begin otherwise in another store")
        return start

    def _register(self, record: TraceRecord, outcome: str) -> m.Message:
        answer = self._answers.get(record.request)
        diff = answer.facts.get("diff_id") if answer is not None else None
        parent = _if_there("parent", self._chain)(record, outcome)
        reference = reference_of(record)
        how, descriptors = stand_ins.source(str(diff or f"request {record.sequence}"), outcome)
        return m.Register(
            reference=reference,
            parent=parent,
            descriptor=None,
            source=how,
            descriptors=descriptors,
        )

    def _read_layer(self, record: TraceRecord, outcome: str) -> m.Message:
        against = None
        if record.facts.get("against") is not None:
            against = self._chain(record, "against", "LayerDoesNotExist")
        return m.ReadLayer(
            reference=reference_of(record),
            chain_id=self._chain(record, "chain_id", outcome),
            against=against,
            whole=fact(record, "whole", bool),
            sparse=fact(record, "sparse", bool),
            descriptors=stand_ins.sink(),
        )

    # Read-write layers

    def _create(self, record: TraceRecord, outcome: str) -> m.Message:
        return m.CreateRWLayer(
            reference=reference_of(record),
            name=name_of(record),
            parent=_if_there("parent", self._chain)(record, outcome),
            mount_label=fact(record, "mount_label", str),
            storage_opt=fact(record, "storage_opt", dict[str, str]),
            init=stand_ins.init(outcome) if fact(record, "init", bool) else None,
        )

    def _work(self, record: TraceRecord, outcome: str) -> m.Message:
        what = fact(record, "what", str)
        if what not in get_args(MountWork):
            raise Unplayable("there is no such work")
        reference, name = reference_of(record), name_of(record)
        source, descriptors = None, stand_ins.sink() if what in READING else ()
        if what == "apply":
            source, descriptors = stand_ins.source(f"request {record.sequence}", outcome)
        return m.WorkOnMount(
            reference=reference,
            request=fact(record, "request", int),
            name=name,
            what=what,
            sparse=fact(record, "sparse", bool),
            skip_whiteout_names=fact(record, "skip_whiteout_names", bool),
            source=source,
            descriptors=descriptors,
        )

    # Images

    def _add_image(self, record: TraceRecord, _outcome: str) -> m.Message:
        diffs = [self._diffs.get(old) for old in fact(record, "diff_ids", list[str])]
        if None in diffs:
            raise Unplayable("nothing stands for one of its layers")
        old = fact(record, "image_id", str)
        config = stand_ins.config(old, [str(diff) for diff in diffs])
        parent = record.facts.get("parent")
        names = [parse_tag(name) for name in fact(record, "names", dict[str, str])]
        return m.AddImage(
            facts=parse_config(config, "a stand-in"),
            config=config,
            parent=ImageID(self._images[parent]) if parent in self._images else None,
            names={name: repository_of(name) for name in names},
            last_updated=now(),
            annotations=tuple(fact(record, "annotations", list[dict[str, str]] | None) or ()),
        )

    def _query(self, record: TraceRecord, outcome: str) -> m.ImageQuery:
        asked = fact(record, "asked", str)
        digits = fact(record, "digits", str | None)
        name = fact(record, "query_name", str | None)
        for old, new in self._images.items():
            if digits and old.removeprefix("sha256:").startswith(digits):
                return m.ImageQuery(asked=new, name=None, digits=new.removeprefix("sha256:"))
        known = any(name and f"/{one}".endswith(f"/{name}") for one in self._names)
        if outcome == "ok" and not known:
            raise Unplayable("its image was there before the trace")
        return m.ImageQuery(asked=asked, name=name, digits=digits)

    def _tag_image(self, record: TraceRecord, outcome: str) -> m.Message:
        name = parse_tag(name_of(record))
        query = self._query(record, outcome)
        return m.TagImage(query=query, name=name, repository=repository_of(name))

    def _remove_image(self, record: TraceRecord, outcome: str) -> m.Message:
        users = fact(record, "used_by", list[str] | None)
        return m.RemoveImage(
            query=self._query(record, outcome),
            force=fact(record, "force", bool),
            used_by=tuple(users) if users is not None else None,
            nameless=fact(record, "nameless", bool),
        )

    def _image(self, record: TraceRecord, name: str, outcome: str) -> ImageID:
        old = fact(record, name, str)
        if old not in self._images and outcome == "ok":
            raise Unplayable("its image was there before the trace")
        return ImageID(self._images.get(old, old))


def _if_there(name: str, make: Callable[[TraceRecord, str, str], Any]) -> _Argument:
    return lambda record, outcome: make(record, name, outcome) if record.facts.get(name) else None
