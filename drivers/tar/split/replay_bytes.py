"""Giving back a registered tar to the bit, from its tar-split file and the layer's files.

Owns the replay only; the files may have been changed by anyone, so all of them are checked. (Their
CRCs take no time that can be told: content is hashed the sooner for being in the cache by then.)
Source: vbatts/tar-split, package tar/asm.
"""

from __future__ import annotations

import os
from typing import BinaryIO

from fastcrc import crc64

from layerstore.drivers.errors import DriverError, IntegrityError
from layerstore.drivers.tar.split.hashed_out import HashedOut
from layerstore.drivers.tar.split.layer_files import LayerFiles
from layerstore.drivers.tar.split.records import SEGMENT, Record, read_records

_WHAT = "tar-split"


def assemble(tar_split: BinaryIO, root: str, out: BinaryIO) -> str:
    """Replay records (uncompressed JSON lines) over the files beneath `root`, writing the tar.

    Returns `sha256:<hex>` of what was written. Raises IntegrityError for a file that is missing
    or has other content, after the tar was written up to it; InvalidMetadata for malformed records.
    """
    with LayerFiles(root) as files, HashedOut(out) as hashed:
        for record in read_records(tar_split, _WHAT):
            if record.type == SEGMENT:
                hashed.write(record.payload or b"")
            elif record.size:
                _replay(files, record, hashed)
        return hashed.finish()


def _replay(files: LayerFiles, record: Record, out: HashedOut) -> None:
    name, left = record.file_name, record.size
    fd = files.open(name, left)
    if fd is None:
        raise differs(record, "missing, or of another size")
    crc = 0
    try:
        while left:
            piece = out.read_from(fd, left)
            if not piece:
                raise differs(record, f"{left} bytes short")
            crc = crc64.go_iso(piece, crc)
            left -= len(piece)
    except OSError as error:
        raise DriverError.from_os_error("read", name, error) from error
    finally:
        os.close(fd)
    if crc.to_bytes(8, "big") != record.payload:
        raise differs(record, f"CRC-64 {crc:016x}")


def differs(record: Record, actual: str) -> IntegrityError:
    """Return the error about a file that isn't what a record says of it."""
    checksum = (record.payload or b"").hex()
    what = f"file {os.fsdecode(record.file_name)}"
    return IntegrityError(what, f"{record.size} bytes with CRC-64 {checksum}", actual)
