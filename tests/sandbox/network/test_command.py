"""The command's own network options, and a network in a user namespace, where nobody is nobody."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from layerstore.command import main
from tests.support.busybox import NAME, image_tar

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox", "slirp4netns", "unshare")]

COMMAND = "import sys, layerstore_command; sys.exit(layerstore_command.main())"
SHOW = "cat /etc/resolv.conf; ip route | head -n 1; kill -9 $$"


def test_in_a_user_namespace_it_is_that_s_root_who_connects(tmp_path: Path) -> None:
    (tmp_path / "image.tar").write_bytes(image_tar())
    script = f"""
    set -e
    "$@" load {tmp_path}/image.tar
    "$@" run --init --network private -p 80 --dns 192.0.2.53 {NAME} sh -c '{SHOW}'
    """
    python = [sys.executable, "-c", COMMAND, "--root", str(tmp_path / "root")]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *python],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 137, done.stderr
    assert done.stdout.splitlines()[1:] == [
        "nameserver 192.0.2.53",
        "default via 10.0.2.2 dev eth0 ",
    ]
    told = r"layerstore: published 0\.0\.0\.0:([1-9]\d*) -> 80/tcp\n"
    assert re.fullmatch(told, done.stderr), "which port was chosen, and nothing else"


def test_ports_without_such_a_network_are_refused_before_anything_is_made(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "image.tar").write_bytes(image_tar())
    arguments = ["--root", str(tmp_path / "root"), "--driver", "overlay2"]
    assert main([*arguments, "load", str(tmp_path / "image.tar")]) == 0
    capfd.readouterr()
    assert main([*arguments, "run", "-p", "80:80", NAME, "true"]) == 125
    assert "'80:80': network none publishes no ports" in capfd.readouterr().err
    assert main([*arguments, "ls", "-q"]) == 0
    assert capfd.readouterr().out == ""
