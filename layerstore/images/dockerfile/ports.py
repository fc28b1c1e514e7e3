"""Ports of EXPOSE: a number or a range, with a protocol; what `docker run -p` takes is taken, too.

Source: the Dockerfile reference, "EXPOSE"; docker/go-connections: nat.ParsePortSpecs, of which only
the container's side is kept.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from layerstore.images.dockerfile.bad import BadInstruction

_PROTOCOLS = ("tcp", "udp", "sctp")
_NUMBER = re.compile(r"[0-9]{1,20}\Z")
_HOST = re.compile(r"\[([^\[\]]*)\]\Z|([^:\[\]]*)\Z")
_HIGHEST = 65535


def exposed(spec: str) -> Iterator[str]:
    """Give each port of `[[IP:][HOST PORT]:]PORT[-PORT][/PROTOCOL]`. Raises BadInstruction."""
    *before, port = spec.split(":")
    if len(before) > 1:
        _check_address(":".join(before[:-1]))
    number, _, protocol = port.partition("/")
    protocol = (protocol.partition("/")[0] or "tcp").lower()
    first, last = _range(number, spec)
    if before and before[-1]:
        low, high = _range(before[-1], spec)
        if high - low != last - first and last != first:
            raise BadInstruction(f"the two ranges of {spec!r} are of different lengths")
    if protocol not in _PROTOCOLS:
        raise BadInstruction(f"{protocol!r} is no protocol: it is one of {', '.join(_PROTOCOLS)}")
    for found in range(first, last + 1):
        yield f"{found}/{protocol}"


def _range(text: str, spec: str) -> tuple[int, int]:
    first, *others = text.split("-")
    last = others[0] if others else first
    if not (_NUMBER.match(first) and _NUMBER.match(last)):
        raise BadInstruction(f"{spec!r} is no port: it is a number or a range")
    if not int(first) <= int(last) <= _HIGHEST:
        raise BadInstruction(f"{spec!r} is no port: it is at most {_HIGHEST}, and a range goes up")
    return int(first), int(last)


def _check_address(text: str) -> None:
    host = _HOST.match(text)
    address = (host[1] or host[2] or "") if host is not None else text
    try:
        if host is None or "%" in address:
            raise ValueError(address)
        if address:
            ipaddress.ip_address(address)
    except ValueError as error:
        raise BadInstruction(f"{text!r} is no IP address") from error
