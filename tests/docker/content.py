"""What images and containers of the tests are made of: one of everything a layer can hold.

Owns a base image's tar and the shell scripts that change it, for busybox.
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from tests.tar.corpus.builder import Member, directory, file, link, symlink, tar

APPLETS = "sh ls cat rm mkdir rmdir ln mkfifo mknod chmod chown dd mv cp touch truncate"
CAPABILITY = b"\x01\x00\x00\x02\x00\x04" + bytes(14)
LONG_NAME = "n" * 250
NON_ASCII_NAME = "grün-日本語"
SPARSE_SIZE = 5 << 20

ADD = f"""
mkdir -p /srv/deep/er /srv/own && echo one > /srv/deep/one && echo two > /srv/deep/er/two
echo long > /srv/{LONG_NAME} && echo accents > '/srv/{NON_ASCII_NAME}'
echo run > /srv/setuid && chown 1000:1001 /srv/setuid && chmod 6755 /srv/setuid
chmod 1777 /srv/own && ln -s '{NON_ASCII_NAME}' /srv/to
mkfifo -m 640 /srv/fifo && mknod /srv/null c 1 3 && mknod /srv/disk b 7 99
dd if=/dev/zero of=/srv/sparse bs=1 count=1 seek={SPARSE_SIZE - 1} 2> /dev/null
echo pair > /srv/pair && ln /srv/pair /srv/pair-too
ln /base/file /srv/linked-below && ln /srv/deep/one /srv/deep/same
"""
"""Adds one of everything, hard links to what lies in a lower layer among it."""

REMOVE = """
rm /base/gone && rm -r /base/emptied/* && rm -r /base/vanishes
rm -r /base/remade && mkdir /base/remade && echo new > /base/remade/new
rm /base/linked && rm -r /base/becomes-file && echo file > /base/becomes-file
rm /base/becomes-directory && mkdir /base/becomes-directory && echo in > /base/becomes-directory/in
rm /base/becomes-link && ln -s remade /base/becomes-link
"""
"""Whiteouts of every kind: of files, of directories, of directories that are made again."""

CHANGE = f"""
echo more >> /base/file && chmod 600 /base/mode && chown 7:8 /base/owner && touch /base/time
echo again > /base/gone && echo after >> /base/remade/new && mv /srv/deep /srv/moved
mkdir -p /base/vanishes/back && echo x > /base/vanishes/back/x && rm /srv/fifo
ln /srv/setuid /srv/setuid-too && rm /srv/{LONG_NAME} && truncate -s 3000000 /srv/sparse
chmod 700 /base/emptied && echo accents again > '/srv/{NON_ASCII_NAME}'
"""
"""Changes what ADD and REMOVE have made, in a layer of its own."""

INSIDE = """
echo mine > /mine && rm /base/keep/file0 && echo changed > /base/keep/file1
rm -r /base/remade && mkdir /base/remade && ln /base/file /base/linked-again
mkdir /etc/own && echo own > /etc/own/file && mkfifo /etc/own/pipe && rm -r /srv
"""
"""What a container does to its read-write layer after all of these."""


def base_tar() -> bytes:
    """Return the base image: busybox, and what the scripts need to find."""
    busybox = shutil.which("busybox")
    assert busybox is not None, "busybox-static is not installed"
    members = [directory("bin"), file("bin/busybox", Path(busybox).read_bytes(), mode=0o755)]
    members += [symlink(f"bin/{applet}", "busybox") for applet in APPLETS.split()]
    members += [directory("tmp", mode=0o1777), directory("base")]
    for name in ("emptied", "vanishes", "remade", "keep", "becomes-file"):
        members += [directory(f"base/{name}")]
        members += [file(f"base/{name}/file{number}", b"%d" % number) for number in range(3)]
    for name in ("file", "gone", "mode", "owner", "time", "becomes-directory", "becomes-link"):
        members += [file(f"base/{name}", name.encode())]
    members += [link("base/linked", "base/file"), *_with_xattrs("base", 0)]
    return tar(*members, form=tarfile.PAX_FORMAT)


def xattr_tar() -> bytes:
    """Return what is copied into a container: busybox can't set extended attributes."""
    return tar(*_with_xattrs("srv", 1))


def _with_xattrs(place: str, number: int) -> list[Member]:
    user = {"SCHILY.xattr.user.note": f"note {number}"}
    capability = {"SCHILY.xattr.security.capability": CAPABILITY.decode("latin-1")}
    return [
        file(f"{place}/noted", b"n", pax_headers=user),
        file(f"{place}/capable", b"c", mode=0o755, pax_headers=capability),
        directory(f"{place}/noted-directory", pax_headers=user),
    ]
