"""Writing what differs in a layer as a tar with AUFS-style whiteouts.

Owns the order and the content of the tar: a directory before what is in it, names sorted as bytes,
times in whole seconds, the second name of a file as a hard link, no sockets. It follows no symbolic
link, leaves no root and changes nothing. Sources: moby's archive.ExportChanges and TarWithOptions;
OCI image layer specification, "Whiteouts".
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from layerstore.drivers.errors import DriverError, InvalidName
from layerstore.drivers.model.tree import PLAIN, Change, ChangeKind, LayerTree, TarStyle
from layerstore.drivers.tar import header as th
from layerstore.drivers.tar.bytes import BLOCK
from layerstore.drivers.tar.format import Member, described, header, padding
from layerstore.drivers.tar.holes import ZEROS, find_data, is_worth_it, sparse_map
from layerstore.drivers.tree import whiteouts
from layerstore.drivers.tree.directories import Directories, join
from layerstore.drivers.tree.override import meant
from layerstore.drivers.tree.stack import entry_in
from layerstore.drivers.tree.walk import Entry, walk
from layerstore.drivers.tree.xattrs import OVERRIDE, is_opaque, read_xattrs
from layerstore.drivers.userns.id_map import IdMap

_WHITEOUT = whiteouts.PREFIX.encode()
_SHOWN_NAMES = 10
_BUFFER = 1 << 20
_MOST_UNSIZED = 16 << 20
_LARGE = 1 << 18
_SENDFILE_MOST = 1 << 30
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TYPES = {
    stat.S_IFREG: th.REGULAR,
    stat.S_IFLNK: th.SYMLINK,
    stat.S_IFCHR: th.CHAR,
    stat.S_IFBLK: th.BLOCK_DEVICE,
    stat.S_IFDIR: th.DIRECTORY,
    stat.S_IFIFO: th.FIFO,
}


def write_diff(tree: LayerTree, out: BinaryIO, style: TarStyle = PLAIN) -> None:
    """Write an overlay's upper directory, which is its diff, as a tar.

    Raises DriverError, and InvalidName for files whose names would be whiteouts in the tar, unless
    they are to be left out.
    """
    with _writing(tree.root, out, style, says_whiteouts=True) as writer:
        for entry in walk(tree.root):
            if tree.whiteouts.by_name and entry.name.startswith(_WHITEOUT):
                if gone := whiteouts.named_by(os.fsdecode(entry.name), entry.status):
                    path = join(entry.path.rpartition(b"/")[0], os.fsencode(gone))
                    writer.whiteout(path, entry.status)
                continue
            if whiteouts.is_whiteout_device(entry.status):
                writer.whiteout(entry.path, entry.status)
                continue
            writer.add(entry)
            if entry.is_directory and is_opaque(entry.place, tree.whiteouts):
                writer.empty(entry.path + b"/" + os.fsencode(whiteouts.OPAQUE))


def write_changes(
    root: str,
    changes: Iterable[Change],
    out: BinaryIO,
    style: TarStyle = PLAIN,
    stack: LayerTree | None = None,
) -> None:
    """Write the changes of a complete tree, which are ordered by path, as a tar.

    With `stack`, whose root it is, the tree is what that shows. What was changed and is gone by now
    is left out. Raises what write_diff does.
    """
    writing = _writing(root, out, style, says_whiteouts=True)
    with writing as writer, Directories(root) as directories:
        for change in changes:
            path = os.fsencode(change.path).strip(b"/")
            if change.kind is ChangeKind.DELETE:
                writer.whiteout(path)
            elif stack is not None:
                with entry_in((root, *stack.lowers), path, stack.whiteouts) as entry:
                    if entry is not None:
                        writer.add(entry)
            else:
                above, _, name = path.rpartition(b"/")
                if (directory := directories.open(above)) is not None:
                    with contextlib.suppress(FileNotFoundError):
                        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                        writer.add(Entry(path, directory, name, status))


def write_tree(
    directory: int,
    name: bytes,
    out: BinaryIO,
    *,
    as_name: bytes,
    style: TarStyle = PLAIN,
    id_map: IdMap | None = None,
) -> None:
    """Write what has a name in an open directory, under another name, as a tar without whiteouts.

    With an empty `as_name` it is what is in the directory `name`, without that itself. Mounts in it
    are left out. With `id_map` owners are said as they are inside of it. Raises DriverError.
    """
    with _writing(os.fsdecode(name), out, style) as writer:
        writer.id_map = id_map
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if as_name:
            writer.add(Entry(as_name, directory, name, status))
        if not stat.S_ISDIR(status.st_mode):
            return
        top = os.open(name, _DIRECTORY, dir_fd=directory)
        try:
            for entry in walk(f"/proc/self/fd/{top}"):
                path = as_name + b"/" + entry.path if as_name else entry.path
                writer.add(Entry(path, entry.directory, entry.name, entry.status))
        finally:
            os.close(top)


@contextlib.contextmanager
def _writing(
    root: str, out: BinaryIO, style: TarStyle, *, says_whiteouts: bool = False
) -> Iterator[_Writer]:
    writer = _Writer(out, style, says_whiteouts=says_whiteouts)
    try:
        yield writer
        writer.finish()
    except OSError as error:
        raise DriverError.from_os_error_in("export", root, error) from error


class _Writer:
    """Writes members one after the other, small ones together in one large piece."""

    def __init__(self, out: BinaryIO, style: TarStyle, *, says_whiteouts: bool) -> None:
        """With `says_whiteouts` a name that begins as a whiteout's means one to all readers."""
        self._out = out
        self._style = style
        self._says_whiteouts = says_whiteouts
        self.id_map: IdMap | None = None
        self._unsayable: list[str] = []
        self._waiting = bytearray()
        self._first_names: dict[tuple[int, int], bytes] = {}
        try:
            self._descriptor: int | None = out.fileno()
        except io.UnsupportedOperation:
            self._descriptor = None

    def add(self, entry: Entry) -> None:
        """Add a member for what is at a path, with its content; nothing if that is gone."""
        if self._says_whiteouts and self._is_unsayable(entry):
            return
        kind = _TYPES.get(stat.S_IFMT(entry.status.st_mode))
        if kind is None:
            return  # a socket means nothing without the process that made it
        if kind == th.REGULAR:
            with contextlib.suppress(FileNotFoundError):
                self._add_file(entry)
            return
        status = entry.status
        member = described(entry.path, kind, status)
        if kind == th.DIRECTORY:
            member.name += b"/"
        elif self._is_link(member, status, entry.place):
            return
        if kind == th.SYMLINK:
            member.linkname = os.readlink(entry.name, dir_fd=entry.directory)
        elif kind in (th.CHAR, th.BLOCK_DEVICE):
            member.major, member.minor = os.major(status.st_rdev), os.minor(status.st_rdev)
        _add_attributes(member, status, entry.place)
        self._header(member)

    def _is_unsayable(self, entry: Entry) -> bool:
        """Whether an entry is left out for its name, or because nobody gets this tar any more."""
        unsayable = entry.name.startswith(_WHITEOUT)
        if self._style.skip_whiteout_names:
            return unsayable or b"/" + _WHITEOUT in entry.path or entry.path.startswith(_WHITEOUT)
        if unsayable and len(self._unsayable) < _SHOWN_NAMES:
            self._unsayable.append(os.fsdecode(entry.path))
        return bool(self._unsayable)

    def _is_link(self, member: Member, status: os.stat_result, place: int | bytes) -> bool:
        """Add a hard link if another name of the file was added before.

        It has the file's attributes, as docker's have: to unpack a member is to change the owner,
        which takes capabilities from the file.
        """
        if status.st_nlink == 1:
            return False
        first = self._first_names.setdefault((status.st_dev, status.st_ino), member.name)
        if first == member.name:
            return False
        _add_attributes(member, status, place)
        member.type, member.linkname = th.LINK, first
        self._header(member)
        return True

    def _add_file(self, entry: Entry) -> None:
        fd = os.open(entry.name, _FILE, dir_fd=entry.directory)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise _changed(entry)
            member = described(entry.path, th.REGULAR, status)
            if self._is_link(member, status, fd):
                return
            _add_attributes(member, status, fd)
            if member.type != th.REGULAR:
                self._header(member)
            elif status.st_size:
                self._add_content(fd, entry, member, status)
            else:
                unsized = _read_unsized(fd, entry)
                member.size = len(unsized)
                self._header(member)
                self._waiting += unsized
        finally:
            os.close(fd)
        self._waiting += padding(member.size)

    def _add_content(self, fd: int, entry: Entry, member: Member, status: os.stat_result) -> None:
        """Add a file's member and content: sparse if that is worth it, else with all its zeros."""
        size = status.st_size
        pieces = find_data(fd, status)
        sparse = self._style.sparse and is_worth_it(pieces, size)
        before = sparse_map(pieces, size) if sparse else b""
        member.size = len(before) + sum(length for _, length in pieces) if sparse else size
        member.sparse_size = size if sparse else None
        self._header(member)
        self._waiting += before
        end = 0
        for start, length in pieces:
            if not sparse:
                self._zeros(start - end)
            end = start + length
            os.lseek(fd, start, os.SEEK_SET)
            if self._descriptor is not None and length >= _LARGE:
                self._send(fd, entry, length, self._descriptor)
            else:
                self._copy(fd, entry, length)
        if not sparse:
            self._zeros(size - end)

    def whiteout(self, path: bytes, status: os.stat_result | None = None) -> None:
        """Add the member that says that a path is gone."""
        above, slash, name = path.rpartition(b"/")
        self.empty(above + slash + os.fsencode(whiteouts.PREFIX) + name, status)

    def empty(self, name: bytes, status: os.stat_result | None = None) -> None:
        """Add an empty file, with owner and time of a file on the disk if one is given."""
        member = Member(name=name) if status is None else described(name, th.REGULAR, status)
        member.mode = 0o600
        self._header(member)

    def finish(self) -> None:
        """Add the end of the archive. Raises InvalidName where files can't be said in it."""
        if self._unsayable:
            raise InvalidName(
                ", ".join(self._unsayable),
                "in a layer's tar a name that begins with .wh. says that something is gone; "
                "remove or rename the file first",
            )
        self._waiting += bytes(2 * BLOCK)
        self._flush()

    def _header(self, member: Member) -> None:
        if self.id_map is not None:
            member.uid, member.gid = self.id_map.inside_of(member.uid, member.gid)
        try:
            self._waiting += header(member)
        except ValueError as error:
            name = os.fsdecode(member.name)
            raise DriverError("export", name, errno.EINVAL, str(error)) from error
        if len(self._waiting) >= _BUFFER:
            self._flush()

    def _copy(self, fd: int, entry: Entry, size: int) -> None:
        while size:
            piece = os.read(fd, min(size, _BUFFER))
            if not piece:
                raise _changed(entry)
            size -= len(piece)
            self._waiting += piece
            if len(self._waiting) >= _BUFFER:
                self._flush()

    def _zeros(self, count: int) -> None:
        if count > len(self._waiting):
            self._flush()
        while count > _LARGE:
            count -= self._out.write(ZEROS[:count])
        self._waiting += ZEROS[:count]

    def _send(self, fd: int, entry: Entry, size: int, target: int) -> None:
        """Let the kernel copy, if it can."""
        self._flush()
        while size:
            try:
                count = os.sendfile(target, fd, None, min(size, _SENDFILE_MOST))
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOSYS):
                    raise
                self._copy(fd, entry, size)
                return
            if not count:
                raise _changed(entry)
            size -= count

    def _flush(self) -> None:
        with memoryview(self._waiting) as view:
            done = 0
            while done < len(view):
                done += self._out.write(view[done:])
        self._waiting.clear()


def _read_unsized(fd: int, entry: Entry) -> bytes:
    """Read a file that says that it is empty, as those of /proc and the like say."""
    content = b""
    while piece := os.read(fd, _BUFFER):
        content += piece
        if len(content) > _MOST_UNSIZED:
            raise DriverError("export", os.fsdecode(entry.path), errno.EFBIG, "it has no size")
    return content


def _add_attributes(member: Member, status: os.stat_result, place: int | bytes) -> None:
    """Add a file's attributes, and what it is meant to be where one of them says it."""
    member.xattrs = read_xattrs(place)
    if (kept := meant(status, member.xattrs.pop(OVERRIDE, b""))) is not None:
        member.uid, member.gid, member.mode = kept.uid, kept.gid, stat.S_IMODE(kept.mode)
        member.type = _TYPES[stat.S_IFMT(kept.mode)]
        member.major, member.minor = os.major(kept.device), os.minor(kept.device)


def _changed(entry: Entry) -> DriverError:
    path = os.fsdecode(entry.path)
    return DriverError("export", path, errno.EIO, "the file changed while it was read")
