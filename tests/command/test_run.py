"""The command's run: docker's arguments and exit statuses, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore.command import main
from tests.command.fixtures import Run, nothing_left
from tests.support.busybox import NAME, image_tar

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


@pytest.fixture
def driver_name() -> str:
    return "overlay2"


Ended = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ended(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> Ended:
    """A function that runs it in this process; returns its status and output."""

    def run_it(*words: str) -> tuple[int, str, str]:
        try:
            status = main([*arguments, "run", *words])
        except SystemExit as wrong:
            status = int(str(wrong.code))
        out, err = capfd.readouterr()
        return status, out, err

    return run_it


def test_the_image_says_what_is_run_and_how(ended: Ended, app: Run, arguments: list[str]) -> None:
    status, out, _ = ended(NAME, "sh", "-c", "id -u; pwd; echo $E $FROM $HOSTNAME")
    assert (status, out.splitlines()[:2]) == (0, ["1000", "/srv"])
    assert out.splitlines()[2].startswith("1 image run-")
    assert nothing_left(app, arguments)


def test_a_command_that_is_a_string_is_one_word(
    ended: Ended, run: Run, root_dir: Path, arguments: list[str]
) -> None:
    path = root_dir / "image.tar"
    path.write_bytes(image_tar(Cmd="/bin/id", entrypoint="env", Labels=None))
    run("load", path)
    assert ended(NAME)[:2] == (0, ended("--entrypoint", "id", NAME)[1])
    (facts,) = json.loads(run("inspect", NAME))
    assert (facts["Config"]["Cmd"], facts["Config"]["Entrypoint"]) == (["/bin/id"], ["env"])
    path.write_bytes(image_tar(Cmd="id -u"))
    run("load", path)
    assert ended(NAME)[0] == 127, "a shell would have found it"


def test_arguments_say_it_instead(
    ended: Ended, app: Run, arguments: list[str], tmp_path: Path
) -> None:
    words = ["-u", "0", "-w", "/tmp", "--entrypoint", "sh", "-e", "A=1", "-e", "PATH", "--hostname",  # noqa: S108
             "h", "-v", f"{tmp_path}:/v:ro", "--name", "name1", "--init", "--rm"]  # fmt: skip
    script = "id -u; pwd; echo $A $E; hostname; touch /v/x 2>/dev/null || echo ro; echo $PATH"
    status, out, _ = ended(*words, NAME, "-c", script)
    assert status == 0
    assert out.splitlines() == ["0", "/tmp", "1", "h", "ro", os.environ["PATH"]]  # noqa: S108


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([NAME, "sh", "-c", "exit 7"], 7, ""),
        ([NAME, "sh", "-c", "sh -c 'kill -9 $$' 2> /dev/null; exit $?"], 137, ""),
        (["--entrypoint", "nonsense", NAME], 127, "nonsense can't be run: No such file"),
        (["--entrypoint", "/etc", NAME], 126, "/etc can't be run: Permission denied"),
        (["--pull", "never", "none", "true"], 125, "image none does not exist"),
        (["-u", "none", NAME, "true"], 125, "no user or group none"),
        (["-v", "x", NAME, "true"], 125, "a volume is SOURCE:/TARGET"),
        (["-v", "/missing-here:/x", NAME, "true"], 125, "/missing-here: No such file"),
        (["-v", "/etc:/v:ro,rw", NAME, "true"], 125, "a volume is SOURCE:/TARGET"),
        (["-v", "/etc:/v:x", NAME, "true"], 125, "a volume is SOURCE:/TARGET"),
        (["-v", "/etc:/", NAME, "true"], 125, "'/etc:/': a volume's target can't be /"),
        (["-v", "/etc:/proc", NAME, "true"], 125, "a volume's target can't be /proc"),
        (["--hostname", "h" * 65, NAME, "true"], 125, "a host name has at most 64 bytes"),
        (["-e", "=x", NAME, "true"], 125, "a variable is KEY=VALUE"),
        (["-w", "/etc/passwd", NAME, "true"], 125, "go to /etc/passwd: Not a directory"),
        (["--entrypoint", "", NAME], 125, "it names no command"),
        (["--name", "../x", NAME, "true"], 125, "invalid name"),
        (["--time-limit", "0.2", NAME, "sleep", "60"], 124, ""),
        (["--time-limit", "1e30", NAME, "true"], 0, ""),
    ],
)
def test_exit_statuses_are_docker_s(
    ended: Ended, app: Run, arguments: list[str], words: list[str], status: int, message: str
) -> None:
    found, _, error = ended(*words)
    assert found == status
    assert message in error
    assert error.count("\n") == (1 if message else 0)
    assert nothing_left(app, arguments)


@pytest.mark.parametrize(
    ("modes", "writable"),
    [("z", True), ("Z", True), ("rw,z", True), ("ro,Z", False), ("z,ro", False), ("cached", True)],
)
def test_modes_that_ask_for_nothing_here_are_taken(
    ended: Ended, app: Run, tmp_path: Path, modes: str, writable: bool
) -> None:
    script = "touch /v/made 2> /dev/null && echo yes || echo no"
    volume = f"{tmp_path}:/v:{modes}"
    status, out, _ = ended("-u", "0", "-v", volume, NAME, "sh", "-c", script)
    assert (status, out) == (0, "yes\n" if writable else "no\n")


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ([NAME, "--", "x"], "-- x"),
        (["--", NAME, "--", "x", "--"], "-- x --"),
        ([NAME, "--help", "-v", "--"], "--help -v --"),
        (["--", NAME], ""),
    ],
)
def test_words_after_the_image_are_the_command_s(
    ended: Ended, app: Run, words: list[str], printed: str
) -> None:
    assert ended("--entrypoint", "echo", *words) == (0, f"{printed}\n", "")


@pytest.mark.parametrize("words", [["--rm", "--keep"], ["--network", "x"], ["--time-limit", "x"]])
def test_wrong_usage_is_status_2(ended: Ended, arguments: list[str], words: list[str]) -> None:
    assert ended(*words, NAME)[0] == 2


def test_without_an_image_it_is_wrong_usage(ended: Ended) -> None:
    status, _, error = ended("--init")
    assert status == 2
    assert "required: IMAGE" in error


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_time_limit_that_is_none_is_told_so(ended: Ended, app: Run, seconds: str) -> None:
    status, _, error = ended("--time-limit", seconds, NAME, "true")
    assert status == 2
    wanted = f"--time-limit: '{seconds}': a time limit is more than 0 seconds, and finite"
    assert wanted in " ".join(error.split())


def test_what_it_does_can_be_committed_or_kept(
    ended: Ended, app: Run, arguments: list[str]
) -> None:
    script = "echo 1 > /tmp/made"
    assert ended("--commit", "made:1", NAME, "sh", "-c", script)[0] == 0
    assert ended("--commit", "made:2", NAME, "sh", "-c", f"{script}; exit 1")[0] == 1
    assert app("images", "made", "--format", "{{.Tag}}") == "1\n"
    assert ended("made:1", "cat", "/tmp/made")[1] == "1\n"  # noqa: S108
    assert ended("--keep", "--name", "kept", NAME, "sh", "-c", script)[0] == 0
    assert app("diff", "kept").splitlines() == ["C /tmp", "A /tmp/made"]
    (facts,) = json.loads(app("ls", "--json"))
    assert (facts["name"], facts["path"]) == ("kept", None)


def test_a_name_in_use_is_refused_and_stays(ended: Ended, app: Run, arguments: list[str]) -> None:
    app("create", "web")
    status, _, error = ended("--name", "web", NAME, "true")
    assert (status, error) == (125, "layerstore: mount name web is already in use\n")
    assert app("ls", "-q") == "web\n"


def test_standard_input_is_passed_on_only_with_i(app: Run, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "layerstore.command", *arguments, "run"]
    for words, got in ((["-i"], b"text"), ([], b"")):
        done = subprocess.run(
            [*command, *words, NAME, "cat"], input=b"text", capture_output=True, check=True
        )
        assert done.stdout == got


def test_volumes_of_the_image_go_with_the_layer(
    ended: Ended, app: Run, arguments: list[str], tmp_path: Path
) -> None:
    app("create", "base", "--image", NAME)
    app("commit", "--change", "VOLUME /home/app /etc", "base", "volumes:1")
    app("rm", "base")
    home = Path(arguments[1], "layerstore/volumes")
    script = "grep -c -e ' /home/app ' -e ' /etc ' /proc/mounts; echo 1 > /home/app/made; id -un"
    assert ended("-u", "0", "volumes:1", "sh", "-c", script) == (0, "2\nroot\n", "")
    assert list(home.iterdir()) == []
    given = ["-v", f"{tmp_path}:/home/app", "-v", f"{tmp_path}:/etc:ro"]
    assert ended("--keep", "--name", "kept", *given, "-u", "0", "volumes:1", "true")[0] == 0
    assert app("diff", "kept") == "A /home\nA /home/app\n"
    assert list(home.iterdir()) == []
    assert ended("--keep", "--name", "kept2", "-u", "0", "volumes:1", "sh", "-c", script)[0] == 0
    assert app("diff", "kept2") == "A /home\nA /home/app\n"
    assert len(list(home.iterdir())) == 1
    app("rm", "kept", "kept2")
    assert list(home.iterdir()) == []
    assert nothing_left(app, arguments)
