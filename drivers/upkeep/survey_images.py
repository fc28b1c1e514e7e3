"""Reading all images and names, however damaged: what each file says, and its faults.

Owns no rule of its own: the image database verifies what it reads. It changes nothing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from layerstore.drivers.errors import (
    DriverError,
    ImageDoesNotExist,
    IntegrityError,
    InvalidMetadata,
    LayerStoreError,
    is_passing,
)
from layerstore.drivers.model.faults import Fault, FaultKind
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.image_config import ImageID, Repositories, parse_config
from layerstore.drivers.records.imagedb import ImageDatabase, image_id
from layerstore.drivers.system.durable import TEMPORARY
from layerstore.drivers.system.small_file import names_in


@dataclass(slots=True)
class SurveyedImage:
    """What can be read of one image."""

    name: str
    """Of its configuration's file."""
    path: str
    image_id: ImageID | None = None
    chains: list[ChainID] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


@dataclass(slots=True)
class SurveyedNames:
    """All names, or why they can't be read."""

    repositories: Repositories
    fault: Fault | None = None


def survey_names(database: ImageDatabase) -> SurveyedNames:
    """Read all names."""
    try:
        return SurveyedNames(database.repositories())
    except (InvalidMetadata, DriverError) as error:
        if is_passing(error):
            raise
        reason = error.reason if isinstance(error, InvalidMetadata) else str(error)
        return SurveyedNames(
            {}, Fault(kind=FaultKind.NAMES, path=database.names_path, reason=reason)
        )


def survey_images(database: ImageDatabase) -> Iterator[SurveyedImage]:
    """Read every image."""
    for name in names_in(database.contents):
        if not TEMPORARY.match(name):
            image = SurveyedImage(name, f"{database.contents}/{name}")
            try:
                _survey_image(database, image)
            except ImageDoesNotExist:
                continue  # removed since its name was read
            yield image


def _survey_image(database: ImageDatabase, image: SurveyedImage) -> None:
    about = f"sha256:{image.name}"

    def add(kind: FaultKind, path: str, error: Exception) -> None:
        if is_passing(error):
            raise error
        reason = error.reason if isinstance(error, InvalidMetadata) else str(error)
        image.faults.append(Fault(kind=kind, path=path, reason=reason, about=(about,)))

    try:
        image.image_id = image_id(about)
    except LayerStoreError as error:
        add(FaultKind.IMAGE_NAME, image.path, error)
        return
    try:
        image.chains = parse_config(database.config(image.image_id), about).chain_ids()
    except IntegrityError as error:
        add(FaultKind.IMAGE_DIGEST, image.path, error)
    except ImageDoesNotExist:
        raise
    except LayerStoreError as error:
        add(FaultKind.IMAGE_CONFIG, image.path, error)
    try:
        database.parent(image.image_id)
    except (InvalidMetadata, DriverError) as error:
        add(FaultKind.IMAGE_PARENT, error.path, error)
    try:
        database.records.read(image.image_id)
    except (InvalidMetadata, DriverError) as error:
        add(FaultKind.IMAGE_RECORD, error.path, error)


def image_faults(
    database: ImageDatabase,
    images: list[SurveyedImage],
    names: SurveyedNames,
    layers: Container[ChainID],
) -> Iterator[Fault]:
    """Tell what is wrong with images and names, where `layers` are the layers that are there."""
    for image in images:
        yield from image.faults
        missing = next((chain for chain in image.chains if chain not in layers), None)
        if missing is not None:
            yield Fault(
                kind=FaultKind.IMAGE_LAYERS,
                path=image.path,
                reason=f"its layer {missing} is not there",
                about=(f"sha256:{image.name}",),
            )
    if names.fault is not None:
        yield names.fault
    there = {image.image_id for image in images}
    for given in names.repositories.values():
        for name, image_named in given.items():
            if image_named not in there:
                yield Fault(
                    kind=FaultKind.NAME_DANGLING,
                    path=database.names_path,
                    reason=f"{name!r} names image {image_named}, which is not there",
                    about=(name,),
                )
    for path in unfinished_files(database):
        yield Fault(
            kind=FaultKind.UNFINISHED_FILE,
            path=path,
            reason="its writing was never finished",
            about=("images",),
        )


def unfinished_files(database: ImageDatabase) -> Iterator[str]:
    """Give the paths of files whose writing was cut off."""
    homes = [database.home, database.contents, database.records.home]
    for image in names_in(database.metadata):
        if not os.path.islink(f"{database.metadata}/{image}"):
            homes.append(f"{database.metadata}/{image}")
    for home in homes:
        try:
            names = names_in(home)
        except DriverError as error:
            if error.errno == errno.ENOTDIR:
                continue
            raise
        yield from (f"{home}/{name}" for name in names if TEMPORARY.match(name))
