"""The part of the protocol that is about checking: messages to the registries.

The rest, and the rules for all messages, stand in actors/messages.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from layerstore.actors.messages import Message
from layerstore.drivers.check_work import CheckJob
from layerstore.drivers.ids import ChainID


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All names and IDs that a registry knows, at one moment."""

    busy: frozenset[str] = frozenset()
    """Of what is being made or removed, so that the disk may be in between."""
    ready: frozenset[str] = frozenset()

    def __or__(self, other: Standing) -> Standing:
        """Return what either knows."""
        return Standing(busy=self.busy | other.busy, ready=self.ready | other.ready)

    def since(self, before: Standing) -> frozenset[str]:
        """Return the names of what has changed, or may have, since an earlier moment."""
        return self.busy | before.busy | (self.ready ^ before.ready)


@dataclass(frozen=True, slots=True, kw_only=True)
class Underway(Message):
    """Asked of the layers and the mounts: what is just being made or removed, and what stands.

    Answered with Standing.
    """

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckDisk(Message):
    """Have a worker compare the disk with the metadata, or plan a repair; the job's outcome."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    job: CheckJob = field(repr=False)

    def summary(self) -> str:
        """Return the job."""
        return type(self.job).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckLayer(Message):
    """Have a worker read a layer back, which stays meanwhile; answered with a list of Fault."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    chain_id: ChainID

    def summary(self) -> str:
        """Return the chain ID."""
        return self.chain_id[:19]
