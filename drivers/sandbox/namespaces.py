"""The namespaces of a command: made by the process beside it, or at its fork.

Owns the fork. They come with it where whoever forks keeps other commands, too, and with a map of
IDs. With a map, all namespaces belong to a user namespace of the command's own, so that
root in it is root over them and over nothing else; the process beside it stays where it is. What
the command's process can't reach by a path any more, as its users are others, is opened before.
Sources: namespaces(7), user_namespaces(7), clone(2) on clone3, netdevice(7); runc, which opens
sources of mounts in its parent for the same reason.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct
from collections.abc import Mapping
from typing import NamedTuple

from layerstore.drivers.errors import DriverError
from layerstore.drivers.sandbox.network.files import files_of
from layerstore.drivers.sandbox.network.plan import Connection
from layerstore.drivers.sandbox.spec import RunSpec
from layerstore.drivers.system import syscalls as sc
from layerstore.drivers.userns.calls import write_maps

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_SYS_CLONE3 = 435
_CLONE_NEWUSER = 0x10000000
_PLAIN = sc.CLONE_NEWPID | sc.CLONE_NEWIPC | sc.CLONE_NEWUTS
_GO = b"1"
# It keeps the interpreter's lock: a process that is forked between letting it go and taking it
# again would wait for it for ever.
_python = ctypes.PyDLL(None, use_errno=True)


class Held(NamedTuple):
    """What the process that becomes a command with a map finds open."""

    root: int
    """A mount of its root file system that lies nowhere yet."""
    volumes: tuple[int, ...]
    """The same of each volume, in the order of the spec."""
    files: Mapping[str, bytes]
    """Its files about the network, as this machine's are to be read by this machine's root."""

    def close(self) -> None:
        """Close all of it."""
        for fd in (self.root, *self.volumes):
            os.close(fd)


class Namespaces:
    """The namespaces of one command."""

    def __init__(self, spec: RunSpec, *, at_fork: bool = False) -> None:
        """Make them, or prepare them where they come with the fork. Raises DriverError."""
        self._at_fork = at_fork or bool(spec.id_map)
        self.held: Held | None = None
        self._map = spec.id_map
        # Without a map this process is in a private one by now.
        self._network = not spec.host_network and not (spec.private_network and not self._map)
        self._go: tuple[int, int] | None = None
        flags = _PLAIN | (sc.CLONE_NEWNET if self._network else 0)
        self._flags = flags | (_CLONE_NEWUSER if self._map else 0)
        if self._map:
            self.held = _hold(spec)
            self._go = os.pipe2(os.O_CLOEXEC)
        if self._at_fork:
            return
        try:
            sc.unshare(flags)
            if self._network:
                _raise_loopback()
        except OSError as error:
            detail = "an ordinary user needs a user namespace first" if os.geteuid() else ""
            raise DriverError.from_os_error("unshare", "namespaces", error, detail) from error

    def fork(self, network: Connection) -> int:
        """Fork the process that becomes the command; as os.fork. Raises OSError, DriverError.

        There, `settle` has to be called first. One with a map is attached to a private network.
        """
        if not self._at_fork:
            return os.fork()
        ctypes.pythonapi.PyOS_BeforeFork()
        try:
            pid = self.clone()
        except OSError:
            ctypes.pythonapi.PyOS_AfterFork_Parent()
            raise
        if pid == 0:
            ctypes.pythonapi.PyOS_AfterFork_Child()
            return 0
        ctypes.pythonapi.PyOS_AfterFork_Parent()
        try:
            self.let_go_on(pid, network)
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        return pid

    def clone(self, flags: int = 0) -> int:
        """Fork that process into its namespaces, as `clone` with more flags, for `let_go_on`.

        Raises OSError.
        """
        try:
            return clone(self._flags | flags)
        except OSError:
            self._close()
            raise

    def let_go_on(self, pid: int, network: Connection) -> None:
        """Give the process that was forked its map of IDs, if any; without that it ends.

        Raises OSError, DriverError.
        """
        try:
            if self._go is not None:
                self._prepare(pid, network)
                os.write(self._go[1], _GO)
        finally:
            self._close()

    def _close(self) -> None:
        for fd in self._go or ():
            os.close(fd)
        if self.held is not None:
            self.held.close()

    def _prepare(self, pid: int, network: Connection) -> None:
        try:
            write_maps(pid, *_kernel_texts(self._map))
        except OSError as error:
            what = f"the map of IDs {self._map}"
            raise DriverError.from_os_error("make", what, error) from error
        network.attach(pid)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the fork needs."""
        held = (self.held.root, *self.held.volumes) if self.held is not None else ()
        return (*held, *(self._go or ()))

    def settle(self) -> None:
        """Be root of the user namespace, where there is one; in the fork. Raises OSError."""
        if self._go is not None:
            wait, go = self._go
            os.close(go)
            if os.read(wait, 1) != _GO:
                os._exit(1)  # whoever has forked it tells why
            os.close(wait)
            os.setgroups(())
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        if self._at_fork and self._network:
            _raise_loopback()


def _kernel_texts(id_map: str) -> tuple[str, str]:
    """Return a checked map as the kernel takes it; IdMap wants what isn't imported here."""
    users, slash, groups = id_map.translate({ord(":"): " ", ord(","): "\n"}).partition("/")
    return users, groups if slash else users


def _hold(spec: RunSpec) -> Held:
    harmless = sc.MOUNT_ATTR_NOSUID | sc.MOUNT_ATTR_NODEV
    opened: list[int] = []
    try:
        opened.append(_detached(spec.root, spec.root, harmless))
        for volume in spec.volumes:
            read_only = sc.MOUNT_ATTR_RDONLY if volume.read_only else 0
            opened.append(_detached(volume.source, volume.target, harmless | read_only))
        files = files_of(
            spec.hostname, host_network=spec.host_network, private=spec.private_network
        )
    except BaseException:
        for fd in opened:
            os.close(fd)
        raise
    return Held(opened[0], tuple(opened[1:]), files)


def _detached(path: str, called: str, attributes: int) -> int:
    try:
        return sc.detached_mount(path, attributes, follow=True)
    except OSError as error:
        raise DriverError.from_os_error("mount on", called, error) from error


def clone(flags: int) -> int:
    """Fork with flags of clone3(2), from a process without other threads. Raises OSError.

    What Python does at forks besides isn't done. It takes 0.3 ms, for threads and random numbers,
    of which whoever becomes a command has none.
    """
    ended = 0 if flags & sc.CLONE_PARENT else signal.SIGCHLD  # a sibling's is as this process's
    fields = (flags, 0, 0, 0, ended, 0, 0, 0)
    arguments = (ctypes.c_uint64 * len(fields))(*fields)
    size = ctypes.c_size_t(ctypes.sizeof(arguments))
    pid = int(_python.syscall(ctypes.c_long(_SYS_CLONE3), ctypes.byref(arguments), size))
    if pid < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "namespaces")
    return pid


def _raise_loopback() -> None:
    """Switch on the one interface of a new network namespace. netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(sock, _SIOCGIFFLAGS, request))
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
