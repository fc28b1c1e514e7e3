"""The house keeps its own rules: sizes, rooms that say what they are, code as it is generated."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project.documents import HERE
from tools import call
from tools.faces.__main__ import modules

_MOST_LINES = 350
_MOST_ENTRIES = 16
_PLACES = ("actors", "drivers", "layerstore", "tests", "tools", "benchmarks", "examples")
_CACHE = "__pycache__"
_TEXT = {".py", ".c", ".h", ".go", ".js", ".css", ".html"}


def folders() -> Iterator[tuple[Path, list[str]]]:
    """Every folder of the code, with the names in it."""
    for place in _PLACES:
        for folder, below, names in os.walk(HERE / place):
            below[:] = [name for name in below if set(os.listdir(f"{folder}/{name}")) - {_CACHE}]
            below[:] = [name for name in below if name != _CACHE]
            yield Path(folder), [*below, *names]


def rooms() -> list[Path]:
    return [
        folder
        for folder, _ in folders()
        if folder.relative_to(HERE).parts[0] in ("actors", "drivers", "layerstore")
        and folder != HERE / "layerstore"
    ]


def test_no_file_is_longer_than_a_reader_takes_in() -> None:
    files = [folder / name for folder, names in folders() for name in names]
    lengths = {
        str(path.relative_to(HERE)): len(path.read_text().splitlines())
        for path in files
        if path.suffix in _TEXT and path.is_file()
    }
    assert len(lengths) > 300
    assert {path: lines for path, lines in lengths.items() if lines > _MOST_LINES} == {}


def test_no_folder_has_more_than_a_reader_overlooks() -> None:
    crowded = {str(folder): len(names) for folder, names in folders() if len(names) > _MOST_ENTRIES}
    assert crowded == {}


@pytest.mark.parametrize("room", rooms(), ids=lambda room: str(room.relative_to(HERE)))
def test_a_room_says_what_it_owns_what_it_never_does_and_where_to_begin(room: Path) -> None:
    said = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
    assert re.search(r"\bOwns\b", said), said
    assert re.search(r"\b(never|no|nor|nobody|nothing|doesn't)\b", said), said
    begin = re.search(r"Begin with `([\w/]+)`", " ".join(said.split()))
    assert begin is not None, said
    place = room / begin[1]
    assert place.with_suffix(".py").is_file() or (place / "__init__.py").is_file(), begin[1]


def test_every_room_is_on_the_map() -> None:
    text = (HERE / "CONTRIBUTING.md").read_text()
    for room in rooms():
        if room.parent in (HERE / "actors", HERE / "drivers", HERE / "layerstore"):
            assert f"`{room.name}/`" in text, room


def test_the_faces_are_what_the_declarations_make() -> None:
    stale = [str(path) for path, text in modules().items() if path.read_text() != text]
    assert stale == [], "python -m tools.faces"


@pytest.mark.root
def test_the_picture_of_a_call_shows_what_actors_say_today() -> None:
    assert call.PICTURE.read_text() == call.picture(call.traced()), "python -m tools.call"


def test_a_commit_is_linted_as_ci_lints() -> None:
    entries = re.findall(r"entry: (.*)", (HERE / ".pre-commit-config.yaml").read_text())
    linted = re.search(r'heading "linters"\n(.*?)\n\n', (HERE / ".ci/run").read_text(), re.DOTALL)
    assert linted is not None
    commands = linted[1].split("\n")
    assert set(entries) == {line for line in commands if not line.startswith("mkdocs")}


def test_files_that_documents_name_are_there() -> None:
    texts = [HERE / "README.md", HERE / "CONTRIBUTING.md", *(HERE / "docs").glob("*.md")]
    named = {
        (text.name, found)
        for text in texts
        for found in re.findall(
            r"`((?:actors|drivers|layerstore|tests|tools|benchmarks)/[\w/.]+)`", text.read_text()
        )
    }
    assert len(named) > 20
    gone = {
        (text, name) for text, name in named if not (HERE / name).exists() and "NAME" not in name
    }
    # What lies in a store's root is named as it lies there.
    assert {(text, name) for text, name in gone if not name.startswith("layerstore/")} == set()
