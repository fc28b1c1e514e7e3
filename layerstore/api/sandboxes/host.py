"""All sandboxes of a store in this process: what they share, and that none is left.

Owns the warm process that forks for them, and the record of their read-write layers, by which those
of a process that has died are removed by the next one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from layerstore.api.sandboxes.box import Sandbox
from layerstore.drivers.errors import InvalidImage, MountDoesNotExist, StoreClosed
from layerstore.drivers.model.reference import parse_tag
from layerstore.drivers.records.sandboxes import SandboxRecords
from layerstore.drivers.sandbox.init import mount_points
from layerstore.images.making.registering import verdict_of_stream
from layerstore.images.origins import Origins
from layerstore.sandbox.process import ImageProcess, image_process
from layerstore.sandbox.runnable import RunOptions, check_network_of_mapped, run_spec
from layerstore.sandbox.warm import Keeping, Warm

if TYPE_CHECKING:
    from layerstore.images.image import Image
    from layerstore.images.store import ImageStore
    from layerstore.operations.blocking import BlockingStore, RWLayer

_LONGEST_FAMILY = 200
"""Characters of a name that its forks' names begin with."""
_IMAGES_KNOWN = 100
"""Whose configurations needn't be read for each sandbox: what has an ID never changes."""
_ANY = ("sandbox",)
"""Stands for a command: an image needs to have none for others to be run in it."""


class SandboxHost:
    """What the sandboxes of one store have in common."""

    def __init__(self, store: BlockingStore, images: ImageStore, root: str) -> None:
        """Start the warm process, and remove sandboxes of processes that are gone.

        Raises DriverError.
        """
        self.store = store
        self.images = images
        self._origins = Origins(store)
        self._process_of = lru_cache(_IMAGES_KNOWN)(self._read_process)
        self._root = root
        self._boxes: dict[str, Sandbox] = {}
        self._closed = False
        with contextlib.ExitStack() as on_failure:
            self._records = SandboxRecords(root)
            on_failure.callback(self._records.close)
            with self._records.left() as noted:
                for name, mount_id in noted:
                    with contextlib.suppress(MountDoesNotExist):
                        if mount_id in ("", store.get_mount_id(name)):
                            store.get_rw_layer(name).release()
            self.warm: Warm = Keeping()
            """Forks their processes."""
            on_failure.pop_all()

    def make(
        self, image: str, name: str, storage_opt: Mapping[str, str] | None, options: RunOptions
    ) -> Sandbox:
        """Make a sandbox on an image; see LayerStore.sandbox."""
        found = self.images.get(image)
        process = self._process_of(found.id)
        options = options.copy()
        id_map = options.pop("id_map", "")  # the layer's, which `auto` finds
        run_spec(_ANY, **options)  # raises before anything is made
        if id_map:
            check_network_of_mapped(options.get("network", "none"))
        with contextlib.ExitStack() as on_failure:
            chosen = name or f"sandbox-{os.urandom(6).hex()}"
            if not name:
                self._note(chosen, on_failure)
            rw = self._origins.create(
                chosen,
                found,
                image,
                init=mount_points,
                storage_opt=storage_opt,
                id_map=id_map or None,
            )
            on_failure.callback(rw.release)
            if name:  # that others may have, too: only this layer is its process's
                self._note(chosen, on_failure, rw.mount_id)
            box = Sandbox(self, rw, process, options)
            on_failure.callback(self._forget, box)
            self._add(box)
            on_failure.pop_all()
            return box

    def _read_process(self, image_id: str) -> ImageProcess:
        return image_process(self.images.config(image_id), _ANY)

    def fork(self, source: Sandbox, on_failure: contextlib.ExitStack) -> RWLayer:
        """Make a fork of a sandbox's layer, which is nobody's until it is settled."""
        name = _name_like(source)
        self._note(name, on_failure)
        rw = source.rw.fork(name)
        on_failure.callback(rw.release)
        return rw

    def settle(self, rw: RWLayer, source: Sandbox, on_failure: contextlib.ExitStack) -> Sandbox:
        """Make a sandbox in a layer, like another."""
        box = source.like(rw)
        on_failure.callback(self._forget, box)
        return self._add(box)

    def flatten(self, box: Sandbox, name: str) -> Image:
        """Make an image of one layer of a sandbox, by way of a layer without its mount points."""
        parse_tag(name)  # a bad one is told before files are copied
        base = self.images.image_of(box.rw.mount_id, box.rw.parent)
        if base is None:
            raise InvalidImage(f"of {box.name}", "the image that it was made from is gone")
        with contextlib.ExitStack() as stack:
            copy = _name_like(box)
            self._note(copy, stack)
            rw = self.images.create(copy, base.id)
            stack.callback(rw.release)
            with box.rw.tar_stream(sparse=True) as changes, verdict_of_stream():
                rw.apply_diff(changes)
            return self.images.flatten_rw_layer(rw, name)

    def _note(self, name: str, on_failure: contextlib.ExitStack, mount_id: str = "") -> None:
        self._records.note(name, mount_id)
        on_failure.callback(self._records.strike, name)

    def _forget(self, box: Sandbox) -> None:
        self._boxes.pop(box.name, None)
        box.end()

    def _add(self, box: Sandbox) -> Sandbox:
        self._boxes[box.name] = box
        if self._closed:  # meanwhile: whoever closed it hasn't seen this one
            raise StoreClosed(self._root)
        return box

    def close_one(self, box: Sandbox) -> None:
        """End a sandbox and remove what it was, unless that is done."""
        if self._boxes.pop(box.name, None) is not None:
            try:
                box.end()
            finally:
                box.rw.release()
                self._records.strike(box.name)

    def close(self) -> None:
        """End all of them, and the warm process. Idempotent."""
        self._closed = True
        with contextlib.ExitStack() as stack:
            stack.callback(self._records.close)
            stack.callback(self.warm.close)
            for box in list(self._boxes.values()):
                stack.callback(box.close)


def _name_like(box: Sandbox) -> str:
    return f"{box.name[:_LONGEST_FAMILY]}-{os.urandom(6).hex()}"
