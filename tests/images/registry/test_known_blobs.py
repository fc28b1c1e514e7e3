"""The records of which blobs of registries hold which layers."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore.drivers.errors import InvalidMetadata, InvalidName
from layerstore.drivers.model.ids import DiffID, hex_of
from layerstore.drivers.records.distribution import DistributionRecords, KnownBlob
from tests.conftest import OpenStore
from tests.support.tars import layer_tar

DIFF = DiffID("sha256:" + "d" * 64)
OTHER = DiffID("sha256:" + "e" * 64)
BLOB = "sha256:" + "1" * 64
LONG = "sha512:" + "2" * 128
HERE, THERE = "docker.io/library/app", "localhost:5000/team/app"


@pytest.fixture
def records(tmp_path: Path) -> DistributionRecords:
    return DistributionRecords(str(tmp_path), "vfs", durable=True)


def _file(records: DistributionRecords, kind: str, digest: str) -> Path:
    return Path(records.home, kind, *digest.split(":"))


def test_what_is_learnt_is_known_the_newest_first(records: DistributionRecords) -> None:
    assert (records.blobs_of(DIFF), records.diff_of(BLOB)) == ([], None)
    for blob, place in ((BLOB, HERE), (LONG, THERE), (BLOB, THERE), (LONG, THERE)):
        records.learn(DIFF, blob, place)
    newest = [KnownBlob(LONG, THERE), KnownBlob(BLOB, THERE), KnownBlob(BLOB, HERE)]
    assert records.blobs_of(DIFF) == newest
    assert (records.diff_of(BLOB), records.diff_of(LONG)) == (DIFF, DIFF)
    records.forget(DIFF, newest[1])
    assert records.blobs_of(DIFF) == [newest[0], newest[2]]


def test_files_are_as_docker_writes_them(records: DistributionRecords) -> None:
    """As a dockerd 20.10 wrote them after a push, but for its HMAC."""
    records.learn(DIFF, BLOB, THERE)
    blobs, diff = (
        _file(records, "v2metadata-by-diffid", DIFF),
        _file(records, "diffid-by-digest", BLOB),
    )
    entry = f'{{"Digest":"{BLOB}","SourceRepository":"{THERE}","HMAC":""}}'
    assert (blobs.read_text(), diff.read_text()) == (f"[{entry}]", DIFF)
    modes = [path.stat().st_mode & 0o777 for path in (blobs, blobs.parent, Path(records.home))]
    assert modes == [0o644, 0o755, 0o700]


def test_what_dockerd_knows_by_its_credentials_stays_and_counts(
    records: DistributionRecords,
) -> None:
    theirs = {"Digest": BLOB, "SourceRepository": HERE, "HMAC": "f1" * 32}
    path = _file(records, "v2metadata-by-diffid", DIFF)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([theirs]))
    records.learn(DIFF, BLOB, HERE)
    assert records.blobs_of(DIFF) == [KnownBlob(BLOB, HERE)]
    records.forget(DIFF, KnownBlob(BLOB, HERE))
    assert json.loads(path.read_text()) == [theirs]


def test_of_too_many_blobs_the_oldest_is_forgotten(records: DistributionRecords) -> None:
    blobs = [f"sha256:{number:064x}" for number in range(51)]
    for blob in blobs:
        records.learn(DIFF, blob, HERE)
    assert [known.digest for known in records.blobs_of(DIFF)] == blobs[:0:-1]
    assert (records.diff_of(blobs[0]), records.diff_of(blobs[1])) == (None, DIFF)


def _a_link(path: Path) -> None:
    away = path.parent / "away"
    path.rename(away)
    path.symlink_to(away)


def _a_linked_directory(path: Path) -> None:
    _a_link(path.parent)


def _a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _holding(text: str) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        path.write_text(text)

    return spoil


_ENTRIES = [
    {"Digest": "sha256:../../x", "SourceRepository": HERE},
    {"Digest": BLOB, "SourceRepository": "../../x"},
    {"Digest": BLOB, "SourceRepository": ""},
    {"Digest": BLOB, "SourceRepository": f"{HERE}:tagged"},
]
WRONG = {
    "link": _a_link,
    "linked directory": _a_linked_directory,
    "pipe": _a_pipe,
    "nothing": _holding(""),
    "no digest": _holding("sha256:../../x"),
    "not ASCII": _holding("\xff"),
    "deep": _holding("[" * 100_000),
    "long": _holding("[" + " " * (1 << 20) + "]"),
    "no list": _holding('{"Digest": 1}'),
    "odd entries": _holding(json.dumps(_ENTRIES)),
}


@pytest.mark.parametrize("spoil", WRONG.values(), ids=WRONG)
def test_a_wrong_record_is_none(
    records: DistributionRecords, spoil: Callable[[Path], None]
) -> None:
    records.learn(DIFF, BLOB, HERE)
    spoil(_file(records, "v2metadata-by-diffid", DIFF))
    spoil(_file(records, "diffid-by-digest", BLOB))
    assert (records.blobs_of(DIFF), records.diff_of(BLOB)) == ([], None)


def test_nothing_is_written_or_removed_by_way_of_a_link(
    records: DistributionRecords, tmp_path: Path
) -> None:
    records.learn(DIFF, BLOB, HERE)
    away = tmp_path / "away"
    Path(records.home).rename(away)
    Path(records.home).symlink_to(away)
    before = sorted(away.rglob("*"))
    with pytest.raises(InvalidMetadata, match="symbolic link"):
        records.learn(DIFF, LONG, HERE)
    records.tidy(lambda _: False)
    assert sorted(away.rglob("*")) == before


def test_what_is_no_digest_is_refused(records: DistributionRecords) -> None:
    for wrong in ("sha256:" + "../" * 20, "md5:" + "0" * 32):
        with pytest.raises(InvalidName):
            records.diff_of(wrong)
        with pytest.raises(InvalidName):
            records.learn(DIFF, wrong, HERE)


@pytest.mark.parametrize("kind", ["v2metadata-by-diffid", "diffid-by-digest"])
def test_what_is_in_the_way_keeps_no_store_from_opening(open_store: OpenStore, kind: str) -> None:
    store = open_store()
    records = DistributionRecords(store.root, store.driver_name, durable=False)
    records.learn(OTHER, BLOB, HERE)
    store.close()
    path = _file(records, kind, OTHER if kind.startswith("v2") else BLOB)
    path.unlink()
    path.mkdir()
    (path / "content").touch()
    open_store().close()
    shutil.rmtree(path.parent)
    path.parent.write_bytes(b"no directory")
    open_store()
    assert path.parent.read_bytes() == b"no directory"


def test_opening_a_store_tidies_away_the_records_of_layers_that_are_gone(
    open_store: OpenStore,
) -> None:
    store = open_store()
    layer = store.register(io.BytesIO(layer_tar({"file": b"content"})))
    records = DistributionRecords(store.root, store.driver_name, durable=False)
    here = layer.diff_id
    records.learn(here, LONG, HERE)
    records.learn(OTHER, BLOB, HERE)
    left = _file(records, "diffid-by-digest", BLOB).parent / f"{hex_of(BLOB)}.0123456789abcdef.tmp"
    left.touch()
    store.close()
    store = open_store()
    known = [records.blobs_of(diff) for diff in (here, OTHER)]
    assert known == [[KnownBlob(LONG, HERE)], []]
    assert (records.diff_of(LONG), records.diff_of(BLOB), left.exists()) == (here, None, False)
