"""Making every exception of a job a LayerStoreError: no other kind may reach whoever asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from layerstore.drivers.errors import DriverError, InternalError, LayerStoreError, LimitExceeded

if TYPE_CHECKING:
    from layerstore.drivers.root.disk import Disk


@contextlib.contextmanager
def failing_as(name: str, disk: Disk) -> Iterator[None]:
    """Raise what is raised in a `with` block as a LayerStoreError; `name` is the job's."""
    try:
        yield
    except LayerStoreError:
        raise
    except OSError as error:
        raise DriverError.from_os_error_in(name, disk.root, error) from error
    except MemoryError as error:
        what, most = "the memory of a worker in bytes", disk.limits.max_memory
        raise LimitExceeded(what, most, "max_memory") from error
    except Exception as error:
        raise InternalError(name, f"{type(error).__name__}: {error}") from error
