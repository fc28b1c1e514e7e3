"""A small image with a shell, for tests that run something in it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from tests.support.archives import as_tar, docker_archive

NAME = "app:1"
APPLETS = ("cat", "chmod", "chown", "chroot", "cut", "echo", "env", "grep", "head", "hostname",
           "id",
           "ip", "kill", "ls", "mkdir", "mknod", "mount", "nc", "ps", "pwd", "rm", "seq", "sh",
           "sleep", "sort", "stty", "tail", "tar", "test", "touch", "tr", "true", "tty", "unshare",
           "wc")  # fmt: skip
PASSWD = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n"
GROUP = b"root:x:0:\napp:x:1001:\nextra:x:2000:app\nother:x:2001:\n"


def rootfs_tar() -> bytes:
    """Return the tar of its root file system."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:

        def add(name: str, content: bytes | None, mode: int, linkname: str = "") -> None:
            member = tarfile.TarInfo(name)
            member.mode, member.mtime = mode, 1_600_000_000
            if linkname:
                member.type, member.linkname = tarfile.SYMTYPE, linkname
            elif content is None:
                member.type = tarfile.DIRTYPE
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if content is not None else None)

        for name in ("bin", "etc", "srv", "root"):
            add(name, None, 0o755)
        add("tmp", None, 0o1777)
        add("bin/busybox", Path("/bin/busybox").read_bytes(), 0o755)
        for applet in APPLETS:
            add(f"bin/{applet}", None, 0o777, "busybox")
        add("etc/passwd", PASSWD, 0o644)
        add("etc/group", GROUP, 0o644)
        add("etc/hostname", b"app\n", 0o644)
        add("etc/os-release", b"NAME=app\n", 0o644)
    return buffer.getvalue()


def image_tar(**config: object) -> bytes:
    """Return a docker archive of it."""
    inner = {"Cmd": ["sh"], "Env": ["PATH=/bin", "FROM=image"], **config}
    return as_tar(docker_archive([rootfs_tar()], [NAME], config=inner))
