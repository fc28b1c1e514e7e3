"""Running fuse-overlayfs: a process that serves one mount, and ends with it.

Owns the arguments and what is left of a start that fails: nothing. The program mounts first and
goes to the background then, so that what is mounted when it returns is ready. Whoever unmounts ends
it; who has started it may end before.
Sources: fuse-overlayfs(1); moby's daemon/graphdriver/fuse-overlayfs.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess

from layerstore.drivers.errors import DriverError, end_of_process
from layerstore.drivers.graph.overlay2.mount import check_label
from layerstore.drivers.system import syscalls
from layerstore.drivers.userns.standing import in_user_namespace

PROGRAM = "fuse-overlayfs"
DEVICE = "/dev/fuse"
_SECONDS = 60
"""Longer than any machine takes; what takes longer doesn't answer any more."""
_TOLD = 500
"""Characters of what the program says that are passed on."""


def find_program() -> str | None:
    """Return the path of the program, None where it isn't installed."""
    return shutil.which(PROGRAM)


def mount_fuse(
    home: str,
    target: str,
    *,
    lowers: list[str],
    upper: str | None = None,
    work: str | None = None,
    label: str = "",
    volatile: bool = False,
) -> None:
    """Mount at the absolute path `target`; the other paths are relative to `home`.

    Without `upper` nothing in it can be changed. With `volatile` nothing is synced, whoever asks.
    Raises DriverError, with ENOSYS where the program isn't there.
    """
    program = find_program()
    if program is None:
        raise DriverError(f"run {PROGRAM} for", target, errno.ENOSYS, "it isn't installed")
    options = [f"lowerdir={':'.join(lowers)}"]
    if upper is not None:
        options += [f"upperdir={upper}", f"workdir={work}"]
    if check_label(label):
        options.append(f'context="{label}"')
    if volatile:
        options.append("volatile")
    if not in_user_namespace():
        options.append("dev")  # where the kernel lets nobody, the mount would fail
    try:
        _run([program, "-o", ",".join(options), target], home)
    except BaseException:
        with contextlib.suppress(OSError):
            _detach(target)  # it may have mounted, and been killed then
        raise


def _run(command: list[str], home: str) -> None:
    target = command[-1]
    # What goes by the environment and isn't told in the options changes what lies on the disk.
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        reason = f"it hasn't mounted after {_SECONDS} seconds"
        raise DriverError(f"run {PROGRAM} for", target, errno.ETIMEDOUT, reason) from error
    except OSError as error:
        raise DriverError.from_os_error(f"run {PROGRAM} for", target, error) from error
    if done.returncode < 0:
        reason = f"it is {end_of_process(done.returncode)}"
        raise DriverError(f"mount by {PROGRAM} on", target, errno.EIO, reason)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:_TOLD]
        reason = f"it ends with {done.returncode}: {said}"
        raise DriverError(f"mount by {PROGRAM} on", target, _errno_in(said), reason)


def _errno_in(said: str) -> int:
    """Return the number of the error that a program's last words name, EIO if none."""
    for number in (errno.EPERM, errno.EACCES, errno.ENOENT, errno.ENOSPC, errno.EROFS):
        if said.endswith(os.strerror(number)):
            return number
    return errno.EIO


def _detach(target: str) -> None:
    syscalls.umount(target, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)


def sync_mount(target: str) -> None:
    """Have what was written to a mount go to the program: what is unmounted lazily loses the rest.

    A mount whose program has died has nothing to give any more, nor has one that isn't there.
    """
    try:
        fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        syscalls.syncfs(fd)
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise DriverError.from_os_error("sync", target, error) from error
    finally:
        os.close(fd)
