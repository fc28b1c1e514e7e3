"""Fuzzing finds nothing; for how long it looks is an option."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ordeals.fuzz import FAST, PLANTED, TARGETS

pytest.importorskip("atheris", reason="needs atheris, which the extra `dev` brings")
pytestmark = [pytest.mark.root, pytest.mark.thorough]
_START = 120
"""Seconds for starting and the last input."""
_LINES = 30


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory; inputs that fail stay where the failure says they are."""
    top = Path(tempfile.mkdtemp(prefix="layerstore-fuzz-", dir=FAST))
    yield top
    if not any(crashes(top / target, target) for target in TARGETS):
        shutil.rmtree(top)


@contextlib.contextmanager
def fuzzing(target: str, place: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command; what it says goes into a file `said`."""
    directory = place / target
    directory.mkdir(exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "tests.ordeals.fuzz",
        target,
        "--directory",
        str(directory),
        *options,
    ]
    with (directory / "said").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def crashes(directory: Path, target: str) -> list[str]:
    return [str(path) for path in directory.glob(f"{target}-*")]


@pytest.mark.timeout(0)
def test_no_target_finds_a_bug(place: Path, pytestconfig: pytest.Config) -> None:
    """All at once, as the machine has more than one core."""
    seconds = pytestconfig.getoption("--fuzz-seconds")
    with contextlib.ExitStack() as stack:
        running = {
            target: stack.enter_context(fuzzing(target, place, "--seconds", str(seconds)))
            for target in TARGETS
        }
        for process in running.values():
            process.wait(seconds + _START)
    for target, process in running.items():
        said = (place / target / "said").read_text(errors="replace")
        last = "\n".join(said.splitlines()[-_LINES:])
        found = crashes(place / target, target)
        assert process.returncode == 0, f"{target} fails for {found}:\n{last}"
        assert "stat::number_of_executed_units" in said


def test_a_bug_that_only_coverage_leads_to_is_found(place: Path) -> None:
    said = place / PLANTED / "said"
    with fuzzing(PLANTED, place, "--seconds", "60", "--seed", "1") as process:
        assert process.wait(100) != 0
    assert "the planted bug was found" in said.read_text(errors="replace")
    (crash,) = crashes(place / PLANTED, PLANTED)
    assert crash in said.read_text(errors="replace")
    with fuzzing(PLANTED, place, "--input", crash) as process:
        assert process.wait(100) != 0
    assert "the planted bug was found" in said.read_text(errors="replace")
