"""The identifiers of layers and mounts: their grammar and how chain IDs are computed.

Grammar: a digest is `sha256:` and 64 lower-case hex digits, of a blob also `sha512:` and 128 (OCI
image specification, "Digests"); a cache ID or mount ID is 64 lower-case
hex digits, an init layer's ID is a mount ID and `-init`. BuildKit inside dockerd registers layers
under cache IDs of its own, 25 lower-case letters and digits. Chain IDs follow the OCI image
specification, section "Layer ChainID".
"""

# ruff: noqa: PLC0415 - whoever has a name to check, and no more, doesn't wait for OpenSSL

from __future__ import annotations

import os
import re
from collections import deque
from typing import NewType

from layerstore.drivers.errors import InvalidName

DiffID = NewType("DiffID", str)
ChainID = NewType("ChainID", str)

DIGEST = r"sha256:[0-9a-f]{64}\Z"
_DIGEST = re.compile(DIGEST)
_BLOB_DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")
_LAYER_ID = re.compile(r"([0-9a-f]{64}(-init)?|[0-9a-z]{25})\Z")
_OWN_ID = re.compile(r"[0-9a-f]{64}(-init)?\Z")
_START = re.compile(r"[0-9a-f]{1,64}\Z")
_TRANSACTION = re.compile(r"write-set-[0-9a-f]{1,64}\Z")
_MOUNT_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+\Z")
MAX_NAME_LENGTH = 255
_DRAWN_AT_ONCE = 64


def _checked_digest(text: str) -> str:
    if not _DIGEST.match(text):
        raise InvalidName(text, "a digest is sha256: and 64 lower-case hex digits")
    return text


def diff_id(text: str) -> DiffID:
    """Check the grammar of a diff ID."""
    return DiffID(_checked_digest(text))


def chain_id(text: str) -> ChainID:
    """Check the grammar of a chain ID."""
    return ChainID(_checked_digest(text))


def id_start(text: str) -> str:
    """Check the grammar of the first hex digits of an ID, without what stands before these."""
    if not _START.match(text):
        raise InvalidName(text, "the start of an ID is 1 to 64 lower-case hex digits")
    return text


def blob_digest(text: str) -> str:
    """Check the grammar of a digest of bytes as they are given, of either algorithm."""
    if not _BLOB_DIGEST.match(text):
        reason = "a blob's digest is sha256: and 64, or sha512: and 128 lower-case hex digits"
        raise InvalidName(text, reason)
    return text


def algorithm_of(digest: str) -> str:
    """Return the name of a digest's algorithm, as hashlib has it."""
    return digest.partition(":")[0]


def digest_like(expected: str, content: bytes) -> str:
    """Return the digest of `content` by the algorithm of another digest."""
    import hashlib

    algorithm = algorithm_of(expected)
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def chain_of(parent: ChainID | None, diff: DiffID) -> ChainID:
    """Return the chain ID of a layer with diff ID `diff` on `parent` (None for a base layer)."""
    if parent is None:
        return ChainID(diff)
    import hashlib

    return ChainID("sha256:" + hashlib.sha256(f"{parent} {diff}".encode()).hexdigest())


def hex_of(digest: str) -> str:
    """Return the hex digits of a digest, as a file name. Raises InvalidName for what is none."""
    return blob_digest(digest).partition(":")[2]


_drawn: deque[bytes] = deque()
"""Random bytes, 32 each, drawn many at once: whoever draws gives up the interpreter's lock."""
os.register_at_fork(after_in_child=_drawn.clear)


def _random() -> bytes:
    while True:
        try:
            return _drawn.popleft()
        except IndexError:
            some = os.urandom(_DRAWN_AT_ONCE * 32)
            _drawn.extend(some[start : start + 32] for start in range(0, len(some), 32))


def new_id() -> str:
    """Make a random cache ID or mount ID."""
    return _random().hex()


def new_transaction() -> str:
    """Make the name of a new metadata transaction; it becomes a directory's name."""
    return "write-set-" + _random()[:8].hex()


def is_transaction(text: str) -> bool:
    """Whether a transaction may have this name."""
    return _TRANSACTION.match(text) is not None


def check_transaction(text: str) -> str:
    """Check the grammar of a transaction's name."""
    if not is_transaction(text):
        raise InvalidName(text, "a transaction is write-set- and hex digits")
    return text


def check_layer_id(text: str) -> str:
    """Check the grammar of a cache, mount or init ID; it becomes a directory's name."""
    if not _LAYER_ID.match(text):
        raise InvalidName(text, "an ID is 64 lower-case hex digits, with -init for an init layer")
    return text


def is_layer_store_id(text: str) -> bool:
    """Whether a layer store made this ID, so that it is an orphan where no metadata names it.

    BuildKit keeps directories of its own beneath a driver's home; those have shorter IDs.
    """
    return _OWN_ID.match(text) is not None


def check_mount_name(text: str) -> str:
    """Check a mount's name against docker's container-name grammar; it becomes a directory's name.

    A 64-digit hex ID, which dockerd uses, is such a name too.
    """
    if not _MOUNT_NAME.match(text) or len(text) > MAX_NAME_LENGTH:
        raise InvalidName(
            text,
            "a mount name is a letter or digit, then letters, digits, '_', '.' or '-', "
            f"2 to {MAX_NAME_LENGTH} characters",
        )
    return text
