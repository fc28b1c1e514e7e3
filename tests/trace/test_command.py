"""`layerstore trace`: what is chosen, and how it is shown."""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerstore.command import main
from layerstore.command.tracing.loaded import load
from layerstore.drivers.records.journal import Journal
from tests.command.fixtures import Run
from tests.trace.traces import FORKED, MADE, made_up, write_rows

Shown = Callable[..., str]


@pytest.fixture
def shown(journal: Path, capfd: pytest.CaptureFixture[str]) -> Shown:
    """A function that runs `layerstore trace` on it and returns what is printed."""

    def show(*words: str) -> str:
        assert main(["trace", str(journal), *words]) == 0
        out, err = capfd.readouterr()
        assert err == ""
        return out

    return show


def records(shown: Shown, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(shown(*words, "--json"))
    return found


def test_records_are_listed_in_order_with_a_heading(shown: Shown) -> None:
    lines = shown().splitlines()
    assert re.split(r" {2,}", lines[0])[:6] == ["NUMBER", "CAUSE", "REQUEST", "AT", "FROM", "TO"]
    numbers = [int(line.split()[0]) for line in lines[1:]]
    assert numbers == sorted(numbers)
    assert len(numbers) == len(records(shown))


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        (["--kind", "Register"], lambda r: r["kind"] == "Register"),
        (["--kind", "release*", "--kind", "GETLAYER"], lambda r: r["kind"][:3] in ("Rel", "Get")),
        (["--actor", "child *"], lambda r: r["receiver"].startswith("child ")),
        (["--outcome", "InvalidTar"], lambda r: r["outcome"] == "InvalidTar"),
        (["--actor", "caller", "--outcome", "pending"], lambda r: r["outcome"] == "pending"),
    ],
)
def test_filters_choose_records(
    shown: Shown, words: list[str], fits: Callable[[dict[str, Any]], bool]
) -> None:
    everything, chosen = records(shown), records(shown, *words)
    assert chosen == [record for record in everything if fits(record)]
    assert 0 < len(chosen) < len(everything)


def test_a_time_chooses_what_ended_after_it(shown: Shown, journal: Path) -> None:
    everything = records(shown)
    begin = min(record["enqueued"] for record in everything)
    end = max(record["ended"] for record in everything)
    middle = (end - begin) / 2e9
    later = [r for r in everything if r["ended"] >= begin + int(middle * 1e9)]
    assert records(shown, "--since", repr(middle)) == later
    last = [r for r in everything if r["ended"] >= end - int(0.001 * 1e9)]
    assert records(shown, "--last", "0.001") == last
    assert 0 < len(last) < len(everything)
    moment = load(str(journal)).moment(begin)
    before = moment.replace(microsecond=0).isoformat()
    assert records(shown, "--since", before) == everything
    assert records(shown, "--since", "2100-01-01T00:00:00Z") == []


def test_the_slowest_come_first(shown: Shown) -> None:
    slowest = records(shown, "--slowest", "5")
    times = [record["ended"] - record["enqueued"] for record in slowest]
    every = sorted((r["ended"] - r["enqueued"] for r in records(shown)), reverse=True)
    assert times == every[:5]


def test_a_request_is_a_tree_of_all_it_led_to_and_nothing_else(shown: Shown) -> None:
    everything = records(shown)
    releases = [record for record in everything if record["kind"] == "ReleaseRWLayer"]
    assert len(releases) == MADE + FORKED
    for release in releases:
        mine = [record for record in everything if record["request"] == release["sequence"]]
        kinds = Counter(record["kind"] for record in mine)
        assert kinds["RemoveMount"] == kinds["DropLayer"] == kinds["Answer"] == 1
        (job,) = [record for record in mine if record["kind"] == "RemoveMount"]
        assert job["summary"].startswith(f"{release['summary']} ")
        by_number = {record["sequence"]: record for record in mine}
        assert by_number[job["cause"]]["kind"] == "Submit"
        done = next(r for r in mine if r["kind"] == "Done" and r["summary"] == "RemoveMount")
        assert done["cause"] == job["sequence"]
        for record in mine:
            if record["cause"]:
                assert by_number[record["cause"]]["sequence"] < record["sequence"]
            assert record["enqueued"] <= record["started"] <= record["ended"]
    tree = records(shown, "--request", str(releases[0]["sequence"]))
    assert [(r["kind"], r["depth"]) for r in tree[:2]] == [("ReleaseRWLayer", 0), ("Submit", 1)]
    depths = {record["sequence"]: record["depth"] for record in tree}
    assert all(r["depth"] == depths[r["cause"]] + 1 for r in tree[1:])


def test_a_tree_is_drawn_with_time_bars(shown: Shown) -> None:
    release = next(r for r in records(shown) if r["kind"] == "ReleaseRWLayer")
    drawn = shown("--request", str(release["sequence"])).splitlines()
    assert re.match(
        rf"Request {release['sequence']}: ReleaseRWLayer job-\d+: ok after [\d.]+ [um]s", drawn[0]
    )
    assert "(caller > mounts)" in drawn[1]
    assert all("│" in line and "█" in line for line in drawn[1:])
    assert len({line.index("│", line.index(")")) for line in drawn[1:]}) == 1, "bars are aligned"
    member = next(r for r in records(shown) if r["cause"] == release["sequence"])
    assert shown("--request", str(member["sequence"])).splitlines() == drawn


def test_a_job_of_a_child_says_which(shown: Shown) -> None:
    (failed,) = [r for r in records(shown, "--kind", "ApplyLayer") if r["outcome"] != "ok"]
    assert failed["outcome"] == "InvalidTar"
    assert re.fullmatch(r"child \d+", failed["receiver"])
    assert failed["sender"].startswith("pool-worker-")


def test_figures_tell_waiting_from_work(shown: Shown) -> None:
    figures = json.loads(shown("stats", "--json"))
    calls = {one["kind"]: one for one in figures["calls"]}
    everything = records(shown)
    assert calls["ReleaseRWLayer"]["count"] == MADE + FORKED
    assert calls["Register"]["failed"] == calls["GetLayer"]["failed"] == 1
    ends = {r["request"]: r["ended"] for r in everything if r["kind"] == "Answer"}
    taken = [
        ends[r["sequence"]] - r["enqueued"] for r in everything if r["kind"] == "ReleaseRWLayer"
    ]
    assert calls["ReleaseRWLayer"]["max"] == max(taken)
    assert calls["ReleaseRWLayer"]["p50"] == sorted(taken)[(len(taken) - 1) // 2]
    submits = next(one for one in figures["messages"] if one["kind"] == "Submit")
    waits = sorted(r["started"] - r["enqueued"] for r in everything if r["kind"] == "Submit")
    assert submits["count"] == len(waits)
    assert submits["wait_p99"] == waits[-(len(waits) // 100) - 1]
    printed = shown("stats")
    assert printed.startswith("CALL ")
    assert "\nKIND " in printed


def test_a_file_for_perfetto_is_whole(shown: Shown, tmp_path: Path) -> None:
    assert shown("--chrome", str(tmp_path / "out.json")) == ""
    events = json.loads((tmp_path / "out.json").read_text())["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    rest = [event for event in events if event["ph"] != "M"]
    assert [e["ts"] for e in rest] == sorted(e["ts"] for e in rest)
    slices = [event for event in rest if event["ph"] == "X"]
    assert {e["tid"] for e in slices} <= names.keys()
    assert {"layers", "mounts", "pool", "caller 1"} <= set(names.values())
    assert any(name.startswith("child ") for name in names.values())
    begun = {e["id"]: e for e in rest if e["ph"] == "s"}
    ended = {e["id"]: e for e in rest if e["ph"] == "f"}
    assert begun.keys() == ended.keys()
    assert len(begun) + len(ended) + len(slices) == len(rest)
    assert len(begun) > len(records(shown)) * 0.9
    for number, start in begun.items():
        assert start["ts"] <= ended[number]["ts"]
        for event in (start, ended[number]):
            assert any(
                s["tid"] == event["tid"] and s["ts"] <= event["ts"] <= s["ts"] + s["dur"] + 0.001
                for s in slices
            ), "an arrow begins and ends at a slice"
    for thread in (thread for thread, name in names.items() if name.startswith("caller")):
        mine = sorted((s["ts"], s["ts"] + s["dur"]) for s in slices if s["tid"] == thread)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(mine))


def test_a_picture_can_be_printed(shown: Shown) -> None:
    assert shown("--html", "-").startswith("<!")
    assert json.loads(shown("--chrome", "-"))


def test_sessions_are_listed_and_chosen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trace"
    write_rows(path, made_up(8))
    write_rows(path, made_up(16))
    assert main(["trace", str(path), "sessions", "--json"]) == 0
    sessions = json.loads(capfd.readouterr().out)
    assert [session["records"] for session in sessions] == [8, 16]
    for session in sessions:
        words = ["trace", str(path), "--session", session["session"][:12], "--json"]
        assert main(words) == 0
        assert len(json.loads(capfd.readouterr().out)) == session["records"]
    assert main(["trace", str(path), "sessions"]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 2
    assert main(["trace", str(path), "--session", "nothing"]) == 1
    assert "no session in it begins with nothing" in capfd.readouterr().err


def test_what_is_written_is_followed_from_file_to_file(tmp_path: Path) -> None:
    path = str(tmp_path / "trace")

    def journal() -> Journal:
        return Journal(path, root="/r", driver="vfs", row=lambda row: row, max_bytes=2000)

    rows = made_up(120)
    first = journal()
    first.put(next(rows))
    command = [sys.executable, "-m", "layerstore.command", "trace", path, "--follow", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["sequence"] == 1
        for number in range(2, 61):
            first.put(next(rows))
            assert json.loads(following.stdout.readline())["sequence"] == number
        first.close()
        second = journal()
        for number in range(61, 64):
            second.put(next(rows))
            assert json.loads(following.stdout.readline())["sequence"] == number
        second.close()
        following.send_signal(signal.SIGINT)
        assert following.wait(60) == 130


def test_the_command_traces_itself(loaded: Run, root_dir: Path) -> None:
    path = root_dir / "trace"
    options = ["--trace", str(path)]
    loaded(*options, "create", "web")
    printed = json.loads(loaded("trace", path, "--kind", "CreateRWLayer", "--json"))
    assert [record["summary"] for record in printed] == ["web"]
    loaded(*options, "rm", "web")
    sessions = json.loads(loaded("trace", path, "sessions", "--json"))
    assert len(sessions) == 2
