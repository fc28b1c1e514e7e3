"""`layerstore trace` and what it can't do: wrong usage, hostile records, files that are torn."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerstore.command import main
from layerstore.drivers.records.journal_format import Row
from tests.support.filesystems import fill
from tests.trace.traces import write_rows


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--request", "123456"], "no record of the trace has this number"),
        (["--since", "yesterday"], "a time is RFC 3339"),
        (["--html", "/missing/out.html"], "/missing/out.html: No such file"),
        (["--chrome", "/missing/out.json"], "/missing/out.json: No such file"),
        (["stats", "--html", "out"], "--html and --chrome"),
        (["sessions", "--follow"], "--follow"),
        (["--follow", "--chrome", "out"], "--follow"),
        (["--follow", "--request", "1"], "--request"),
        (["--root", "again"], "--root"),
        (["--live"], "--live"),
        (["--journal", "off"], "--journal"),
        (["--lines"], "--lines"),
        (["stats", "--tree"], "--tree"),
        (["--request", "1", "--tree"], "--tree"),
        (["sessions", "--stats"], "--stats"),
        (["--follow", "--slowest", "1"], "--slowest"),
        (["--follow", "--session", "1"], "--session"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    journal: Path, words: list[str], reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", str(journal), *words]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("layerstore: ")
    assert err.count("\n") == 1
    assert reason in err


@pytest.mark.parametrize(
    "words",
    [["--last", "nan"], ["--last", "inf"], ["--last", "1e400"], ["--last", "-1"], ["--slowest=-3"],
     ["--slowest", "1.5"], ["replay", "--root", "again", "--timeout", "nan"]],
)  # fmt: skip
def test_numbers_that_are_none_are_wrong_usage(
    journal: Path, words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["trace", str(journal), *words])
    assert ended.value.code == 2
    assert repr(words[-1].rpartition("=")[2]) in capfd.readouterr().err


@pytest.mark.parametrize("form", ["--html", "--chrome"])
def test_a_picture_replaces_no_journal(
    journal: Path, tmp_path: Path, form: str, capfd: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.write_bytes(journal.read_bytes())
    for target in (journal, other):
        before = target.read_bytes()
        assert main(["trace", str(journal), form, str(target)]) == 1
        assert "it is a journal" in capfd.readouterr().err
        assert target.read_bytes() == before


@pytest.mark.root
@pytest.mark.parametrize("form", ["--html", "--chrome"])
def test_a_picture_is_written_whole_or_not_at_all(
    journal: Path,
    form: str,
    make_file_system: Callable[[str, int], Path],
    capfd: pytest.CaptureFixture[str],
) -> None:
    place = make_file_system("tmpfs", 1)
    (place / "page").write_bytes(b"before")
    fill(place / "filler")
    for name in ("page", "new"):
        assert main(["trace", str(journal), form, str(place / name)]) == 1
        assert f"{place / name}: No space left" in capfd.readouterr().err
    assert (place / "page").read_bytes() == b"before"
    assert sorted(os.listdir(place)) == ["filler", "page"]


def test_hostile_records_reach_no_terminal_and_break_no_view(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    nasty = "\x1b[31m\nred\udcff"
    rows: list[Row] = [
        (1, 2, 1, nasty, nasty, nasty, nasty, 9, 5, 1, nasty, {nasty: [nasty]}),
        (2, 1, 1, "caller", "child " + "9" * 50, "Answer", "", 2**62, -(2**62), 0, "pending", {}),
        (3, 3, 7, "caller", "layers", "Register", "", 0, 2**63 - 1, -1, "ok", {}),
        (3, 0, 7, "caller", "layers", "Register", "", 0, 2**63 - 1, -1, "ok", {}),
    ]
    path = write_rows(tmp_path / "nasty", iter(rows))
    for words in ([], ["stats"], ["sessions"], ["--request", "1"], ["--request", "3"],
                  ["--slowest", "2"], ["--chrome", str(tmp_path / "c")],
                  ["--html", str(tmp_path / "h")]):  # fmt: skip
        assert main(["trace", str(path), *words]) == 0
        out, err = capfd.readouterr()
        assert "\x1b" not in out + err
    json.loads((tmp_path / "c").read_text())


def test_a_very_deep_tree_is_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def chain() -> Iterator[Row]:
        for n in range(1, 5001):
            yield (
                n,
                n - 1,
                1,
                "caller" if n == 1 else "pool",
                "pool",
                "Run",
                "",
                n,
                n,
                n,
                "ok",
                {},
            )

    path = write_rows(tmp_path / "deep", chain())
    assert main(["trace", str(path), "--request", "4000"]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 5001
    assert main(["trace", str(path), "--request", "1", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)[-1]["depth"] == 4999


def test_a_torn_file_is_shown_with_a_note(
    journal: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torn = tmp_path / "torn"
    torn.write_bytes(journal.read_bytes()[:-5])
    assert main(["trace", str(torn)]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("NUMBER")
    assert re.fullmatch(rf"layerstore: {torn} ends at offset \d+: .* is cut off after .*\n", err)
