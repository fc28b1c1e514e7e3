"""What a process sees of the file systems: nothing but the directories it works on.

Owns the process's mount namespace, in which those directories lie at the paths that they have
outside, each without the mounts beneath it. Devices, set-user-ID bits and programs on them have no
effect, so that a device node that a tar made can't be opened. It changes nothing outside.
Sources: mount_namespaces(7), pivot_root(2).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from layerstore.drivers.system import syscalls

_HARMLESS = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC


def see_only_root(root: str) -> None:
    """See one directory, and in /proc no process that this one could not trace.

    Raises OSError; then everything is still to be seen.
    """
    _see_only(root, (), whole_proc=True)


def see_only_tree(writable: str, readable: Sequence[str]) -> None:
    """See one directory, others that can't be written to, and in /proc the own descriptors.

    Called in a process that has come from one with see_only_root. Raises OSError.
    """
    _see_only(writable, readable, whole_proc=False)


def _see_only(writable: str, readable: Sequence[str], *, whole_proc: bool) -> None:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE, "")
    with contextlib.ExitStack() as stack:
        sources = {}
        for path in (writable, *readable):
            fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            stack.callback(os.close, fd)
            sources[path] = fd
        # The new root needs some directory to be mounted on; this one is there.
        new = writable
        syscalls.mount("layerstore", new, "tmpfs", _HARMLESS, "mode=755,size=64k")
        try:
            for path, fd in sources.items():
                flags = _HARMLESS if path == writable else _HARMLESS | syscalls.MS_RDONLY
                _bind(f"/proc/self/fd/{fd}", new + path, flags)
            if whole_proc:
                _mount_proc(f"{new}/proc")
            else:
                _bind("/proc/self/fd", f"{new}/proc/self/fd", _HARMLESS | syscalls.MS_RDONLY)
            _restrict(new, _HARMLESS | syscalls.MS_RDONLY)
            os.chdir(new)
            syscalls.pivot_root_here()
        except OSError:
            os.chdir("/")
            syscalls.umount(new, syscalls.MNT_DETACH)
            raise


def _bind(source: str, target: str, flags: int) -> None:
    os.makedirs(target, 0o755, exist_ok=True)
    syscalls.mount(source, target, "", syscalls.MS_BIND, "")
    _restrict(target, flags)


def _restrict(target: str, flags: int) -> None:
    syscalls.mount("none", target, "", syscalls.MS_REMOUNT | syscalls.MS_BIND | flags, "")


def _mount_proc(target: str) -> None:
    os.mkdir(target, 0o755)
    read_only = _HARMLESS | syscalls.MS_RDONLY
    try:
        syscalls.mount("proc", target, "proc", read_only, "subset=pid,hidepid=ptraceable")
    except OSError:  # in a container whose own /proc is partly hidden, or before Linux 5.8
        syscalls.mount("/proc", target, "", syscalls.MS_BIND | syscalls.MS_REC, "")
        _restrict(target, read_only)
