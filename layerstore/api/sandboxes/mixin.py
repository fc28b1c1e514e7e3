"""Sandboxes of a store, as a part of LayerStore.

Owns when what they share begins and ends: with the first of them, and with the store.
"""

# ruff: noqa: PLC0415 - most stores have none

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Unpack, cast

from layerstore.operations.blocking import BlockingStore

if TYPE_CHECKING:
    from layerstore.api.sandboxes.box import Sandbox
    from layerstore.api.sandboxes.host import SandboxHost
    from layerstore.images.store import ImageStore
    from layerstore.sandbox.runnable import RunOptions

_HOST = "_sandbox_host"


class Sandboxing(BlockingStore):
    """What a LayerStore has for sandboxes."""

    root: str

    @property
    @abstractmethod
    def images(self) -> ImageStore:
        """See LayerStore."""

    def sandbox(
        self,
        image: str,
        *,
        name: str = "",
        storage_opt: Mapping[str, str] | None = None,
        **options: Unpack[RunOptions],
    ) -> Sandbox:
        """Make a root file system from an image, with a container in it that commands join.

        It lives until it is closed, at the latest with the store. `name` is that of its read-write
        layer, a random one by default; `storage_opt` and `id_map` are that layer's options, as for
        ImageStore.create. The other options
        bound all of its commands together, or are what each has by default; `time_limit` is for the
        whole of it. Where this process dies, so does all that runs in it; its content is removed
        when the next one makes its first sandbox in the store.

        Raises ImageDoesNotExist, InvalidArgument, TypeError, MountNameConflict, StorageFull,
        NotPermitted, DriverError; nothing is left then.
        """
        return self._sandboxes().make(image, name, storage_opt, options)

    def _sandboxes(self) -> SandboxHost:
        """Return what they share; of several threads that want it first, one makes it for all."""
        from layerstore.api.sandboxes.host import SandboxHost

        found: SandboxHost | None = self.__dict__.get(_HOST)
        if found is None:
            made = SandboxHost(self, self.images, self.root)
            found = cast("SandboxHost", self.__dict__.setdefault(_HOST, made))
            if found is not made:
                made.close()
        return found

    def _close_sandboxes(self) -> None:
        host: SandboxHost | None = self.__dict__.get(_HOST)
        if host is not None:
            host.close()
