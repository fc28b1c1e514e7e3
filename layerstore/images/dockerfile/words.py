"""Words of an instruction: where one ends, and what its quotes, escapes and variables stand for.

Source: the Dockerfile reference, "Environment replacement"; buildkit: parseWords, shell.Lex. It is
much like a shell's way, but `$1`, `$?` and so on are variables that nobody sets.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from layerstore.images.dockerfile.bad import BYTE_ORDER_MARK, SPACES, BadInstruction

_SPECIAL = "@*#?-$!0"
_END = ""
_SPACE = re.compile(rf"[{SPACES}]")

Piece = tuple[str, bool]
"""A part of a word, and whether white space in it ends a word: quoted and escaped it doesn't."""


def split_words(text: str, escape: str) -> list[str]:
    """Split at white space that is neither quoted nor escaped; quotes and escapes stay."""
    return [match["word"] for match in _word_pattern(escape).finditer(text)]


@functools.cache
def _word_pattern(escape: str) -> re.Pattern[str]:
    e = re.escape(escape)
    parts = (
        rf"{e}.",
        rf'"(?:{e}.|[^"{e}])*(?:"|(?={e}?\Z))',
        r"'[^']*(?:'|\Z)",
        rf"[^{SPACES}{e}\"']",
    )
    return re.compile(rf"(?P<word>(?:{'|'.join(parts)})+)(?:{e}\Z)?", re.DOTALL)


def expanded(word: str, env: Mapping[str, str], escape: str) -> str:
    """Return what a word stands for. Raises BadInstruction."""
    return "".join(text for text, _ in _pieces(word, env, escape))


def expanded_words(word: str, env: Mapping[str, str], escape: str) -> list[str]:
    """Return the words that a word stands for: values of variables are split."""
    words, current = [], ""
    for text, splits in _pieces(word, env, escape):
        if not splits:
            current += text
            continue
        first, *others = _SPACE.split(text)
        current += first
        for other in others:
            words.append(current)
            current = other
    return [found for found in (*words, current) if found]


def _pieces(word: str, env: Mapping[str, str], escape: str) -> list[Piece]:
    try:
        # Go's scanner takes one in front for no part of the text.
        return _Expansion(word.removeprefix(BYTE_ORDER_MARK), env, escape).until(_END)
    except RecursionError as error:
        raise BadInstruction(f"{word[:40]!r}... is nested too deeply") from error
    except BadInstruction as error:
        raise BadInstruction(f"{word!r}: {error}") from error


class _Expansion:
    def __init__(self, text: str, env: Mapping[str, str], escape: str) -> None:
        self._text = text
        self._at = 0
        self._env = env
        self._escape = escape

    def until(self, stop: str) -> list[Piece]:
        """Read up to a character, or the end."""
        found: list[Piece] = []
        while (char := self._next()) != stop:
            if char == _END:
                raise BadInstruction(f"there is no {stop} in the end")
            if char == "'":
                found.append((self._single_quoted(), False))
            elif char == '"':
                found.append((self._double_quoted(), False))
            elif char == "$":
                found.append((self._variable(), True))
            elif char == self._escape:
                found.append((self._next(), False))
            else:
                found.append((char, True))
        return found

    def _next(self) -> str:
        char = self._peek()
        self._at += 1
        return char

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise BadInstruction("there is no ' in the end")
        begin, self._at = self._at, end + 1
        return self._text[begin:end]

    def _double_quoted(self) -> str:
        found = ""
        while (char := self._next()) != '"':
            if char == _END:
                raise BadInstruction('there is no " in the end')
            if char == "$":
                found += self._variable()
            elif char == self._escape and self._peek() in ('"', "$", self._escape, _END):
                found += self._next()
            else:
                found += char
        return found

    def _variable(self) -> str:
        """Read what follows a $."""
        if self._peek() != "{":
            name = self._name()
            return self._env.get(name, "") if name else "$"
        self._at += 1
        if self._peek() in ("{", "}", ":"):
            raise BadInstruction("there is no name in ${}")
        name = self._name()
        value = self._env.get(name, "")
        following = self._next()
        if following == "}":
            return value
        if following != ":":
            raise BadInstruction("after a name in ${} comes }, :-, :+ or :?")
        return self._modified(name, value, self._next())

    def _modified(self, name: str, value: str, how: str) -> str:
        """Read what follows `${NAME:-` or the like."""
        word = "".join(text for text, _ in self.until("}"))
        match how:
            case "-":
                return value or word
            case "+":
                return word if value else ""
            case "?" if value:
                return value
            case "?":
                raise BadInstruction(f"{name}: {word or 'it is not set'}")
        raise BadInstruction("after a name in ${} comes }, :-, :+ or :?")

    def _name(self) -> str:
        begin = self._at
        if self._peek().isdecimal():
            while self._peek().isdecimal():
                self._at += 1
        elif self._peek() and self._peek() in _SPECIAL:
            self._at += 1
        else:
            while self._peek().isalpha() or self._peek().isdecimal() or self._peek() == "_":
                self._at += 1
        return self._text[begin : self._at]
