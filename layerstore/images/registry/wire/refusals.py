"""Answers that aren't what was asked for, as errors.

Owns which status is which error, which of them pass, and what is told of what a registry says.
"""

from __future__ import annotations

import time

import msgspec

from layerstore.drivers.errors import AccessDenied, NotInRegistry, RegistryError
from layerstore.images.registry.wire.answers import Answer, BrokenAnswer, TooLong, shown
from layerstore.images.registry.wire.documents import NotAsExpected, parsed
from layerstore.images.registry.wire.patience import PassingError, seconds_asked

_MAX_BODY = 64 << 10
_KINDS = {401: AccessDenied, 403: AccessDenied, 404: NotInRegistry}
_PASSING = frozenset({408, 429, 500, 502, 503, 504})


class _Complaint(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Complaints(msgspec.Struct):
    errors: list[_Complaint] = []
    details: str = ""  # as token servers say it


def refusal(answer: Answer, registry: str, what: str) -> RegistryError | PassingError:
    """Return an answer as the error that it is, passing or not; it is read and closed."""
    with answer:
        reason = complaint(answer)
    kind = _KINDS.get(answer.status, RegistryError)
    if answer.status not in _PASSING:
        return kind(registry, what, reason)
    asked = seconds_asked(answer.headers.get("Retry-After"), time.time())
    if asked:
        reason += f" (to be asked again in {asked:.0f} seconds)"
    return PassingError(kind(registry, what, reason), asked)


def complaint(answer: Answer) -> str:
    """Return what is wrong, as far as the answer says; bounded and printable."""
    try:
        said = _said(answer.read_all(_MAX_BODY))
    except (TooLong, BrokenAnswer):
        said = ""  # the status has to do
    return shown(f"{answer.state}: {said}" if said else answer.state)


def _said(body: bytes) -> str:
    try:
        complaints = parsed(body, _Complaints)
    except NotAsExpected:
        return ""
    said = [": ".join(filter(None, (e.code, e.message))) for e in complaints.errors[:3]]
    return "; ".join(filter(None, said)) or complaints.details
