"""A sandbox provider for Inspect (inspect_ai): its samples run in layerstore's sandboxes.

    from inspect_ai import Task
    from layerstore_inspect import LayerstoreConfig

    Task(..., sandbox=SandboxEnvironmentSpec("layerstore", LayerstoreConfig(image="app:1")))

Each sample has a root file system and a container of its own, which are gone with it. One store is
open for all tasks of this process on the same root.
"""

from __future__ import annotations

import asyncio
import errno
import os
import posixpath
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, overload

from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxEnvironment,
    SandboxEnvironmentConfigType,
    SandboxEnvironmentLimits,
    SandboxUnavailableError,
    SandboxUserUnsupportedError,
    sandboxenv,
)
from pydantic import BaseModel, ConfigDict

from layerstore import (
    AsyncLayerStore,
    AsyncSandbox,
    CommandNotRun,
    DriverError,
    Finished,
    ImageDoesNotExist,
    InvalidName,
    LimitExceeded,
    NotRunning,
    OutputExceeded,
    RunOptions,
    WorkerDied,
)
from layerstore.sandbox.files import Entry

_READ, _WRITE = 4, 2
_MISSING = (errno.ENOENT, errno.ENOTDIR)
_NO_PLACE = (*_MISSING, errno.EACCES)
_MAKE = 'PATH=/usr/sbin:/usr/bin:/sbin:/bin; mkdir -p -- "$1"'
_TELL = "PATH=/usr/sbin:/usr/bin:/sbin:/bin; id -u; id -g"


class LayerstoreConfig(BaseModel):
    """What a task, or a sample, asks of its sandbox; or the path of a file with this as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str
    """Name of the image. It is pulled where the store hasn't got it, or loaded from `archive`."""
    archive: str | None = None
    """An archive with the image, as of `docker save`."""
    root: str = "/var/lib/layerstore"
    """Where the store is."""
    workdir: str = ""
    """Where commands begin and relative paths do: the image's by default. Made if it is missing."""
    user: str = ""
    """`user[:group]` of commands; the image's by default."""
    network: Literal["none", "host", "private"] = "none"
    memory: int | str | None = None
    """Bytes, or a text as `512m`."""
    cpus: float | None = None
    pids: int | None = None

    def options(self) -> RunOptions:
        """Return what the sandbox is made with."""
        return {
            "workdir": self.workdir,
            "user": self.user,
            "network": self.network,
            "memory": self.memory,
            "cpus": self.cpus,
            "pids": self.pids,
        }


def _config(given: SandboxEnvironmentConfigType | None) -> LayerstoreConfig:
    if isinstance(given, LayerstoreConfig):
        return given
    if isinstance(given, str):
        config: LayerstoreConfig = LayerstoreConfig.model_validate_json(Path(given).read_text())
        return config
    raise ValueError("the layerstore sandbox wants a LayerstoreConfig, or the path of one as JSON")


@dataclass
class _Open:
    """A store that tasks have open."""

    store: AsyncLayerStore
    opening: asyncio.Future[AsyncLayerStore]
    """Whose end each task waits for that wants it meanwhile."""
    tasks: int = 0


@dataclass(frozen=True)
class _User:
    """Who runs a sandbox's commands, by number."""

    uid: int
    gid: int

    def may(self, entry: Entry, bit: int) -> bool:
        """Whether a file's mode lets its user do something.

        Root needs no mode's leave; here it minds its files' modes nevertheless, as elsewhere in
        Inspect, so that a file is as unreadable as whoever has said `chmod -r` wants it.
        """
        if entry.uid == self.uid or not self.uid:
            return bool(entry.mode >> 6 & bit)
        return bool((entry.mode >> 3 if entry.gid == self.gid else entry.mode) & bit)


@sandboxenv(name="layerstore")
class LayerstoreSandbox(SandboxEnvironment):
    """A sandbox of one sample."""

    _open: ClassVar[dict[str, _Open]] = {}
    """Open stores, by their root."""

    def __init__(self, box: AsyncSandbox, user: _User) -> None:
        super().__init__()
        self.box = box
        self._user = user

    # Its life

    @classmethod
    def config_deserialize(cls, config: dict[str, Any]) -> BaseModel:
        return LayerstoreConfig(**config)

    @classmethod
    def default_concurrency(cls) -> int | None:
        return 2 * (os.cpu_count() or 1)

    @classmethod
    async def task_init(cls, task_name: str, config: SandboxEnvironmentConfigType | None) -> None:
        wanted = _config(config)
        found = cls._open.get(wanted.root)
        if found is None:
            store = AsyncLayerStore(wanted.root)
            found = cls._open[wanted.root] = _Open(store, asyncio.ensure_future(store.open()))
        found.tasks += 1
        try:
            await asyncio.shield(found.opening)
            try:
                await found.store.images.get(wanted.image)
            except ImageDoesNotExist:
                if wanted.archive is not None:
                    await found.store.images.load(wanted.archive)
                else:
                    await found.store.images.pull(wanted.image)
        except BaseException:
            await cls.task_cleanup(task_name, config, cleanup=True)
            raise

    @classmethod
    async def sample_init(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        metadata: dict[str, str],
    ) -> dict[str, SandboxEnvironment]:
        wanted = _config(config)
        box = cls._open[wanted.root].store.sandbox(wanted.image, **wanted.options())
        await box.open()
        try:
            made = await box.exec(
                ["/bin/sh", "-c", _MAKE, "sh", box.workdir], workdir="/", user="0"
            )
            told = await box.exec(["/bin/sh", "-c", _TELL], workdir="/")
            if made.status or told.status:
                raise RuntimeError(f"{wanted.image}: {made.stderr!r} {told.stderr!r}")
            uid, gid = map(int, (told.stdout or b"").split())
        except BaseException:
            await box.close()
            raise
        return {"default": cls(box, _User(uid, gid))}

    @classmethod
    async def sample_cleanup(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        environments: dict[str, SandboxEnvironment],
        interrupted: bool,
    ) -> None:
        for environment in environments.values():
            await environment.as_type(LayerstoreSandbox).box.close()

    @classmethod
    async def task_cleanup(
        cls, task_name: str, config: SandboxEnvironmentConfigType | None, cleanup: bool
    ) -> None:
        """Close the store with the last of its tasks; sandboxes outlive no store, whoever asks."""
        root = _config(config).root
        found = cls._open[root]
        found.tasks -= 1
        if not found.tasks:
            del cls._open[root]
            await found.store.close()

    # Commands

    async def exec(
        self,
        cmd: list[str],
        input: str | bytes | None = None,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,
        timeout_retry: bool = True,
        concurrency: bool = True,
    ) -> ExecResult[str]:
        """See SandboxEnvironment. What is over its time would be so again, so it isn't retried."""
        most = SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE
        options: dict[str, Any] = {"env": env, "workdir": cwd or "", "time_limit": timeout}
        if user is not None:
            options["user"] = user
        given = input.encode() if isinstance(input, str) else input
        try:
            done = await self.box.exec(cmd, given=given, most_output=most, **options)
        except OutputExceeded as error:
            limit = SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE_STR
            raise OutputLimitExceededError(limit, _text(error.stdout, error.stderr)) from error
        except CommandNotRun as error:
            if error.errno in (errno.EACCES, errno.EPERM):
                raise PermissionError(error.errno, str(error), error.program) from error
            return ExecResult(False, error.status, "", f"{error}\n")
        except (NotRunning, WorkerDied) as error:
            raise SandboxUnavailableError(str(error)) from error
        except InvalidName as error:
            raise SandboxUserUnsupportedError(str(error)) from error
        except DriverError as error:
            if cwd is not None and error.errno in _NO_PLACE:
                return ExecResult(False, 126, "", f"{shlex.quote(cwd)}: {error}\n")
            raise
        if done.timed_out:
            raise _Late(f"Command timed out after {timeout} seconds", done)
        return ExecResult(done.status == 0, done.status, _text(done.stdout), _text(done.stderr))

    # Files

    async def write_file(self, file: str, contents: str | bytes) -> None:
        content = contents.encode() if isinstance(contents, str) else contents
        try:
            found = await self._stat(file)
            if found is None:
                await self._check_place(file)
                owner = (self._user.uid, self._user.gid)
                await self.box.write_file(file, content, owner=owner)
                return
            if found.kind == "directory":
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), file)
            self._check(found, _WRITE, file)
            await self.box.write_file(file, content)
        except DriverError as error:
            raise _as_os_error(error, file) from error

    async def _check_place(self, file: str) -> None:
        """Have a directory for a new file, which whoever runs commands makes, or may write to."""
        above = posixpath.dirname(posixpath.join(self.box.workdir, file.rstrip("/")))
        found = await self._stat(above)
        if found is not None:
            self._check(found, _WRITE, above)
            return
        made = await self.exec(["/bin/sh", "-c", _MAKE, "sh", above])
        if not made.success:
            raise PermissionError(errno.EACCES, made.stderr.strip(), above)

    @overload
    async def read_file(self, file: str, text: Literal[True] = True) -> str: ...

    @overload
    async def read_file(self, file: str, text: Literal[False]) -> bytes: ...

    async def read_file(self, file: str, text: bool = True) -> str | bytes:
        most = SandboxEnvironmentLimits.MAX_READ_FILE_SIZE
        try:
            self._check(await self.box.stat(file), _READ, file)
            content = await self.box.read_file(file, most=most)
        except LimitExceeded as error:
            limit = SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR
            raise OutputLimitExceededError(limit, None) from error
        except DriverError as error:
            raise _as_os_error(error, file) from error
        return content.decode() if text else content

    async def _stat(self, path: str) -> Entry | None:
        try:
            return await self.box.stat(path)
        except DriverError as error:
            if error.errno != errno.ENOENT:
                raise
            return None

    def _check(self, entry: Entry, bit: int, path: str) -> None:
        if not self._user.may(entry, bit):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    def default_polling_interval(self) -> float:
        return 0.2


class _Late(TimeoutError):
    """Says what a command wrote until its time was over, where Inspect looks for it."""

    def __init__(self, text: str, done: Finished) -> None:
        super().__init__(text)
        self.truncated_output = _text(done.stdout, done.stderr)


def _text(*streams: bytes | None) -> str:
    return b"".join(stream or b"" for stream in streams).decode(errors="replace")


def _as_os_error(error: DriverError, path: str) -> OSError:
    """Return what says the same: OSError is a FileNotFoundError and so on by its number."""
    number = errno.ENOENT if error.errno in _MISSING else error.errno or errno.EIO
    return OSError(number, os.strerror(number), path)
