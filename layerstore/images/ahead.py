"""Registering a layer before the one that it lies on is there.

Owns the request for it, which no face has: it is of use only where all layers of a chain are known
by their diff IDs, as an image's are.
"""

from __future__ import annotations

from msgspec import structs

from layerstore.asking.later import Later
from layerstore.asking.requests import HandIn, New
from layerstore.asking.source import Pump, Readable, Region, Source
from layerstore.drivers.model.ids import ChainID, DiffID
from layerstore.operations.blocking import BlockingStore, Layer
from layerstore.operations.declared import store as store_operations


def register_ahead(
    store: BlockingStore,
    source: Region,
    parent: ChainID | None,
    diff: DiffID,
    *,
    descriptor: str | None = None,
    expected_digest: str | None = None,
) -> Later[Layer]:
    """Begin to make a layer on one that may itself have been asked for in this way only.

    The future raises what `register` raises; LayerDoesNotExist also where the parent comes to
    nothing. It is retained once it is there, which is after its parent.
    """
    request = _request(store, source, parent, diff, descriptor, expected_digest)
    return store.core.begin_handing_in(request)


def begin_ahead(
    store: BlockingStore,
    source: Readable,
    parent: ChainID | None,
    diff: DiffID,
    *,
    descriptor: str | None = None,
    expected_digest: str | None = None,
) -> tuple[Later[Layer], Pump | None]:
    """Begin as `register_ahead` does, from a stream: what pumps it is to be run in a thread.

    Others that want the same layer wait for it meanwhile, so the stream has to come to an end.
    """
    request = _request(store, source, parent, diff, descriptor, expected_digest)
    return store.core.begin_pumping(request)


def _request(
    store: BlockingStore,
    source: Source,
    parent: ChainID | None,
    diff: DiffID,
    descriptor: str | None,
    expected_digest: str | None,
) -> HandIn[Layer]:
    core = store.core
    reference = core.new_reference()
    new = New(reference, lambda facts: Layer(core, facts, reference, store))
    request = store_operations.register(
        new,
        source,
        parent,
        descriptor=descriptor,
        expected_diff_id=diff,
        expected_digest=expected_digest,
        compression="auto",
    )
    make = request.make_message
    return structs.replace(
        request, make_message=lambda given: structs.replace(make(given), ahead=True)
    )
