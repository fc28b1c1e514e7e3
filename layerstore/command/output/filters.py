"""The conditions of `--filter KEY=VALUE`.

Owns their grammar and which listing knows which keys. As with docker, several values of one key
mean any of them, and several keys mean all of them.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeVar

from layerstore.drivers.model.reference import normal, repository_of

if TYPE_CHECKING:
    from layerstore.api.store import LayerStore
    from layerstore.images.image import Image

IMAGE_FILTERS = ("before", "dangling", "label", "reference", "since")
MOUNT_FILTERS = ("ancestor", "id", "name", "status")
STATUSES = ("mounted", "unmounted")
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}

Filter = tuple[str, str]
_T = TypeVar("_T")
Test = Callable[[_T, str], bool]


def filter_of(known: Sequence[str]) -> Callable[[str], Filter]:
    """Return an argument type for filters with these keys."""

    def parse(text: str) -> Filter:
        key, equals, value = text.partition("=")
        if not equals or key not in known:
            raise argparse.ArgumentTypeError(
                f"{text!r} is no filter: KEY=VALUE with one of the keys {', '.join(known)}"
            )
        if key == "dangling" and value.lower() not in _TRUTHS:
            raise argparse.ArgumentTypeError(f"{value!r} is neither true nor false")
        if key == "status" and value not in STATUSES:
            raise argparse.ArgumentTypeError(f"{value!r} is none of {', '.join(STATUSES)}")
        return key, value

    return parse


def chosen(
    things: Iterable[_T], filters: Sequence[Filter], tests: Mapping[str, Test[_T]]
) -> list[_T]:
    """Return the things that all keys let through."""
    wanted: dict[str, list[str]] = {}
    for key, value in filters:
        wanted.setdefault(key, []).append(value)
    return [
        thing
        for thing in things
        if all(any(tests[key](thing, value) for value in wanted[key]) for key in wanted)
    ]


def filtered_images(
    store: LayerStore, images: Sequence[Image], filters: Sequence[Filter]
) -> list[Image]:
    """Return the images that the filters let through. Raises ImageDoesNotExist, InvalidName."""

    @functools.cache
    def age_of(name: str) -> tuple[str, str]:
        return _age(store.images.get(name))

    return chosen(
        images,
        filters,
        {
            "dangling": lambda image, value: _dangles(image, wanted=_TRUTHS[value.lower()]),
            "reference": lambda image, value: any(fits(name, value) for name in image.names),
            "before": lambda image, value: _age(image) < age_of(value),
            "since": lambda image, value: _age(image) > age_of(value),
            "label": lambda image, value: _has_label(store, image, value),
        },
    )


def truths(filters: Sequence[Filter]) -> set[tuple[str, bool]]:
    """Return those filters that are about whether something is so."""
    return {(key, _TRUTHS[value.lower()]) for key, value in filters if key == "dangling"}


def _dangles(image: Image, *, wanted: bool) -> bool:
    """Whether an image is listed as dangling, or as not; one with names by digest only is both."""
    return not image.tags if wanted else bool(image.names)


def fits(name: str, pattern: str) -> bool:
    """Whether an image's name matches a pattern of a name, with or without its tag.

    As in Go's path.Match no wildcard stands for a slash. docker: reference.FamiliarMatch.
    """
    wanted = normal(pattern).replace("[^", "[!").split("/")
    return any(
        len(given) == len(wanted) and all(map(fnmatchcase, given, wanted))
        for given in (name.split("/"), repository_of(name).split("/"))
    )


def _age(image: Image) -> tuple[str, str]:
    return image.created, image.id


def _has_label(store: LayerStore, image: Image, wanted: str) -> bool:
    labels = (store.images.config(image.id).get("config") or {}).get("Labels") or {}
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)
