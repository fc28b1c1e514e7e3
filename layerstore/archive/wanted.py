"""What is asked for of an archive: which of its images, for which platform, under which names.

Owns how an image is told from the others by what the archive calls it. It reads nothing. Source:
skopeo's `oci:PATH:REF` and `docker-archive:PATH:REF`, each with `@N` too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from layerstore.drivers.errors import InvalidImage, InvalidName
from layerstore.drivers.model.platform import Platform, parse_platform
from layerstore.drivers.model.reference import parse_reference

_PLACE = re.compile(r"@([0-9]{1,9})\Z", re.ASCII)
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """By default every image of the archive, of several platforms the one for this machine."""

    reference: str | None = None
    """What the archive calls the one image that is wanted, or `@N`: the Nth it lists, from 0."""
    platform: Platform | None = None
    """The one that was asked for."""
    every_platform: bool = False
    """Of an index for several platforms all images, rather than the best one."""
    repository: str | None = None
    """For images that the archive names by a mere tag."""
    help: str = "see --platform and --all"
    """What is said where none is for the platform."""

    def pick(self, called: Sequence[Sequence[str]], label: str) -> dict[int, list[str]]:
        """Say which of the listed images are wanted, and which of their names were meant.

        `called` has what each is called, in the order of the list; `label` names the archive.
        Raises InvalidImage where none is called so.
        """
        wanted = self.reference
        if wanted is None:
            return {number: list(names) for number, names in enumerate(called)}
        place = _PLACE.match(wanted)
        if place is not None and int(place[1]) < len(called):
            return {int(place[1]): list(called[int(place[1])])}
        for fits in _FITS if place is None else ():
            meant = {n: [c for c in names if fits(c, wanted)] for n, names in enumerate(called)}
            found = {number: names for number, names in meant.items() if names}
            if found:
                return found
        raise InvalidImage(label, f"no image in it is called {wanted[:200]!r} ({_there(called)})")


def make_wanted(
    reference: str | None, platform: str | None, repository: str | None, *, every_platform: bool
) -> Wanted:
    """Check what a caller wants. Raises InvalidArgument for no platform, InvalidName."""
    parsed = parse_reference(repository) if repository is not None else None
    if parsed is not None and not parsed.is_repository:
        raise InvalidName(str(parsed), "it is to be a repository alone, as the archive has the tag")
    return Wanted(
        reference=reference,
        platform=parse_platform(platform) if platform is not None else None,
        every_platform=every_platform,
        repository=parsed.repository if parsed is not None else None,
    )


def _tagged(name: str) -> str:
    try:
        return str(parse_reference(name).looked_up())
    except InvalidName:
        return name


_FITS: tuple[Callable[[str, str], bool], ...] = (
    lambda called, wanted: called == wanted,
    lambda called, wanted: _tagged(called) == _tagged(wanted),
    lambda called, wanted: _tagged(called).endswith("/" + _tagged(wanted)),
)
"""Ways in which an image can be meant, the narrowest first."""


def _there(called: Sequence[Sequence[str]]) -> str:
    each = (name[:200] for number, one in enumerate(called) for name in one or [f"@{number}"])
    names = list(dict.fromkeys(each))
    if not names:
        return "it lists none"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"PATH:REF is one of {', '.join(names[:_SHOWN])}{more}, or @N for the Nth from 0"
