"""From text to instructions: lines, their continuation, comments, the escape directive, flags.

Source: the Dockerfile reference, "Format" and "Parser directives"; buildkit: parser.Parse. What is
odd in them is so there: an escape counts at the very end of a text, too, a comment in the middle of
an instruction is left out, and a flag ends with the first word that doesn't begin with `--`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from layerstore.images.dockerfile.bad import BYTE_ORDER_MARK, SPACES, BadInstruction, trimmed

_LONGEST_LINE = 65535
"""Bytes. Go: bufio.MaxScanTokenSize, less the end of the line."""
_LEADING = re.compile(rf"\A[{SPACES}]+")
_GAP = re.compile(r"[\t\v\f\r ]+")
_DIRECTIVE = re.compile(r"#[\t\f\r ]*([a-zA-Z][a-zA-Z0-9]*)[\t\f\r ]*=[\t\f\r ]*(.+?)[\t\f\r ]*\Z")
_DIRECTIVES = frozenset({"syntax", "escape"})
_ESCAPES = ("\\", "`")
_CONTINUED = {
    escape: re.compile(rf"(?:(?<=[^{re.escape(escape)}])|\A){re.escape(escape)}[ \t]*\Z")
    for escape in _ESCAPES
}
_GAP_OF_FLAGS = r"\t\n\v\f\r\x20"
"""Of white space these only: flags are read byte by byte."""
_FLAG = re.compile(
    rf"""(?P<word>--(?:\\.|"(?:\\.|[^"\\])*(?:"|\\?\Z)|'(?:\\.|[^'\\])*(?:'|\\?\Z)|[^{_GAP_OF_FLAGS}\\"'])*)
    (?:\\?\Z|(?=[{_GAP_OF_FLAGS}]))[{_GAP_OF_FLAGS}]*""",
    re.VERBOSE | re.DOTALL,
)
_PLAIN = re.compile(r"""\\(.)|["'\\]""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction; `text` is all of it, in one line."""

    name: str
    """In lower case."""
    rest: str
    flags: tuple[str, ...]
    text: str


def instructions_of(text: str) -> tuple[list[Instruction], str]:
    """Return the instructions of a text, and the character that escapes in it.

    Raises BadInstruction, for none as well.
    """
    reader = _Reader()
    found = [instruction(line) for line in reader.logical(text.split("\n"))]
    if not found:
        raise BadInstruction("there is no instruction in it")
    return found, reader.escape


def instruction(line: str) -> Instruction:
    """Split one line. Raises BadInstruction."""
    name, *after = _GAP.split(trimmed(line), maxsplit=1)
    rest, flags = _without_flags(after[0] if after else "")
    return Instruction(name.lower(), trimmed(rest), flags, line)


@dataclass(slots=True)
class _Reader:
    escape: str = "\\"
    _seen: set[str] = field(default_factory=set)
    _in_directives: bool = True

    def logical(self, lines: Sequence[str]) -> Iterator[str]:
        """Give each instruction in one line, without comments and empty lines."""
        pending: str | None = None
        for number, raw in enumerate(lines):
            if len(raw.encode("utf-8", "surrogatepass")) > _LONGEST_LINE:
                raise BadInstruction(f"a line has more than {_LONGEST_LINE} bytes")
            line = raw.rstrip("\r")
            bare = _LEADING.sub("", line.removeprefix(BYTE_ORDER_MARK) if not number else line)
            self._directive(bare)
            if bare.startswith("#") or not bare:
                continue
            line = bare if pending is None else line
            continued = _CONTINUED[self.escape].search(line)
            pending = (pending or "") + (line[: continued.start()] if continued else line)
            if continued is None:
                yield pending
                pending = None
        if pending is not None:
            yield pending

    def _directive(self, line: str) -> None:
        """Take a line for a directive, as long as nothing else has come."""
        match = _DIRECTIVE.match(line) if self._in_directives else None
        name = match[1].lower() if match is not None else ""
        if match is None or name not in _DIRECTIVES:
            self._in_directives = False
            return
        if name in self._seen:
            raise BadInstruction(f"there is more than one {name} directive")
        self._seen.add(name)
        if name == "escape":
            if match[2] not in _ESCAPES:
                raise BadInstruction(f"{match[2]!r} is no escape: it is one of \\ and `")
            self.escape = match[2]


def _without_flags(rest: str) -> tuple[str, tuple[str, ...]]:
    """Return what follows the flags, and these, without their quotes."""
    rest = rest.lstrip("\t\n\v\f\r ")
    flags: list[str] = []
    while (match := _FLAG.match(rest)) is not None:
        rest = rest[match.end() :]
        flag = _PLAIN.sub(lambda piece: piece[1] or "", match["word"])
        if flag == "--":
            break
        flags.append(flag)
    return rest, tuple(flags)


def values_of(flags: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Return the values of `--name=value` flags. Raises BadInstruction."""
    found: dict[str, str] = {}
    for flag in flags:
        name, equals, value = flag.removeprefix("--").partition("=")
        if name not in known:
            there_are = f": there are {', '.join(f'--{one}' for one in known)}" if known else ""
            raise BadInstruction(f"there is no flag --{name} here{there_are}")
        if name in found:
            raise BadInstruction(f"--{name} is given twice")
        if not equals:
            raise BadInstruction(f"--{name} has no value")
        found[name] = value
    return found
