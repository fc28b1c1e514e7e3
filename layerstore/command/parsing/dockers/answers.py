"""Taking what docker's users type, and answering what isn't here: one line, and exit status 2.

Owns the way from docker's words to those of the grammar. Answers are options of the parsers that
are in no help and in no completion; those of a verb are added when that is what was typed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from layerstore.command.parsing.dockers.table import GROUPS, OPTIONS, OTHER_NAMES, VERBS
from layerstore.command.parsing.grammar import WRONG_USAGE

_TRUTHS = {
    **dict.fromkeys(("1", "t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("0", "f", "F", "false", "False", "FALSE"), False),
}
"""Go: strconv.ParseBool."""


def meant(
    parser: argparse.ArgumentParser,
    verb_of: Callable[[str], argparse.ArgumentParser | None],
    words: Sequence[str],
) -> list[str]:
    """Return the words as the grammar has them; ends the process where docker's verb isn't here.

    `verb_of` is asked once at most: for the parser of the verb that was typed.
    """
    _answer_options(parser, OPTIONS[""])
    at = _first_of_no_option(parser, words)
    before, given = list(words[:at]), _in_our_words(parser, list(words[at:]))
    verb = verb_of(given[0]) if given else None
    if verb is None:
        return [*before, *given]
    _answer_options(verb, OPTIONS.get(given[0], {}))
    return [*before, given[0], *_without_truths(verb, given[1:])]


def _in_our_words(parser: argparse.ArgumentParser, words: list[str]) -> list[str]:
    """Return a verb with its arguments, by its name here."""
    if words[:1] == ["help"]:
        return ["help", *_in_our_words(parser, words[1:])[:1]]
    for count in (2, 1):
        name = " ".join(words[:count])
        if name in OTHER_NAMES:
            return [*OTHER_NAMES[name], *words[count:]]
        if name in VERBS:
            _answer(parser, name, VERBS[name])
    if words and words[0] in GROUPS:
        second = words[1] if len(words) > 1 else ""
        if second in VERBS:
            _answer(parser, " ".join(words[:2]), VERBS[second])
        known = ", ".join(n.partition(" ")[2] for n in OTHER_NAMES if n.startswith(words[0] + " "))
        _answer(parser, " ".join(words[:2]), f"after {words[0]} comes one of {known}")
    return words


def _answer(parser: argparse.ArgumentParser, what: str, answer: str) -> NoReturn:
    parser.exit(WRONG_USAGE, f"{parser.prog}: {what} isn't here: {answer}\n")


class _NotHere(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, answer: str) -> None:
        # With a value or without: nobody reads it.
        super().__init__(option_strings, dest, nargs="?", help=argparse.SUPPRESS)
        self._answer = answer

    def __call__(
        self, parser: argparse.ArgumentParser, _namespace: Any, _values: Any, option: Any = None
    ) -> None:
        _answer(parser, option, self._answer)


def _answer_options(parser: argparse.ArgumentParser, answers: Mapping[str, str]) -> None:
    for options, answer in answers.items():
        parser.add_argument(
            *options.split(), action=_NotHere, dest=argparse.SUPPRESS, answer=answer
        )


def _first_of_no_option(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Return where the first word is that is neither an option nor an option's value."""
    taking = {
        string
        for action in parser._actions
        for string in action.option_strings
        if action.nargs is None
    }
    at = 0
    while at < len(words) and words[at].startswith("-"):
        if words[at] == "--":
            return at + 1
        # A long option may be cut short, a short one has its value in the same word or the next.
        long = words[at].startswith("--")
        found = [one for one in taking if one == words[at] or (long and one.startswith(words[at]))]
        at += 2 if found else 1
    return at


def _without_truths(verb: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """Return a verb's words without docker's `=true` and `=false` after options that have none."""
    if any(action.nargs == argparse.PARSER for action in verb._actions):
        end = _first_of_no_option(verb, words)
    else:
        end = words.index("--") if "--" in words else len(words)
    plain = [word for given in words[:end] for word in _without_truth(verb, given)]
    return [*plain, *words[end:]]


def _without_truth(verb: argparse.ArgumentParser, word: str) -> Iterator[str]:
    name, equals, value = word.partition("=")
    found = [action for action in verb._actions if name in action.option_strings]
    answered = any(word in action.option_strings for action in verb._actions)
    if not (equals and found and found[0].nargs == 0) or value not in _TRUTHS or answered:
        yield word
    elif _TRUTHS[value]:
        yield name
    elif isinstance(found[0], argparse.BooleanOptionalAction):
        yield next(string for string in found[0].option_strings if string.startswith("--no-"))
