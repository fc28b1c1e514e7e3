"""A sandbox: a root file system of its own with a container that commands join, as one object.

Owns the order in which its parts come and go; each part is its own module's: the read-write layer
the store's, the container `running`'s, files `files`'. Nothing is kept of it when it is closed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import subprocess
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, Self, Unpack

from layerstore.drivers.errors import DriverError, InvalidArgument, LayerStoreError, NotRunning
from layerstore.drivers.sandbox.network.plan import PublishedPort
from layerstore.sandbox import files
from layerstore.sandbox.copying import Place, copy
from layerstore.sandbox.process import ImageProcess
from layerstore.sandbox.reachable import ExecOptions
from layerstore.sandbox.runnable import RunOptions, hostname_of, run_spec
from layerstore.sandbox.running import Finished, Running
from layerstore.sandbox.spawning import Stream
from layerstore.sandbox.volumes import image_volumes

if TYPE_CHECKING:
    from types import TracebackType

    from layerstore.drivers.cgroup.usage import Usage
    from layerstore.drivers.model.tree import Change
    from layerstore.images.image import Image
    from layerstore.images.store import ImageStore
    from layerstore.operations.blocking import BlockingStore, RWLayer
    from layerstore.sandbox.warm import Warm

_HOLDER = "sandbox"
MOST_OUTPUT = 100 << 20
"""Bytes that a command writes at most to a stream where nothing else is said."""
_FORKS_AT_ONCE = 1000


class Host(Protocol):
    """What sandboxes of one store have in common."""

    store: BlockingStore
    warm: Warm

    @property
    def images(self) -> ImageStore:
        """The images of the store."""

    def fork(self, source: Sandbox, on_failure: contextlib.ExitStack) -> RWLayer:
        """Make a fork of a sandbox's layer, which is nobody's until it is settled."""

    def settle(self, rw: RWLayer, source: Sandbox, on_failure: contextlib.ExitStack) -> Sandbox:
        """Make a sandbox in a layer, like another."""

    def flatten(self, box: Sandbox, name: str) -> Image:
        """Make an image of one layer of a sandbox."""

    def close_one(self, box: Sandbox) -> None:
        """End a sandbox and remove what it was, unless that is done."""


class Sandbox:
    """A root file system, and a container in it that lives until it is closed.

    Made by `LayerStore.sandbox`. Its methods may be called from any thread. Use it as a context
    manager: at the end of the block every process in it is killed, and its content is gone.
    """

    def __init__(self, host: Host, rw: RWLayer, process: ImageProcess, options: RunOptions) -> None:
        """Start the container in a read-write layer; it is `LayerStore.sandbox` that makes both.

        Raises InvalidArgument, TypeError, DriverError.
        """
        self._host = host
        self._process = process
        self._options = options
        self._paused = False
        self._failure: LayerStoreError | None = None
        self._told = False
        self.rw = rw
        """The read-write layer that it lives in."""
        self._begin()

    def _begin(self) -> None:
        given = self._options.get("volumes", ())
        self.root = self.rw.mount()
        """Where its root file system is mounted. What lies there is hostile: see `read_file`."""
        options = self._options.copy()
        options["volumes"] = (
            *given,
            *image_volumes(self._host.store, self.rw, self._process.volumes, given),
        )
        options["hostname"] = options.get("hostname") or hostname_of(self.rw.name)
        options["id_map"] = self.rw.id_map  # a fork's may be others than its source's
        options["workdir"], options["user"] = "/", ""  # of who holds it, whose place is nobody's
        null = subprocess.DEVNULL
        self._failure, self._told = None, False
        self._container = Running(
            self.root,
            run_spec([_HOLDER], **options)._replace(hold=True),
            stdin=null,
            stdout=null,
            stderr=null,
            spawner=self._host.warm.spawn,
        )

    @property
    def name(self) -> str:
        """The name of its read-write layer."""
        return self.rw.name

    @property
    def workdir(self) -> str:
        """Where its commands begin and relative paths do: the image's, or what was given."""
        return self._options.get("workdir") or self._process.workdir

    @property
    def ports(self) -> tuple[PublishedPort, ...]:
        """What of a private network was asked to be published, with the ports that were chosen."""
        return self._container.ports

    # Commands

    def exec(
        self,
        argv: Sequence[str],
        *,
        given: bytes | None = None,
        most_output: int = MOST_OUTPUT,
        **options: Unpack[ExecOptions],
    ) -> Finished:
        """Run a command in it and return how it ended, with what it wrote.

        `given` is its standard input, empty by default. Variables, working directory and user are
        the sandbox's where nothing else is said. Where it writes more than `most_output` bytes to
        either stream it is killed, with OutputExceeded. Raises CommandNotRun, InvalidName for an
        unknown user, DriverError, InvalidArgument, TypeError.
        """
        return self.start_piped(argv, given, **options).wait_and_end(given, most_output)

    def start_piped(
        self, argv: Sequence[str], given: bytes | None, **options: Unpack[ExecOptions]
    ) -> Running:
        """Start what `exec` waits for."""
        pipe = subprocess.PIPE
        stdin = pipe if given is not None else subprocess.DEVNULL
        return self.start(argv, stdin=stdin, stdout=pipe, stderr=pipe, **options)

    def start(
        self,
        argv: Sequence[str],
        *,
        terminal: bool = False,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        **options: Unpack[ExecOptions],
    ) -> Running:
        """Start a command in it; the streams are as for subprocess.Popen. Raises as `exec` does."""
        given = (self._process.env, self._options.get("env"), options.get("env"))
        options["env"] = {name: value for env in given for name, value in (env or {}).items()}
        options["workdir"] = self._path(options.get("workdir", ""))
        options.setdefault("user", self._options.get("user") or self._process.user)
        streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        try:
            return self._container.exec(argv, terminal=terminal, **streams, **options)
        except NotRunning:
            self._tell_why_not()
            raise

    def _tell_why_not(self) -> None:
        """Raise what kept the container from being made, if something did."""
        if self._failure is None and not self._told:
            self._told = True  # its end is waited for once
            try:
                self._container.wait()
            except LayerStoreError as error:
                self._failure = error
        if self._failure is not None:
            raise self._failure

    def pause(self) -> None:
        """Have all of its processes stand still; see Running.pause."""
        self._container.pause()
        self._paused = True

    def resume(self) -> None:
        """Have them go on."""
        self._container.resume()
        self._paused = False

    def stats(self) -> Usage:
        """Return what its processes use and have used; see Running.stats."""
        return self._container.stats()

    # Files

    def read_file(self, path: str, *, most: int = files.MOST_READ) -> bytes:
        """Return a regular file's content, of at most `most` bytes.

        A path is followed as a process in the sandbox would follow it, but for what is mounted
        there alone, as /proc and volumes; one that doesn't begin with / begins in `workdir`. Raises
        DriverError; LimitExceeded.
        """
        return files.read_file(self.root, self._path(path), most=most)

    def write_file(
        self,
        path: str,
        content: bytes,
        *,
        mode: int | None = None,
        owner: tuple[int, int] | None = None,
    ) -> None:
        """Write a regular file, making it, and the directories above it, where they are missing.

        A file that is there keeps its mode and owner (user and group ID) unless others are given;
        what is made is root's, files with mode 0644. Raises DriverError.
        """
        where, id_map = self._path(path), self.rw.id_map
        files.write_file(self.root, where, content, mode=mode, owner=owner, id_map=id_map)

    def stat(self, path: str) -> files.Entry:
        """Return what is at a path, as `read_file` follows it. Raises DriverError."""
        return files.stat_file(self.root, self._path(path), id_map=self.rw.id_map)

    def list_directory(self, path: str = "") -> list[files.Entry]:
        """Return what is in a directory, by name. Raises DriverError."""
        return files.list_directory(self.root, self._path(path), id_map=self.rw.id_map)

    def upload(
        self, source: str | os.PathLike[str], path: str, *, owner: tuple[int, int] | None = None
    ) -> None:
        """Copy a file or tree of this machine into it, by the rules of `docker cp`.

        Into a directory that is there it goes under its own name; else `path` is its new name.
        `owner` is the user and group of what is made; its own by default. Raises DriverError.
        """
        copy(Place("/", os.path.abspath(source)), self._place(path), owner=owner)

    def download(self, path: str, target: str | os.PathLike[str]) -> None:
        """Copy a file or tree out of it, by the same rules; links aren't followed.

        Raises DriverError.
        """
        copy(self._place(path), Place("/", os.path.abspath(target)))

    def _place(self, path: str) -> Place:
        tail = "/." if path.endswith("/.") else "/" if path.endswith("/") else ""
        return Place(self.root, self._path(path).rstrip("/") + tail or "/", self.rw.id_map)

    def _path(self, path: str) -> str:
        if "\0" in path:
            raise InvalidArgument(path, "a path holds no NUL")
        return posixpath.join(self.workdir, path)

    # States

    def diff(self) -> list[Change]:
        """Return what its commands and `write_file` have changed; see RWLayer.changes."""
        return self.rw.changes()

    def commit(self, name: str) -> Image:
        """Make an image of it as it is now, its processes standing still meanwhile.

        Raises as ImageStore.commit does.
        """
        with self._standing_still():
            return self._host.images.commit(self.rw, name)

    def flatten(self, name: str) -> Image:
        """Make an image of one layer of it as it is now, its processes standing still meanwhile.

        As a commit that is flattened, but also where its chain of layers has no room for a commit's
        any more. Raises as ImageStore.commit does.
        """
        with self._standing_still():
            return self._host.flatten(self, name)

    def fork(self, count: int = 1) -> list[Sandbox]:
        """Make sandboxes with the content that this one has now; processes aren't copied.

        Its own stand still meanwhile, where control groups can have them so. They have its
        options. Raises InvalidArgument; StorageFull, DriverError, after which none is left.
        """
        if not 0 < count <= _FORKS_AT_ONCE:
            raise InvalidArgument(str(count), f"1 to {_FORKS_AT_ONCE} forks are made at once")
        with contextlib.ExitStack() as on_failure:
            with self._standing_still():
                layers = [self._host.fork(self, on_failure) for _ in range(count)]
            forks = [self._host.settle(rw, self, on_failure) for rw in layers]
            on_failure.pop_all()
            return forks

    def like(self, rw: RWLayer) -> Sandbox:
        """Return one in another read-write layer with the same options."""
        return Sandbox(self._host, rw, self._process, self._options)

    def reset(self) -> None:
        """Kill all that runs in it, and begin anew with the image's content, under its name.

        Raises DriverError.
        """
        self.end()
        self.rw.unmount()
        self.rw.reset()
        self._begin()

    @contextlib.contextmanager
    def _standing_still(self) -> Iterator[None]:
        """Pause it for a `with` block, where it can be and isn't."""
        if self._paused:
            yield
            return
        try:
            self._container.pause()
        except DriverError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            yield
            return
        try:
            yield
        finally:
            self._container.resume()

    def close(self) -> None:
        """Kill all that runs in it, wait for its end, and remove its content. Idempotent."""
        self._host.close_one(self)

    def end(self) -> None:
        """Kill all that runs in it, and wait for its end. Idempotent; `close` does more."""
        self._container.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
