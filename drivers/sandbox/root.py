"""The root file system of a run: what is mounted in it, and going into it for good.

Owns the mount namespace of the process that becomes the command. The tree is hostile: every path in
it is resolved inside of it (openat2(2), RESOLVEIN_ROOT), mount points of the system's own are no
symbolic links, and nothing is mounted by a path. Device nodes count nowhere but in /dev.
Sources: pivot_root(2), mount_namespaces(7); OCI runtime specification, "Default Filesystems" and
"Default Devices"; moby's oci.DefaultSpec for what is masked.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable

from layerstore.drivers.sandbox.inside import HARMLESS, PLAIN, Tree, restrict
from layerstore.drivers.sandbox.namespaces import Held
from layerstore.drivers.sandbox.network.files import NetworkFiles, files_of, prepare_files
from layerstore.drivers.sandbox.spec import RunSpec
from layerstore.drivers.sandbox.volumes import mount_volumes
from layerstore.drivers.system import syscalls as sc
from layerstore.drivers.userns.calls import move_mount

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
_MASKED_DIRECTORIES_OF_PROC = (b"acpi", b"asound", b"scsi")
_MASKED_FILES_OF_PROC = (
    b"interrupts", b"kcore", b"keys", b"latency_stats", b"sched_debug", b"timer_list",
    b"timer_stats",
)  # fmt: skip
_MASKED_DIRECTORIES_OF_SYS = (b"devices/virtual/powercap", b"firmware")
_READ_ONLY_IN_PROC = (b"bus", b"fs", b"irq", b"sys", b"sysrq-trigger")
_HARMLESS_READ_ONLY = (
    sc.MOUNT_ATTR_NOSUID | sc.MOUNT_ATTR_NODEV | sc.MOUNT_ATTR_NOEXEC | sc.MOUNT_ATTR_RDONLY
)
MOUNT_POINTS = ("/proc", "/sys", "/dev")


def enter(spec: RunSpec, held: Held | None = None) -> None:
    """Make the root file system the process's own, with all mounts.

    `held` is what is open already of a command whose users are others than this machine's. Raises
    OSError, DriverError, InvalidArgument.
    """
    sc.unshare(sc.CLONE_NEWNS)
    sc.mount("none", "/", "", sc.MS_REC | sc.MS_PRIVATE, "")
    if held is None:
        sc.mount(spec.root, spec.root, "", sc.MS_BIND, "")
        read_only = os.statvfs(spec.root).f_flag & sc.MS_RDONLY  # where it is, it stays so
        restrict(spec.root, sc.MS_NODEV | sc.MS_NOSUID | read_only)
        tree = Tree(spec.root)
        texts = files_of(
            spec.hostname, host_network=spec.host_network, private=spec.private_network
        )
    else:
        # On the root, as that is a directory which whoever this is finds for certain.
        move_mount(held.root, "/")
        tree = Tree(f"/proc/self/fd/{held.root}")
        texts = held.files
    try:
        _mount_system(tree, spec)
        files = NetworkFiles(tree, texts)
        taken = mount_volumes(tree, spec.volumes, held.volumes if held is not None else None)
        files.mount(taken, read_only=spec.read_only)
        if spec.read_only:
            restrict(tree.place(), sc.MS_NODEV | sc.MS_NOSUID | sc.MS_RDONLY)
        os.fchdir(tree.root)
        sc.pivot_root_here()
    finally:
        tree.close()
        if held is not None:
            held.close()


def make_mount_points(root: str) -> None:
    """Make the mount points of a run where they are missing. Raises OSError."""
    tree = Tree(root)
    try:
        for path in MOUNT_POINTS:
            tree.directory(path, resolve=PLAIN)
        prepare_files(tree)
    finally:
        tree.close()


def _mount_system(tree: Tree, spec: RunSpec) -> None:
    """Mount what the kernel tells, and /dev.

    In what was just mounted, where nobody else has been and no link leads out, names count from
    there: the process stands in it meanwhile, which spares most of the looking.
    """
    proc = _lay(tree, "/proc", "proc", HARMLESS)
    try:
        sys = _lay(tree, "/sys", "sysfs", HARMLESS | sc.MS_RDONLY)
    except PermissionError:
        sys = _show_sys(tree)
    dev = _lay(tree, "/dev", "tmpfs", HARMLESS, "mode=755,size=64k")
    os.fchdir(dev)
    for name, fstype, flags, data in (
        ("pts", "devpts", sc.MS_NOSUID | sc.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"),
        ("shm", "tmpfs", HARMLESS, "mode=1777,size=64m"),
        ("mqueue", "mqueue", HARMLESS, ""),
    ):
        os.mkdir(name, 0o755)
        sc.mount(fstype, name, fstype, flags, data)
    _make_devices(tree)
    null = tree.place(tree.existing("/dev/null", resolve=PLAIN))
    if not spec.hold:  # which lets go of its streams
        _change_null(null)
    if spec.terminal:
        tree.file("/dev/console")
    for name, leads_to in _DEVICE_LINKS.items():
        os.symlink(leads_to, name)
    os.fchdir(proc)
    hidden = os.fsencode(null)
    _mask(_MASKED_DIRECTORIES_OF_PROC, hidden, directories=True)
    _mask(_MASKED_FILES_OF_PROC, hidden, directories=False)
    _make_read_only(_READ_ONLY_IN_PROC)
    os.fchdir(sys)
    _mask(_MASKED_DIRECTORIES_OF_SYS, hidden, directories=True)


def _lay(tree: Tree, path: str, fstype: str, flags: int, data: str = "") -> int:
    """Mount a file system on a directory, and open its root."""
    sc.mount(fstype, tree.place(tree.directory(path, resolve=PLAIN)), fstype, flags, data)
    return tree.directory(path, resolve=PLAIN)


def _show_sys(tree: Tree) -> int:
    """Show this machine's /sys: in a user namespace nobody mounts one of the machine's network.

    All that is mounted in it comes along, as the kernel takes nothing less there, and is read-only.
    Source for that: podman, on rootless containers with the host's network.
    """
    target = tree.place(tree.directory("/sys", resolve=PLAIN))
    sc.mount("/sys", target, "", sc.MS_BIND | sc.MS_REC, "")
    shown = tree.directory("/sys", resolve=PLAIN)
    sc.set_mount_attributes(tree.place(shown), _HARMLESS_READ_ONLY)
    return shown


def _make_devices(tree: Tree) -> None:
    """Make nodes of the run's own, so that nobody changes modes and owners of this machine's.

    The directory that they are seen in takes no others: it is mounted nodev. In a user namespace
    nobody makes nodes: there they are this machine's, on mounts that are read-only, so that nothing
    of them is changed. Source for that: runc, bindMountDeviceNode. This process stands in /dev.
    """
    with tree.aside(sc.MS_NOSUID | sc.MS_NOEXEC, "mode=755,size=64k") as ours:
        for name, numbers in _DEVICES.items():
            place = f"/dev/{name}"
            try:
                os.mknod(name, stat.S_IFCHR, os.makedev(*numbers), dir_fd=ours)
            except PermissionError:
                _show_device(tree, place)
            else:
                os.chmod(name, 0o666, dir_fd=ours)
                os.mknod(name, stat.S_IFREG | 0o644)
                sc.mount(f"{tree.place(ours)}/{name}", name, "", sc.MS_BIND, "")


def _show_device(tree: Tree, path: str) -> None:
    """Show this machine's own node, where it has one."""
    sc.mount(path, tree.place(tree.file(path)), "", sc.MS_BIND, "")
    shown = tree.place(tree.existing(path, resolve=PLAIN))
    restrict(shown, sc.MS_NOSUID | sc.MS_NOEXEC | sc.MS_RDONLY)


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


def _mask(names: Iterable[bytes], null: bytes, *, directories: bool) -> None:
    """Hide what the kernel tells by these names, where this process stands; they needn't be there.

    On a directory goes an empty one, on anything else the null device. What they are in the kernels
    that are known saves trying the other.
    """
    for name in names:
        why = 0
        for is_directory in (directories, not directories):
            if is_directory:
                why = sc.mounted(b"tmpfs", name, b"tmpfs", HARMLESS | sc.MS_RDONLY, b"size=0")
            else:
                why = sc.mounted(null, name, b"", sc.MS_BIND, b"")
            if why != errno.ENOTDIR:
                break
        _refuse_all_but_missing(name, why)


def _make_read_only(names: Iterable[bytes]) -> None:
    """Make what the kernel tells by these names read-only; they needn't be there."""
    flags = sc.MS_REMOUNT | sc.MS_BIND | HARMLESS | sc.MS_RDONLY
    for name in names:
        why = sc.mounted(name, name, b"", sc.MS_BIND, b"")
        if why == 0:
            why = sc.mounted(b"none", name, b"", flags, b"")
        _refuse_all_but_missing(name, why)


def _refuse_all_but_missing(name: bytes, why: int) -> None:
    if why not in (0, errno.ENOENT):
        raise OSError(why, os.strerror(why), os.fsdecode(name))
