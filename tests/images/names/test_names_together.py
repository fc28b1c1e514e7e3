"""Which names go with which, when images are removed and saved."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from layerstore import ImageDoesNotExist, LayerStore
from tests.conftest import OpenStore
from tests.support.archives import as_tar, docker_archive
from tests.support.tars import layer_tar

DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32


def loaded(store: LayerStore, *names: str) -> str:
    (image,) = store.images.load(
        io.BytesIO(as_tar(docker_archive([layer_tar({"f": b"x"})], names)))
    )
    return image.id


def named_by_digest(open_store: OpenStore, store: LayerStore, **names: list[str]) -> LayerStore:
    """Give the only image names by digest, as a pull does, by repository."""
    path = Path(store.root, f"image/{store.driver_name}/repositories.json")
    store.close()
    document = json.loads(path.read_text())
    (image,) = {one for known in document["Repositories"].values() for one in known.values()}
    for repository, digests in names.items():
        name = repository.replace("_", "/")
        known = document["Repositories"].setdefault(name, {})
        known |= {f"{name}@{digest}": image for digest in digests}
    path.write_text(json.dumps(document))
    return open_store()


def test_a_tag_takes_the_digests_of_its_repository_and_no_others(open_store: OpenStore) -> None:
    store = open_store()
    image = loaded(store, "app:1")
    store = named_by_digest(open_store, store, app=[DIGEST, OTHER], team_app=[DIGEST])
    removed = store.images.remove("app:1")
    assert set(removed.untagged) == {"app:1", f"app@{DIGEST}", f"app@{OTHER}"}
    assert removed.deleted is None
    assert store.images.get(image).names == (f"team/app@{DIGEST}",)
    assert store.images.remove(f"team/app@{DIGEST}").deleted == image
    assert store.map() == {}


def test_digests_stay_as_long_as_their_repository_has_a_tag(open_store: OpenStore) -> None:
    store = open_store()
    image = loaded(store, "app:1", "app:2")
    store = named_by_digest(open_store, store, app=[DIGEST])
    assert store.images.remove("app:1").untagged == ("app:1",)
    assert set(store.images.get(image).names) == {"app:2", f"app@{DIGEST}"}
    removed = store.images.remove("app:2")
    assert (set(removed.untagged), removed.deleted) == ({"app:2", f"app@{DIGEST}"}, image)


def test_a_digest_that_goes_leaves_the_tag(open_store: OpenStore) -> None:
    store = open_store()
    image = loaded(store, "app:1")
    store = named_by_digest(open_store, store, app=[DIGEST])
    assert store.images.remove(f"app@{DIGEST}").untagged == (f"app@{DIGEST}",)
    assert store.images.get(image).names == ("app:1",)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (["app"], {"app:1", "app:2", "app:latest"}),
        (["app:1"], {"app:1"}),
        (["app:1", "app"], {"app:1", "app:2", "app:latest"}),
        (["team/tool"], {"example.org/team/tool:3"}),
    ],
)
def test_a_repository_is_saved_with_all_its_tags(
    store: LayerStore, asked: list[str], names: set[str]
) -> None:
    image = loaded(store, "app:1", "app:2", "app:latest", "example.org/team/tool:3")
    out = io.BytesIO()
    store.images.save(asked, out)
    store.images.remove(image, force=True)
    (again,) = store.images.load(io.BytesIO(out.getvalue()))
    assert set(again.names) == names


def test_the_start_of_an_id_is_saved_without_names(store: LayerStore) -> None:
    image = loaded(store, "app:1")
    out = io.BytesIO()
    store.images.save([image.removeprefix("sha256:")[:12]], out)
    store.images.remove(image, force=True)
    (again,) = store.images.load(io.BytesIO(out.getvalue()))
    assert (again.id, again.names) == (image, ())
    with pytest.raises(ImageDoesNotExist):
        store.images.save(["none"], io.BytesIO())
