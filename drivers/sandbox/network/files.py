"""What a run's command reads in /etc of its names and of the network.

Owns /etc/hosts, /etc/hostname and /etc/resolv.conf: files of the run's own, in memory, mounted over
whatever the root file system has there, so that nothing in them is a change of that. And how an
init layer is prepared for them, with /etc/mtab.
Sources: moby's initlayer.Setup, container.NetworkMounts, libnetwork's etchosts; hosts(5).
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from collections.abc import Collection, Mapping

from layerstore.drivers.errors import DriverError
from layerstore.drivers.sandbox.inside import HARMLESS, PLAIN, Tree, restrict
from layerstore.drivers.sandbox.network.plan import ADDRESS, PrivateNetwork
from layerstore.drivers.sandbox.network.resolver import resolver_file
from layerstore.drivers.system import syscalls as sc
from layerstore.drivers.system.readable import content_of

_HOSTS, _HOSTNAME, _RESOLVER = "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"
_FILES = (_HOSTS, _HOSTNAME, _RESOLVER)
_MTAB, _MOUNTS = "/etc/mtab", "/proc/mounts"
_KERNEL_S = ("/proc", "/sys", "/dev")
_LOOPBACK = b"""127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
_ONE_WORD = re.compile(r"[!\"$-~]+\Z")
_TO_GROW = 1 << 20


def prepare_files(tree: Tree) -> None:
    """Make in an init layer what the files are mounted on, and /etc/mtab, as docker does.

    Links there, and what else isn't a file, are replaced; a directory stays. Raises OSError.
    """
    for path in (*_FILES, _MTAB):
        above, _, name = path.rpartition("/")
        parent = tree.directory(above)
        kinds = (stat.S_IFDIR,) if path == _MTAB else (stat.S_IFDIR, stat.S_IFREG)
        with tree.named(path):
            if _holds(parent, name, *kinds):
                continue
            if path == _MTAB:
                os.symlink(_MOUNTS, name, dir_fd=parent)
            else:
                tree.new_file(path, name, parent)


def _holds(directory: int, name: str, *kinds: int) -> bool:
    """Whether a name is one of these kinds of files; if it is another, that is removed."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if stat.S_IFMT(found.st_mode) in kinds:
        return True
    os.unlink(name, dir_fd=directory)
    return False


def files_of(
    hostname: str, *, host_network: bool, private: PrivateNetwork | None = None
) -> Mapping[str, bytes]:
    """Return what is in each file, by its path.

    Without a network the resolver's servers can't be reached, but docker, too, tells which they
    are. On this machine's network the hosts are this machine's. Raises OSError.
    """
    name = hostname or socket.gethostname()
    hosts = _here(_HOSTS) if host_network else b""
    if not hosts:
        address = "127.0.0.1" if private is None else ADDRESS
        own = f"{address}\t{name}\n" if _ONE_WORD.match(name) else ""
        hosts = _LOOPBACK + os.fsencode(own)
    resolver = _here(_RESOLVER)
    if private is not None:
        resolver = resolver_file(resolver, private.dns)
    return {_HOSTS: hosts, _HOSTNAME: os.fsencode(f"{name}\n"), _RESOLVER: resolver}


def _here(path: str) -> bytes:
    """Return what this machine's file has; this process still sees that."""
    try:
        return content_of(path)
    except FileNotFoundError:
        return b""


class NetworkFiles:
    """The files of one run, from finding their places to mounting them there."""

    def __init__(self, tree: Tree, files: Mapping[str, bytes]) -> None:
        """Find where each is to be, making that where it is missing; before volumes are mounted.

        What a link into /proc, /sys or /dev leads to stays what it is. Raises OSError; a root file
        system that can't be written to goes without those that it has no place for.
        """
        self._tree = tree
        self._files = files
        self._targets: dict[str, str] = {}
        for path in files:
            try:
                target = tree.inside(tree.file(path))
            except OSError as error:
                if error.errno != errno.EROFS:
                    raise
                continue
            if not _is_in(target, _KERNEL_S):
                self._targets[path] = target

    def mount(self, taken: Collection[str], *, read_only: bool) -> None:
        """Mount them. `taken` are places inside whose files are a caller's, and count.

        Raises OSError, DriverError.
        """
        size = sum(map(len, self._files.values())) + _TO_GROW
        with self._tree.aside(HARMLESS, f"mode=755,size={size}") as ours:
            for path, target in self._targets.items():
                if not _is_in(target, taken):
                    self._put(ours, path, target, read_only=read_only)

    def _put(self, ours: int, path: str, target: str, *, read_only: bool) -> None:
        tree, name = self._tree, os.path.basename(path)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        fd = os.open(name, flags, 0o644, dir_fd=ours)
        try:
            os.write(fd, self._files[path])  # all of it, as this is memory that is there
        finally:
            os.close(fd)
        try:
            sc.mount(
                f"{tree.place(ours)}/{name}", tree.place(tree.file(target)), "", sc.MS_BIND, ""
            )
        except OSError as error:
            raise DriverError.from_os_error("mount on", path, error) from error
        if read_only:
            restrict(tree.place(tree.existing(target, resolve=PLAIN)), HARMLESS | sc.MS_RDONLY)


def _is_in(path: str, places: Collection[str]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)
