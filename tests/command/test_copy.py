"""The command's cp: docker's rules, and no way out of the root file system."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.command.fixtures import Run
from tests.support.archives import NAME
from tests.support.tars import layer_tar


@pytest.fixture
def driver_name() -> str:
    """The one that needs no mounts: what is copied is looked at through the same paths."""
    return "vfs"


@pytest.fixture
def web(loaded: Run) -> Run:
    """The command with a read-write layer `web`, not mounted."""
    loaded("create", "web", "--image", NAME)
    return loaded


@pytest.fixture
def shown(web: Run) -> Path:
    """The mounted root file system of `web`, which goes with it."""
    return Path(web("mount", "web").strip())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a file and a tree."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"f")
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/leaf").write_bytes(b"leaf")
    (tmp_path / "tree/.wh.kept").write_bytes(b"")
    (tmp_path / "tree/link").symlink_to("/outside")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "target", "made"),
    [
        ("file", "web:/etc", "etc/file"),
        ("file", "web:/etc/", "etc/file"),
        ("file", "web:etc/renamed", "etc/renamed"),
        ("file", "web:/etc/name", "etc/name"),
        ("tree", "web:/etc", "etc/tree/sub/leaf"),
        ("tree", "web:/new", "new/sub/leaf"),
        ("tree/.", "web:/new", "new/sub/leaf"),
        ("tree/.", "web:/etc", "etc/sub/leaf"),
        ("./tree/sub", "web:/", "sub/leaf"),
        ("tree/sub/../sub", "web:/", "sub/leaf"),
    ],
)
def test_into_a_layer(
    shown: Path, web: Run, here: Path, source: str, target: str, made: str
) -> None:
    assert web("cp", source, target) == ""
    assert (shown / made).read_bytes() == (b"f" if source == "file" else b"leaf")
    status = os.stat(shown / made)
    assert (status.st_uid, status.st_gid) == (0, 0)


@pytest.mark.parametrize(
    ("source", "target", "made"),
    [
        ("web:/etc/name", ".", "name"),
        ("web:/etc/name", "other", "other"),
        ("web:/etc/name", "file", "file"),
        ("web:/etc", ".", "etc/name"),
        ("web:/etc", "copied", "copied/name"),
        ("web:/etc/.", ".", "name"),
        ("web:/etc/.", "tree", "tree/name"),
        ("web:/", "whole", "whole/etc/name"),
    ],
)
def test_out_of_a_layer(web: Run, here: Path, source: str, target: str, made: str) -> None:
    assert web("cp", source, target) == ""
    assert (here / made).read_bytes() == b"top"


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("file", "other", "one of the two is NAME:PATH"),
        ("web:/a", "web:/b", "one of the two is NAME:PATH"),
        ("missing", "web:/", "missing: No such file"),
        ("web:/missing", ".", "/missing: No such file"),
        ("file", "web:/missing/name", "No such file"),
        ("file", "web:/missing/", "it is to be a directory"),
        ("file/", "web:/", "Not a directory"),
        ("tree", "web:/etc/name", "Not a directory"),
        ("tree", "none:/etc", "mount none does not exist"),
        ("tree", "web:", "'web:': a path in a read-write layer isn't empty"),
        ("web:", "tree", "'web:': a path in a read-write layer isn't empty"),
    ],
)
def test_what_cannot_be_copied(
    web: Run, here: Path, source: str, target: str, message: str
) -> None:
    assert message in web("cp", source, target, status=1)


def test_what_is_no_file_is_not_replaced(shown: Path, web: Run, here: Path) -> None:
    for place in (here, shown):
        os.mkfifo(place / "pipe")
    (here / "link").symlink_to("pipe")
    for source, target in (
        ("web:/etc/name", "pipe"), ("web:/etc/name", "link"), ("file", "web:/pipe"),
    ):  # fmt: skip
        assert "neither a directory nor a regular file" in web("cp", source, target, status=1)
    assert (here / "pipe").is_fifo()
    assert (shown / "pipe").is_fifo()


def test_a_file_that_claims_no_size_is_copied_whole(shown: Path, web: Run, here: Path) -> None:
    web("cp", "/proc/version", "web:/etc/version")
    assert (shown / "etc/version").read_bytes() == Path("/proc/version").read_bytes()


def test_everything_of_a_tree_is_copied(shown: Path, web: Run, here: Path) -> None:
    os.chown(here / "tree/sub/leaf", 1000, 1001)
    (here / "tree/sub/leaf").chmod(0o4750)
    os.link(here / "tree/sub/leaf", here / "tree/again")
    os.mkfifo(here / "tree/pipe")
    web("cp", "-a", "tree", "web:/srv")
    leaf = os.stat(shown / "srv/sub/leaf")
    assert (leaf.st_uid, leaf.st_gid, leaf.st_mode & 0o7777) == (1000, 1001, 0o4750)
    assert os.stat(shown / "srv/again").st_ino == leaf.st_ino
    assert (shown / "srv/pipe").is_fifo()
    assert (shown / "srv/.wh.kept").exists(), "a whiteout's name means nothing here"
    assert os.readlink(shown / "srv/link") == "/outside"


def test_a_directory_takes_no_file_s_place(shown: Path, web: Run, here: Path) -> None:
    (here / "etc").mkdir()
    (here / "etc/name").mkdir()
    (here / "etc/name/inner").write_bytes(b"1")
    assert "Not a directory" in web("cp", "etc", "web:/", status=1)
    assert (shown / "etc/name").read_bytes() == b"top"
    (here / "bin").write_bytes(b"1")
    (shown / "to").mkdir()
    (shown / "to/bin").mkdir()
    assert "Is a directory" in web("cp", "bin", "web:/to", status=1)


def test_links_lead_nowhere_out_of_the_root(shown: Path, web: Run, here: Path) -> None:
    secret = here / "secret"
    secret.mkdir()
    (secret / "password").write_bytes(b"hidden")
    (shown / "leads-out").symlink_to(secret)
    (shown / "up").symlink_to("../../../../../../../../../../../.." + str(secret))
    (shown / "to-file").symlink_to(secret / "password")
    (shown / "process").symlink_to("/proc/self/root" + str(secret))
    for name in ("leads-out", "up", "process"):
        assert "No such file" in web("cp", f"web:/{name}/password", "stolen", status=1)
        assert "No such file" in web("cp", "file", f"web:/{name}/planted", status=1)
        assert "No such file" in web("cp", "-L", f"web:/{name}", "stolen", status=1)
    web("cp", "file", "web:/to-file", status=1)
    assert (secret / "password").read_bytes() == b"hidden"
    assert os.listdir(secret) == ["password"]
    assert not (here / "stolen").exists()
    web("cp", "web:/to-file", "link")
    assert os.readlink(here / "link") == str(secret / "password"), "a link is copied as one"


def test_links_within_the_root_are_followed_there(shown: Path, web: Run, here: Path) -> None:
    (shown / "absolute").symlink_to("/etc")
    (shown / "relative").symlink_to("etc/../etc/name")
    web("cp", "file", "web:/absolute/")
    assert (shown / "etc/file").exists()
    web("cp", "-L", "web:/relative", "got")
    assert (here / "got").read_bytes() == b"top"
    web("cp", "file", "web:/relative")
    assert (shown / "etc/name").read_bytes() == b"f"
    assert (shown / "relative").is_symlink()


def process(
    arguments: list[str], *words: str, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "layerstore.command", *arguments, "cp", *words],
        input=given,
        capture_output=True,
        check=False,
    )


def test_a_tar_comes_out_and_goes_in(web: Run, arguments: list[str], shown: Path) -> None:
    done = process(arguments, "web:/etc", "-")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        assert archive.getnames() == ["etc", "etc/name"]
    tar = layer_tar({"a": None, "a/b": b"1", "a/.wh.c": b""}, uid=7)
    assert process(arguments, "-", "web:/etc", given=tar).returncode == 0
    assert (shown / "etc/a/b").stat().st_uid == 7
    assert (shown / "etc/a/.wh.c").exists()


def test_a_compressed_tar_goes_in(web: Run, arguments: list[str], shown: Path) -> None:
    """No program inflates it, above all none of the layer's: CVE-2014-9357, CVE-2026-41567."""
    words = [sys.executable, "-m", "layerstore.command", *arguments, "cp", "-", "web:/etc"]
    subprocess.run(words, input=gzip.compress(layer_tar({"packed": b"1"})), check=True)
    assert (shown / "etc/packed").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ({"../out": b"1"}, 1),
        ({"link": "/etc", "link/planted": b"1"}, 1),
        ({"link": "../../../../../../..", "link/planted": b"1"}, 0),
        ({"name": None}, 1),
    ],
)
def test_a_hostile_tar_stays_in_its_directory(
    web: Run, arguments: list[str], shown: Path, files: dict[str, bytes | str | None], status: int
) -> None:
    (shown / "to").mkdir()
    (shown / "to/name").write_bytes(b"")
    before = sorted(os.listdir("/etc"))
    done = process(arguments, "-", "web:/to", given=layer_tar(files))
    assert done.returncode == status, done.stderr
    assert sorted(os.listdir("/etc")) == before
    assert sorted(os.listdir(shown)) == ["bin", "etc", "to"]
