"""A store that is served: by itself or by systemd, until a signal, for clients that come and go."""

from __future__ import annotations

import configparser
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore import InvalidArgument, LayerStore
from layerstore.command import main
from layerstore.command.parsing.arguments import parse_arguments
from layerstore.command.systemd import Systemd
from tests.command.fixtures import Run
from tests.project.documents import HERE, blocks
from tests.store.sharing.manager import Manager
from tests.support.homes import OVERLAYS
from tests.support.tars import layer_tar
from tests.support.waiting import in_thread

_COMMAND = [sys.executable, "-m", "layerstore.command"]


@pytest.fixture
def serving(arguments: list[str], driver_name: str) -> Iterator[subprocess.Popen[str]]:
    """A process that serves the commands' root, once it is ready."""
    command = [*_COMMAND, *arguments, "serve", "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        line = it.stdout.readline()
        assert line == f"{arguments[1]} is open, with {driver_name}, by process {it.pid}\n"
        try:
            yield it
        finally:
            it.kill()


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.thorough)]
)
def test_a_served_store_outlives_its_clients_and_ends_cleanly_by_a_signal(
    serving: subprocess.Popen[str],
    run: Run,
    arguments: list[str],
    driver_name: str,
    number: signal.Signals,
) -> None:
    root = Path(arguments[1])
    with LayerStore.attach(root) as first:
        layer = first.register(layer_tar({"a": b"1"}))
        path = first.create_rw_layer("web", layer.chain_id).mount()
        first.close(keep_mounts=True)
    assert "web" in run("ls")
    assert f"in use by process {serving.pid};" in run("--wait", "0", "serve", status=1)
    held = LayerStore.attach(root)
    for _ in range(2):  # the second is one too many
        serving.send_signal(number)
    assert serving.communicate(timeout=60) == ("", "")
    assert serving.returncode == 0
    held.close()
    assert not (root / "layerstore/socket").exists()
    with LayerStore(root) as store:
        assert store.check() == []
        seen = path if driver_name in OVERLAYS else None  # vfs mounts nothing
        assert [(mount.name, mount.path) for mount in store.mounts()] == [("web", seen)]
        store.get_rw_layer("web").release()


def unit(kind: str) -> configparser.ConfigParser:
    """Return the unit that the documentation gives."""
    (text,) = (
        block.text
        for block in blocks(HERE / "docs/service.md")
        if f"# layerstore.{kind}" in block.text
    )
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(text)
    return parsed


def test_the_units_of_the_documentation_make_a_store_that_is_started_when_it_is_called(
    root_dir: Path,
) -> None:
    service, listening = unit("service")["Service"], unit("socket")["Socket"]
    program, *words = shlex.split(service["ExecStart"])
    assert Path(program).name == "layerstore"
    root = parse_arguments(words).root
    assert listening["ListenStream"] == f"{root}/layerstore/socket"
    assert service["Type"] == "notify"
    words = [str(root_dir) if word == root else word for word in words]
    outcomes: list[object] = []

    def client() -> bool:
        with LayerStore.attach(root_dir, timeout=60) as store:
            return store.map() == {} and store.owner is not None

    place = root_dir / "layerstore/socket"
    with Manager(place, abstract=True) as systemd:
        waits = in_thread(client, outcomes)
        with systemd.service([*_COMMAND, *words], {"WATCHDOG_USEC": "200000"}) as process:
            said = systemd.hears()
            assert [fact.partition("=")[0] for fact in said] == ["READY", "STATUS"]
            waits.join(60)
            assert outcomes == [True]
            assert main(["--root", str(root_dir), "ls"]) == 0
            assert systemd.hears() == ["WATCHDOG=1"]
            process.terminate()
            while (said := systemd.hears()) == ["WATCHDOG=1"]:
                pass
            assert said[0] == "STOPPING=1"
            assert process.communicate(timeout=60)[1] == ""
        assert process.returncode == 0
        assert place.is_socket()


def test_what_systemd_says_is_for_one_process_and_taken_away() -> None:
    said = {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "WATCHDOG_USEC": "1000000"}
    here = {**said, "LISTEN_PID": str(os.getpid()), "WATCHDOG_PID": str(os.getpid())}
    there = {**said, "LISTEN_PID": "1", "WATCHDOG_PID": "1", "NOTIFY_SOCKET": "", "PATH": "/bin"}
    mine, others = Systemd(here), Systemd(there)
    assert (here, there) == ({}, {"PATH": "/bin"})
    assert (mine.wants_signs, others.wants_signs) == (0.25, None)
    with pytest.raises(InvalidArgument, match=r"LISTEN_FDS=2 \(a:b\)': one socket"), mine.passed():
        pass
    with others.passed() as sock:
        assert sock is None
    others.tell("READY=1")


def test_who_is_not_to_be_reached_is_told_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Systemd({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell("READY=1")
    assert "systemd can't be told that READY=1: [Errno 2]" in caplog.text


def test_where_there_can_be_no_socket_nothing_is_served(run: Run, arguments: list[str]) -> None:
    place = Path(arguments[1], "layerstore/socket")
    place.mkdir(parents=True)
    assert f"listen on {place}: " in run("serve", status=1)
    place.rmdir()
    assert run("ls", "-q") == ""
