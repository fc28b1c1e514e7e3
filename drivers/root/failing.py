"""Making every exception of a job a LayerStoreError: no other kind may reach whoever asked."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from layerstore.drivers.errors import DriverError, InternalError, LayerStoreError, LimitExceeded

if TYPE_CHECKING:
    from layerstore.drivers.root.disk import Disk


class failing_as:  # noqa: N801 - it is used as contextlib's are
    """Raise what is raised in a `with` block as a LayerStoreError; `name` is the job's."""

    __slots__ = ("_disk", "_name")

    def __init__(self, name: str, disk: Disk) -> None:
        self._name = name
        self._disk = disk

    def __enter__(self) -> None:
        """Nothing is done before something is raised."""

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        """Raise it."""
        if error is None or isinstance(error, LayerStoreError):
            return
        if isinstance(error, OSError):
            raise DriverError.from_os_error_in(self._name, self._disk.root, error) from error
        if isinstance(error, MemoryError):
            what, most = "the memory of a worker in bytes", self._disk.limits.max_memory
            raise LimitExceeded(what, most, "max_memory") from error
        if isinstance(error, Exception):
            raise InternalError(self._name, f"{type(error).__name__}: {error}") from error
