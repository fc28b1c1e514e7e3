"""Completion in real shells, help like manual pages, and progress on a terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore.command import main
from tests.command.fixtures import Run
from tests.command.terminal import Terminal, drawn
from tests.support.archives import NAME


@pytest.fixture
def driver_name() -> str:
    return "vfs"


@pytest.fixture
def shell(
    loaded: Run, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The environment of a shell: the command on the PATH, an image and two layers in its store."""
    loaded("create", "web-1", "--image", NAME)
    loaded("create", "web-2")
    monkeypatch.setenv("LAYERSTORE_ROOT", arguments[1])
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


LINES = [
    ("layerstore hist", {"history"}),
    ("layerstore images --no-t", {"--no-trunc"}),
    ("layerstore umount web-", {"web-1", "web-2"}),
    ("layerstore rmi test", {NAME}),
    ("layerstore run --network h", {"host"}),
    ("layerstore run test:1 test", set()),
    ("layerstore completion fi", {"fish"}),
    ("layerstore top --on", {"--once"}),
]


@pytest.mark.needs("bash")
def test_bash_completes(shell: Path) -> None:
    script = """
    source <(layerstore completion bash)
    answer() {
        COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
        COMP_WORDS=($1) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        COMPREPLY=()
        $(complete -p layerstore | sed 's/.*-F \\([^ ]*\\).*/\\1/') layerstore
        echo "${COMPREPLY[@]}"
    }
    for line in "$@"; do answer "$line"; done
    """
    done = subprocess.run(
        ["bash", "-c", script, "bash", *(line for line, _ in LINES)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = [set(line.split()) for line in done.stdout.splitlines()]
    # bash takes a colon for the end of a word, and wants only what comes after.
    assert found == [names if names != {NAME} else {"1", NAME} & found[3] for _, names in LINES]


@pytest.mark.needs("fish")
def test_fish_completes(shell: Path) -> None:
    asked = "\n".join(f"echo (complete -C '{line}' | cut -f1)" for line, _ in LINES)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"layerstore completion fish | source\n{asked}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [set(line.split()) for line in done.stdout.splitlines()] == [names for _, names in LINES]


@pytest.fixture
def zsh(shell: Path) -> Iterator[Terminal]:
    terminal = Terminal(["zsh", "-f", "-i"])
    yield terminal
    terminal.close()


@pytest.mark.needs("zsh")
def test_zsh_completes(zsh: Terminal) -> None:
    zsh.type("PS1=; autoload -U compinit; compinit -u; source <(layerstore completion zsh)\n")
    zsh.type("echo rea''dy\n")
    zsh.wait_for("ready")
    zsh.type("layerstore hist\t")
    zsh.wait_for("layerstore history")
    zsh.type("\x15layerstore rm web-\t\t")
    zsh.wait_for("web-2")


def test_every_verb_has_a_page_with_examples(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    verbs = re.findall(r"^    (\w+) {2,}", capfd.readouterr().out, re.MULTILINE)
    assert {"run", "cp", "inspect", "history", "prune", "import", "export"} <= set(verbs)
    for verb in verbs:
        assert main(["help", verb]) == 0
        page = capfd.readouterr().out
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        assert capfd.readouterr().out == page
        assert page.startswith(f"usage: layerstore {verb}")
        assert "\nexamples:\n  " in page, verb


def test_help_on_nothing_known_is_wrong_usage(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["help", "nonsense"])
    assert ended.value.code == 2


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "words",
    [
        ["save", NAME, "-o", "out.tar"],
        ["import", "rootfs.tar", "new:1"],
        ["export", NAME, "-o", "out.tar"],
        ["export", "web-1", "-o", "out.tar"],
        ["check", "--full"],
        ["repair", "--force"],
    ],
)
def test_long_work_draws_a_bar_on_a_terminal(
    shell: Path, arguments: list[str], words: list[str], archive: Path
) -> None:
    (shell / "rootfs.tar").write_bytes(archive.read_bytes())
    command = [sys.executable, "-m", "layerstore.command", *arguments, *words]
    out, shown = drawn(command)
    assert b"\x1b[" in shown
    assert b"100%" in shown or "━".encode() in shown
    assert b"\x1b" not in out
    quiet = subprocess.run([*command, "-q"], capture_output=True, check=True)
    assert quiet.stderr == b""
