"""Looking into a store that a process has open: its figures, who waits for whom, what it is at."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from layerstore import InvalidTar, LayerStore, MountDoesNotExist
from layerstore.actors.watching.slowest import slowest
from layerstore.actors.watching.trace import Tracer
from layerstore.command.verbs.serve import answers
from layerstore.observe.activity import job_rates, look_at, request_rates
from tests.command.fixtures import Run
from tests.command.terminal import Terminal
from tests.store.sharing.test_commands import owner
from tests.support.tars import layer_tar
from tests.support.waiting import held, in_thread, wait_until

__all__ = ["owner"]


@pytest.fixture
def driver_name() -> str:
    return "vfs"


@pytest.fixture
def stuck(owner: LayerStore) -> Iterator[LayerStore]:
    """The owner's store, with a call under way that waits for the end of a pipe."""
    reader, writer = os.pipe()
    later = owner.later.register(reader)
    wait_until(lambda: owner.metrics().running_jobs == 1)
    yield owner
    os.close(writer)
    later.get(timeout=60)
    os.close(reader)


def test_metrics_are_the_owners(owner: LayerStore, run: Run) -> None:
    layer = owner.register(layer_tar({"a": b"12345"}))
    owner.create_rw_layer("web", layer.chain_id)
    told = json.loads(run("metrics", "--json"))
    known = owner.metrics()
    assert told["layer_bytes"] == known.layer_bytes == layer.diff_size
    assert (told["mounts"], told["images"]) == ({"ready": 1}, 0)
    assert told["mailboxes"].keys() == known.mailboxes.keys()
    assert told["requests"]["Register"] == 1
    assert {(job["kind"], job["count"]) for job in told["jobs"]} >= {("ApplyLayer", 1)}
    lines = run("metrics", "--format", "{{.Name}} {{.Of}} {{.Value}}").splitlines()
    assert {"mounts ready 1", "jobs ApplyLayer ok 1", "requests CreateRWLayer 1"} <= set(lines)
    samples = {
        (sample.name, sample.labels.get("kind")): sample.value
        for family in text_string_to_metric_families(run("metrics", "--prometheus"))
        for sample in family.samples
    }
    assert samples["layerstore_up", None] == samples["layerstore_requests_total", "Register"] == 1


def test_metrics_of_a_store_that_nobody_has_open_are_there_too(begun: Run) -> None:
    assert begun("metrics").splitlines()[1].split() == ["layers", "0"]


@pytest.mark.parametrize("words", [["waiting"], ["top", "--once"]], ids=" ".join)
def test_where_nobody_has_it_open_there_is_nothing_to_see(run: Run, words: list[str]) -> None:
    assert "no process listens there, so there is nothing to see" in run(*words, status=1)


def test_who_waits_for_what_is_told(stuck: LayerStore, run: Run) -> None:
    lines = run("waiting").splitlines()
    assert lines[0].startswith("request ")
    assert "(Register base) has no answer from layers after " in lines[0]
    assert "it waits for ApplyLayer" in "\n".join(lines)
    assert "images: at nothing; 0 in its mailbox" in lines
    (told,) = json.loads(run("waiting", "--json"))["requests"]
    assert told["kind"] == "Register"
    assert run("waiting", "--format", "{{.Kind}} {{.About}}") == "Register base\n"
    assert "only process" in run("--driver", "none", "waiting", status=1)


def test_top_prints_one_table_below_the_other_where_there_is_no_terminal(
    stuck: LayerStore, run: Run
) -> None:
    with pytest.raises(InvalidTar):
        stuck.register(b"no tar" * 200)
    tables = run("top", "-n", "2", "--interval", "0.1")
    assert tables.count("jobs: 1 running, 0 queued; ") == 2
    assert f"process {os.getpid()}, layerstore" in tables
    rows = [line.split() for line in tables.splitlines()]
    assert ["mounts", "0"] in rows
    assert any(row[:2] == ["Register", "base"] and "waits:" in row for row in rows)
    assert any(row[:2] == ["Register", "base"] and "InvalidTar," in row for row in rows)
    assert "\x1b" not in tables


def test_rates_are_what_was_done_between_two_looks(owner: LayerStore) -> None:
    before = look_at(owner.core)
    for number in range(3):
        owner.create_rw_layer(f"web-{number}")
    with pytest.raises(InvalidTar):
        owner.register(b"no tar" * 200)
    now = replace(look_at(owner.core), at=before.at + 2)
    requests = {rate.kind: rate.a_second for rate in request_rates(before, now)}
    assert requests == {"CreateRWLayer": 1.5, "Register": 0.5}
    jobs = {rate.kind: rate for rate in job_rates(before, now)}
    assert jobs["CreateMount"].a_second == 1.5
    assert (jobs["ApplyLayer"].a_second, jobs["ApplyLayer"].failed) == (0.5, 0.5)
    assert jobs["ApplyLayer"].worked > 0
    assert job_rates(now, replace(now, at=now.at + 1)) == []
    anew = replace(now, restarts=1, at=now.at + 1)  # then all that is counted is new
    assert {rate.kind: rate.a_second for rate in job_rates(now, anew)}["CreateMount"] == 3


def test_where_an_actor_hangs_it_is_seen_all_the_same(owner: LayerStore, run: Run) -> None:
    (pool,) = owner._core.actors.pool._identity.keepers
    hangs = held(pool, "asked")
    try:
        hung = in_thread(owner.metrics, [])
        assert hangs.inside.wait(60)
        assert "pool: at PoolStatus for " in run("waiting")
        assert "the pool doesn't answer; calls under way: " in run("top", "--once")
        assert not answers(owner, 0.1)
    finally:
        hangs.go_on.set()
    hung.join(60)
    assert answers(owner, 60)


def test_the_slowest_calls_are_those_of_the_last_minute_whenever_they_were_answered() -> None:
    tracer = Tracer(10)
    for milliseconds, ago, later in ((5, 70, False), (7, 70, True), (1, 1, False), (3, 1, True)):
        asked = tracer.wrap(_Content(), None, "caller", "layers")
        end = asked.enqueued - ago * 10**9
        asked.enqueued = end - milliseconds * 10**6
        asked.ended = end
        tracer.keep(asked, "pending" if later else "ok")
        if later:
            tracer.answer(asked, None, "layers", "LayerDoesNotExist", None)
            tracer.remembered()[-1].ended = end
    found = slowest(tracer.remembered())
    assert [round(call.seconds, 4) for call in found] == [0.003, 0.001]
    assert [call.outcome for call in found] == ["LayerDoesNotExist", "ok"]
    assert [(call.kind, call.summary, call.actor) for call in found] == [
        ("_Content", "x" * 200, "layers")
    ] * 2
    assert all(1 <= call.ago < 60 for call in found)


class _Content:
    def summary(self) -> str:
        return "x" * 300


@pytest.fixture
def screen(owner: LayerStore, arguments: list[str]) -> Iterator[Terminal]:
    """Top on a terminal, once it has drawn something."""
    command = ["env", "TERM=xterm", sys.executable, "-m", "layerstore.command", *arguments]
    terminal = Terminal([*command, "top", "--interval", "0.1"])
    terminal.wait_for("SLOWEST")
    assert "\x1b[?1049h" in terminal.shown
    assert not terminal.is_as_before()
    yield terminal
    terminal.close()


@pytest.mark.parametrize("number", [0, signal.SIGINT])
def test_top_leaves_the_terminal_as_it_was(screen: Terminal, number: int) -> None:
    if number:
        screen.process.send_signal(number)
    else:
        screen.type("xq")
    screen.wait_for("\x1b[?1049l")
    assert screen.process.wait(60) == (128 + number if number else 0)
    assert screen.is_as_before()


@pytest.mark.thorough
def test_top_gives_the_terminal_back_while_it_is_stopped(screen: Terminal) -> None:
    screen.process.send_signal(signal.SIGTSTP)
    os.waitpid(screen.process.pid, os.WUNTRACED)
    assert screen.is_as_before()
    screen.wait_for("\x1b[?1049l")
    screen.shown = ""
    screen.process.send_signal(signal.SIGCONT)
    screen.wait_for("SLOWEST")
    assert screen.shown.index("\x1b[?1049h") < screen.shown.index("SLOWEST")
    assert not screen.is_as_before()


def test_top_ends_when_the_store_is_closed(screen: Terminal, owner: LayerStore) -> None:
    owner.close()
    screen.wait_for(f"layerstore: store {owner.root} is closed")
    assert screen.process.wait(60) == 1
    assert screen.is_as_before()


def test_what_is_printed_of_a_store_is_nothing_for_a_terminal_to_act_on(
    owner: LayerStore, run: Run
) -> None:
    with pytest.raises(MountDoesNotExist):
        owner.get_rw_layer("\x1b[31mred")
    shown = run("top", "--once", "--interval", "0.1")
    assert "\\x1b[31mred" in shown
    assert "\x1b" not in shown
