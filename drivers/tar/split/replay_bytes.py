"""Giving back a registered tar to the bit, from its tar-split file and the layer's files.

Owns the replay only; the files may have been changed by anyone, so all of them are checked.
Source: vbatts/tar-split, package tar/asm.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

from fastcrc import crc64

from layerstore.drivers.errors import DriverError, IntegrityError, InvalidMetadata
from layerstore.drivers.system import syscalls
from layerstore.drivers.tar.names import clean
from layerstore.drivers.tar.split.hashed_out import HashedOut
from layerstore.drivers.tar.split.records import SEGMENT, read_records

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_SAFE = syscalls.RESOLVE_NO_MAGICLINKS | syscalls.RESOLVE_NO_XDEV
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENXIO})
_WHAT = "tar-split"


def assemble(tar_split: BinaryIO, root: str, out: BinaryIO) -> str:
    """Replay records (uncompressed JSON lines) over the files beneath `root`, writing the tar.

    Returns `sha256:<hex>` of what was written. Raises IntegrityError for a file that is missing
    or has other content, after the tar was written up to it; InvalidMetadata for malformed records.
    """
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with HashedOut(out) as hashed:
            for record in read_records(tar_split, _WHAT):
                if record.type == SEGMENT:
                    hashed.write(record.payload or b"")
                elif record.size:
                    _replay(top, record.file_name, record.size, record.payload or b"", hashed)
            return hashed.finish()
    finally:
        os.close(top)


def open_content(top: int, name: bytes, size: int, *, chroot: bool = True) -> int | None:
    """Open a member's file; None where there is no regular file of this size.

    `chroot` says that symbolic links on the way begin at the root, as for a process whose root
    directory it is; without, those that are absolute or lead out of it count as missing.
    Raises InvalidMetadata for a name that leads out of the root, and DriverError.
    """
    path = clean(name)
    if not path:
        raise InvalidMetadata(_WHAT, f"a file with the name {os.fsdecode(name)!r}")
    scope = syscalls.RESOLVE_IN_ROOT if chroot else syscalls.RESOLVE_BENEATH
    try:
        # By O_PATH, since opening a device, which the name may have become, can do anything.
        found = syscalls.openat2(top, path, _LOOK, 0, _SAFE | scope)
        try:
            status = os.fstat(found)
            if not stat.S_ISREG(status.st_mode) or status.st_size != size:
                return None
            return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(found)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise DriverError.from_os_error("open", path, error) from error


def _replay(top: int, name: bytes, size: int, checksum: bytes, out: HashedOut) -> None:
    what = f"file {os.fsdecode(name)}"
    expected = f"{size} bytes with CRC-64 {checksum.hex()}"
    fd = open_content(top, name, size)
    if fd is None:
        raise IntegrityError(what, expected, "missing, or of another size")
    crc = 0
    try:
        while size:
            piece = out.read_from(fd, size)
            if not piece:
                raise IntegrityError(what, expected, f"{size} bytes short")
            crc = crc64.go_iso(piece, crc)
            size -= len(piece)
    except OSError as error:
        raise DriverError.from_os_error("read", name, error) from error
    finally:
        os.close(fd)
    if crc.to_bytes(8, "big") != checksum:
        raise IntegrityError(what, expected, f"CRC-64 {crc:016x}")
