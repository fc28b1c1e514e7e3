"""Doing a job on images: which operation of the image database each one is."""

from __future__ import annotations

from layerstore.drivers.errors import InternalError
from layerstore.drivers.records.imagedb import ImageDatabase
from layerstore.drivers.work import images as work


def perform_on_images(database: ImageDatabase, job: work.ImageJob) -> str | None:
    """Do one job."""
    match job:
        case work.WriteImage():
            database.add(job.config, job.parent, job.last_updated, job.annotations)
        case work.AnnotateImage():
            database.records.write(job.image_id, job.annotations)
        case work.DeleteImage():
            database.remove(job.image_id)
        case work.WriteNames():
            database.write_repositories(job.repositories)
        case work.ReadConfig():
            return database.config(job.image_id).decode()
        case _:
            raise InternalError("perform_on_images", f"no such job: {type(job).__name__}")
    return None
