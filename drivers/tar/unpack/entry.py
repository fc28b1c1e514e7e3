"""Making one file, directory, link or whiteout from one tar member.

Owns what each kind of member does to the tree, and the tree's size in bytes. The content of files
comes from the stream; the order of members, limits and the tar-split are others' business.
Sources: moby's archive.createTarFile and UnpackLayer; OCI image layer specification, section
"Whiteouts". Unlike in moby, a whiteout never hides what its own tar holds, as OCI demands.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Callable
from typing import TypeVar

from layerstore.drivers.errors import InvalidTar
from layerstore.drivers.model.tree import LayerTree, WhiteoutFormat
from layerstore.drivers.tar import header as th
from layerstore.drivers.tar.header import Header
from layerstore.drivers.tar.names import ancestors, clean, split
from layerstore.drivers.tar.unpack import owner as tar_owner
from layerstore.drivers.tar.unpack.content import Content, Tap, write_content
from layerstore.drivers.tar.unpack.copy_up import copy_up
from layerstore.drivers.tar.unpack.nodes import (
    NEW_FILE,
    NODES,
    describe_stand_in,
    make_node,
)
from layerstore.drivers.tar.unpack.older import remove_older, remove_older_in
from layerstore.drivers.tar.unpack.place import Place
from layerstore.drivers.tar.unpack.undo import Undo
from layerstore.drivers.tar.unpack.unset import Unset
from layerstore.drivers.tree import whiteouts
from layerstore.drivers.tree.directories import join
from layerstore.drivers.tree.lower import look_up
from layerstore.drivers.tree.whiteouts import is_whiteout_device
from layerstore.drivers.tree.xattrs import make_opaque

_T = TypeVar("_T")
_PREFIX, _META_PREFIX = whiteouts.PREFIX.encode(), whiteouts.META_PREFIX.encode()
_OPAQUE = whiteouts.OPAQUE.encode()


def is_metadata_of_aufs(path: bytes) -> bool:
    """Whether AUFS itself put this into a layer; such members are skipped, as in moby."""
    if _META_PREFIX not in path:
        return False
    above, name = split(path)
    parts = [*above.split(b"/"), b"" if name == _OPAQUE else name]
    return any(part.startswith(_META_PREFIX) for part in parts)


def is_whiteout(path: bytes) -> bool:
    """Whether a member of this clean path says that something is gone."""
    return split(path)[1].startswith(_PREFIX)


class Unpacker:
    """Puts members into one tree. `known` holds the clean path of every member made so far."""

    def __init__(
        self, place: Place, tree: LayerTree, *, replaces: bool = True, undo: Undo | None = None
    ) -> None:
        """`replaces` has what a lower layer has go where a directory is needed for a member.

        `undo`, where given, is told of all that is made.
        """
        self.size = 0
        """Bytes of all files made, less those of files removed."""
        self.known: set[bytes] = set()
        self._holding: set[bytes] = set()
        """Paths of members that are no whiteouts, and of all directories above them."""
        self._gone: set[bytes] = set()
        """Paths that whiteouts of this tar have hidden."""
        self._emptied: set[bytes] = set()
        """Directories that it has made opaque."""
        self._replaces = replaces
        self._undo = undo
        self._place = place
        self._tree = tree
        self._unset = Unset()
        self._directory_times: dict[bytes, tuple[int, int]] = {}

    def regular(self, header: Header, path: bytes, stream: Content, tap: Tap | None) -> int:
        """Make a regular file from the stream's next bytes; return its content's CRC-64.

        For a sparse member only the pieces that the tar holds are written, and the CRC is 0.
        """
        fd = self._make(path, lambda at, name: os.open(name, NEW_FILE, 0o600, dir_fd=at))
        try:
            if self._undo is not None:
                self._undo.begun(path, os.fstat(fd).st_ino)
            crc = write_content(fd, header, stream, tap)
            tar_owner.set_on_descriptor(fd, header, self._unset)
            os.utime(fd, ns=tar_owner.times(header))
        finally:
            os.close(fd)
        if self._undo is not None:
            self._undo.done()
        self.size += header.size
        return crc

    def other(self, header: Header, path: bytes) -> None:
        """Make anything that has no content. Raises InvalidTar for kinds that don't exist."""
        if header.type == th.DIRECTORY:
            self._directory(header, path)
        elif header.type == th.LINK:
            self._link(header, path)
        elif header.type == th.SYMLINK:
            self._make(path, lambda at, name: os.symlink(header.linkname, name, dir_fd=at))
            self.size += len(header.linkname)
            self._describe(header, path, stat.S_IFLNK)
        elif header.type in NODES:
            stand_in = self._make(path, lambda at, name: make_node(at, name, header))
            if stand_in is None:
                self._describe(header, path, NODES[header.type])
            else:
                describe_stand_in(stand_in, header, self._unset)
        else:
            kind_name = header.type.decode("latin-1")
            raise InvalidTar(header.offset, f"unknown member type {kind_name!r}", header.entry)

    def whiteout(self, header: Header, path: bytes) -> None:
        """Hide or remove what a whiteout member names; what this tar made itself stays.

        Where there is nothing to hide nothing is made, or overlayfs would list what isn't there.
        """
        above, base = split(path)
        if self._replaced(above) or self._is_gone(above):
            return
        if base == _OPAQUE:
            self._make_opaque(above)
            return
        name = base[len(_PREFIX) :]
        if name in (b"", b".", b".."):
            raise InvalidTar(header.offset, "a whiteout that names nothing", header.entry)
        hidden = join(above, name)
        if hidden in self._gone or not self._shows(hidden):
            return
        self._gone.add(hidden)
        self._ensure(above)
        remove_older(self._place, hidden, self._holding)
        if self._tree.whiteouts is WhiteoutFormat.REMOVE:
            return
        directory = self._place.directory(above)
        status = self._place.status(directory, name)
        if status is None:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=directory)
            self._note(hidden)
            tar_owner.own(
                functools.partial(os.chown, name, dir_fd=directory, follow_symlinks=False), header
            )
        elif stat.S_ISDIR(status.st_mode):
            make_opaque(self._place.directory(hidden), self._tree.whiteouts)

    def _make_opaque(self, path: bytes) -> None:
        """Hide what lower layers have in a directory, which is there then, as for docker."""
        self.hold(path)
        make_opaque(self._ensure(path), self._tree.whiteouts)
        if path not in self._emptied:
            self._emptied.add(path)
            remove_older_in(self._place, path, self._holding)

    def hold(self, path: bytes) -> None:
        """Take note that this tar has something at a path, which is no whiteout."""
        while path and path not in self._holding:
            self._holding.add(path)
            path = split(path)[0]

    def _is_gone(self, path: bytes) -> bool:
        """Whether this tar has hidden a directory, or one above it, and put nothing there since."""
        return any(above in self._gone and above not in self._holding for above in ancestors(path))

    def _shows(self, path: bytes) -> bool:
        """Whether there is anything at a path that a whiteout could hide.

        What lies beneath a link isn't at this path: overlayfs has no way to hide it.
        """
        tree = self._tree
        layers = (tree.root, *tree.lowers)
        return look_up(layers, os.fsdecode(path), tree.whiteouts) is not None

    def _replaced(self, path: bytes) -> bool:
        """Whether this tar put something else in the place of a directory or of one above it.

        That hides all that was in it, and a whiteout for a part of that, which umoci writes, has
        nothing to do; least of all where a symbolic link that is there now leads.
        """
        if self._place.is_plain(path):
            return False
        for above in ancestors(path):
            if above in self.known:
                status = self._status(above)
                if status is not None and not stat.S_ISDIR(status.st_mode):
                    return True
        return False

    def finish(self) -> None:
        """Set the times of directories, which the making of files in them has changed.

        Those that the tar doesn't hold keep the times that they had. What was left out is told.
        """
        self._unset.tell()
        for path, times in {**self._place.times, **self._directory_times}.items():
            if not path:
                os.utime(self._place.root, ns=times)
                continue
            status = self._status(path)
            if status is not None and stat.S_ISDIR(status.st_mode):  # else replaced later
                above, name = split(path)
                at = self._place.directory(above)
                os.utime(name, ns=times, dir_fd=at, follow_symlinks=False)

    def _ensure(self, path: bytes) -> int:
        """Open a directory for something in it, making it where it isn't or isn't one."""
        try:
            return self._place.ensure_directory(path)
        except NotADirectoryError:
            if not self._replaces:
                raise
        for above in ancestors(path):
            status = self._status(above)
            if above in self.known or status is None or stat.S_ISDIR(status.st_mode):
                continue
            is_copy = self._tree.whiteouts is WhiteoutFormat.REMOVE
            if is_copy and stat.S_ISLNK(status.st_mode):
                continue  # it is followed, as far as it leads
            if not is_copy and is_whiteout_device(status):
                self._place.replace_by_directory(above)
                self._note(above, replaced=True)
                make_opaque(self._place.directory(above), self._tree.whiteouts)
            else:
                at, name = split(above)
                self._place.remove(self._place.directory(at), name, status)
            break
        return self._place.ensure_directory(path)

    def _make(self, path: bytes, make: Callable[[int, bytes], _T]) -> _T:
        """Make a new file, removing what is there first."""
        above, name = split(path)
        directory = self._ensure(above)
        try:
            made = make(directory, name)
        except FileExistsError:
            status = self._place.status(directory, name)
            if status is None:
                raise
        else:
            self._note(path)
            return made
        self._place.remove(directory, name, status)
        made = make(self._place.directory(above), name)
        self._note(path, replaced=True)
        return made

    def _note(self, path: bytes, *, replaced: bool = False) -> None:
        """Tell who may have to undo it that something is where nothing was, or something else."""
        if self._undo is not None:
            (self._undo.replaced if replaced else self._undo.made)(path)

    def _describe(self, header: Header, path: bytes, kind: int) -> None:
        above, name = split(path)
        tar_owner.set_on_name(self._place.directory(above), name, header, kind, self._unset)

    def _directory(self, header: Header, path: bytes) -> None:
        made = self._make_directory(path) if path else False
        fd = self._place.directory(path)
        if not made:
            tar_owner.drop_xattrs(fd, header)
        kind = stat.S_IFDIR
        tar_owner.set_on_descriptor(fd, header, self._unset, kind, keeps=bool(path))
        self._directory_times[path] = tar_owner.times(header)

    def _make_directory(self, path: bytes) -> bool:
        """Make a directory; return false where there was one."""
        above, name = split(path)
        directory = self._ensure(above)
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
            self._note(path)
            return True
        except FileExistsError:
            status = self._place.status(directory, name)
            if status is None or stat.S_ISDIR(status.st_mode):
                return False
        # What isn't a directory, a whiteout for one, has hidden what lower layers have there.
        hiding = self._tree.whiteouts is not WhiteoutFormat.REMOVE
        self._place.remove(directory, name, status)
        os.mkdir(name, 0o700, dir_fd=self._place.directory(above))
        self._note(path, replaced=True)
        if hiding:
            make_opaque(self._place.directory(path), self._tree.whiteouts)
        return True

    def _link(self, header: Header, path: bytes) -> None:
        target = clean(header.linkname)
        if not target or target == path or path.startswith(target + b"/"):
            reason = f"a hard link to {os.fsdecode(header.linkname)!r} can't be made"
            raise InvalidTar(header.offset, reason, header.entry)
        status = self._find_target(header, target)
        above, name = split(target)

        def link(directory: int, new: bytes) -> None:
            at = os.dup(directory)
            try:
                source = self._place.directory(above)
                os.link(name, new, src_dir_fd=source, dst_dir_fd=at, follow_symlinks=False)
            finally:
                os.close(at)

        self._make(path, link)
        above, name = split(path)
        tar_owner.set_on_link(
            self._place.directory(above), name, header, status.st_mode, self._unset
        )

    def _find_target(self, header: Header, target: bytes) -> os.stat_result:
        status = self._status(target)
        if status is None or (
            is_whiteout_device(status) and self._tree.whiteouts is not WhiteoutFormat.REMOVE
        ):
            copied = copy_up(self._place, self._tree, target) if status is None else None
            if copied is not None:
                self._note(target)
                status = self._status(target)
                self.size += copied
            else:
                status = None
        if status is None or stat.S_ISDIR(status.st_mode):
            what = "a directory" if status is not None else "a file that does not exist"
            reason = f"a hard link to {what}, {os.fsdecode(target)!r}"
            raise InvalidTar(header.offset, reason, header.entry)
        return status

    def _status(self, path: bytes) -> os.stat_result | None:
        above, name = split(path)
        try:
            return self._place.status(self._place.directory(above), name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:  # by a link that came in the place of a directory
                return None
            raise
