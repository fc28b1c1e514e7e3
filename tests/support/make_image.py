"""Making a real image from Debian's packages: mmdebstrap, changed in layers by umoci.

`python -m tests.support.make_image DIRECTORY` leaves `layout/` (an OCI layout with the tag
`latest`) and `image.tar` (a docker-archive, `debian-test:latest`) there. The bootstrapped tree
is kept in LAYERSTORE_TEST_CACHE, if that is set, for the next time.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

NAME = "debian-test:latest"
_CAPABILITY = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"


def run(*command: str | Path) -> None:
    """Run a command; its output is shown only if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.stderr.buffer.write(done.stdout)
        done.check_returncode()


def bootstrap(place: Path) -> Path:
    """Return a directory with a minimal Debian."""
    cache = os.environ.get("LAYERSTORE_TEST_CACHE")
    tree = Path(cache) / "debian" if cache else place / "debian"
    if not tree.exists():
        with tempfile.TemporaryDirectory(dir=tree.parent) as unfinished:
            made = Path(unfinished, "tree")
            run("mmdebstrap", "--quiet", "--variant=minbase", "bookworm", made)
            made.rename(tree)
    return tree


def make_image(place: Path) -> Path:
    """Make the image in an empty directory and return the docker-archive's path."""
    layout, bundle = place / "layout", place / "bundle"
    image = f"{layout}:latest"
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", image)
    run("umoci", "unpack", "--image", image, bundle)
    root = bundle / "rootfs"
    for change in (_add_debian, _add_one_of_each, _remove_and_make_again, _change_again):
        change(root, place)
        run("umoci", "repack", "--refresh-bundle", "--image", image, bundle)
    run("umoci", "config", "--config.cmd", "/bin/sh", "--image", image)
    shutil.rmtree(bundle)
    archive = place / "image.tar"
    run("skopeo", "copy", f"oci:{layout}:latest", f"docker-archive:{archive}:{NAME}")
    return archive


def _add_debian(root: Path, place: Path) -> None:
    run("cp", "-a", f"{bootstrap(place)}/.", root)


def _add_one_of_each(root: Path, _place: Path) -> None:
    shutil.copy2("/bin/busybox", root / "bin/busybox")
    odd = root / "opt/odd"
    odd.mkdir()
    (odd / "setuid").write_bytes(b"#!/bin/sh\n")
    os.chown(odd / "setuid", 1000, 1001)
    (odd / "setuid").chmod(0o6755)
    os.link(odd / "setuid", odd / "hard-link")
    os.mkfifo(odd / "fifo", 0o640)
    os.mknod(odd / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (odd / ("ü" * 125)).write_bytes(b"a name of 250 bytes")
    (odd / "日本語").symlink_to("../../etc/hostname")
    (odd / "capable").write_bytes(b"x")
    os.setxattr(odd / "capable", "security.capability", _CAPABILITY)
    os.setxattr(odd / "capable", "user.note", b"\x00binary\xff")
    with (odd / "sparse").open("wb") as file:
        file.seek(3 << 20)
        file.write(b"end")
    for name in ("remade", "emptied"):
        (root / "opt" / name).mkdir()
        for number in range(5):
            (root / "opt" / name / f"file{number}").write_bytes(b"%d" % number)


def _remove_and_make_again(root: Path, _place: Path) -> None:
    shutil.rmtree(root / "usr/share/doc")
    shutil.rmtree(root / "opt/remade")
    (root / "opt/remade").mkdir()
    (root / "opt/remade/new").write_bytes(b"after")
    for path in (root / "opt/emptied").iterdir():
        path.unlink()
    (root / "etc/debian_version").unlink()


def _change_again(root: Path, _place: Path) -> None:
    (root / "etc/hostname").write_text("changed\n")
    (root / "opt/odd/setuid").unlink()
    (root / "usr/share/doc").mkdir()
    (root / "usr/share/doc/README").write_text("back again\n")
    os.symlink("remade", root / "opt/link-to-directory")


if __name__ == "__main__":
    print(make_image(Path(sys.argv[1])))
