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
_MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
    "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
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
        _mount_system(tree, console=spec.terminal)
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


def _mount_system(tree: Tree, *, console: bool) -> None:
    for path, fstype, flags, data in (
        ("/proc", "proc", HARMLESS, ""),
        ("/sys", "sysfs", HARMLESS | sc.MS_RDONLY, ""),
        ("/dev", "tmpfs", sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC, "mode=755,size=64k"),
    ):
        target = tree.place(tree.directory(path, resolve=PLAIN))
        try:
            sc.mount(fstype, target, fstype, flags, data)
        except PermissionError:
            if fstype != "sysfs":
                raise
            _show_sys(tree, path)
    dev = tree.directory("/dev", resolve=PLAIN)  # where nobody else has been yet
    for name, fstype, flags, data in (
        ("pts", "devpts", sc.MS_NOSUID | sc.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"),
        ("shm", "tmpfs", HARMLESS, "mode=1777,size=64m"),
        ("mqueue", "mqueue", HARMLESS, ""),
    ):
        os.mkdir(name, 0o755, dir_fd=dev)
        sc.mount(fstype, f"{tree.place(dev)}/{name}", fstype, flags, data)
    _make_devices(tree, dev)
    if console:
        tree.file("/dev/console")
    for name, leads_to in _DEVICE_LINKS.items():
        os.symlink(leads_to, name, dir_fd=dev)
    for path in _MASKED:
        _cover(tree, path, masked=True)
    for path in _READ_ONLY:
        _cover(tree, path, masked=False)


def _show_sys(tree: Tree, path: str) -> None:
    """Show this machine's /sys: in a user namespace nobody mounts one of the machine's network.

    All that is mounted in it comes along, as the kernel takes nothing less there, and is read-only.
    Source for that: podman, on rootless containers with the host's network.
    """
    target = tree.place(tree.directory(path, resolve=PLAIN))
    sc.mount("/sys", target, "", sc.MS_BIND | sc.MS_REC, "")
    shown = tree.place(tree.existing(path, resolve=PLAIN))
    sc.set_mount_attributes(shown, _HARMLESS_READ_ONLY)


def _make_devices(tree: Tree, dev: int) -> None:
    """Make nodes of the run's own, so that nobody changes modes and owners of this machine's.

    The directory that they are seen in takes no others: it is mounted nodev. In a user namespace
    nobody makes nodes: there they are this machine's, on mounts that are read-only, so that nothing
    of them is changed. Source for that: runc, bindMountDeviceNode.
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
                tree.new_file(place, name, dev)
                target = f"{tree.place(dev)}/{name}"
                sc.mount(f"{tree.place(ours)}/{name}", target, "", sc.MS_BIND, "")
    _change_null(tree.place(tree.existing("/dev/null", resolve=PLAIN)))


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
