"""The root file system of a run: what is mounted in it, and going into it for good.

Owns the mount namespace of the process that becomes the command. The tree is hostile: every path in
it is resolved inside of it (openat2(2), RESOLVEIN_ROOT), mount points of the system's own are no
symbolic links, and nothing is mounted by a path. Device nodes count nowhere but in /dev.
Sources: pivot_root(2), mount_namespaces(7); OCI runtime specification, "Default Filesystems" and
"Default Devices"; moby's oci.DefaultSpec for what is masked.
"""

from __future__ import annotations

import os
import stat

from layerstore.drivers.sandbox.inside import HARMLESS, PLAIN, Tree, restrict
from layerstore.drivers.sandbox.network_files import NetworkFiles, files_of, prepare_files
from layerstore.drivers.sandbox.spec import RunSpec
from layerstore.drivers.sandbox.volumes import mount_volumes
from layerstore.drivers.system import syscalls as sc

_DEVICES = {
    "null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9),
    "tty": (5, 0),
}  # fmt: skip
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
    "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a mount point, in another root
MOUNT_POINTS = ("/proc", "/sys", "/dev")


def enter(spec: RunSpec) -> None:
    """Make the root file system the process's own, with all mounts.

    Raises OSError, DriverError, InvalidArgument.
    """
    sc.unshare(sc.CLONE_NEWNS)
    sc.mount("none", "/", "", sc.MS_REC | sc.MS_PRIVATE, "")
    sc.mount(spec.root, spec.root, "", sc.MS_BIND, "")
    read_only = os.statvfs(spec.root).f_flag & sc.MS_RDONLY  # where it is, it stays so
    restrict(spec.root, sc.MS_NODEV | sc.MS_NOSUID | read_only)
    tree = Tree(spec.root)
    try:
        _mount_system(tree, console=spec.terminal)
        files = NetworkFiles(tree, files_of(spec.hostname, host_network=spec.host_network))
        taken = mount_volumes(tree, spec.volumes)
        files.mount(taken, read_only=spec.read_only)
        if spec.read_only:
            restrict(tree.place(), sc.MS_NODEV | sc.MS_NOSUID | sc.MS_RDONLY)
        os.fchdir(tree.root)
        sc.pivot_root_here()
    finally:
        tree.close()


def make_mount_points(root: str) -> None:
    """Make the mount points of a run where they are missing. Raises OSError."""
    tree = Tree(root)
    try:
        for path in MOUNT_POINTS:
            tree.directory(path, resolve=PLAIN)
        prepare_files(tree)
    finally:
        tree.close()


def _mount_system(tree: Tree, *, console: bool) -> None:
    for path, fstype, flags, data in (
        ("/proc", "proc", HARMLESS, ""),
        ("/sys", "sysfs", HARMLESS | sc.MS_RDONLY, ""),
        ("/dev", "tmpfs", sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC, "mode=755,size=64k"),
        ("/dev/pts", "devpts", sc.MS_NOSUID | sc.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"),
        (_SHARED_MEMORY, "tmpfs", HARMLESS, "mode=1777,size=64m"),
        ("/dev/mqueue", "mqueue", HARMLESS, ""),
    ):
        target = tree.directory(path, resolve=PLAIN)
        sc.mount(fstype, tree.place(target), fstype, flags, data)
    _make_devices(tree)
    if console:
        tree.file("/dev/console")
    dev = tree.directory("/dev", resolve=PLAIN)
    for name, leads_to in _DEVICE_LINKS.items():
        os.symlink(leads_to, name, dir_fd=dev)
    for path in _MASKED:
        _cover(tree, path, masked=True)
    for path in _READ_ONLY:
        _cover(tree, path, masked=False)


def _make_devices(tree: Tree) -> None:
    """Make nodes of the run's own, so that nobody changes modes and owners of this machine's.

    The directory that they are seen in takes no others: it is mounted nodev.
    """
    with tree.aside(sc.MS_NOSUID | sc.MS_NOEXEC, "mode=755,size=64k") as ours:
        for name, numbers in _DEVICES.items():
            os.mknod(name, stat.S_IFCHR, os.makedev(*numbers), dir_fd=ours)
            os.chmod(name, 0o666, dir_fd=ours)
            place = tree.place(tree.file(f"/dev/{name}"))
            sc.mount(f"{tree.place(ours)}/{name}", place, "", sc.MS_BIND, "")
    _change_null(tree.place(tree.existing("/dev/null", resolve=PLAIN)))


def _change_null(null: str) -> None:
    """Have the run's own null where a standard stream is this machine's, for the same reason.

    It would be reached by /proc/self/fd. Source: runc, reOpenDevNull.
    """
    theirs = os.open(null, os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        status = os.fstat(fd)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(*_DEVICES["null"]):
            os.dup2(theirs, fd)
    os.close(theirs)


def _cover(tree: Tree, path: str, *, masked: bool) -> None:
    """Hide what the kernel tells at a path, or make it read-only; it need not be there."""
    try:
        fd = tree.existing(path, resolve=PLAIN)
    except FileNotFoundError:
        return
    place = tree.place(fd)
    if not masked:
        sc.mount(place, place, "", sc.MS_BIND, "")
        restrict(tree.place(tree.existing(path, resolve=PLAIN)), HARMLESS | sc.MS_RDONLY)
    elif stat.S_ISDIR(os.fstat(fd).st_mode):
        sc.mount("tmpfs", place, "tmpfs", HARMLESS | sc.MS_RDONLY, "size=0")
    else:
        null = tree.place(tree.existing("/dev/null", resolve=PLAIN))
        sc.mount(null, place, "", sc.MS_BIND, "")
