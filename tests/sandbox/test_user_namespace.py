"""The command in a user namespace of one ID, in which nobody makes devices or has other groups."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.busybox import NAME, image_tar
from tests.support.tars import layer_tar

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox", "unshare")]

COMMAND = "import sys, layerstore_command; sys.exit(layerstore_command.main())"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A root with an image, all of it made in such a namespace."""
    (tmp_path / "image.tar").write_bytes(image_tar())
    assert inside(tmp_path, "load", tmp_path / "image.tar").stdout == f"Loaded image: {NAME}\n"
    return tmp_path


def inside(root: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command as the only user of a user namespace."""
    python = [sys.executable, "-c", COMMAND, "--root", root / "root", *words]
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", *python],
        capture_output=True,
        text=True,
        check=False,
    )


def test_overlay_file_systems_are_mounted_there(there: Path) -> None:
    told = inside(there, "info").stdout
    assert "Storage Driver: overlay2\n" in told
    assert "redirect_dir=nofollow" in told
    assert "userxattr" in told


def test_what_is_changed_there_is_told_and_committed(there: Path) -> None:
    assert inside(there, "create", "web", "--image", NAME).returncode == 0
    (there / "more.tar").write_bytes(layer_tar({"new": b"1", "bin/more": b"2"}))
    assert inside(there, "cp", there / "more.tar", "web:/more.tar").returncode == 0
    assert inside(there, "diff", "web").stdout == "A /more.tar\n"
    assert inside(there, "commit", "web", "app:2").returncode == 0
    again = inside(there, "run", "app:2", "sh", "-c", "ls /more.tar; id -u; echo x > /made")
    assert (again.returncode, again.stdout) == (0, "/more.tar\n0\n"), again.stderr
    assert inside(there, "check", "--full").returncode == 0


def test_a_run_has_devices_that_it_does_not_change(there: Path) -> None:
    before = Path("/dev/null").stat()
    script = """
    echo x > /dev/null && head -c 2 /dev/zero | wc -c
    chmod 600 /dev/null; chown 0:0 /dev/null; touch /dev/null
    mknod /tmp/mine c 1 3 || echo none is made
    """
    done = inside(there, "run", NAME, "sh", "-c", script)
    assert done.stdout == "2\nnone is made\n", done.stderr
    assert done.stderr.count("Read-only file system") == 3
    after = Path("/dev/null").stat()
    assert (after.st_mode, after.st_uid, after.st_ctime) == (
        before.st_mode,
        before.st_uid,
        before.st_ctime,
    )


def test_a_user_that_there_is_not_is_told(there: Path) -> None:
    done = inside(there, "run", "--user", "1000:7", NAME, "true")
    assert (done.returncode, done.stdout) == (125, "")
    assert "'1000:7': the user namespace that this runs in has no such user" in done.stderr
