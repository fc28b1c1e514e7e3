"""Applying a layer's tar to its tree, in one pass over the stream.

Owns the course of an apply: members in order, limits, what goes into the tar-split, and which
error a failure becomes. How one member is made is `entry`'s business.
Source: moby's archive.UnpackLayer and layer.layerStore.applyTar.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import BinaryIO, cast

from layerstore.drivers.errors import DriverError, InvalidTar
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.tree import Applied, LayerTree, WhiteoutFormat
from layerstore.drivers.tar import header as th
from layerstore.drivers.tar.bytes import Readable, TarBytes
from layerstore.drivers.tar.header import Header
from layerstore.drivers.tar.members import Members
from layerstore.drivers.tar.names import clean, joins_outside, shortest
from layerstore.drivers.tar.split.recorder import Recorder
from layerstore.drivers.tar.unpack import owner as tar_owner
from layerstore.drivers.tar.unpack.aufs import PseudoLinks
from layerstore.drivers.tar.unpack.bounds import Bounds
from layerstore.drivers.tar.unpack.content import Content
from layerstore.drivers.tar.unpack.copy_up import Resembling
from layerstore.drivers.tar.unpack.entry import Unpacker, is_metadata_of_aufs, is_whiteout
from layerstore.drivers.tar.unpack.place import Place
from layerstore.drivers.tar.unpack.undo import Undo
from layerstore.drivers.tree.size import tree_size

_TRAILING = 1 << 20
_TARS_OWN_FAULT = frozenset(
    {
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.ENOTDIR,
        errno.ENOENT,
        errno.EEXIST,
        errno.EISDIR,
        errno.EINVAL,
        errno.EXDEV,
    }
)
"""What the kernel says of names that fit neither each other nor a file system."""


def apply_tar(
    source: BinaryIO,
    tree: LayerTree,
    *,
    tar_split: BinaryIO | None = None,
    limits: Limits | None = None,
) -> Applied:
    """Unpack an uncompressed tar, read to its very end, into `tree.root`.

    `tar_split` gets the JSON lines from which `tar_split.assemble` gives back the tar to the bit.
    `Applied.size` is in bytes: of all files in the tree, each inode once, for overlay formats
    (moby: directory.Size), else the sum of the members' sizes (moby: UnpackLayer).

    Raises InvalidTar for a stream that is no tar or names what can't be; LimitExceeded; DriverError
    where the operating system refuses. After an error the tree is half-made; without `tar_split`
    it may be in use, and what was made where nothing was goes again.
    """
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(TarBytes(cast("Readable", source)))
        apply = _Apply(stack, stream, tree, tar_split, limits or Limits())
        return apply.run()


class _Apply:
    def __init__(
        self,
        stack: contextlib.ExitStack,
        stream: TarBytes,
        tree: LayerTree,
        tar_split: BinaryIO | None,
        limits: Limits,
    ) -> None:
        self._stream = stream
        self._tree = tree
        self._bounds = Bounds(limits)
        self._resembling = Resembling(tree)
        self._members = Members(stream, limits)
        self._recorder: Recorder | None = None
        if tar_split is not None:
            self._recorder = stack.enter_context(Recorder(tar_split, tree.root))
        try:
            self._fresh = not os.listdir(tree.root)
            self._place = stack.enter_context(Place(tree.root, self._losing, self._made))
        except OSError as error:
            raise DriverError.from_os_error("open", tree.root, error) from error
        self._undo = Undo(self._place) if tar_split is None else None
        self._unpacker = Unpacker(self._place, tree, undo=self._undo)
        self._pseudo = stack.enter_context(PseudoLinks(tree.root))
        self._lost_size = 0
        self._recorded: set[bytes] = set()
        self._path = b""

    def run(self) -> Applied:
        if self._undo is None:
            return self._run()
        with self._undo:
            return self._run()

    def _run(self) -> Applied:
        for header in self._members:
            self._bounds.count(header)
            try:
                self._member(header)
            except OSError as error:
                raise self._refusal(header, error) from error
        self._read_rest()
        digest, tar_size = self._stream.finish()
        try:
            self._unpacker.finish()
            if self._recorder is not None:
                self._recorder.finish(self._tree.root, digest, aliased=self._place.aliased)
        except OSError as error:
            raise DriverError.from_os_error("finish", self._tree.root, error) from error
        return Applied(digest, self._size(), tar_size, self._bounds.entries)

    def _member(self, header: Header) -> None:
        recorder = self._recorder
        if recorder is not None:
            recorder.segment(self._members.take_raw())
        else:
            self._members.take_raw()
        if header.type == th.PAX_GLOBAL:
            if recorder is not None and self._is_new(header, None):
                recorder.file(header.name)
            return
        path = clean(header.name)
        if path is None:
            raise InvalidTar(header.offset, "its name leads out of the layer", header.entry)
        if not path and header.type != th.DIRECTORY:
            raise InvalidTar(header.offset, "only a directory can be the root", header.entry)
        self._bounds.check_depth(header, path)
        self._path = path
        self._place_member(header, path, known=not self._is_new(header, path))
        self._unpacker.known.add(path)

    def _is_new(self, header: Header, path: bytes | None) -> bool:
        """Whether the tar-split has no line for this name yet, of which it takes only one."""
        name = path if path and path == header.name else shortest(header.name)
        if name in self._recorded:
            return False
        self._recorded.add(name)
        return True

    def _place_member(self, header: Header, path: bytes, *, known: bool) -> None:
        recorder = self._recorder
        if is_metadata_of_aufs(path):
            self._mark(header, known=known)
            self._skip_content(header, self._pseudo.keep(header, path))
            return
        tar_owner.check_owner(header)
        if is_whiteout(path):
            self._mark(header, known=known)
            self._skip_content(header, None)
            self._unpacker.whiteout(header, path)
            return
        self._unpacker.hold(path)
        if header.type != th.REGULAR:
            self._mark(header, known=known)
            pseudo = self._pseudo.meant(header)
            if pseudo is not None:
                self._copy(path, *pseudo)
            else:
                self._unpacker.other(header, path)
        elif recorder is None or not header.size:
            self._unpacker.regular(header, path, self._stream, None)
            self._mark(header, known=known)
        elif known or header.fragments is not None or joins_outside(header.name):
            self._mark(header, known=known)
            self._unpacker.regular(header, path, self._stream, recorder.segment)
        else:
            crc = self._unpacker.regular(header, path, self._stream, None)
            recorder.file(header.name, header.size, crc)

    def _mark(self, header: Header, *, known: bool) -> None:
        """Record a member without any content to be replayed from the tree."""
        if self._recorder is not None and not known:
            self._recorder.file(header.name)

    def _skip_content(self, header: Header, keep: Callable[[memoryview], object] | None) -> None:
        for piece in self._stream.pieces(header.stored, header.entry):
            if self._recorder is not None:
                self._recorder.segment(piece)
            if keep is not None:
                keep(piece)

    def _copy(self, path: bytes, header: Header, content: Content) -> None:
        """Make a file of what was kept of another member, which counts once more."""
        tar_owner.check_owner(header)
        self._bounds.count_copy(header)
        self._unpacker.regular(header, path, content, None)

    def _read_rest(self) -> None:
        """Read what comes after the end; the reference keeps it in pieces and an empty last one."""
        recorder = self._recorder
        last = self._members.take_raw()
        if recorder is not None and last:
            recorder.segment(last)
        while piece := self._stream.at_most(_TRAILING):
            if recorder is not None:
                recorder.segment(piece)
        if recorder is not None:
            recorder.segment(b"")

    def _losing(self, directory: int, name: bytes, status: os.stat_result, *, within: bool) -> None:
        if status.st_nlink == 1:
            self._lost_size += status.st_size
        known = self._path in self._unpacker.known
        ours = self._fresh or known or within or self._place.aliased
        if self._recorder is not None and ours:
            self._recorder.save(directory, name, status)

    def _made(self, path: bytes, *, in_last: bool) -> None:
        if self._undo is not None:
            self._undo.made(path)
        self._resembling.made(self._place, path, in_last=in_last)

    def _size(self) -> int:
        if self._tree.whiteouts is WhiteoutFormat.REMOVE:
            return self._bounds.size
        if self._fresh:
            return self._unpacker.size - self._lost_size
        return tree_size(self._tree.root)

    def _refusal(self, header: Header, error: OSError) -> InvalidTar | DriverError:
        if error.errno in _TARS_OWN_FAULT:
            reason = f"it can't be put beneath the layer's root: {error.strerror}"
            return InvalidTar(header.offset, reason, header.entry)
        path = os.path.join(os.fsencode(self._tree.root), self._path)
        return DriverError.from_os_error("unpack", path, error)
