"""A root whose images have names of every sort, and who is found by which way to ask."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from layerstore import LayerStore
from layerstore.drivers.model.reference import DEFAULT_HOST
from tests.support.archives import as_tar, docker_archive
from tests.support.tars import layer_tar

OLD_HOST = f"index.{DEFAULT_HOST}"
DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32


@dataclass(frozen=True)
class Named:
    """The IDs of the two images."""

    first: str
    second: str

    def word(self, asked: str) -> str:
        """Return a way to ask, with what hangs on the IDs filled in."""
        return asked.format(
            first=self.first,
            hex=self.first.removeprefix("sha256:"),
            short=self.first.removeprefix("sha256:")[:12],
            other=self.second.removeprefix("sha256:")[:7],
        )

    def image(self, which: str | None) -> str | None:
        """Return the ID of `first` or `second`."""
        return {"first": self.first, "second": self.second, None: None}[which]


def name_images(open_store: Callable[[], LayerStore]) -> Named:
    """Make the root."""
    store = open_store()
    ids = []
    for content in (b"1", b"2"):
        archive = as_tar(docker_archive([layer_tar({"f": content})], []))
        ids.append(store.images.load(io.BytesIO(archive))[0].id)
    named = Named(*ids)
    for name in (f"{DEFAULT_HOST}/library/base:1", f"{OLD_HOST}/team/app"):
        store.images.tag(named.first, name)
    for name in ("example.org/tool:2", "localhost/own:1", "library/alone", named.word("{short}")):
        store.images.tag(named.second, name)
    path = Path(store.root, f"image/{store.driver_name}/repositories.json")
    store.close()
    document = json.loads(path.read_text())
    document["Repositories"]["base"] |= {f"base@{DIGEST}": named.second}
    path.write_text(json.dumps(document))
    return named


SAME = [
    # What is asked for, who is found by docker and here.
    ("base:1", "first"),
    ("library/base:1", "first"),
    (f"{DEFAULT_HOST}/base:1", "first"),
    (f"{DEFAULT_HOST}/library/base:1", "first"),
    (f"{OLD_HOST}/library/base:1", "first"),
    (f"{OLD_HOST}/base:1", "first"),
    ("base", None),
    ("base:2", None),
    (f"base@{DIGEST}", "second"),
    (f"base:1@{DIGEST}", "second"),
    (f"base:none@{DIGEST}", "second"),
    (f"{DEFAULT_HOST}/library/base@{DIGEST}", "second"),
    (f"base@{OTHER}", None),
    (f"base:1@{OTHER}", None),
    (f"app@{DIGEST}", None),
    ("team/app", "first"),
    ("team/app:latest", "first"),
    (f"{DEFAULT_HOST}/team/app", "first"),
    (f"{OLD_HOST}/team/app:latest", "first"),
    ("library/team/app", None),
    (f"{DEFAULT_HOST}/app", None),
    (f"{DEFAULT_HOST}/tool:2", None),
    (f"{DEFAULT_HOST}/library/tool:2", None),
    ("example.org/tool:2", "second"),
    ("example.org/library/tool:2", None),
    ("localhost/own:1", "second"),
    ("alone", "second"),
    ("library/alone:latest", "second"),
    ("{first}", "first"),
    ("{hex}", "first"),
    ("{other}", "second"),
    ("sha256:{other}", "second"),
    ("sha256:{short}", "first"),
    ("{short}", "second"),  # a name counts before the start of an ID
    ("{short}:latest", "second"),
    ("BASE:1", None),
    ("base:", None),
    ("base:1@", None),
    ("sha256:", None),
    ("none", None),
]

OURS = [
    # Found here only: a name that doesn't say where it is from, as with podman.
    ("tool:2", "second"),
    ("own:1", "second"),
    ("app", "first"),
]

THEIRS = [
    # Found by docker only, whose normal form of it is that of another host's name.
    (f"{DEFAULT_HOST}/localhost/own:1", "second"),
]
