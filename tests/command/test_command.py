"""The command: what it prints, in which form, and with which exit status."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from layerstore import ImageStore, LayerStore
from layerstore.command import main
from layerstore.drivers.model import ids
from tests.command.fixtures import BASE, Run
from tests.support.archives import (
    NAME,
    as_directory,
    as_tar,
    config_of,
    digest_of,
    docker_archive,
    oci_layout,
)


def columns(printed: str) -> list[list[str]]:
    """Split a table at two or more spaces."""
    return [re.split(r" {2,}", line.rstrip()) for line in printed.splitlines()]


def test_images_are_listed_as_docker_lists_them(loaded: Run) -> None:
    heading, row = columns(loaded("images"))
    assert heading == ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]
    (facts,) = json.loads(loaded("images", "--json"))
    assert row[:3] == ["test/app", "1", facts["id"][7:19]]
    assert row[4] == f"{facts['size']}B"
    assert loaded("images", "-q") == facts["id"][7:19] + "\n"
    assert loaded("images", "-q", "--no-trunc") == facts["id"] + "\n"
    assert facts["names"] == [NAME]
    assert facts["created"] == "2024-01-02T03:04:05.678Z"
    assert len(facts["layers"]) == 2


def test_nothing_is_listed_as_headings_or_an_empty_list(begun: Run) -> None:
    for verb in ("images", "ls"):
        assert len(columns(begun(verb))) == 1
        assert json.loads(begun(verb, "--json")) == []


def test_what_is_asked_about_one_has_no_others_listed(
    loaded: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount_id = loaded("create", "web", "--image", NAME).strip()
    chain = json.loads(loaded("images", "--json"))[0]["layers"][-1]

    def listing(_: object) -> None:
        pytest.fail("all there are have been listed")

    for name in ("mounts", "map"):
        monkeypatch.setattr(LayerStore, name, listing)
    monkeypatch.setattr(ImageStore, "list", listing)
    for words in (
        ["info"],
        ["inspect", "web", NAME],
        ["inspect", mount_id[:12], chain, chain[7:19]],
        ["mount", mount_id[:12]],
        ["umount", mount_id],
        ["history", NAME],
        ["export", "web", "-o", tmp_path / "web.tar"],
        ["export", NAME, "-o", tmp_path / "app.tar"],
        ["cp", "web:/etc/name", tmp_path / "name"],
        ["diff", "web"],
        ["commit", "web", "made:1"],
        ["flatten", "made:1", "flat:1"],
        ["save", "flat:1", "-o", tmp_path / "saved.tar"],
        ["load", "-q", tmp_path / "saved.tar"],
        ["tag", "flat:1", "flat:2"],
        ["fork", "web", "forked"],
        ["reset", "forked"],
        ["rm", "web", "forked"],
        ["rmi", "made:1", NAME],
    ):
        loaded(*words)


def test_a_name_is_meant_before_the_start_of_an_id(
    loaded: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is drawn for IDs begins alike.
    drawn = deque(bytes.fromhex("beef") + os.urandom(30) for _ in range(100))
    monkeypatch.setattr(ids, "_drawn", drawn)
    one, two = (loaded("create", name, "--image", NAME).strip() for name in ("one", "two"))
    assert (one[:4], two[:4]) == ("beef", "beef")
    several = "2 read-write layers have IDs that start so"
    for words in (["inspect", "beef"], ["inspect", "--type", "mount", "beef"], ["diff", "beef"]):
        assert loaded(*words, status=1) == f"layerstore: invalid name 'beef': {several}\n"
    assert loaded("diff", "bee", status=1) == "layerstore: mount bee does not exist\n"
    loaded("create", "beef")
    (facts,) = json.loads(loaded("inspect", "beef"))
    assert facts["Name"] == "beef"
    assert json.loads(loaded("inspect", one, two[:20]))[1]["Name"] == "two"
    loaded("tag", NAME, "cafe")
    (facts,) = json.loads(loaded("inspect", "cafe"))
    assert facts["RepoTags"] == ["cafe:latest", NAME]
    assert "cafe" in loaded("inspect", "--type", "layer", "cafe", status=1)
    assert loaded("rm", "beef", one) == f"beef\n{one}\n"
    assert loaded("diff", "beef") == "", "that of the one that is left"


def test_the_start_of_several_images_ids_is_told(run: Run, root_dir: Path) -> None:
    starts: dict[str, str] = {}
    for number in itertools.count():
        start = digest_of(config_of([BASE], author=str(number)))[7:10]
        if start in starts:
            break
        starts[start] = str(number)
    for author in (starts[start], str(number)):
        archive = docker_archive([BASE], [], author=author)
        path = root_dir / f"{author}.tar"
        path.write_bytes(as_tar(archive))
        run("load", path)
    said = f"invalid name '{start}': 2 images have IDs that start so\n"
    assert run("inspect", start, status=1) == f"layerstore: {said}"


def test_info_counts_what_there_is(loaded: Run) -> None:
    loaded("create", "web", "--image", NAME)
    loaded("create", "loose")
    facts = json.loads(loaded("info", "--json"))
    assert (facts["Images"], facts["Layers"], facts["Mounts"]) == (1, 2, 2)


@pytest.mark.parametrize(
    "words",
    [
        "images", "ls", "info", "inspect x", "history x", "du", "check", "repair", "metrics",
        "diff x", "export x -o x.tar", "save x -o x.tar", "rm x", "rmi x", "tag x y", "mount x",
        "umount x", "commit x", "cp x:/ .", "prune -f", "push x",
    ],
)  # fmt: skip
def test_where_no_store_is_a_question_makes_none(
    run: Run, words: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    root = Path(arguments[1])
    for _ in range(2):
        said = run(*words.split(), status=1)
        assert said == f"layerstore: there is no store at {root}\n"
        assert not (root / "image").exists()
        assert list(root.parent.iterdir()) in ([], [root])
        root.mkdir(exist_ok=True)
    assert (list(root.iterdir()), list(tmp_path.iterdir())) == ([], [])


def test_a_read_write_layer_from_its_creation_to_its_removal(
    loaded: Run, arguments: list[str]
) -> None:
    mount_id = loaded("create", "web", "--image", NAME).strip()
    assert re.fullmatch("[0-9a-f]{64}", mount_id)
    path = Path(loaded("mount", "web").strip())
    assert (path / "etc/name").read_bytes() == b"top"
    (path / "new").write_bytes(b"1")
    (path / "bin/sh").unlink()
    assert loaded("diff", "web").splitlines() == ["C /bin", "D /bin/sh", "A /new"]
    assert json.loads(loaded("diff", "web", "--json"))[1] == {"path": "/bin/sh", "kind": "delete"}
    (facts,) = json.loads(loaded("ls", "--json"))
    assert (facts["name"], facts["id"], facts["image"]) == ("web", mount_id, NAME)
    heading, row = columns(loaded("ls"))
    assert heading == ["ID", "IMAGE", "CREATED", "STATUS", "NAME", "PATH"]
    assert row[:2] == [mount_id[:12], NAME]
    committed = loaded("commit", "web", "changed", "-m", "why", "-a", "who").strip()
    assert json.loads(loaded("images", "--json"))[0]["id"] == committed
    assert loaded("umount", mount_id[:12]) == f"{mount_id[:12]}\n"
    assert loaded("rm", "web") == "web\n"
    assert loaded("ls", "-q") == ""
    trash = Path(arguments[1], "layerstore/trash")
    assert list(trash.iterdir()) == [], "what is removed is off the disk when the command ends"


def test_read_write_layers_are_forked_and_reset(loaded: Run) -> None:
    mount_id = loaded("create", "web", "--image", NAME).strip()
    path = Path(loaded("mount", "web").strip())
    (path / "new").write_bytes(b"1")
    forks = loaded("fork", "--pause", mount_id[:12], "one", "two").split()
    listed = {facts["name"]: facts for facts in json.loads(loaded("ls", "--json"))}
    assert [listed[name]["id"] for name in ("one", "two")] == forks
    assert {facts["image"] for facts in listed.values()} == {NAME}
    assert loaded("diff", "two") == loaded("diff", "web") == "A /new\n"
    assert loaded("reset", "two", forks[0][:12]) == f"two\n{forks[0][:12]}\n"
    assert loaded("diff", "two") == loaded("diff", "one") == ""
    assert "one is already in use" in loaded("fork", "web", "one", "three", status=1)
    loaded("umount", "web")
    assert loaded("rm", "web", "one", "two", "three") == "web\none\ntwo\nthree\n"


def test_saved_images_can_be_loaded_again(loaded: Run, root_dir: Path) -> None:
    (before,) = json.loads(loaded("images", "--json"))
    out = root_dir / "out.tar"
    assert loaded("save", NAME, "-o", out) == ""
    removed = loaded("rmi", NAME).splitlines()
    assert removed[:2] == [f"Untagged: {NAME}", f"Deleted: {before['id']}"]
    assert removed[2:] == [f"Deleted: {chain}" for chain in reversed(before["layers"])]
    assert loaded("load", "-i", out) == f"Loaded image: {NAME}\n"
    assert json.loads(loaded("images", "--json")) == [before]


def test_an_oci_layout_without_names_is_told_by_its_id(run: Run, root_dir: Path) -> None:
    layout = as_directory(oci_layout([BASE]), root_dir / "layout")
    printed = run("load", layout)
    assert re.fullmatch(r"Loaded image ID: sha256:[0-9a-f]{64}\n", printed)
    image_id = printed.split()[-1]
    run("tag", image_id[7:19], "named:1")
    assert columns(run("images"))[1][:2] == ["named", "1"]


def test_disk_usage_counts_shared_layers_once(loaded: Run) -> None:
    loaded("create", "one", "--image", NAME)
    loaded("create", "two", "--image", NAME)
    usage = json.loads(loaded("du", "--json"))
    assert usage["layers"]["size"] == usage["images"]["size"] > 0
    assert (usage["mounts"]["total"], usage["layers"]["reclaimable"]) == (2, 0)
    assert "items" not in usage["layers"]
    verbose = json.loads(loaded("du", "-v", "--json"))
    assert [item["name"] for item in verbose["mounts"]["items"]] == ["one", "two"]
    assert [row[0] for row in columns(loaded("du"))] == [
        "TYPE", "Images", "Layers", "Mounts", "Trash",
    ]  # fmt: skip
    assert "MOUNT" in loaded("du", "-v")


def test_info_says_which_driver_and_why(begun: Run, driver_name: str) -> None:
    facts = json.loads(begun("info", "--json"))
    assert facts["Storage Driver"] == driver_name
    assert facts["Chosen because"] == "it was asked for by name"
    printed = dict(line.split(": ", 1) for line in begun("info").splitlines())
    assert printed["Storage Driver"] == driver_name
    assert printed["Faults"] == "0"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["load", "missing.tar"], "missing.tar: No such file or directory"),
        (["load", "/dev/null"], "it is empty"),
        (["create", "web", "--image", "none", "--pull", "never"], "image none does not exist"),
        (["create", "../web"], "invalid name '../web'"),
        (["create", "web", "--storage-opt", "size"], "a storage option is KEY=VALUE"),
        (["create", "web", "--storage-opt", "a=b"], "invalid argument 'a=b': "),
        (["mount", "none"], "mount none does not exist"),
        (["mount", "../none"], "mount ../none does not exist"),
        (["umount", "none"], "mount none does not exist"),
        (["fork", "none", "other"], "mount none does not exist"),
        (["reset", "none"], "mount none does not exist"),
        (["rm", "none"], "mount none does not exist"),
        (["diff", "none"], "mount none does not exist"),
        (["commit", "none", "x"], "mount none does not exist"),
        (["save", "none", "-o", "out.tar"], "image none does not exist"),
        (["rmi", "none"], "image none does not exist"),
        (["tag", "none", "x"], "image none does not exist"),
        (["tag", "none", "UPPER"], "UPPER"),
    ],
)
def test_an_error_is_one_line_and_status_1(
    begun: Run, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in begun(*words, status=1)
    assert list(tmp_path.iterdir()) == []


def test_of_several_names_the_bad_ones_do_not_keep_the_others(
    loaded: Run, arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    loaded("create", "one")
    assert main([*arguments, "rm", "none", "one"]) == 1
    out, err = capfd.readouterr()
    assert (out, err) == ("one\n", "layerstore: mount none does not exist\n")
    assert loaded("ls", "-q") == ""


def test_a_name_in_use_is_refused(loaded: Run) -> None:
    loaded("create", "web")
    message = loaded("create", "web", status=1)
    assert message == "layerstore: mount name web is already in use\n"


@pytest.mark.parametrize(
    ("typed", "meant"), [("comit", "commit"), ("lst", "ls"), ("isnpect", "inspect")]
)
@pytest.mark.parametrize("before", [[], ["--wait", "1"], ["help"]])
def test_a_command_that_is_mistyped_is_told_which_may_be_meant(
    before: list[str], typed: str, meant: str, capfd: Any
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*before, typed])
    assert ended.value.code == 2
    first, second = capfd.readouterr().err.splitlines()
    assert first.endswith(f"there is no command {typed!r}; did you mean {meant}?")
    assert second.endswith(" --help'.")


def test_another_process_that_has_the_root_is_named(
    run: Run, arguments: list[str], driver_name: str
) -> None:
    with LayerStore(arguments[1], driver=driver_name, listen=False):
        message = run("--wait", "0", "images", status=1)
    assert f"in use by process {os.getpid()}" in message
    run("images")


@pytest.mark.parametrize("words", [[], ["frob"], ["rm"], ["load", "--frob"]])
def test_wrong_usage_is_status_2(words: list[str], arguments: list[str], capfd: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, *words])
    assert ended.value.code == 2
    said = capfd.readouterr().err
    if words == ["frob"]:
        assert said == "layerstore: there is no command 'frob'\nSee 'layerstore --help'.\n"
    elif words[:1] in (["rm"], ["load"]):
        assert said.endswith(f"See 'layerstore {words[0]} --help'.\n")
        assert said.count("\n") == 2
    else:
        assert "usage: layerstore" in said


def test_every_verb_has_help(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    verbs = re.findall(r"^    (\w+) {2,}", capfd.readouterr().out, re.MULTILINE)
    assert {"load", "create", "mount", "diff", "commit", "umount", "rm", "save"} <= set(verbs)
    for verb in verbs:
        with pytest.raises(SystemExit) as ended:
            main([verb, "--help"])
        assert ended.value.code == 0
        assert f"usage: layerstore {verb}" in capfd.readouterr().out
