"""`layerstore trace` on a store that another process has open: what it remembers, what it does."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from layerstore import LayerStore, TraceRecord
from layerstore.command import main
from layerstore.command.tracing import coming
from layerstore.command.tracing.coming import Trees
from layerstore.command.tracing.listing import facts
from layerstore.command.tracing.selection import Selection
from layerstore.drivers.records.journal_read import read_sessions
from tests.command.fixtures import Run
from tests.support.waiting import wait_until
from tests.trace.traces import made_up


@pytest.fixture
def owner(root_dir: Path) -> Iterator[LayerStore]:
    """A store that is open, and has done something."""
    root = root_dir / "store"
    with LayerStore(root, driver="vfs", prespawn=False, durability="relaxed") as store:
        store.create_rw_layer("web").release()
        store.map()
        store.drain()
        yield store


@pytest.fixture
def shown(owner: LayerStore, capfd: pytest.CaptureFixture[str]) -> Run:
    """A function that runs `layerstore trace` on that store, and returns what it prints."""

    def show(*words: str | Path) -> str:
        assert main(["--root", owner.root, "trace", *map(str, words)]) == 0
        out, err = capfd.readouterr()
        assert err == ""
        return out

    return show


def test_what_the_owner_remembers_is_shown_as_a_journal_is(
    owner: LayerStore, shown: Run, tmp_path: Path
) -> None:
    everything = [json.loads(json.dumps(facts(record))) for record in owner.trace()]
    assert json.loads(shown("--live", "--json")) == everything
    assert len(shown("--live", "list").splitlines()) == len(everything) + 1
    one = json.loads(shown("--live", "--json", "--kind", "map*"))
    assert [record["kind"] for record in one] == ["MapLayers"]
    figures = shown("--live", "--stats", "--json")
    assert figures == shown("--live", "stats", "--json")
    assert json.loads(figures)["calls"][0]["count"] == 1
    (session,) = json.loads(shown("--live", "sessions", "--json"))
    assert session["pid"] == os.getpid()
    assert session["root"] == owner.root
    assert f"process {os.getpid()} {owner.root} (vfs)" in shown("--live", "sessions")
    number = everything[0]["sequence"]
    tree = shown("--live", "--request", str(number))
    assert tree.startswith(f"Request {number}: CreateRWLayer web: ok after ")
    assert shown("--live", "--html", tmp_path / "page.html") == ""
    assert owner.root in (tmp_path / "page.html").read_text()
    about = json.loads(shown("--live", "--chrome", "-"))["otherData"]
    assert about["driver"] == "vfs"
    assert re.match(r"\d+\.\d+", about["version"])
    assert [json.loads(json.dumps(facts(record))) for record in owner.trace()] == everything


def test_every_request_of_which_something_is_chosen_is_drawn(owner: LayerStore, shown: Run) -> None:
    trees = shown("--live", "--tree").split("\n\n")
    headings = [tree.splitlines()[0] for tree in trees]
    assert [heading.split()[2] for heading in headings[:2]] == ["CreateRWLayer", "ReleaseRWLayer"]
    (release,) = shown("--live", "--tree", "--kind", "Sweep").split("\n\n")
    assert "ReleaseRWLayer web" in release
    assert "RemoveMount" in release
    (flat,) = json.loads(shown("--live", "--tree", "--json", "--kind", "MapLayers"))
    assert [(record["kind"], record["depth"]) for record in flat] == [("MapLayers", 0)]


def test_the_owners_journal_is_switched(
    owner: LayerStore, shown: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.chdir(tmp_path)
        assert shown("--journal", "new.trace") == ""
    owner.map()
    assert shown("--journal", "off") == ""
    owner.map()
    (session,) = read_sessions(str(tmp_path / "new.trace"))
    assert session.header.pid == os.getpid()
    assert [row[5] for row in session.rows] == ["MapLayers"]


@pytest.mark.parametrize("words", [["--follow"], ["--live"], ["--journal", "off"]], ids=" ".join)
def test_where_nobody_has_the_store_open_that_is_told(
    root_dir: Path, words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", str(root_dir / "none"), "trace", *words]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"layerstore: cannot attach to the store .*: no process listens .*\n", err)
    assert list(root_dir.iterdir()) == []


def test_without_a_journal_or_a_store_to_look_at_it_is_wrong_usage(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["trace"])
    assert ended.value.code == 2
    assert "trace: name a journal, or" in capfd.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["--live", "journal"], ["--live", "replay", "--root", "again"], ["--live", "--session", "1"],
     ["journal", "--live"], ["--live", "stats", "--tree"], ["--journal", "off", "--json"]],
    ids=" ".join,
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    root_dir: Path, words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", str(root_dir), "trace", *words]) == 1
    assert "it doesn't go together with what else is asked for" in capfd.readouterr().err


@contextlib.contextmanager
def following(root: str, words: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "layerstore.command", "--root", root, "trace", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def watchers(store: LayerStore) -> int:
    return len(store._basis._listener.watching._onlookers)  # type: ignore[union-attr]


def test_what_the_owner_does_is_followed(owner: LayerStore, root_dir: Path) -> None:
    journal = root_dir / "trace"
    owner.trace_to(journal)
    views = [["--follow"], ["--follow", "--lines", "--kind", "MapLayers"], ["--follow", "--json"],
             [str(journal), "--follow", "--tree"]]  # fmt: skip
    with contextlib.ExitStack() as stack:
        trees, lines, records, of_file = (
            stack.enter_context(following(owner.root, words)) for words in views
        )
        wait_until(lambda: watchers(owner) == 3)
        owner.create_rw_layer("seen")
        owner.map()
        for process in (trees, of_file):
            assert process.stdout is not None
            drawn = sorted("".join(iter(process.stdout.readline, "\n")) for _ in range(2))
            assert re.match(r"Request \d+: CreateRWLayer seen: ok after ", drawn[0])
            assert " CreateMount seen " in drawn[0]
            assert re.match(r"Request \d+: MapLayers: ok after ", drawn[1])
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
            assert process.communicate()[1] == ""
        wait_until(lambda: watchers(owner) == 2)
        owner.close()
        told = f"layerstore: process {os.getpid()} has closed the store {owner.root}, or has ended"
        for process in (lines, records):
            assert process.wait(60) == 1
            out, err = process.communicate()
            assert err.strip() == told
            found = out.splitlines()
            if process is lines:
                assert len(found) == 1
                assert "caller -> layers" in found[0]
            else:
                kinds = [json.loads(line)["kind"] for line in found]
                assert kinds[0] == "CreateRWLayer"
                assert kinds.count("MapLayers") == 1


def records(count: int) -> list[TraceRecord]:
    return [TraceRecord._make(row) for row in made_up(count)]


def printed(capfd: pytest.CaptureFixture[str]) -> list[Any]:
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def is_done(printer: Trees) -> bool:
    printer.take(())
    return printer.patience is None


def test_a_request_is_printed_once_it_is_done(capfd: pytest.CaptureFixture[str]) -> None:
    printer = Trees(Selection(), as_json=True, plain=True)
    first, second, third = records(24)[::8]
    waits = first._replace(outcome="pending")
    answer = first._replace(sequence=9, cause=1, kind="Answer", enqueued=first.ended)
    late = second._replace(outcome="pending")
    answered = late._replace(sequence=12, cause=9, kind="Answer")
    printer.take([waits, answered, third._replace(cause=5), late])
    wait_until(lambda: is_done(printer))
    assert [[record["sequence"] for record in tree] for tree in printed(capfd)] == [[9, 12], [17]]
    printer.take([answer])
    wait_until(lambda: is_done(printer))
    assert [[record["sequence"] for record in tree] for tree in printed(capfd)] == [[1, 9]]
    printer.take([waits])
    printer.finish()
    assert len(printed(capfd)) == 1


def test_requests_that_never_end_are_kept_up_to_a_bound(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coming, "_MOST_KEPT", 10)
    printer = Trees(Selection(), as_json=False, plain=True)
    calls = [record._replace(outcome="pending") for record in records(8 * 15)[::8]]
    printer.take(calls)
    out = capfd.readouterr().out
    assert out.count("ReleaseRWLayer job-1: no answer yet") == 1
    assert out.count("no answer yet") == 5


def test_what_comes_after_a_request_was_printed_says_whose_it_is(
    capfd: pytest.CaptureFixture[str],
) -> None:
    printer = Trees(Selection(), as_json=False, plain=True)
    printer.take(records(8)[5:])
    printer.finish()
    assert capfd.readouterr().out.startswith("Request 1, in part: more\n6 ")
