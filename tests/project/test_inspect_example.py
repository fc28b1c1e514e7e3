"""examples/inspect_sandbox provides sandboxes that pass Inspect's own checks."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.project.documents import HERE
from tests.project.environments import install_anew
from tests.support.archives import as_tar, docker_archive
from tests.support.tars import Content, layer_tar

EXAMPLE = HERE / "examples/inspect_sandbox"
_APPLETS = ("cat", "chmod", "echo", "env", "grep", "id", "kill", "ls", "mkdir", "printf", "ps",
            "rm", "rmdir", "sh", "sleep", "touch", "true", "wc", "whoami")  # fmt: skip
_ADDUSER = b"""#!/bin/sh
case $1 in
--help) echo BusyBox ;;
-D) echo "$2:x:4242:4242::/:/bin/sh" >> /etc/passwd ;;
esac
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An image with what the checks call; Debian's busybox has no adduser."""
    programs: dict[str, Content] = {
        "bin": None,
        "bin/busybox": Path("/bin/busybox").read_bytes(),
        "bin/adduser": _ADDUSER,
        "usr": None,
        "usr/bin": None,
        "usr/bin/env": "/bin/busybox",
        **{f"bin/{name}": "busybox" for name in _APPLETS},
    }
    users: dict[str, Content] = {"etc/passwd": b"root:x:0:0:root:/:/bin/sh\n"}
    layers = [
        layer_tar({**programs, "etc": None}, mode=0o755),
        layer_tar(users, mode=0o644),
        layer_tar({"tmp": None, "home": None}, mode=0o777),
    ]
    path = tmp_path / "image.tar"
    path.write_bytes(as_tar(docker_archive(layers, ["shell:1"])))
    return path


@pytest.mark.root
@pytest.mark.thorough
@pytest.mark.long
@pytest.mark.needs("/bin/busybox")
@pytest.mark.timeout(600)
def test_it_passes_inspect_s_own_checks(
    request: pytest.FixtureRequest, tmp_path: Path, archive: Path
) -> None:
    if not request.config.getoption("--install-examples"):
        pytest.skip("fetches packages: --install-examples")
    example = shutil.copytree(EXAMPLE, tmp_path / "example")
    programs = install_anew(tmp_path / "venv", str(HERE), f"{example}[test]")
    done = subprocess.run(
        [programs / "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path}/inside",
         "test_layerstore_inspect.py"],
        cwd=example,
        env={**os.environ, "LAYERSTORE_ARCHIVE": str(archive)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
