"""The records of what read-write layers were made from."""

from __future__ import annotations

from pathlib import Path

from layerstore import LayerStore
from layerstore.drivers.records.containers import ContainerRecord, ContainerRecords
from tests.conftest import OpenStore

OLD, NEW = "a" * 64, "b" * 64
RECORD = ContainerRecord(image_id="sha256:0", image="app", created="2024-01-01T00:00:00Z")


def test_records_of_what_is_gone_are_tidied_away_with_what_a_crash_left(tmp_path: Path) -> None:
    records = ContainerRecords(str(tmp_path), durable=False)
    home = tmp_path / "layerstore/containers"
    for mount in (OLD, NEW):
        records.write(mount, RECORD)
    (home / f"{OLD}.json.0123456789abcdef.tmp").touch()
    records.keep_only({NEW})
    assert (records.read(OLD), records.read(NEW)) == (None, RECORD)
    assert [path.name for path in home.iterdir()] == [f"{NEW}.json"]


def test_a_record_goes_with_its_read_write_layer(store: LayerStore) -> None:
    records = ContainerRecords(store.root, durable=False)
    kept, gone = (store.create_rw_layer(name, None) for name in ("kept", "gone"))
    for rw in (kept, gone):
        records.write(rw.mount_id, RECORD)
    gone.release()
    assert (records.read(gone.mount_id), records.read(kept.mount_id)) == (None, RECORD)


def test_a_record_that_a_crash_left_goes_at_the_next_open(open_store: OpenStore) -> None:
    store = open_store()
    rw = store.create_rw_layer("kept", None)
    records = ContainerRecords(store.root, durable=False)
    for mount in (OLD, rw.mount_id):
        records.write(mount, RECORD)
    store.close()
    open_store()
    assert (records.read(OLD), records.read(rw.mount_id)) == (None, RECORD)
