"""The command as a process: terminals, pipes, signals; and the examples."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from layerstore.command.interrupts import Interrupted, interrupts
from tests.command.fixtures import Run
from tests.command.terminal import drawn
from tests.support.archives import NAME, as_tar, docker_archive
from tests.support.processes import ends
from tests.support.tars import layer_tar


def command(arguments: list[str], *words: str | Path) -> list[str]:
    return [sys.executable, "-m", "layerstore.command", *arguments, *map(str, words)]


def test_progress_is_drawn_only_on_a_terminal(arguments: list[str], archive: Path) -> None:
    for quiet in ([], ["-q"]):
        out, shown = drawn(command(arguments, "load", *quiet, archive))
        assert out.decode() == f"Loaded image: {NAME}\n"
        assert (b"\x1b[" in shown) == (not quiet), shown


def test_an_archive_comes_from_standard_input_and_goes_to_standard_output(
    arguments: list[str], archive: Path
) -> None:
    with archive.open("rb") as stdin:
        subprocess.run(command(arguments, "load"), stdin=stdin, check=True, capture_output=True)
    saved = subprocess.run(
        command(arguments, "save", NAME), check=True, stdout=subprocess.PIPE
    ).stdout
    again = subprocess.run(
        command(arguments, "load", "-"), input=saved, check=True, capture_output=True
    )
    assert again.stdout.decode() == f"Loaded image: {NAME}\n"


@pytest.mark.parametrize(
    ("writes", "reads"),
    [
        ("export web", "import - new:1"),
        (f"export {NAME}", "import - new:1"),
        (f"save {NAME}", "load"),
        ("cp web:/etc -", "cp - web:/"),
        ("export nothing", "import - new:1"),
    ],
)
def test_one_command_writes_what_another_reads_into_the_same_store(
    loaded: Run, arguments: list[str], writes: str, reads: str
) -> None:
    loaded("create", "web", "--image", NAME)
    with subprocess.Popen(
        command(arguments, *writes.split()), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as writer:
        reader = command(arguments, *reads.split())
        done = subprocess.run(reader, stdin=writer.stdout, capture_output=True, check=False)
        assert writer.stdout is not None
        writer.stdout.close()
        assert writer.stderr is not None
        said = writer.stderr.read().decode()
    assert (done.returncode, done.stderr) == (0, b"")
    expected = (1, "layerstore: image nothing does not exist\n") if "nothing" in writes else (0, "")
    assert (writer.returncode, said) == expected


def test_a_reader_that_has_enough_is_no_error(loaded: Run, arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            command(arguments, "images"), stdout=closed, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_so_is_one_of_a_tar_that_has_enough(loaded: Run, arguments: list[str]) -> None:
    loaded("create", "web", "--image", NAME)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        for words in (("cp", "web:/etc", "-"), ("export", "-q", "web"), ("save", "-q", NAME)):
            done = subprocess.run(
                command(arguments, *words), stdout=closed, stderr=subprocess.PIPE, check=False
            )
            assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b""), words


@pytest.mark.parametrize(
    ("output", "reason"),
    [("> /dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
def test_output_that_cannot_be_written_is_told_in_a_line(
    loaded: Run, arguments: list[str], output: str, reason: str
) -> None:
    words = ["sh", "-c", f'exec "$@" {output}', "sh"]
    done = subprocess.run(
        [*words, *command(arguments, "images")], stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"layerstore: write to standard output: {reason}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_no_part_of_an_archive(
    arguments: list[str], run: Run, root_dir: Path, number: signal.Signals
) -> None:
    large = root_dir / "large.tar"
    large.write_bytes(as_tar(docker_archive([layer_tar({"f": os.urandom(32 << 20)})])))
    run("load", "-q", large)
    place = root_dir / "place"
    place.mkdir()
    status = 0
    while status == 0:  # else it was done before the signal came
        (place / "out.tar").unlink(missing_ok=True)
        saving = command(arguments, "save", "-q", NAME, "-o", place / "out.tar")
        # The tests themselves may be run by nohup.
        words = ["env", "--default-signal", *saving]
        process = subprocess.Popen(words, stderr=subprocess.PIPE)
        while process.poll() is None and not os.listdir(place):
            ends(process.pid, 0.001)
        process.send_signal(number)
        _, error = process.communicate()
        status = process.returncode
        assert error == b""
    assert status == 128 + number
    assert os.listdir(place) == []


def test_an_interrupted_load_leaves_nothing(arguments: list[str], run: Run) -> None:
    process = subprocess.Popen(
        command(arguments, "load"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    )
    assert process.stdin is not None
    data = as_tar(docker_archive([layer_tar({"f": os.urandom(4 << 20)})]))
    process.stdin.write(data[: 3 << 20])  # more than a pipe holds: it is being read
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130, error
    assert json.loads(run("images", "--json")) == []
    root = Path(arguments[1])
    assert list((root / "layerstore/tmp").iterdir()) == []


@pytest.mark.parametrize("twice", [False, True])
def test_a_signal_that_comes_where_no_exception_gets_out_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, twice: bool
) -> None:
    """Nor is another one that comes while that is seen to."""
    start = threading.Thread.start

    def interrupted_start(thread: threading.Thread) -> None:
        start(thread)
        os.kill(os.getpid(), signal.SIGTERM)

    class Thrown:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(1000):  # handlers run at the latest when a loop begins anew
                pass

    def interrupted() -> None:
        with interrupts():
            with monkeypatch.context() as patch:
                if twice:
                    patch.setattr(threading.Thread, "start", interrupted_start)
                Thrown()
            threading.Event().wait(60)

    with pytest.raises(Interrupted) as caught:
        interrupted()
    assert caught.value.number == signal.SIGTERM


def test_escape_sequences_in_names_do_not_reach_a_terminal(
    run: Run, arguments: list[str], root_dir: Path
) -> None:
    path = root_dir / "hostile.tar"
    path.write_bytes(as_tar(docker_archive([layer_tar({"x": b""})])))
    run("load", path)
    run("create", "web", "--image", NAME)
    shown = Path(run("mount", "web").strip())
    (shown / "\x1b[31mred").write_bytes(b"")
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        subprocess.run(command(arguments, "diff", "web"), stdout=theirs, check=True)
        os.close(theirs)
        assert b"\x1b" not in screen.read(4096)
    assert "\x1b[31mred" in run("diff", "web"), "a program gets the name as it is"
    run("umount", "web")


@pytest.mark.root
def test_the_throwaway_example_runs_a_command(root_dir: Path) -> None:
    busybox = Path("/bin/busybox").read_bytes()
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        info = tarfile.TarInfo("busybox")
        info.size, info.mode = len(busybox), 0o755
        archive.addfile(info, io.BytesIO(busybox))
    path = root_dir / "busybox.tar"
    path.write_bytes(as_tar(docker_archive([tar.getvalue()])))
    example = Path(__file__).parents[2] / "examples/throwaway.py"
    script = "/busybox mkdir /made; exit 7"
    done = subprocess.run(
        [sys.executable, example, root_dir / "store", path, "/busybox", "sh", "-c", script],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, b"A /made\n", b"")
