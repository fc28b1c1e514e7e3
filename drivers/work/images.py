"""The jobs on images, as plain data: few and short, so they run in a worker's thread.

Owns their fields only; their order is the ImageRegistry's business. Nothing here touches the disk.
"""

from __future__ import annotations

from collections.abc import Mapping

from layerstore.drivers.model.annotations import Annotations
from layerstore.drivers.model.image_config import ImageID
from layerstore.drivers.work.job import Job


class ImageJob(Job, frozen=True, kw_only=True):
    """The root of the jobs on images."""


class OneImageJob(ImageJob, frozen=True, kw_only=True):
    """The root of those on one image."""

    image_id: ImageID

    def summary(self) -> str:
        """Return the image ID."""
        return self.image_id[:19]


class WriteImage(OneImageJob, frozen=True, kw_only=True):
    """Write an image's configuration and metadata."""

    config: bytes
    parent: ImageID | None
    last_updated: str
    annotations: tuple[Annotations, ...]


class AnnotateImage(OneImageJob, frozen=True, kw_only=True):
    """Replace the annotations that an image keeps."""

    annotations: tuple[Annotations, ...]


class DeleteImage(OneImageJob, frozen=True, kw_only=True):
    """Delete an image's configuration and metadata."""


class WriteNames(ImageJob, frozen=True, kw_only=True):
    """Replace the names of all images."""

    repositories: Mapping[str, Mapping[str, ImageID]]


class ReadConfig(OneImageJob, frozen=True, kw_only=True):
    """Read and verify an image's configuration; the outcome is its JSON as a string."""
