"""Instructions of a Dockerfile change a configuration as with dockerd, or are refused as there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.dockerd import private_dockerd
from layerstore import InvalidArgument, LayerStore
from layerstore.images.making.changes import changed_config
from layerstore.images.making.commit import committed_config
from tests.docker.api import Docker
from tests.docker.root import need_dockerd
from tests.images.instructions.dockers import BASES, Asked, Config, table, told
from tests.images.samples import LAYERS, load
from tests.support.archives import NAME, config_of, docker_archive

LONGEST = [["USER " + "u" * 65_530], ["CMD c\nUSER " + "u" * 65_530 + "\nUSER v"]]
TOO_LONG = [[change.replace("USER ", "USER u")] for (change,) in LONGEST]


def ours(way: str, changes: list[str]) -> Config | None:
    """Return what layerstore makes of a row."""
    config = json.dumps({"config": BASES[way]}).encode()
    if way != "import":
        parent = config_of([b""], config=BASES[way])
        made_at = "2024-01-01T00:00:00Z"
        config = committed_config(parent, None, name="x", created=made_at, author="", comment="")
    try:
        return told(json.loads(changed_config(config, changes))["config"], way)
    except InvalidArgument:
        return None


def test_every_instruction_does_what_dockerd_makes_of_it() -> None:
    rows = table()
    assert len(rows) > 400
    assert sum(row.result is None for row in rows) > 100
    differing = [(row, ours(row.way, row.changes)) for row in rows]
    assert [(row, made) for row, made in differing if row.result != made] == []


def test_a_line_is_as_long_as_docker_s_parser_takes_them() -> None:
    for changes in LONGEST:
        assert ours("import", changes) is not None
    for changes in TOO_LONG:
        assert ours("import", changes) is None


@pytest.fixture
def asked(request: pytest.FixtureRequest, base_directory: Path) -> Iterator[Asked]:
    """A dockerd to ask."""
    need_dockerd(request, base_directory)
    with (
        tempfile.TemporaryDirectory(dir=base_directory) as place,
        private_dockerd(place) as daemon,
    ):
        yield Asked(Docker(daemon), Path(place))


@pytest.mark.root
@pytest.mark.thorough
def test_the_table_is_what_dockerd_answers(asked: Asked) -> None:
    """Where it isn't any more, `python -m tests.images.instructions` writes it anew."""
    answers = [(row, asked.answer(row.way, row.changes)) for row in table()]
    assert [(row, answer) for row, answer in answers if row.result != answer] == []
    for changes in [*LONGEST, *TOO_LONG]:
        assert asked.answer("import", changes) == ours("import", changes)


def test_bytes_that_are_no_characters_are_written_as_go_writes_them() -> None:
    (row,) = json.loads(changed_config(b"{}", ["ENV A=a\udce4\udcff"]))["config"]["Env"]
    assert row == "A=a\ufffd\ufffd"


def test_variables_within_variables_have_an_end() -> None:
    with pytest.raises(InvalidArgument, match="nested too deeply"):
        changed_config(b"{}", ["ENV A=" + "${B:-" * 10_000 + "}" * 10_000])


def test_an_error_names_the_instruction_and_what_is_wrong() -> None:
    with pytest.raises(InvalidArgument) as refused:
        changed_config(b"{}", ["USER u", "ENV A=1 B", "CMD c"])
    assert str(refused.value) == "invalid argument 'ENV A=1 B': there is no = in 'B'"


@pytest.fixture
def driver_name() -> str:
    """What a configuration says doesn't depend on it."""
    return "vfs"


def test_a_commit_expands_variables_of_the_image_and_keeps_what_is_not_changed(
    store: LayerStore,
) -> None:
    base = {"env": ["PATH=/bin", "A=one"], "cmd": "a b", "Healthcheck": None, "Own": [1]}
    load(store, docker_archive(LAYERS, config=base))
    with store.images.create("web", NAME) as rw:
        store.images.commit(rw, "changed", changes=["ENV PATH=$PATH:/x", "LABEL a=$A"])
        plain = store.images.commit(rw)
    assert store.images.config("changed")["config"] == {
        "Cmd": ["a b"],
        "Env": ["PATH=/bin:/x", "A=one"],
        "Healthcheck": None,
        "Labels": {"a": "one"},
        "Own": [1],
    }
    assert store.images.config(plain.id)["config"]["Cmd"] == ["a b"]
