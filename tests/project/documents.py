"""The examples of README.md and docs/*.md: fenced blocks, each marked with what it is.

Owns the marks. `sh` and `python` blocks are executed in their order, `python FILE` blocks are saved
and, if they are tests, run by pytest; `toml` is parsed; `text` is neither. `sh install` is executed
where that is asked for, since it fetches packages; `sh ci` is what `.ci/run` does.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parents[2]
DOCUMENTS = [HERE / "README.md", *sorted((HERE / "docs").glob("*.md"))]
_FENCE = re.compile(r"^( *)```(.*)$")
_LIST = re.compile(r"^ *(?:[-*]|\d+\.) ")
MARKS = ("sh", "sh install", "sh ci", "python", "toml", "text")


class BadDocument(Exception):
    """A document has a block that isn't marked, or that never ends."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block, `line` being that of its first line."""

    path: Path
    line: int
    mark: str
    text: str

    @property
    def saved_as(self) -> str | None:
        """The file that it is saved as."""
        language, _, name = self.mark.partition(" ")
        return name or None if language == "python" else None


def blocks(path: Path) -> list[Block]:
    """Return the blocks of a document. Raises BadDocument."""
    found: list[Block] = []
    opened: tuple[int, str] | None = None
    lines: list[str] = []
    in_list = False
    before = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None and fence is not None:
            opened, lines = (number + 1, fence[2].strip()), []
        elif opened is None:
            if line and not line.startswith(" "):
                in_list = False
            in_list = in_list or _LIST.match(line) is not None
            if line.startswith("    ") and not before and not in_list:
                raise BadDocument(f"{path.name}:{number}: a block without a mark: {line}")
        elif fence is not None and not fence[2]:
            found.append(_checked(Block(path, *opened, "\n".join(lines))))
            opened = None
        else:
            lines.append(line)
        before = line
    if opened is not None:
        raise BadDocument(f"{path.name}:{opened[0]}: a block that never ends")
    return found


def _checked(block: Block) -> Block:
    if block.mark not in MARKS and block.saved_as is None:
        raise BadDocument(f"{block.path.name}:{block.line}: the mark {block.mark!r} says nothing")
    return block


def script_of(found: list[Block]) -> str:
    """Return a script for bash that executes the blocks, each in the same directory.

    What is to be executed is told on standard error before it is, to know which one has failed.
    """
    lines = ["set -euo pipefail", "place=$PWD"]
    for block in found:
        command = _command(block)
        if command is not None:
            lines += ['cd "$place"', f"echo {block.path.name}:{block.line} >&2", command]
    return "\n".join(lines) + "\n"


def _command(block: Block) -> str | None:
    if block.mark == "sh":
        return block.text
    if block.mark == "python":
        return f"python - <<'END_OF_BLOCK'\n{block.text}\nEND_OF_BLOCK"
    name = block.saved_as
    if name is None:
        return None
    save = f"cat > {shlex.quote(name)} <<'END_OF_BLOCK'\n{block.text}\nEND_OF_BLOCK"
    test = f"\npython -m pytest -q -p no:cacheprovider {shlex.quote(name)}"
    return save + (test if name.startswith("test_") else "")
