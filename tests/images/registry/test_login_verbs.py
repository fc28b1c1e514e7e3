"""`login` keeps what a registry takes, for docker and skopeo too; `logout` forgets it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from layerstore.command import main
from tests.command.terminal import Terminal
from tests.images.registry.machine import BOX, put_program
from tests.support.registries.daemon import NEEDED, Registry

pytestmark = NEEDED
Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's file, in a home in which nobody has logged in."""
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", f"{tmp_path}")
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{tmp_path}/run")
    return tmp_path / ".docker/config.json"


@pytest.fixture
def typed(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Typed:
    """A function that runs the command; returns its status, output and errors, without secrets."""

    def run_it(*words: str | Path, given: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        status = main(["--root", f"{tmp_path}/store", *map(str, words)])
        out, err = capfd.readouterr()
        assert "wr0ng" not in out + err
        assert not (tmp_path / "store").exists()
        return status, out, err

    return run_it


def users(config: Path) -> list[str]:
    """The keys that a file has something for."""
    return list(json.loads(config.read_text())["auths"])


def test_a_login_is_kept_where_the_registry_takes_it(
    any_registry: Registry, typed: Typed, config: Path
) -> None:
    host = any_registry.host
    user, secret = any_registry.login or ("anybody", "anything")
    if any_registry.login is not None:
        status, out, err = typed("login", "-u", user, "--password-stdin", host, given="wr0ng\n")
        assert (status, out) == (1, "")
        assert err.startswith(f"layerstore: registry {host}: ")
        assert not config.parent.exists()
    words = ["login", "-u", user, "--password-stdin", f"http://{host}/v2/"]
    status, out, err = typed(*words, given=f"{secret}\r\n")
    assert (status, out) == (0, "Login Succeeded\n"), err
    assert err.count("\n") == 1
    assert f"{config}, unencrypted" in err
    assert users(config) == [host]
    answer = "Authenticating with existing credentials...\nLogin Succeeded\n"
    assert typed("login", host) == (0, answer, "")
    assert typed("logout", host) == (0, f"Removing login credentials for {host}\n", "")
    assert typed("logout", host) == (0, f"Not logged in to {host}\n", "")


@pytest.mark.needs("docker")
def test_other_tools_know_what_login_keeps_and_it_knows_what_they_keep(
    password_registry: Registry, typed: Typed, config: Path, tmp_path: Path
) -> None:
    host, (user, secret) = password_registry.host, password_registry.login or ("", "")
    authfile = tmp_path / "auth.json"
    assert typed("login", "-u", user, "-p", secret, "--authfile", authfile, host)[0] == 0
    assert not config.exists()
    got = ["skopeo", "login", "--get-login", "--authfile", f"{authfile}", host]
    assert subprocess.check_output(got, text=True) == f"{user}\n"
    assert typed("logout", "--authfile", authfile, host)[1].startswith("Removing")
    assert typed("login", "-u", user, "-p", secret, host)[0] == 0
    subprocess.run(["docker", "--config", config.parent, "logout", host], check=True)
    assert users(config) == []
    words = ["--tls-verify=false", "-u", user, "-p", secret, host]
    subprocess.run(["skopeo", "login", *words], check=True, capture_output=True)
    assert typed("login", host)[1].endswith("Login Succeeded\n")
    of_skopeo = tmp_path / "run/containers/auth.json"
    _, out, err = typed("login", "-u", user, "-p", secret, host)
    assert out == "Login Succeeded\n"
    assert f"{of_skopeo} has a login for {host}, too" in err
    _, out, err = typed("logout", host)
    assert f"{of_skopeo} has a login for {host} all the same" in err


def test_an_old_login_that_isn_t_taken_any_more_is_asked_for_anew(
    password_registry: Registry, typed: Typed, config: Path
) -> None:
    host = password_registry.host
    config.parent.mkdir()
    entry = {"username": "old", "password": "wr0ng"}
    config.write_text(json.dumps({"auths": {host: entry}}))
    status, out, err = typed("login", host)
    assert (status, out) == (1, "Authenticating with existing credentials...\n")
    assert "Login did not succeed, error: registry" in err
    assert "nobody can be asked where there is no terminal" in err


def test_a_terminal_is_asked_without_an_echo(
    password_registry: Registry, config: Path, tmp_path: Path
) -> None:
    host, (user, secret) = password_registry.host, password_registry.login or ("", "")
    command = [sys.executable, "-m", "layerstore.command", "login", host]
    with closing(Terminal(command)) as terminal:
        terminal.wait_for("Username: ")
        terminal.type(f"{user}\n")
        terminal.wait_for("Password: ")
        terminal.type(f"{secret}\n")
        terminal.wait_for("Login Succeeded")
        assert terminal.process.wait() == 0
        assert secret not in terminal.shown
    assert users(config) == [host]


def test_an_interrupt_gives_the_echo_back(config: Path) -> None:
    command = [sys.executable, "-m", "layerstore.command", "login", "localhost:1"]
    with closing(Terminal(command)) as terminal:
        terminal.wait_for("Username: ")
        terminal.type("me\n")
        terminal.wait_for("Password: ")
        assert not terminal.is_as_before()
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait() == 128 + signal.SIGINT
        assert terminal.is_as_before()
    assert not config.exists()


def test_what_a_program_keeps_is_told_of_no_more(
    password_registry: Registry,
    typed: Typed,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host, (user, secret) = password_registry.host, password_registry.login or ("", "")
    put_program(tmp_path, "box", BOX)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("BOX", f"{tmp_path}/run")
    config.parent.mkdir()
    config.write_text('{"credsStore": "box"}')
    words = ["login", "-u", user, "--password-stdin", host]
    assert typed(*words, given=secret) == (0, "Login Succeeded\n", "")
    assert secret not in config.read_text()
    assert typed("login", host)[0] == 0
    assert typed("logout", host)[1] == f"Removing login credentials for {host}\n"
    assert typed("logout", host)[1] == f"Not logged in to {host}\n"


def test_certificates_are_verified_where_that_is_asked_for(
    password_registry: Registry, typed: Typed, config: Path, tmp_path: Path
) -> None:
    host, (user, secret) = password_registry.host, password_registry.login or ("", "")
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir()
    bad.mkdir()
    (good / "ca.crt").write_bytes((password_registry.authority or good).read_bytes())
    words = ["login", "-u", user, "-p", secret, host]
    for options in (["--tls-verify"], ["--cert-dir", bad, "--tls-verify=true"]):
        status, _, err = typed(*words, *options)
        assert status == 1
        assert "certificate" in err
        assert not config.exists()
    for options in (["--cert-dir", good, "--tls-verify"], ["--cert-dir", good], ["--insecure"], []):
        assert typed(*words, *options)[0] == 0


BAD = {
    "no user": (["--password-stdin"], "secret", "--username goes with it"),
    "no password": (["-u", "me", "--password-stdin"], "\n", "a password is not empty"),
    "a colon": (["-u", "me:secret", "--password-stdin"], "x", "'me': a user's name"),
    "no character": (["-u", "me\udcff", "--password-stdin"], "x", "of whole characters"),
    "a login in it": (["-u", "me", "-p", "x", "https://m:secret@a b"], "", "'a b': a registry is"),
    "too long": (["-u", "me", "--password-stdin"], "x" * 70000, "at most 65536 bytes"),
    "no terminal": (["-u", "me"], "secret", "no terminal"),
    "no registry": (["-u", "me", "-p", "x", "a b"], "", "a registry is a host's name"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_can_t_be_a_login_is_refused(what: str, typed: Typed, config: Path) -> None:
    words, given, reason = BAD[what]
    if "a b" not in words[-1]:
        words = [*words, "localhost:1"]
    status, out, err = typed("login", *words, given=given)
    assert (status, out) == (1, "")
    assert reason in err
    assert "secret" not in err
    assert not config.exists()
