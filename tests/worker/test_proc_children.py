"""Finding a process's children while its threads come and go."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest

from layerstore.drivers.system.proc_children import children_of, children_of_thread


def test_a_child_is_found_while_the_thread_that_has_it_ends() -> None:
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            thread = threading.Thread(target=os.getpid)
            thread.start()
            thread.join()

    others = threading.Thread(target=come_and_go)
    others.start()
    try:
        for _ in range(50):
            _spawn_and_look_while_the_thread_ends()
    finally:
        stop.set()
        others.join()


def _spawn_and_look_while_the_thread_ends() -> None:
    spawned: list[subprocess.Popen[bytes]] = []
    there, end = threading.Event(), threading.Event()

    def spawn() -> None:
        spawned.append(subprocess.Popen(["sleep", "60"]))
        there.set()
        end.wait()

    thread = threading.Thread(target=spawn)
    thread.start()
    there.wait()
    (process,) = spawned
    try:
        assert process.pid in children_of_thread(thread.native_id or 0)
        end.set()
        while thread.is_alive():
            assert process.pid in children_of(os.getpid())
        assert process.pid in children_of(os.getpid())
    finally:
        process.kill()
        process.wait()
        thread.join()


def test_no_process_is_an_error() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(FileNotFoundError):
        children_of(process.pid)
