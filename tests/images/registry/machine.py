"""A machine's files about registries, and what follows from them, in few words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from layerstore.images.registry.places import Place
from layerstore.images.registry.settings import RegistrySettings

BOX = r"""
file=$BOX/$(cat > "$BOX/given"; sed 's/.*"ServerURL": "\([^"]*\)".*/\1/' "$BOX/given" | tr /: __)
echo "of s3cret:word" >&2
case $1 in
get) cat "$file" 2> /dev/null || { echo "credentials not found in native keychain"; exit 1; };;
store) cp "$BOX/given" "$file";;
erase) rm "$file" || exit 1;;
esac
"""
"""A program that keeps credentials as they come, in the directory BOX."""


def put_program(place: Path, name: str, script: str) -> None:
    """Put a program there that keeps credentials: a shell's script."""
    path = place / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def read(place: Path, files: Mapping[str, str], **environment: str) -> RegistrySettings:
    """Write files by their paths below a directory, and read the settings of such a machine's.

    `{}` in a variable stands for the directory.
    """
    for path, text in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)
    given = {name: value.format(place) for name, value in environment.items()}
    return RegistrySettings.read(etc=f"{place}/etc", home=f"{place}/home", environment=given)


def asked(settings: RegistrySettings, name: str, *, push: bool = False) -> list[str]:
    """Return the places of a name that somebody types, each as one word."""
    return [shown(place) for place in settings.places(settings.meant(name), push=push)]


def shown(place: Place) -> str:
    """Return what is tried at a place, with ! where certificates needn't be good, * for mirrors."""
    marks = ("" if place.verify else "!") + ("*" if place.is_mirror else "")
    return f"{'+'.join(place.schemes)}://{place.host}/{place.repository}{marks}"
