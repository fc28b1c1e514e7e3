"""Unpacking a tar into a directory of a tree that is in use, as `docker cp` does.

Owns what differs from applying a layer: names of whiteouts mean nothing, a directory never takes
the place of a file or the other way round, and owners may be given. It never leaves the directory.
Source: moby's archive.Untar with NoOverwriteDirNonDir.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import BinaryIO, cast

from layerstore.drivers.errors import DriverError, InvalidTar
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.tree import LayerTree, WhiteoutFormat
from layerstore.drivers.tar import header as th
from layerstore.drivers.tar.bytes import Readable, TarBytes
from layerstore.drivers.tar.header import Header
from layerstore.drivers.tar.members import Members
from layerstore.drivers.tar.names import clean, split
from layerstore.drivers.tar.unpack import owner as tar_owner
from layerstore.drivers.tar.unpack.bounds import Bounds
from layerstore.drivers.tar.unpack.entry import Unpacker
from layerstore.drivers.tar.unpack.place import Place
from layerstore.drivers.tar.unpack.undo import Undo
from layerstore.drivers.userns.id_map import IdMap


def unpack_into(
    source: BinaryIO,
    directory: int,
    *,
    owner: tuple[int, int] | None,
    limits: Limits,
    id_map: IdMap | None = None,
) -> None:
    """Unpack an uncompressed tar, read to its end, into an open directory.

    `owner` is the user and group that everything is given, by default those that the tar says; with
    `id_map` these are inside of that, and this thread is its root's (`as_root_of`). Raises
    InvalidTar, LimitExceeded, DriverError; what was made where nothing was goes again then.
    """
    root = f"/proc/self/fd/{directory}"
    tree = LayerTree(root=root, lowers=(), whiteouts=WhiteoutFormat.REMOVE)
    with TarBytes(cast("Readable", source)) as stream, contextlib.ExitStack() as stack:

        def made(path: bytes, *, in_last: bool) -> None:  # noqa: ARG001
            undo.made(path)

        place = stack.enter_context(Place(root, _mind_nothing, made))
        undo = stack.enter_context(Undo(place))
        unpacker = Unpacker(place, tree, replaces=False, undo=undo)
        members = Members(stream, limits)
        bounds = Bounds(limits)
        for header in members:
            members.take_raw()
            bounds.count(header)
            if header.type != th.PAX_GLOBAL:
                _unpack(header, stream, place, unpacker, owner, id_map, bounds)
        members.take_raw()
        stream.finish()
        unpacker.finish()


def _mind_nothing(directory: int, name: bytes, status: os.stat_result, *, within: bool) -> None:
    """Let a file be removed that another takes the place of."""


def _unpack(
    header: Header,
    stream: TarBytes,
    place: Place,
    unpacker: Unpacker,
    owner: tuple[int, int] | None,
    id_map: IdMap | None,
    bounds: Bounds,
) -> None:
    path = clean(header.name)
    if path is None or (not path and header.type != th.DIRECTORY):
        raise InvalidTar(header.offset, "its name leads out of the directory", header.entry)
    bounds.check_depth(header, path)
    if not path:
        return  # the directory itself stays as it is
    if owner is not None:
        header.uid, header.gid = owner
    tar_owner.check_owner(header)
    if id_map is not None:
        outside = id_map.outside_of(header.uid, header.gid)
        if outside is None:
            detail = f"the layer has no owner {header.uid}:{header.gid}, its users are {id_map}"
            raise DriverError("copy to", os.fsdecode(path), errno.EOVERFLOW, detail)
        header.uid, header.gid = outside
    try:
        _refuse_other_kind(header, place, path)
        if header.type == th.REGULAR:
            unpacker.regular(header, path, stream, None)
        else:
            unpacker.other(header, path)
    except OSError as error:
        raise DriverError.from_os_error("copy to", path, error) from error
    unpacker.known.add(path)


def _refuse_other_kind(header: Header, place: Place, path: bytes) -> None:
    above, name = split(path)
    try:
        status = place.status(place.directory(above), name)
    except (FileNotFoundError, NotADirectoryError):
        return
    if status is not None and stat.S_ISDIR(status.st_mode) != (header.type == th.DIRECTORY):
        code = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.ENOTDIR
        raise OSError(code, os.strerror(code))
