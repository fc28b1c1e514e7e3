"""The reference for tar-split files, which docker uses: built from Debian's sources, asked by line.

Owns the program and the directory in which it exchanges files with the tests. It judges nothing.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Self

import pytest

SOURCES = "/usr/share/gocode/src/github.com/vbatts/tar-split"
NEEDED = pytest.mark.needs("go", SOURCES)
_PROGRAM = Path(__file__).with_name("reference") / "main.go"
_BUILD_SECONDS = 100


class Refused(Exception):
    """The reference takes no such tar or tar-split; its reason is the message."""


def build(place: Path) -> Path:
    """Build the program in an empty directory, without any network."""
    program = place / "reference"
    environment = os.environ | {
        "GO111MODULE": "off",
        "GOPATH": "/usr/share/gocode",
        "GOCACHE": str(place / "cache"),
        "GOFLAGS": "",
        "GOPROXY": "off",
        "CGO_ENABLED": "0",
    }
    command = ["go", "build", "-o", str(program), str(_PROGRAM)]
    subprocess.run(command, check=True, env=environment, timeout=_BUILD_SECONDS)
    return program


class Reference:
    """One running program, started anew after it broke down."""

    def __init__(self, program: Path, place: Path) -> None:
        self._program = program
        self._place = place
        self._process: subprocess.Popen[str] | None = None

    def disassemble(self, data: bytes) -> bytes:
        """Return the tar-split lines of a tar. Raises Refused."""
        tar, lines = self._place / "in.tar", self._place / "out.lines"
        tar.write_bytes(data)
        self._ask("disassemble", tar, lines)
        return lines.read_bytes()

    def assemble(self, records: bytes, root: Path) -> bytes:
        """Return the tar of tar-split lines and the files beneath a root. Raises Refused."""
        lines, tar = self._place / "in.lines", self._place / "out.tar"
        lines.write_bytes(records)
        self._ask("assemble", lines, root, tar)
        return tar.read_bytes()

    def write(self, form: str, tree: Path) -> bytes:
        """Return a tree as Go's archive/tar writes it, the way docker calls it."""
        tar = self._place / "written.tar"
        self._ask("write", form, tree, tar)
        return tar.read_bytes()

    def _ask(self, *words: str | Path) -> None:
        answer = self._exchange(" ".join(str(word) for word in words))
        if answer == "":
            self.close()
            raise Refused("it broke down")
        if answer != "ok\n":
            raise Refused(answer.removeprefix("refused ").rstrip("\n"))

    def _exchange(self, request: str) -> str:
        if self._process is None:
            self._process = subprocess.Popen(
                [self._program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="backslashreplace",
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(request + "\n")
        stdin.flush()
        return stdout.readline()

    def close(self) -> None:
        if self._process is not None:
            with self._process:
                self._process.kill()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
