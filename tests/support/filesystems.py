"""Small file systems for tests, made in a file and mounted through a loop device; and full ones."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

_MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "ext4 without a journal": ["mkfs.ext4", "-q", "-F", "-O", "^has_journal"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],
}


class LoopFileSystem:
    """A mounted file system; tmpfs has no file behind it."""

    def __init__(self, place: Path, fstype: str, size: int) -> None:
        """Make it in the directory `place`, `size` MiB large."""
        self.path = place / "mounted"
        self.path.mkdir()
        if fstype == "tmpfs":
            options = ["-t", "tmpfs", "-o", f"size={size}m", "tmpfs"]
        else:
            image = place / "image"
            with image.open("wb") as file:
                file.truncate(size << 20)
            subprocess.run([*_MAKE[fstype], str(image)], check=True)
            options = ["-o", "loop", str(image)]
        subprocess.run(["mount", *options, str(self.path)], check=True)

    def remove(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", str(self.path)], check=True)


def fill(path: Path) -> None:
    """Write a file until nothing fits any more."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 512)
