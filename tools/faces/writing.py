"""Writing a method as text, and a module as the linters want it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tools.faces.reading import Argument

NOTE = "# Written by `python -m tools.faces`; edit what it is made from instead.\n"


def method(
    name: str,
    arguments: Iterable[str],
    returns: str,
    doc: str,
    body: Iterable[str],
    *,
    waits: bool = False,
) -> str:
    """Return the text of one method."""
    head = f"{'async ' if waits else ''}def {name}({', '.join(['self', *arguments])}) -> {returns}:"
    lines = [*quoted(doc), *body]
    return "\n".join([f"    {head}", *(f"        {line}".rstrip() for line in lines), ""])


def quoted(doc: str) -> list[str]:
    """Return documentation as the lines of a string."""
    lines = f'"""{doc}"""'.split("\n")
    if len(lines) == 1:
        return lines
    return [*lines[:-1], lines[-1][:-3], '"""']


def signature(arguments: Iterable[Argument], *, timed: bool) -> list[str]:
    """Return arguments as a signature has them."""
    listed = list(arguments)
    named = [argument.declared() for argument in listed if argument.keyword]
    if timed:
        named.append("timeout: float | None = None")
    return [
        *(argument.declared() for argument in listed if not argument.keyword),
        *(["*"] if named else []),
        *named,
    ]


def tidied(text: str, path: Path) -> str:
    """Return a module as the linters want it, without the imports that it doesn't need."""
    for command in (
        ["ruff", "check", "--quiet", "--fix-only", "--unsafe-fixes", "--select=F401,I,F811"],
        ["ruff", "format", "--quiet"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command, "--stdin-filename", str(path), "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        )
        text = done.stdout
    return text
