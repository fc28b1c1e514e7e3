"""A store's root with one layer, for jobs that go past the store's actors."""

from __future__ import annotations

import os
from pathlib import Path

from layerstore import LayerStore
from layerstore.drivers import work
from layerstore.drivers.model.ids import new_id, new_transaction
from layerstore.drivers.root.disk import Disk
from tests.support.tars import layer_tar

TAR = layer_tar({"a": b"1"})


class Site:
    """A store's root with one layer, for jobs that go past the store's actors."""

    def __init__(self, store: LayerStore) -> None:
        self.store = store
        self.disk: Disk = store._core.disk
        self.layer = store.register(TAR)
        self.layerdb = f"{store.root}/image/{store.driver_name}/layerdb"
        self.transactions = Path(self.layerdb, "tmp")

    def creation(self, name: str) -> work.CreateMount:
        cache_id = Path(f"{self.layerdb}/sha256/{self.layer.chain_id[7:]}/cache-id").read_text()
        return work.CreateMount(
            name=name,
            mount_id=new_id(),
            init_id=None,
            parent=self.layer.chain_id,
            parent_cache_id=cache_id,
            transaction=new_transaction(),
        )

    def names(self) -> set[str]:
        return set(os.listdir(f"{self.layerdb}/mounts"))

    def is_whole(self, created: work.CreateMount) -> bool:
        found = Path(f"{self.layerdb}/mounts/{created.name}/mount-id")
        return found.read_text() == created.mount_id and self.disk.driver.exists(created.mount_id)

    def is_gone(self, created: work.CreateMount) -> bool:
        return created.name not in self.names() and not self.disk.driver.exists(created.mount_id)

    def is_tidy(self) -> bool:
        """Whether no transaction is open and every short link leads somewhere."""
        links = f"{self.store.root}/overlay2/l"
        names = os.listdir(links) if os.path.isdir(links) else []
        dead = [name for name in names if not os.path.exists(f"{links}/{name}")]
        return not dead and not list(self.transactions.iterdir())


def removal(created: work.CreateMount) -> work.RemoveMount:
    return work.RemoveMount(
        name=created.name, mount_id=created.mount_id, init_id=None, transaction=new_transaction()
    )


def errors(done: list[work.Performed]) -> list[object]:
    return [one.error for one in done]
