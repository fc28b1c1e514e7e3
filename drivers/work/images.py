"""The jobs on images, as plain data: few and short, so they run in a worker's thread.

Owns their fields only; their order is the ImageRegistry's business. Nothing here touches the disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from layerstore.drivers.model.annotations import Annotations
from layerstore.drivers.model.image_config import ImageID
from layerstore.drivers.work.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageJob(Job):
    """The root of the jobs on images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OneImageJob(ImageJob):
    """The root of those on one image."""

    image_id: ImageID

    def summary(self) -> str:
        """Return the image ID."""
        return self.image_id[:19]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteImage(OneImageJob):
    """Write an image's configuration and metadata."""

    config: bytes
    parent: ImageID | None
    last_updated: str
    annotations: tuple[Annotations, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotateImage(OneImageJob):
    """Replace the annotations that an image keeps."""

    annotations: tuple[Annotations, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteImage(OneImageJob):
    """Delete an image's configuration and metadata."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteNames(ImageJob):
    """Replace the names of all images."""

    repositories: Mapping[str, Mapping[str, ImageID]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadConfig(OneImageJob):
    """Read and verify an image's configuration; the outcome is its JSON as a string."""
