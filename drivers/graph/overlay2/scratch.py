"""Layers that are thrown away: how long their content counts, and where it lies in memory.

Owns a scratch layer's file that says in which life of the machine it was made, the mark that a
volatile mount leaves, and the tmpfs of a layer in memory. Content counts until the machine is
started again: of what was never synced nobody knows what is left, and a tmpfs is gone.
Sources: Documentation/filesystems/overlayfs.rst ("Volatile mount") and tmpfs.rst.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from layerstore.drivers.confine.detached import detached, lay
from layerstore.drivers.errors import DriverError, InvalidArgument
from layerstore.drivers.graph.kept_options import KEPT
from layerstore.drivers.graph.storage_options import StorageOptions
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.durable import write_new
from layerstore.drivers.system.retry import patiently
from layerstore.drivers.system.small_file import read_metadata
from layerstore.drivers.tree.delete import DIRECTORY, delete_entry

MEMORY = "memory"
"""The directory in a layer's on which its tmpfs is mounted."""
SCRATCH_MODE = 0o1710
"""Of a scratch layer's directory. The sticky bit comes and goes with the directory itself, so that
what a power loss has left of a layer of which no file was synced isn't taken for a whole one."""
_BOOT = "layerstore-boot"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MAX_BOOT_ID = 64
_FROM_BEFORE = "a scratch layer from before the machine was started; it can only be removed"
_VOLATILE = "work/incompat/volatile"
_INODE = 2048
"""Bytes of a bounded layer for each file that it may have."""
_FEWEST_INODES = 4096
_SPARE_INODES = 16
"""More than overlayfs takes for its trials and its work directory, and a reset for its new one."""


_CONTENT = {"diff": 0o755, "work": 0o700}
"""What lies in a layer's tmpfs, with its mode."""


def check_scratch(options: StorageOptions, home: str, boot: bytes, *, userxattr: bool) -> None:
    """Raise InvalidArgument where there can't be such a scratch layer, for the reason."""
    if not boot:
        reason = f"{_BOOT_ID} is unreadable, so nobody would know how long its content counts"
        raise InvalidArgument(f"scratch={options.scratch}", reason)
    if options.scratch != "memory":
        return
    try:
        os.close(detached(home, writable=False))
    except OSError as error:
        reason = f"its mount can't be handed to the processes that work on it: {error.strerror}"
        raise InvalidArgument("scratch=memory", reason) from error
    if userxattr and _release() < (6, 6):
        reason = "in a user namespace a tmpfs has the attributes that overlays want from Linux 6.6"
        raise InvalidArgument("scratch=memory", reason)


def _release() -> tuple[int, ...]:
    numbers = os.uname().release.split("-")[0].split(".")
    return tuple(int(number) for number in numbers[:2] if number.isdigit())


def make_scratch(path: str, options: StorageOptions, boot: bytes) -> None:
    """Make of a layer's directory that of a scratch layer. Raises DriverError."""
    write_new(f"{path}/{_BOOT}", boot, durable=False)
    if options.scratch != "memory":
        return
    try:
        # It stays as long as the layer, so that whoever removes that looks for mounts.
        os.mkdir(f"{path}/merged", 0o700)
        os.mkdir(f"{path}/{MEMORY}", 0o700)
        syscalls.mount("layerstore", f"{path}/{MEMORY}", "tmpfs", 0, _tmpfs_options(options.size))
        for name, mode in _CONTENT.items():
            os.mkdir(f"{path}/{MEMORY}/{name}", mode)
            os.chmod(f"{path}/{MEMORY}/{name}", mode)  # whatever the umask
    except OSError as error:
        raise DriverError.from_os_error("make a layer in memory in", path, error) from error


def _tmpfs_options(size: int | None) -> str:
    if size is None:
        return "mode=0700"
    return f"mode=0700,size={size},nr_inodes={inodes_within(size)}"


def inodes_within(size: int) -> int:
    """Return how many files a layer of so many bytes may have, as empty ones take room, too."""
    return max(size // _INODE, _FEWEST_INODES)


@contextlib.contextmanager
def with_spare_inodes(path: str, options: StorageOptions) -> Iterator[None]:
    """Let a bounded layer in memory have a few files more for a `with` block.

    So one that is full can be mounted, and reset. Raises DriverError.
    """
    if options.scratch != "memory" or options.size is None:
        yield
        return
    most = inodes_within(options.size)
    try:
        _bound_inodes(path, most + _SPARE_INODES)
        try:
            yield
        finally:
            _bound_inodes(path, most)
    except OSError as error:
        raise DriverError.from_os_error("remount", f"{path}/{MEMORY}", error) from error


def _bound_inodes(path: str, most: int) -> None:
    options = f"nr_inodes={most}"
    try:
        syscalls.mount("layerstore", f"{path}/{MEMORY}", "tmpfs", syscalls.MS_REMOUNT, options)
    except OSError as error:
        # It has more already: the work directory of one that was filled before it was mounted.
        if error.errno != errno.EINVAL:
            raise


def clear_memory(path: str) -> None:
    """Delete what a reset that was cut off has left in a layer's tmpfs. Raises DriverError."""
    try:
        memory = os.open(f"{path}/{MEMORY}", DIRECTORY)
        try:
            for name in os.listdir(memory):
                if name not in _CONTENT:
                    delete_entry(memory, name)
        finally:
            os.close(memory)
    except OSError as error:
        raise DriverError.from_os_error("clean", f"{path}/{MEMORY}", error) from error


def unmake_scratch(path: str) -> None:
    """Undo make_scratch in a layer that was never used, of which any part may be there."""
    unmount_memory(path)
    for name in (_BOOT, KEPT):
        try:
            os.unlink(f"{path}/{name}")
        except FileNotFoundError:
            continue
    for name in (MEMORY, "merged"):
        try:
            os.rmdir(f"{path}/{name}")
        except FileNotFoundError:
            continue


def unmount_memory(path: str) -> None:
    """Let go of a layer's content in memory, if it has any. Idempotent. Raises DriverError."""
    try:
        _umount(f"{path}/{MEMORY}")
    except OSError as error:
        raise DriverError.from_os_error("unmount", f"{path}/{MEMORY}", error) from error


@patiently
def _umount(target: str) -> None:
    try:
        syscalls.umount(target, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOENT}:
            raise


def check_counts(path: str, options: StorageOptions, boot: bytes) -> None:
    """Raise DriverError where a scratch layer's content doesn't count any more."""
    if read_metadata(f"{path}/{_BOOT}", _MAX_BOOT_ID) != boot:
        raise DriverError("use", path, errno.ESTALE, _FROM_BEFORE)
    if options.scratch == "memory" and not has_memory(path):
        reason = "what it had in memory is gone, as that is mounted no more; it can only be removed"
        raise DriverError("use", path, errno.ESTALE, reason)


def check_ordinary(path: str) -> None:
    """Raise DriverError where a layer of which no options are kept was a scratch layer.

    That there is no such layer is for others to tell.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise DriverError.from_os_error("find", path, error) from error
    if mode & stat.S_ISVTX:
        raise DriverError("use", path, errno.ESTALE, _FROM_BEFORE)


def has_memory(path: str) -> bool:
    """Whether a layer's tmpfs is mounted, as this process sees it."""
    try:
        memory = os.lstat(f"{path}/{MEMORY}")
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DriverError.from_os_error("find", f"{path}/{MEMORY}", error) from error
    return memory.st_dev != os.lstat(path).st_dev


def memory_used(path: str) -> int:
    """Return the bytes that a layer's tmpfs takes. Raises DriverError."""
    try:
        found = os.statvfs(f"{path}/{MEMORY}")
    except OSError as error:
        raise DriverError.from_os_error("measure", f"{path}/{MEMORY}", error) from error
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def lend_memory(path: str) -> int:
    """Return the descriptor of a mount of a layer's tmpfs. Raises DriverError."""
    try:
        return detached(f"{path}/{MEMORY}", writable=True)
    except OSError as error:
        raise DriverError.from_os_error("lend", f"{path}/{MEMORY}", error) from error


def lay_memory(path: str, lent: int) -> None:
    """Have a layer's tmpfs at its place, as this process sees it. Raises DriverError."""
    try:
        lay(lent, f"{path}/{MEMORY}")
    except OSError as error:
        raise DriverError.from_os_error("mount", f"{path}/{MEMORY}", error) from error


def forgive(work: str) -> None:
    """Take away the mark that a volatile mount has left, as what it was of still counts.

    Called after check_counts. Raises DriverError.
    """
    for remove, path in (
        (os.unlink, f"{work}/{_VOLATILE}/dirty"),
        (os.rmdir, f"{work}/{_VOLATILE}"),
    ):
        try:
            remove(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise DriverError.from_os_error("remove", path, error) from error


def boot_id() -> bytes:
    """Return which life of the machine this is; empty where that isn't told. random(4)."""
    try:
        with open(_BOOT_ID, "rb", buffering=0) as file:
            return file.read(_MAX_BOOT_ID).strip()
    except OSError:
        return b""
