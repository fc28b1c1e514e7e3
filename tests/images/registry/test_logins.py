"""Logins are kept and forgotten, in docker's files and by programs that keep credentials."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from layerstore.drivers.errors import (
    DriverError,
    InvalidSettings,
    LayerStoreError,
    RegistryError,
)
from layerstore.images.registry.credentials import Credentials, erase_login, store_login
from layerstore.images.registry.logins.login import Login
from layerstore.images.registry.logins.programs import got, keep
from layerstore.images.registry.logins.turns import turn
from layerstore.images.registry.places import Place
from tests.images.registry.machine import BOX, put_program

_ME = Login(user="me", secret="s3cret:word")
_DOCKERS_KEY = "https://index.docker.io/v1/"
Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """A function that puts a program on PATH, of which it gets the name and the shell script."""
    place = tmp_path / "bin"
    place.mkdir()
    (tmp_path / "box").mkdir()
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    monkeypatch.setenv("BOX", f"{tmp_path}/box")

    def put(name: str, script: str) -> None:
        put_program(place, name, script)

    return put


def login(path: Path, registry: str, repository: str = "") -> Login | None:
    """Who asks a registry, by a file."""
    place = Place(registry=registry, host=registry, repository=repository)
    return Credentials.read(authfile=f"{path}").for_place(place)


def written(path: Path, content: Any, mode: int = 0o600) -> Path:
    path.write_text(json.dumps(content))
    path.chmod(mode)
    return path


def test_a_login_that_is_kept_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new/config.json"
    assert store_login("a.test:5000", _ME, authfile=f"{path}").program is None
    store_login("docker.io", Login(user="hub", secret="x", identity_token="y"), authfile=f"{path}")
    assert login(path, "a.test:5000") == _ME
    assert login(path, "docker.io") == Login(user="hub", secret="x", identity_token="y")
    assert path.stat().st_mode & 0o7777 == 0o600
    assert set(json.loads(path.read_text())["auths"]) == {"a.test:5000", _DOCKERS_KEY}
    assert os.listdir(path.parent) == ["config.json"]


def test_docker_s_file_is_written_unless_another_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.setenv("HOME", f"{tmp_path}/home")
    assert store_login("a.test", _ME).path == f"{tmp_path}/home/.docker/config.json"
    monkeypatch.setenv("DOCKER_CONFIG", f"{tmp_path}/config")
    assert store_login("a.test", _ME).path == f"{tmp_path}/config/config.json"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", f"{tmp_path}/chosen.json")
    assert store_login("a.test", _ME).path == f"{tmp_path}/chosen.json"
    assert erase_login("a.test")
    assert not erase_login("a.test")


def test_what_else_a_file_holds_stays(tmp_path: Path) -> None:
    other = {"auth": "b3RoZXI6"}
    content: dict[str, Any] = {
        "HttpHeaders": {"a": "\udc00é"},
        "auths": {"http://a.test/v1/": {"auth": "b2xkOg=="}, "a.test/team": other, "b.test": other},
        "psFormat": "table",
    }
    path = written(tmp_path / "config.json", content)
    store_login("a.test", _ME, authfile=f"{path}")
    assert login(path, "a.test") == _ME
    found = json.loads(path.read_text())
    assert list(found) == list(content)
    del found["auths"]["a.test"], content["auths"]["http://a.test/v1/"]
    assert found == content
    assert erase_login("a.test", authfile=f"{path}")
    assert json.loads(path.read_text()) == content


@pytest.mark.parametrize(("before", "after"), [(0o644, 0o600), (0o660, 0o600), (0o400, 0o400)])
def test_who_could_read_a_file_can_t_read_a_secret_in_it(
    before: int, after: int, tmp_path: Path
) -> None:
    path = written(tmp_path / "config.json", {"auths": {"a.test": {}}}, before)
    assert erase_login("a.test", authfile=f"{path}")
    assert path.stat().st_mode & 0o7777 == before
    store_login("a.test", _ME, authfile=f"{path}")
    assert path.stat().st_mode & 0o7777 == after


@pytest.mark.root
def test_a_file_keeps_its_owner(tmp_path: Path) -> None:
    path = written(tmp_path / "config.json", {})
    os.chown(path, 1234, 1235)
    store_login("a.test", _ME, authfile=f"{path}")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235)


def test_a_file_is_written_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path = tmp_path / "config.json"
    path.symlink_to("real/other.json")
    store_login("a.test", _ME, authfile=f"{path}")
    assert path.is_symlink()
    assert os.listdir(tmp_path / "real") == ["other.json"]
    assert login(path, "a.test") == _ME


def test_who_may_write_in_a_directory_changes_no_other_file(tmp_path: Path) -> None:
    victim = written(tmp_path / "victim", "")
    place = tmp_path / "theirs"
    place.mkdir()
    is_over = threading.Event()

    def swap() -> None:
        while not is_over.is_set():
            for name in place.glob("*.tmp"):
                with contextlib.suppress(FileNotFoundError, FileExistsError):
                    name.rename(tmp_path / "taken")
                    name.symlink_to(victim)

    with ThreadPoolExecutor() as threads:
        swapping = threads.submit(swap)
        for _ in range(20):
            (place / "config.json").unlink(missing_ok=True)
            path = written(place / "config.json", {"auths": {"a.test": {}}}, 0o644)
            with contextlib.suppress(LayerStoreError):
                erase_login("a.test", authfile=f"{path}")
        is_over.set()
        swapping.result()
    assert (tmp_path / "taken").exists()
    assert victim.stat().st_mode & 0o7777 == 0o600


def test_many_log_in_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.json"

    def log_in(name: str) -> None:
        store_login(name, _ME, authfile=f"{path}")
        assert login(path, name) == _ME

    names = [f"{number}.test" for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(log_in, names))
    assert sorted(json.loads(path.read_text())["auths"]) == names


def test_whose_turn_it_is_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with turn(f"{tmp_path}"), turn(f"{tmp_path}", seconds=0.01):
        pass


def test_what_a_program_writes_in_the_file_stays(tmp_path: Path, program: Program) -> None:
    path = written(tmp_path / "config.json", {"credsStore": "box"})
    theirs = {"credsStore": "box", "auths": {"b.test": {}}}
    program("box", f"cat > /dev/null; echo '{json.dumps(theirs)}' > {path}")
    store_login("a.test", _ME, authfile=f"{path}")
    assert json.loads(path.read_text())["auths"] == {"a.test": {}, "b.test": {}}


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": []}', '{"credHelpers": {"a.test": 1}}'])
def test_a_file_that_isn_t_understood_isn_t_changed(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InvalidSettings):
        store_login("a.test", _ME, authfile=f"{path}")
    with pytest.raises(InvalidSettings):
        erase_login("a.test", authfile=f"{path}")
    assert path.read_text() == text
    assert os.listdir(tmp_path) == ["config.json"]


def test_a_file_that_can_t_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DriverError):
        store_login("a.test", _ME, authfile=f"{tmp_path}/file/config.json")
    (tmp_path / "config.json").mkdir()
    with pytest.raises(DriverError):
        store_login("a.test", _ME, authfile=f"{tmp_path}/config.json")
    assert sorted(os.listdir(tmp_path)) == ["config.json", "file"]


@pytest.mark.parametrize("given", [_ME, Login(identity_token="t0ken")], ids=["user", "token"])
@pytest.mark.parametrize("chosen", [{"credsStore": "box"}, {"credHelpers": {"docker.io": "box"}}])
def test_a_program_keeps_what_a_file_says_it_does(
    given: Login, chosen: dict[str, Any], program: Program, tmp_path: Path, capfd: Any
) -> None:
    program("box", BOX)
    path = written(tmp_path / "config.json", chosen, 0o644)
    assert login(path, "docker.io") is None
    assert store_login("docker.io", given, authfile=f"{path}").program == "box"
    assert json.loads(path.read_text()) == {**chosen, "auths": {_DOCKERS_KEY: {}}}
    assert path.stat().st_mode & 0o7777 == 0o644
    assert login(path, "docker.io", "library/app") == given
    assert erase_login("docker.io", authfile=f"{path}")
    assert login(path, "docker.io") is None
    assert not erase_login("docker.io", authfile=f"{path}")
    assert capfd.readouterr() == ("", "")


def test_a_program_of_one_registry_is_not_asked_for_others(
    program: Program, tmp_path: Path
) -> None:
    program("bad", "exit 1")
    auths = {"a.test": {"username": "file"}, "b.test": {"username": "file"}}
    path = written(
        tmp_path / "config.json",
        {"auths": auths, "credHelpers": {"a.test": "box", "b.test": "", "c.test": "bad"},
         "credsStore": "bad"},
    )  # fmt: skip
    program("box", BOX)
    keep("box", "a.test", _ME)
    assert login(path, "a.test") == _ME
    assert login(path, "b.test") == Login(user="file")
    with pytest.raises(RegistryError, match="it exited with 1"):
        login(path, "d.test")


FAILING = {
    "message": ("echo no; exit 3", "it exited with 3: no$"),
    "secret": ('echo \'{"Secret": "s3cret:word"}\'; exit 3', "it exited with 3$"),
    "escape": (r"printf '\033[1m'; exit 3", r"it exited with 3: \\x1b\[1m$"),
    "killed": ("kill -9 $$", "it was ended by signal 9$"),
    "no JSON": ("echo s3cret:word", "its answer isn't JSON of the protocol$"),
    "other JSON": ("echo '[]'", "its answer isn't JSON of the protocol$"),
    "no string": ("echo '{\"Secret\": 5}'", "its answer isn't JSON of the protocol$"),
    "half": (r"""printf '{"Username":"\ud800","Secret":"x"}'""", "half a character$"),
    "endless": ("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done",
                r"it printed more than \d+ bytes$"),
    "hanging": ("exec sleep 60", "it didn't end within 0.5 seconds$"),
}  # fmt: skip


@pytest.mark.parametrize("what", FAILING)
def test_a_program_that_fails_is_named_and_given_up(what: str, program: Program) -> None:
    script, reason = FAILING[what]
    program("bad", script)
    with pytest.raises(RegistryError, match=reason) as raised:
        got("bad", "a.test", 0.5 if what == "hanging" else 30)
    assert "registry a.test: credentials of docker-credential-bad (get): " in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_a_program_is_asked_where_much_is_open(program: Program) -> None:
    program("box", """cat > /dev/null; echo '{"Username":"me","Secret":"x"}'""")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull, "rb") as file, contextlib.ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
        for _ in range(1100):  # select(2) knows numbers below 1024
            opened.callback(os.close, os.dup(file.fileno()))
        assert got("box", "a.test") == Login(user="me", secret="x")


def test_what_a_program_leaves_in_the_background_is_not_waited_for(program: Program) -> None:
    program("box", 'echo \'{"Username": "me", "Secret": "x"}\'\nsleep 5 & echo $! > "$BOX/left"')
    try:
        assert got("box", "a.test", 4) == Login(user="me", secret="x")
    finally:
        subprocess.run(["kill", Path(os.environ["BOX"], "left").read_text().strip()], check=True)


@pytest.mark.parametrize("script", ["cat", r"""sed 's/.*"Secret": "\(.*\)".*/of \1/'"""])
def test_a_program_s_words_hold_no_secret_that_it_was_given(script: str, program: Program) -> None:
    program("bad", f"{script}; exit 1")
    with pytest.raises(RegistryError, match=r"it exited with 1$"):
        keep("bad", "a.test", _ME)


@pytest.mark.parametrize("name", ["none", "../bin/docker-credential-box", "", "-x", "a b"])
def test_a_program_is_one_on_path(
    name: str, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("none", "exit 0")
    monkeypatch.chdir(tmp_path / "bin")
    monkeypatch.setenv("PATH", f".:{os.path.dirname(shutil.which('sh') or '')}:")
    path = written(tmp_path / "config.json", {"credHelpers": {"a.test": name or "/"}})
    with pytest.raises(RegistryError, match=r"no such program on PATH|is no program's name"):
        login(path, "a.test")
