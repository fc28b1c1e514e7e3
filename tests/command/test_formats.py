"""The command's --format and --filter: docker's notation, on everything that lists."""

from __future__ import annotations

import json

import pytest

from layerstore.command import main
from layerstore.command.output.templates import InvalidTemplate, Template
from tests.command.fixtures import Run
from tests.support.archives import NAME


@pytest.fixture
def driver_name() -> str:
    """What is printed doesn't depend on it."""
    return "vfs"


def test_a_template_is_filled_in_for_each_row(loaded: Run) -> None:
    printed = loaded("images", "--format", r"{{.Repository}}:{{.Tag}}\t{{ .ID }}")
    (facts,) = json.loads(loaded("images", "--json"))
    assert printed == f"{NAME}\t{facts['id'][7:19]}\n"
    assert loaded("images", "--no-trunc", "--format", "{{.ID}}") == facts["id"] + "\n"


def test_a_table_has_the_titles_of_what_the_template_names(loaded: Run) -> None:
    printed = loaded("images", "--format", r"table {{.Tag}}\t{{.Repository}}")
    assert printed == "TAG   REPOSITORY\n1     test/app\n"
    assert loaded("images", "--format", "table") == loaded("images")


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (["images"], {"Repository", "Tag", "Digest", "ID", "CreatedSince", "CreatedAt", "Size"}),
        (["history", NAME], {"ID", "CreatedSince", "CreatedAt", "CreatedBy", "Size", "Comment"}),
        (["du"], {"Type", "TotalCount", "Active", "Size", "Reclaimable"}),
        (["diff", "web"], {"Kind", "Path"}),
        (
            ["ls"],
            {
                "ID",
                "Image",
                "CreatedSince",
                "CreatedAt",
                "Status",
                "Name",
                "Path",
                "Parent",
                "Size",
            },
        ),
    ],
)
def test_json_is_an_object_on_each_line(loaded: Run, words: list[str], fields: set[str]) -> None:
    loaded("create", "web", "--image", NAME)
    for line in loaded(*words, "--format", "json").splitlines():
        assert set(json.loads(line)) == fields
    for field in fields:
        loaded(*words, "--format", f"{{{{.{field}}}}}")


@pytest.mark.parametrize(
    "words", [["images"], ["ls"], ["du"], ["diff", "web"], ["info"], ["history", NAME], ["check"]]
)
def test_a_field_that_does_not_exist_is_named_with_those_that_do(
    loaded: Run, words: list[str]
) -> None:
    loaded("create", "web", "--image", NAME)
    message = loaded(*words, "--format", "{{.Nonsense}}", status=1)
    assert "there is no field Nonsense, but " in message


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("{{.A}}-{{json .A}}", 'x-"x"'),
        ("{{.D.E}}", "[1, 2]"),
        ("{{json .D}}", '{"E": [1, 2]}'),
        ("{{.B}} {{.N}}", "true null"),
        (r"{{.A}}\n\t{{.A}}", "x\n\tx"),
        ("{{.}}", '{"A": "x", "B": true, "N": null, "D": {"E": [1, 2]}}'),
    ],
)
def test_templates(text: str, filled: str) -> None:
    fields = {"A": "x", "B": True, "N": None, "D": {"E": [1, 2]}}
    assert Template(text).fill(fields) == filled


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{.A", "without its }}"),
        ("A}}", "without its }}"),
        ("{{A}}", "{{A}} is not understood"),
        ("{{upper .A}}", "{{upper .A}} is not understood"),
        ("{{range .A}}", "is not understood"),
        ("{{.A.B}}", "there is no field A.B: what it should be in has no fields"),
        ("{{.C}}", "there is no field C, but A"),
    ],
)
def test_other_templates_are_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidTemplate) as refused:
        Template(text).fill({"A": "x"})
    assert reason in str(refused.value)


def test_control_characters_in_fields_are_escaped_for_a_terminal() -> None:
    assert Template("{{.A}}\\t").fill({"A": "\x1b[31m"}, terminal=True) == "\\x1b[31m\t"
    assert Template("{{.A}}").fill({"A": "\x1b[31m"}) == "\x1b[31m"


def test_images_are_filtered(loaded: Run) -> None:
    loaded("create", "web", "--image", NAME)
    newer = loaded("commit", "web", "newer:2", "-c", "LABEL a=b").strip()
    nameless = loaded("commit", "web").strip()
    base = loaded("images", "-q", "--no-trunc", NAME).strip()

    def listed(*filters: str) -> set[str]:
        words = [word for text in filters for word in ("--filter", text)]
        return set(loaded("images", "-q", "--no-trunc", *words).split())

    assert listed() == {base, newer, nameless}
    assert listed("dangling=true") == {nameless}
    assert listed("dangling=false") == {base, newer}
    assert listed("reference=new*") == {newer}
    assert listed("reference=new*", "reference=test/*:1") == {base, newer}
    assert listed("reference=new*", "dangling=true") == set()
    assert listed(f"since={NAME}") == {newer, nameless}
    assert listed("before=newer:2") == {base}
    assert listed("label=a") == listed("label=a=b") == {newer}
    assert listed("label=a=c") == set()
    assert loaded("images", "newer", "--format", "{{.Tag}}") == "2\n"


def test_read_write_layers_are_filtered(loaded: Run) -> None:
    loaded("create", "job-1", "--image", NAME)
    loaded("create", "job-2")
    mount_id = loaded("create", "web").strip()

    def listed(text: str) -> list[str]:
        return loaded("ls", "-q", "--filter", text).split()

    assert listed("name=job-") == ["job-1", "job-2"]
    assert listed(f"id={mount_id[:8]}") == ["web"]
    assert listed(f"ancestor={NAME}") == ["job-1"]
    loaded("commit", "job-1", "same:1")
    loaded("create", "job-3", "--image", "same:1")
    assert listed(f"ancestor={NAME}") == ["job-1"], "on the same layer is another image's"
    assert listed("ancestor=same:1") == ["job-3"]
    loaded("rm", "job-3")
    assert listed("status=unmounted") == ["job-1", "job-2", "web"]
    assert listed("status=mounted") == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["images", "--filter", "nonsense=1"], "'nonsense=1' is no filter"),
        (["images", "--filter", "dangling"], "'dangling' is no filter"),
        (["images", "--filter", "dangling=maybe"], "neither true nor false"),
        (["ls", "--filter", "status=maybe"], "none of mounted, unmounted"),
    ],
)
def test_a_bad_filter_is_wrong_usage(
    words: list[str], message: str, arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, *words])
    assert ended.value.code == 2
    assert message in capfd.readouterr().err
