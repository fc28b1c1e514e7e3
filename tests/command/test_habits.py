"""What docker's users type is taken, or answered by one line that says what to type instead."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from layerstore.command import main
from layerstore.command.output.tables import human_size
from layerstore.command.parsing.arguments import parse_arguments
from layerstore.command.parsing.dockers.table import GROUPS, OTHER_NAMES, VERBS
from tests.command.fixtures import Run
from tests.command.habits import BEFORE, HABITS, VALUES, Habit
from tests.command.test_command import columns
from tests.support.archives import NAME
from tests.support.busybox import NAME as APP

_OPTION = re.compile(r"^ {2,6}(?:(-\w), )?(--[\w-]+)", re.MULTILINE)
_VERB = re.compile(r"^  ([\w-]+) {2,}", re.MULTILINE)


@pytest.fixture
def driver_name() -> str:
    """What is typed doesn't depend on it."""
    return "vfs"


def ways(verb: str, habit: Habit) -> list[tuple[str, list[str]]]:
    """Return every option of a verb that is taken, with the words that it is typed in."""
    found: list[tuple[str, list[str]]] = []
    for option, after in zip(habit.taken, [*habit.taken[1:], ""], strict=True):
        long = after if not option.startswith("--") and after.startswith("--") else option
        value = VALUES.get("--hostname" if option == "-h" and verb == "run" else long)
        if verb == "ps" and long == "--filter":
            value = "name=x"
        words = [option, *([value] if value is not None else [])]
        found.append((option, [*verb.split(), *words, *habit.words]))
    return found


def status_of(words: list[str]) -> int | None:
    """Return the exit status of the parser alone; None where it goes on to the verb."""
    try:
        parse_arguments(words)
    except SystemExit as ended:
        return int(str(ended.code))
    return None


@pytest.mark.parametrize("verb", HABITS)
def test_each_option_of_docker_s_is_taken_or_answered_in_a_line(
    verb: str, capfd: pytest.CaptureFixture[str]
) -> None:
    habit = HABITS[verb]
    if verb not in VERBS:
        for option, words in ways(verb, habit):
            helps = option == "--help" or (option == "-h" and verb == "create")
            assert status_of(words) == (0 if helps else None), words
    for number, option in enumerate(habit.answered):
        capfd.readouterr()
        values = [[], ["value"], ["80:80", "more"]][number % 3]
        assert status_of([*verb.split(), option, *values, *habit.words]) == 2
        (line,) = capfd.readouterr().err.splitlines()
        what = verb if verb in VERBS else option
        name = "" if verb in VERBS else f" {OTHER_NAMES.get(verb, verb.split())[0]}"
        assert line.startswith(f"layerstore{name}: {what} isn't here: ")


def test_so_are_those_before_the_verb(capfd: pytest.CaptureFixture[str]) -> None:
    for option in BEFORE.taken:
        assert status_of([option, *BEFORE.words]) == 0
    for option in BEFORE.answered:
        capfd.readouterr()
        assert status_of([option, *BEFORE.words]) == 2
        assert capfd.readouterr().err.startswith(f"layerstore: {option} isn't here: ")


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_of_docker_s_alone_is_answered_in_a_line(
    verb: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for words in (verb.split(), [*verb.split(), "--frob", "x"], ["help", *verb.split()]):
        assert status_of(["--root", "/none", *words]) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith(f"layerstore: {verb} isn't here: ")
    if " " not in verb:
        assert status_of(["container", verb]) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert f" {verb} isn't here: " in line


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_docker_s_other_names_of_a_verb_are_that_verb(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for words in ([*name.split(), "--help"], ["--wait", "1", *name.split(), "--help"]):
        assert status_of(words) == 0
        assert f"usage: layerstore {OTHER_NAMES[name][0]} " in capfd.readouterr().out
    assert status_of(["help", *name.split()]) is None


@pytest.mark.parametrize("words", [["image"], ["image", "frob"], ["system", "-x"], ["container"]])
def test_a_first_word_of_two_is_answered_with_the_second_ones(
    words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert status_of(words) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert f"after {words[0]} comes one of" in line


@pytest.mark.needs("docker")
def test_docker_has_no_option_and_no_verb_that_is_not_in_the_tables() -> None:
    def help_of(verb: str) -> str:
        return subprocess.run(
            ["docker", *verb.split(), "--help"], capture_output=True, text=True, check=True
        ).stdout

    for verb, habit in [*HABITS.items(), ("", BEFORE)]:
        found = {option for pair in _OPTION.findall(help_of(verb)) for option in pair if option}
        assert found or verb in ("diff", "logout", "pause", "tag", "top", "unpause")
        assert found <= {*habit.taken, *habit.answered}, verb
    for group in ("", *GROUPS):
        verbs = set(_VERB.findall(help_of(group)))
        assert len(verbs) > 3
        names = {f"{group} {verb}".strip() for verb in verbs if verb not in (*VERBS, *GROUPS)}
        ours = {"completion", *(words[0] for words in OTHER_NAMES.values()), *HABITS}
        assert names - {*OTHER_NAMES, *VERBS} <= ours


def test_what_docker_s_options_set_to_false_is_off(loaded: Run) -> None:
    size = "{{.Size}}"
    loaded("create", "web", "--image", NAME)
    loaded("commit", "web", "next:1", "--pause=false", "-c", "LABEL a=b")
    assert loaded("history", "--human=false", "--format", size, "next:1") == "0\n"
    assert loaded("history", "-H=true", "--no-trunc=false", "--format", size, "next:1") == "0B\n"
    loaded("rm", "--force=true", "web")


def test_force_is_content_with_what_is_not_there(
    loaded: Run, arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    loaded("create", "web", "--image", NAME)
    for verb, there in (("rm", "web"), ("rmi", NAME)):
        assert main([*arguments, verb, "-f", "none", there]) == 0
        out, err = capfd.readouterr()
        assert there in out
        assert err.endswith(" none does not exist\n")


def test_a_layer_is_created_with_docker_s_words(loaded: Run) -> None:
    loaded("create", "--name", "web", "--pull", "never", "-q", NAME)
    assert loaded("ls", "--format", "{{.Name}} {{.Image}}") == f"web {NAME}\n"
    message = loaded("create", NAME, status=1)
    assert f"create NAME --image {NAME}" in message
    assert "nothing left to say" in loaded(
        "create", "--name", "a1", "--image", NAME, "b1", status=1
    )


def test_rmi_keeps_what_an_image_was_made_from_if_it_is_asked_to(loaded: Run) -> None:
    loaded("create", "web", "--image", NAME)
    loaded("commit", "web", "middle:1", "-c", "LABEL a=1")
    loaded("create", "next", "--image", "middle:1")
    loaded("commit", "next", "top:1", "-c", "LABEL a=2")
    loaded("rm", "web", "next")
    middle = loaded("images", "-q", "--no-trunc", "middle:1").strip()
    loaded("rmi", "-f", "middle:1")
    assert middle not in loaded("images", "-q", "--no-trunc"), "intermediate, so it is hidden"
    assert middle not in loaded("images", "-aq", "--no-trunc", "--filter", "dangling=true")
    assert middle in loaded("images", "-aq", "--no-trunc")
    loaded("rmi", "--no-prune", "top:1")
    assert middle in loaded("images", "-q", "--no-trunc"), "nothing is made from it any more"
    assert middle in loaded("images", "-q", "--no-trunc", "--filter", "dangling=true")


def test_digests_have_a_column_and_no_row_of_their_own_beside_a_tag(
    loaded: Run, arguments: list[str]
) -> None:
    repository, _, tag = NAME.partition(":")
    digests = ["sha256:" + "ab" * 32, "sha256:" + "cd" * 32]
    path = Path(arguments[1], "image/vfs/repositories.json")
    document = json.loads(path.read_text())
    (image,) = document["Repositories"][repository].values()
    document["Repositories"][repository] |= {f"{repository}@{one}": image for one in digests}
    document["Repositories"]["other"] = {f"other@{digests[0]}": image}
    path.write_text(json.dumps(document))
    rows = columns(loaded("images"))
    assert [row[:2] for row in rows[1:]] == [["other", "<none>"], [repository, tag]]
    heading, *rows = columns(loaded("images", "--digests"))
    assert heading == ["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"]
    assert [row[:3] for row in rows] == [
        ["other", "<none>", digests[0]],
        *([repository, tag, digest] for digest in digests),
    ]
    printed = loaded("images", "--format", "{{.Repository}} {{.Digest}}", "other")
    assert printed == f"other {digests[0]}\n"


def test_the_layers_made_last_and_their_sizes(loaded: Run) -> None:
    for name in ("one", "two", "three"):
        loaded("create", name, "--image", NAME)
    (Path(loaded("mount", "two").strip()) / "new").write_bytes(b"x" * 5000)
    loaded("umount", "two")
    assert loaded("ps", "-a", "-q", "-n", "2") == "three\ntwo\n"
    assert loaded("ps", "-lq") == "three\n"
    assert loaded("ps", "-q", "--last", "0") == ""
    of_image = json.loads(loaded("images", "--json"))[0]["size"]
    (row,) = columns(loaded("ps", "-s", "--filter", "name=two"))[1:]
    assert row[-1] == f"5kB (virtual {human_size(5000 + of_image)})"
    assert loaded("ls", "--filter", "name=one", "--format", "{{.Size}}") == (
        f"0B (virtual {of_image}B)\n"
    )


def test_what_inspect_tells_of_a_container(loaded: Run) -> None:
    loaded("create", "web", "--image", NAME)
    of_image = json.loads(loaded("images", "--json"))[0]["size"]
    template = "{{.Name}} {{.SizeRw}} {{.SizeRootFs}}"
    printed = loaded("inspect", "-s", "-f", template, "--type", "container", "web")
    assert printed == loaded("container", "inspect", "-f", template, "web")
    assert printed == f"web 0 {of_image}\n"
    assert loaded("image", "inspect", "-f", "{{.Os}}", NAME) == "linux\n"
    assert "does not exist" in loaded("image", "inspect", "web", status=1)
    assert loaded("info", "-f", "{{.StorageDriver}}") == "vfs\n"


def test_nothing_is_imported_from_an_address(capfd: pytest.CaptureFixture[str]) -> None:
    assert status_of(["import", "https://host/rootfs.tar", "app:1"]) == 2
    assert "curl -L https://host/rootfs.tar | layerstore import -" in capfd.readouterr().err


@pytest.mark.root
@pytest.mark.needs("/bin/busybox")
def test_a_run_has_variables_of_files_and_mounts(
    app: Run, arguments: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "variables"
    given.write_text('\ufeff# none\n  A=1 \nB="x y"\n\nHOME\nNOT_SET_HERE\nC=file\r\n')
    mount = f'type=bind,"source={tmp_path}",dst=/v,ro,consistency=cached'
    script = 'echo "$A|$B|$C|$HOME|${NOT_SET_HERE-no}"; hostname; cat /v/variables | wc -l'
    script += "; touch /v/x 2>/dev/null || echo ro"
    words = [
        "-u",
        "0",
        "--env-file",
        str(given),
        "-e",
        "C=word",
        "--mount",
        mount,
        "-h",
        "own",
        "--net=none",
    ]
    words += ["--sig-proxy", "--pull=missing", "-i=false", "--rm=true"]
    assert main([*arguments, "run", *words, APP, "sh", "-c", script]) == 0
    home = os.environ["HOME"]
    assert capfd.readouterr().out.splitlines() == [f'1 |"x y"|word|{home}|no', "own", "7", "ro"]
    assert main([*arguments, "run", APP, "echo", "--rm=false", "-d"]) == 0
    assert capfd.readouterr().out == "--rm=false -d\n", "the command's own words"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--env-file", "=x", "line 1 is no KEY=VALUE, KEY or comment"),
        ("--env-file", "A=1\nA B=1", "line 2 is no KEY=VALUE"),
        ("--env-file", "A=\udcff", "is UTF-8"),
        ("--env-file", None, "No such file"),
        ("--mount", "source=/a,target=/b", "of type=bind, not of volume"),
        ("--mount", "type=tmpfs,target=/b", "of type=bind, not of tmpfs"),
        ("--mount", "type=bind,source=a,target=/b", "begin with /"),
        ("--mount", "type=bind,source=/a", "begin with /"),
        ("--mount", "type=bind,source=/a,target=/b,ro=x", "readonly is true or false"),
        ("--mount", "type=bind,source=/a,target=/b,bind-propagation=shared", "can't be had"),
        ("--mount", "type=bind,source=/a,target=/b,x", "'x' is no KEY=VALUE"),
        ("--mount", 'type=bind,"source=/a', "with quotes where needed"),
        ("--mount", "type=bind\nx", "with quotes where needed"),
        ("--mount", "", "of type=bind, not of volume"),
    ],
)
def test_what_of_these_docker_refuses_is_refused_before_anything_is_made(
    run: Run, tmp_path: Path, arguments: list[str], option: str, value: str | None, message: str
) -> None:
    if option == "--env-file":
        path = tmp_path / "variables"
        if value is not None:
            path.write_bytes(value.encode("utf-8", "surrogateescape"))
        value = str(path)
    assert message in run("run", option, str(value), "none:1", status=125)
    assert not Path(arguments[1]).exists()
