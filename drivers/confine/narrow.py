"""What a process sees of the file systems: nothing but the directories it works on.

Owns the process's mount namespace, in which those directories lie at the paths that they have
outside, each without the mounts beneath it. Devices, set-user-ID bits and programs on them have no
effect, so that a device node that a tar made can't be opened. It changes nothing outside.
Sources: mount_namespaces(7), pivot_root(2).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

from layerstore.drivers.confine.detached import lay
from layerstore.drivers.confine.prepared import Calls
from layerstore.drivers.system import syscalls

_HARMLESS = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
_AGAIN = syscalls.MS_REMOUNT | syscalls.MS_BIND


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


def seeing_nothing(home: str) -> Calls:
    """Return the calls to see empty directories, the last of them `home`, and the own descriptors.

    They are made as see_only_tree is called, by a process that is about to be given what lies in
    `home`, a directory; where one fails, such a process is of no use.
    """
    new = os.fsencode(home)
    calls = Calls()
    calls.add("unshare", syscalls.CLONE_NEWNS)
    calls.add("mount", b"layerstore", new, b"tmpfs", _HARMLESS, b"mode=755,size=64k")
    for path in (*_on_the_way(new), b"/proc", b"/proc/self", b"/proc/self/fd"):
        calls.add("mkdir", new + path, 0o755)
    descriptors = new + b"/proc/self/fd"
    calls.add("mount", b"/proc/self/fd", descriptors, b"", syscalls.MS_BIND, b"")
    calls.add("mount", b"none", descriptors, b"", _AGAIN | _HARMLESS | syscalls.MS_RDONLY, b"")
    calls.add("chdir", new)
    calls.add("pivot_root", b".", b".")
    calls.add("umount2", b".", syscalls.MNT_DETACH)
    calls.add("chdir", b"/")
    return calls


def _on_the_way(path: bytes) -> Iterator[bytes]:
    """Give each directory above an absolute path, and that itself."""
    at = path.find(b"/", 1)
    while at > 0:
        yield path[:at]
        at = path.find(b"/", at + 1)
    yield path


def see_given(tree: int, path: str, home: str) -> None:
    """See a mount that lies nowhere, a directory's, at the path that the directory has outside.

    Called after seeing_nothing, once; from then on it is as after see_only_tree. Raises OSError.
    """
    at = len(home)
    while at > 0:
        at = path.find("/", at + 1)
        os.mkdir(path[:at] if at > 0 else path, 0o755)
    lay(tree, path)
    _restrict("/", _HARMLESS | syscalls.MS_RDONLY)


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
    syscalls.mount("none", target, "", _AGAIN | flags, "")


def _mount_proc(target: str) -> None:
    os.mkdir(target, 0o755)
    read_only = _HARMLESS | syscalls.MS_RDONLY
    try:
        syscalls.mount("proc", target, "proc", read_only, "subset=pid,hidepid=ptraceable")
    except OSError:  # in a container whose own /proc is partly hidden, or before Linux 5.8
        syscalls.mount("/proc", target, "", syscalls.MS_BIND | syscalls.MS_REC, "")
        _restrict(target, read_only)
