"""`with` blocks over read-write layers, for the faces that have such.

Owns that what a block took is given back, however it ends.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Self

from layerstore.operations.handles import RWLayerHandle


class Blocks(RWLayerHandle, ABC):
    """A read-write layer that a `with` block releases."""

    __slots__ = ()

    @abstractmethod
    def mount(self, mount_label: str = "") -> str:
        """See RWLayer.mount."""

    @abstractmethod
    def unmount(self) -> None:
        """See RWLayer.unmount."""

    @abstractmethod
    def release(self) -> object:
        """See RWLayer.release."""

    @contextlib.contextmanager
    def mounted(self, mount_label: str = "") -> Iterator[str]:
        """Mount it for the length of a `with` block, which gets the path."""
        path = self.mount(mount_label)
        try:
            yield path
        finally:
            self.unmount()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


class AsyncBlocks(RWLayerHandle, ABC):
    """A read-write layer that an `async with` block releases."""

    __slots__ = ()

    @abstractmethod
    async def mount(self, mount_label: str = "") -> str:
        """See RWLayer.mount."""

    @abstractmethod
    async def unmount(self) -> None:
        """See RWLayer.unmount."""

    @abstractmethod
    async def release(self) -> object:
        """See RWLayer.release."""

    @contextlib.asynccontextmanager
    async def mounted(self, mount_label: str = "") -> AsyncIterator[str]:
        """Mount it for the length of an `async with` block, which gets the path."""
        path = await self.mount(mount_label)
        try:
            yield path
        finally:
            await self.unmount()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.release()
