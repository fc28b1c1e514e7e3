"""The records of what read-write layers were made from."""

from __future__ import annotations

from pathlib import Path

from layerstore.drivers.records.containers import ContainerRecord, ContainerRecords

OLD, NEW = "a" * 64, "b" * 64


def test_a_record_made_while_others_are_tidied_away_stays(tmp_path: Path) -> None:
    records = ContainerRecords(str(tmp_path), durable=False)
    record = ContainerRecord(image_id="sha256:0", image="app", created="2024-01-01T00:00:00Z")
    records.write(OLD, record)

    def mounts() -> set[str]:
        before: set[str] = set()
        records.write(NEW, record)
        return before

    records.keep_only(mounts)
    assert records.read(OLD) is None
    assert records.read(NEW) == record


def test_a_record_that_is_being_written_stays(tmp_path: Path) -> None:
    records = ContainerRecords(str(tmp_path), durable=False)
    home = tmp_path / "layerstore/containers"
    home.mkdir(parents=True)
    ours, gone = (home / f"{mount}.json.0123456789abcdef.tmp" for mount in (NEW, OLD))
    ours.touch()
    gone.touch()
    records.keep_only(lambda: {NEW})
    assert list(home.iterdir()) == [ours]
    records.prepare()
    assert list(home.iterdir()) == []
