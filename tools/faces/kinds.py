"""The three faces: one that waits in its thread, one for asyncio, one that doesn't wait."""

from __future__ import annotations

import re
from types import MappingProxyType

from tools.faces.face import Face
from tools.faces.reading import Operation

_OWNERS = {"store": "LayerStore", "layer": "Layer", "rwlayer": "RWLayer"}


class Blocking(Face):
    """Waits in the calling thread."""

    doc = "The face that waits: a store whose methods return answers."
    classes = MappingProxyType(
        {
            "layer": (
                "Layer",
                "LayerHandle",
                "A retained read-only layer; it stays in the store at least until it is released."
                "\n\n"
                "Every `register` and `get` makes a Layer, which is one reference and can be"
                " released once.\nmoby: layer.Layer.",
            ),
            "rwlayer": (
                "RWLayer",
                "Blocks",
                "A held read-write layer: a name, a mount and the changes made beneath it.\n\n"
                "Every `create_rw_layer` and `get_rw_layer` makes an RWLayer, which is one"
                " reference. Releasing\nthe last one removes the layer; so does leaving a `with`"
                " block over it. moby: layer.RWLayer.",
            ),
            "store": (
                "BlockingStore",
                "Face",
                "What can be asked of an open store; see LayerStore.",
            ),
        }
    )
    modules = (
        "from layerstore.asking.stream import TarStream",
        "from layerstore.operations.blocks import Blocks",
        "from layerstore.operations.face import Face",
        "from layerstore.operations.handles import LayerHandle",
    )

    def body(self, operation: Operation, call: str) -> tuple[str, list[str]]:
        """See Face."""
        ask = {"Request": "ask", "HandIn": "hand_in", "Reading": "stream"}[operation.request]
        timeout = ", timeout" if operation.timed else ""
        asked = f"{operation.core}.{ask}({call}{timeout})"
        if operation.answer == "None":
            return "None", [asked]
        return operation.answer or "TarStream", [f"return {asked}"]


class Asynchronous(Face):
    """Waits in an event loop."""

    prefix = "Async"
    waits = True
    doc = (
        "The face for asyncio: a store whose methods are awaited.\n\nAnswers reach the event loop"
        " by one callback each; no thread waits for them and nothing polls. A\ntask that is"
        " cancelled in a call has that call undone: nothing half-made stays, no reference that\n"
        "nobody has.\n"
    )
    classes = MappingProxyType(
        {
            "layer": ("AsyncLayer", "LayerHandle", "A retained read-only layer; see Layer."),
            "rwlayer": (
                "AsyncRWLayer",
                "AsyncBlocks",
                "A held read-write layer; see RWLayer. An `async with` block over it releases it.",
            ),
            "store": ("AsyncStore", "Face", "What can be asked of an open store in an event loop."),
        }
    )
    modules = (
        "from layerstore.operations.aio_answers import answer_of, hand_in",
        "from layerstore.operations.aio_stream import AsyncTarStream",
        "from layerstore.operations.blocks import AsyncBlocks",
        "from layerstore.operations.face import Face",
        "from layerstore.operations.handles import LayerHandle",
    )

    def body(self, operation: Operation, call: str) -> tuple[str, list[str]]:
        """See Face."""
        timeout = ", timeout" if operation.timed else ""
        if operation.request == "Reading":
            return "AsyncTarStream", [f"return AsyncTarStream({operation.core}, {call})"]
        if operation.request == "HandIn":
            return operation.answer, [f"return await hand_in({operation.core}, {call}{timeout})"]
        asked = f"await answer_of({operation.core}.begin({call}){timeout})"
        if operation.answer == "None":
            return "None", [asked]
        return operation.answer, [f"return {asked}"]

    def documentation(self, operation: Operation) -> str:
        """See Face."""
        if operation.request == "HandIn":
            return f"{operation.doc}\n\nA `source` with a `read` is read in a thread."
        return operation.doc


class Deferred(Face):
    """Doesn't wait."""

    prefix = "Later"
    waits_with_timeout = False
    doc = (
        "The face for actors: a store whose methods return futures at once.\n\nAn actor calls"
        " `.tell(self.actor_ref, tag)` on what it gets and finds an Outcome with that tag in\n"
        "its mailbox.\n"
    )
    classes = MappingProxyType(
        {
            "layer": ("LaterLayer", "LayerHandle", "A retained read-only layer; see Layer."),
            "rwlayer": ("LaterRWLayer", "RWLayerHandle", "A held read-write layer; see RWLayer."),
            "store": (
                "LaterStore",
                "DeferredFace",
                "An open LayerStore whose calls return futures; see LayerStore.later.",
            ),
        }
    )
    modules = (
        "from layerstore.asking.later import Later",
        "from layerstore.asking.source import File",
        "from layerstore.operations.face import DeferredFace",
        "from layerstore.operations.handles import LayerHandle, RWLayerHandle",
    )

    def named(self, text: str) -> str:
        """See Face."""
        return re.sub(r"^Source$", "File", super().named(text))

    def body(self, operation: Operation, call: str) -> tuple[str, list[str]] | None:
        """See Face."""
        if operation.request == "Reading":
            return None
        begin = "begin" if operation.request == "Request" else "begin_handing_in"
        return f"Later[{operation.answer}]", [f"return {operation.core}.{begin}({call})"]

    def documentation(self, operation: Operation) -> str:
        """See Face."""
        first = operation.doc.partition("\n")[0]
        where = f"See {_OWNERS[operation.kind]}.{operation.name}"
        if operation.request == "HandIn":
            where += "; `source` is a path, a descriptor, a Region or bytes"
        return f"{first}\n\n{where}."
