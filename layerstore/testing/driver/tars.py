"""Small layer tars for tests, made with Python's tarfile."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import Any

Content = bytes | str | None


def layer_tar(files: Mapping[str, Content], **fields: Any) -> bytes:
    """Return a tar of `files`: bytes make a file, a string a symbolic link, None a directory.

    `fields` are set on every member (`mode`, `uid`, ...).
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.mtime = 1_600_000_000
            if content is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            else:
                member.size = len(content)
            for field, value in fields.items():
                setattr(member, field, value)
            data = io.BytesIO(content) if isinstance(content, bytes) else None
            archive.addfile(member, data)
    return buffer.getvalue()


def many_files(count: int, size: int = 10) -> bytes:
    """Return a tar of `count` files of `size` bytes in directories of 100."""
    files: dict[str, Content] = {}
    for number in range(count):
        if number % 100 == 0:
            files[f"d{number // 100}"] = None
        files[f"d{number // 100}/f{number}"] = b"%d" % number * size
    return layer_tar(files)
