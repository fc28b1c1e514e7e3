"""The root file system of a run: what is mounted in it, and going into it for good.

Owns the mount namespace of the process that becomes the command. The tree is hostile: every path in
it is resolved inside of it (openat2(2), RESOLVE_IN_ROOT), mount points of the system's own are no
symbolic links, and nothing is mounted by a path. Device nodes count nowhere but in /dev.
Sources: pivot_root(2), mount_namespaces(7); OCI runtime specification, "Default Filesystems" and
"Default Devices"; moby's oci.DefaultSpec for what is masked.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat

from layerstore.drivers.errors import DriverError, InvalidArgument
from layerstore.drivers.sandbox.spec import RunSpec, Volume
from layerstore.drivers.system import syscalls as sc

_IN_ROOT = sc.RESOLVE_IN_ROOT | sc.RESOLVE_NO_MAGICLINKS
_PLAIN = _IN_ROOT | sc.RESOLVE_NO_SYMLINKS
_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_HARMLESS = sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
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
_OF_THE_HOST = ("/etc/hosts", "/etc/resolv.conf")
MOUNT_POINTS = ("/proc", "/sys", "/dev")


def enter(spec: RunSpec) -> None:
    """Make the root file system the process's own, with all mounts.

    Raises OSError, DriverError, InvalidArgument.
    """
    sc.unshare(sc.CLONE_NEWNS)
    sc.mount("none", "/", "", sc.MS_REC | sc.MS_PRIVATE, "")
    sc.mount(spec.root, spec.root, "", sc.MS_BIND, "")
    _restrict(spec.root, sc.MS_NODEV | sc.MS_NOSUID)
    tree = Tree(spec.root)
    try:
        _mount_system(tree, console=spec.terminal)
        if spec.host_network:
            for path in _OF_THE_HOST:
                if os.path.exists(path):
                    _bind(tree, Volume(source=path, target=path, read_only=True))
        for volume in spec.volumes:
            _bind(tree, volume)
        if spec.read_only:
            _restrict(tree.place(), sc.MS_NODEV | sc.MS_NOSUID | sc.MS_RDONLY)
        os.fchdir(tree.root)
        sc.pivot_root_here()
    finally:
        tree.close()


class Tree:
    """A root file system in which mount points are found, and made where they are missing."""

    def __init__(self, path: str) -> None:
        """Open it. Raises OSError."""
        self.root = os.open(path, _DIRECTORY | os.O_CLOEXEC)
        self._held = [self.root]

    def place(self, fd: int | None = None) -> str:
        """Return a path of an open descriptor, for calls that take paths only."""
        return f"/proc/self/fd/{self.root if fd is None else fd}"

    def directory(self, path: str, *, resolve: int = _IN_ROOT) -> int:
        """Open a directory, making it and those above it (mode 0755) where they are missing."""
        try:
            return self._hold(sc.openat2(self.root, path, _DIRECTORY, 0, resolve))
        except FileNotFoundError:
            above, _, name = path.strip("/").rpartition("/")
            if not name:
                raise
        parent = self.directory(f"/{above}", resolve=resolve)
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
        except FileExistsError:
            return self.directory(self._behind(parent, name), resolve=resolve)
        return self._hold(sc.openat2(self.root, path, _DIRECTORY, 0, resolve))

    def file(self, path: str) -> int:
        """Open anything but a directory, making an empty file where nothing is."""
        try:
            return self.existing(path)
        except FileNotFoundError:
            above, _, name = path.strip("/").rpartition("/")
        parent = self.directory(f"/{above}")
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            os.close(os.open(name, flags, 0o644, dir_fd=parent))
        except FileExistsError:
            return self.file(self._behind(parent, name))
        return self.existing(path)

    def _behind(self, parent: int, name: str) -> str:
        """Return where a link leads that leads nowhere yet, so that it can be made there.

        A name that is no link (as `..` is none) is there since what is above it was made.
        """
        inside = os.readlink(self.place(parent)).removeprefix(os.readlink(self.place()))
        try:
            return posixpath.join(f"{inside}/", os.readlink(name, dir_fd=parent))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return f"{inside}/{name}"

    def existing(self, path: str, *, resolve: int = _IN_ROOT) -> int:
        """Open whatever is there."""
        return self._hold(sc.openat2(self.root, path, os.O_PATH, 0, resolve))

    def _hold(self, fd: int) -> int:
        self._held.append(fd)
        return fd

    def close(self) -> None:
        """Close all that was opened."""
        while self._held:
            os.close(self._held.pop())


def make_mount_points(root: str) -> None:
    """Make the mount points of a run where they are missing. Raises OSError."""
    tree = Tree(root)
    try:
        for path in MOUNT_POINTS:
            tree.directory(path, resolve=_PLAIN)
        for path in _OF_THE_HOST:
            tree.file(path)
    finally:
        tree.close()


def _mount_system(tree: Tree, *, console: bool) -> None:
    for path, fstype, flags, data in (
        ("/proc", "proc", _HARMLESS, ""),
        ("/sys", "sysfs", _HARMLESS | sc.MS_RDONLY, ""),
        ("/dev", "tmpfs", sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC, "mode=755,size=64k"),
        ("/dev/pts", "devpts", sc.MS_NOSUID | sc.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"),
        (_SHARED_MEMORY, "tmpfs", _HARMLESS, "mode=1777,size=64m"),
        ("/dev/mqueue", "mqueue", _HARMLESS, ""),
    ):
        target = tree.directory(path, resolve=_PLAIN)
        sc.mount(fstype, tree.place(target), fstype, flags, data)
    for name in _DEVICES:
        sc.mount(f"/dev/{name}", tree.place(tree.file(f"/dev/{name}")), "", sc.MS_BIND, "")
    if console:
        tree.file("/dev/console")
    dev = tree.directory("/dev", resolve=_PLAIN)
    for name, leads_to in _DEVICE_LINKS.items():
        os.symlink(leads_to, name, dir_fd=dev)
    for path in _MASKED:
        _cover(tree, path, masked=True)
    for path in _READ_ONLY:
        _cover(tree, path, masked=False)


def _cover(tree: Tree, path: str, *, masked: bool) -> None:
    """Hide what the kernel tells at a path, or make it read-only; it need not be there."""
    try:
        fd = tree.existing(path, resolve=_PLAIN)
    except FileNotFoundError:
        return
    place = tree.place(fd)
    if not masked:
        sc.mount(place, place, "", sc.MS_BIND, "")
        _restrict(tree.place(tree.existing(path, resolve=_PLAIN)), _HARMLESS | sc.MS_RDONLY)
    elif stat.S_ISDIR(os.fstat(fd).st_mode):
        sc.mount("tmpfs", place, "tmpfs", _HARMLESS | sc.MS_RDONLY, "size=0")
    else:
        sc.mount("/dev/null", place, "", sc.MS_BIND, "")


def _bind(tree: Tree, volume: Volume) -> None:
    source = os.open(volume.source, os.O_PATH | os.O_CLOEXEC)
    is_directory = stat.S_ISDIR(os.fstat(source).st_mode)
    try:
        _bind_open(tree, volume, source, is_directory=is_directory)
    except OSError as error:
        fits = error.errno not in (errno.ENOTDIR, errno.EISDIR)
        why = "" if fits else "source and target are both directories, or neither is"
        raise DriverError.from_os_error("mount on", volume.target, error, why) from error
    finally:
        os.close(source)


def _bind_open(tree: Tree, volume: Volume, source: int, *, is_directory: bool) -> None:
    path = posixpath.normpath(f"/{volume.target.lstrip('/')}")
    target = tree.directory(path) if is_directory else tree.file(path)
    _refuse_places(tree, target, volume)
    sc.mount(tree.place(source), tree.place(target), "", sc.MS_BIND, "")
    # Those that the file system has already stay.
    flags = os.fstatvfs(source).f_flag & (_HARMLESS | sc.MS_RDONLY)
    read_only = sc.MS_RDONLY if volume.read_only else 0
    _restrict(tree.place(tree.existing(path)), flags | sc.MS_NODEV | sc.MS_NOSUID | read_only)


def _refuse_places(tree: Tree, target: int, volume: Volume) -> None:
    """Refuse a target that leads, by way of links, where nothing may be mounted."""
    found = os.fstat(target)
    proc = os.fstat(tree.existing("/proc", resolve=_PLAIN))
    if found.st_dev == proc.st_dev or os.path.samestat(found, os.fstat(tree.root)):
        both = f"{volume.source}:{volume.target}"
        raise InvalidArgument(both, "a volume's target can't lead to / nor into /proc")


def _restrict(target: str, flags: int) -> None:
    sc.mount("none", target, "", sc.MS_REMOUNT | sc.MS_BIND | flags, "")
