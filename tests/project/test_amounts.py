"""How much a run tries: what the default one leaves out, `--rest` has, and nothing else twice."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import dealt

pytest_plugins = ["pytester"]

HERE = Path(__file__).parents[2]
_TESTS = """
import pytest
from hypothesis import given, strategies
from tests.support.options import amount_of

def pytest_generate_tests(metafunc):
    if "turn" in metafunc.fixturenames:
        turns = range(1, amount_of(metafunc.config, "--stress-rounds"))
        more = (pytest.param(number, marks=pytest.mark.thorough) for number in turns)
        metafunc.parametrize("turn", [0, *more])

def test_once(): pass

@pytest.mark.thorough
def test_exhaustive(): pass

@pytest.mark.beyond
def test_in_another_way(): pass

@pytest.mark.parametrize("driver", ["overlay2", "vfs"])
def test_by_turns(driver): pass

@pytest.mark.parametrize("driver", ["vfs", pytest.param("btrfs", marks=pytest.mark.seldom(3))])
@pytest.mark.parametrize("number", range(30))
def test_of_few(driver, number): pass

@pytest.mark.each_driver
@pytest.mark.parametrize("driver", ["overlay2", "vfs"])
def test_with_each(driver): pass

@pytest.mark.any_driver
@pytest.mark.parametrize("way", ["here", pytest.param("there", marks=pytest.mark.beyond)])
@pytest.mark.parametrize("driver", ["overlay2", "vfs"])
def test_with_any(driver, way): pass

@pytest.mark.sampled(3)
@pytest.mark.parametrize("number", range(30))
def test_of_a_list(number): pass

def test_turns(turn): pass

def test_counts(amount): pass

def test_all_over(points): pass

@given(strategies.none())
def test_property(_): pass

@pytest.mark.parametrize("driver", ["overlay2", "vfs"])
def test_counts_by_turns(driver, amount): pass
"""
_MARKERS = "[pytest]\nmarkers =\n" + "".join(
    f"  {mark}: m\n"
    for mark in ("thorough", "beyond", "any_driver", "each_driver", "sampled(n)", "seldom(n)")
)
_EACH = ("--thorough", "--all-drivers")
_GROWING = ("test_counts", "test_all_over", "test_property")


def _collected(pytester: pytest.Pytester, *options: str) -> list[str]:
    plugins = ("-p", "tests.support.options", "-p", "no:cacheprovider", "-p", "no:xdist")
    done = pytester.runpytest_subprocess("--collect-only", "-q", *plugins, *options)
    assert done.ret == 0, done.stderr.str()
    return [line for line in done.outlines if "::" in line]


def test_the_default_run_and_the_rest_have_every_test_and_only_those_that_grow_twice(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    pytester.makeini(_MARKERS)
    pytester.makepyfile(test_it=_TESTS)
    default, rest, every = (
        _collected(pytester, *options) for options in ((), ("--rest",), ("--thorough",))
    )
    assert len(set(every)) == len(every) > len(default) > len(set(default) & set(rest))
    assert set(default) | set(rest) == set(every)
    seldom = [name for name in every if "::test_of_few[" in name and "btrfs" in name]
    assert 0 < len(seldom) < 30 == sum("btrfs" in name for name in _collected(pytester, *_EACH))
    assert sum("::test_with_any[" in name for name in every) == 2
    assert sum("::test_with_any[" in name for name in _collected(pytester, *_EACH)) == 4
    twice = set(default) & set(rest)
    assert all("::test_once" not in name for name in rest)
    alone = ("::test_exhaustive", "::test_in_another_way")
    assert not any(name.endswith(alone) for name in default)
    assert {name for name in default if any(f"::{grows}" in name for grows in _GROWING)} == twice
    assert (len(default) + len(rest), len(twice)) == (len(every) + len(twice), len(_GROWING) + 1)


@pytest.mark.thorough
def test_so_it_is_with_all_tests_that_there_are() -> None:
    def collected(*options: str) -> set[str]:
        command = (sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", *options)
        cache = ("-p", "no:cacheprovider")
        done = subprocess.run(
            (*command, *cache), cwd=HERE, capture_output=True, text=True, check=True
        )
        return {line for line in done.stdout.splitlines() if "::" in line}

    default, rest, every = collected(), collected("--rest"), collected("--thorough")
    assert default | rest == every
    assert len(default & rest) < len(every) / 100, "those that grow are few"


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_each_process_begins_with_its_part_of_what_takes_long(processes: int) -> None:
    for count in range(12):
        first, later = [f"long {n}" for n in range(count)], [f"short {n}" for n in range(20)]
        order = dealt(first, later, processes)
        assert sorted(order) == sorted(first + later)
        rows = []
        rest = order
        for left in range(processes, 0, -1):  # as pytest-xdist deals them out
            rows.append(rest[: len(rest) // left])
            rest = rest[len(rest) // left :]
        long = [sum(name in first for name in row) for row in rows]
        assert max(long) - min(long) <= 1
        assert all(set(row[:many]) <= set(first) for row, many in zip(rows, long, strict=True))


def test_ci_runs_the_readme_s_command_and_then_the_rest_and_neither_skips() -> None:
    runs = re.findall(
        r"^(.*)\bpython -m pytest\b(.*)$", (HERE / ".ci/run").read_text(), re.MULTILINE
    )
    (before, bare), (_, more) = runs
    assert bare == ""
    for option in ("--require-root-tests", "--durable"):
        assert option in before, "what the rest doesn't run again"
    assert more.split() == ["--rest", "--require-root-tests", "--install-examples"]
