"""What stands for contents that a trace doesn't have: small tars, init functions, configurations.

Owns the likeness: equal contents have equal stand-ins and different ones different, what was bad is
bad in the same way. Old IDs are only ever data in them.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Sequence

from layerstore.drivers.work import Descriptors, Init, OwnedDescriptor, TarSource

_NOT_A_TAR = b"stands for what was no tar\n" * 64
_WRONG = "sha256:" + "0" * 64


def tar(identity: str) -> bytes:
    """Return a layer tar with one file, different for each identity."""
    content = identity.encode("utf-8", "surrogatepass")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo("stand-in")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def source(identity: str, outcome: str) -> tuple[TarSource, Descriptors]:
    """Return a tar to hand in, which fails as the one it stands for where that can be had."""
    content = _NOT_A_TAR if outcome == "InvalidTar" else tar(identity)
    how = TarSource(expected_diff_id=_WRONG if outcome == "IntegrityError" else None)
    fd = os.memfd_create("stand-in", os.MFD_CLOEXEC)
    descriptor = OwnedDescriptor(fd)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return how, (descriptor,)


def sink() -> Descriptors:
    """Return where a tar can be written to that nobody reads."""
    return (OwnedDescriptor(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)),)


def init(outcome: str) -> Init:
    """Return an init function, which raises where the one it stands for did."""

    def initialise(_path: str) -> None:
        if outcome == "CallerError":
            raise RuntimeError("stands for what an init function raised")

    return initialise


def config(image_id: str, diff_ids: Sequence[str]) -> bytes:
    """Return an image configuration with these layers, different for each image."""
    document = {
        "architecture": "amd64",
        "os": "linux",
        "comment": f"stands for {image_id}",
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
    }
    return json.dumps(document).encode()
