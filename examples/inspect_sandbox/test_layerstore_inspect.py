"""Inspect's own checks of a sandbox provider, and a sample of a task.

LAYERSTORE_ARCHIVE is an archive with the image shell:1, which has /bin/sh and what the checks call.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from inspect_ai import Task, eval_async
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import (
    OutputLimitExceededError,
    SandboxEnvironment,
    SandboxEnvironmentSpec,
    sandbox,
)
from inspect_ai.util._sandbox.self_check import *  # noqa: F403
from layerstore_inspect import LayerstoreConfig, LayerstoreSandbox

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> LayerstoreConfig:
    return LayerstoreConfig(
        image="shell:1",
        archive=os.environ["LAYERSTORE_ARCHIVE"],
        root=str(tmp_path_factory.mktemp("store")),
        workdir="/work",
        memory="1g",
        pids=100,
    )


@pytest.fixture(scope="session")
async def open_store(config: LayerstoreConfig) -> AsyncIterator[None]:
    await LayerstoreSandbox.task_init("checks", config)
    yield
    await LayerstoreSandbox.task_cleanup("checks", config, cleanup=True)


@asynccontextmanager
async def sample(config: LayerstoreConfig) -> AsyncIterator[LayerstoreSandbox]:
    found = await LayerstoreSandbox.sample_init("checks", config, {})
    yield found["default"].as_type(LayerstoreSandbox)
    await LayerstoreSandbox.sample_cleanup("checks", config, found, interrupted=False)


@pytest.fixture
async def sandbox_env(
    config: LayerstoreConfig, open_store: None
) -> AsyncIterator[SandboxEnvironment]:
    async with sample(config) as found:
        yield found


@pytest.fixture
async def of_nobody(config: LayerstoreConfig, open_store: None) -> AsyncIterator[LayerstoreSandbox]:
    """A sandbox whose commands aren't root's."""
    async with sample(config.model_copy(update={"user": "1234:1234", "workdir": "/home"})) as found:
        yield found


async def test_files_are_those_of_whoever_runs_commands(of_nobody: LayerstoreSandbox) -> None:
    await of_nobody.write_file("below/mine", "1")
    assert (await of_nobody.exec(["sh", "-c", "echo 2 > below/mine; id -u"])).stdout == "1234\n"
    assert await of_nobody.read_file("below/mine") == "2\n"
    with pytest.raises(PermissionError, match="/etc"):
        await of_nobody.write_file("/etc/new", "1")
    with pytest.raises(PermissionError):
        await of_nobody.write_file("/etc/passwd", "1")
    with pytest.raises(PermissionError):
        await of_nobody.write_file("/etc/new/below", "1")
    assert not (await of_nobody.exec(["true"], cwd="/nowhere")).success


async def test_output_is_bounded_and_told(sandbox_env: SandboxEnvironment) -> None:
    with pytest.raises(OutputLimitExceededError) as told:
        await sandbox_env.exec(["cat", "/dev/zero"])
    assert told.value.truncated_output is not None
    assert told.value.truncated_output.startswith("\0")
    with pytest.raises(TimeoutError) as late:
        await sandbox_env.exec(["sh", "-c", "echo begun; sleep 60 & sleep 60"], timeout=1)
    assert vars(late.value)["truncated_output"] == "begun\n"


@solver
def shell() -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        done = await sandbox().exec(["sh", "-c", "cat given; pwd"])
        state.output.completion = done.stdout
        return state

    return solve


async def test_a_task_has_its_samples_in_sandboxes(
    config: LayerstoreConfig, tmp_path: Path
) -> None:
    spec = tmp_path / "sandbox.json"
    spec.write_text(config.model_dump_json())
    samples = [Sample(input=str(n), target=f"{n}/work", files={"given": str(n)}) for n in range(8)]
    for given in (config, str(spec)):
        task = Task(
            dataset=samples,
            solver=shell(),
            scorer=includes(),
            sandbox=SandboxEnvironmentSpec("layerstore", given),
        )
        (log,) = await eval_async(task, model="mockllm/model", log_dir=str(tmp_path))
        assert log.status == "success", log.error
        assert log.results is not None
        assert log.results.scores[0].metrics["accuracy"].value == 1
