"""The scenarios: what a store is asked to do while it is killed or its calls fail.

Each is a list of calls, and before each the states that a crash in it may leave. A scenario knows
nothing of how it is disturbed.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from layerstore import Image, Layer, LayerStore, RWLayer
from layerstore.drivers.model.ids import chain_of, diff_id
from layerstore.drivers.work import Init
from tests.ordeals.crash.rig.state import ANY, State
from tests.support.archives import as_tar, docker_archive, oci_layout
from tests.support.tars import layer_tar

T = TypeVar("T")


class Run(Protocol):
    """How a scenario makes its calls."""

    root: str
    driver: str
    inputs: str
    """A directory outside of the root."""
    options: dict[str, Any]
    state: State

    def open(self, *during: State, recover: bool = True) -> LayerStore:
        """Open the store."""

    def do(
        self,
        what: str,
        call: Callable[[LayerStore], T],
        *during: State,
        then: Callable[[T], State] | None = None,
    ) -> T:
        """Make a call. A crash in it may leave the state as it is or any of `during`.

        Its answer means the last of them, or what `then` makes of it.
        """

    def write(self, path: str, content: str) -> None:
        """Write a file in a mount, which is no call of the store's."""

    def damage(self, repair: str, hand: Callable[[], object]) -> None:
        """Damage the disk by hand, to be seen to by a repair that is `safe` or by `force`."""

    def close(self, *, keep_mounts: bool = False) -> None:
        """Close the store."""


def _diff(tar: bytes) -> str:
    return "sha256:" + hashlib.sha256(tar).hexdigest()


def _chain(*tars: bytes) -> str:
    chain = None
    for tar in tars:
        chain = chain_of(chain, diff_id(_diff(tar)))
    assert chain is not None
    return chain


def _with_link(tar: bytes) -> bytes:
    """Add a hard link to a file of the layer beneath, which has to be copied up."""
    buffer = io.BytesIO(tar)
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        member = tarfile.TarInfo("d/linked")
        member.type, member.linkname = tarfile.LNKTYPE, "d/kept"
        archive.addfile(member)
    return buffer.getvalue()


BASE = layer_tar(
    {"d": None, "d/a": b"1", "d/kept": b"k" * 5000, "e": None, "e/x": b"x", "l": "d/a"}
)
CHILD = _with_link(layer_tar({"d/.wh.a": b"", "d/b": b"2", "e": None, "e/.wh..wh..opq": b""}))
TOP = layer_tar({"d/c": b"3"})
BASE_ID, CHILD_ID, TOP_ID = _chain(BASE), _chain(BASE, CHILD), _chain(BASE, CHILD, TOP)


def _register(run: Run, tar: bytes, parent: str | None, chain: str) -> Layer:
    return run.do("register", lambda store: store.register(tar, parent), run.state.plus(chain))


def _release(held: Layer, _store: LayerStore) -> object:
    return held.release()


def layers(run: Run) -> None:
    """Register a chain, one of it twice; give it back from its top."""
    run.open(run.state)
    base = _register(run, BASE, None, BASE_ID)
    child = _register(run, CHILD, BASE_ID, CHILD_ID)
    again = _register(run, CHILD, BASE_ID, CHILD_ID)
    top = _register(run, TOP, CHILD_ID, TOP_ID)
    for held in (base, child, again):
        run.do("release of what others keep", partial(_release, held))
    first = run.state.minus(TOP_ID)
    second = first.minus(CHILD_ID)
    run.do("release of a chain", lambda _: top.release(), first, second, second.minus(BASE_ID))
    run.do("drain", lambda store: store.drain())
    run.close()


def create(run: Run, name: str, parent: str | None, **options: Any) -> RWLayer:
    """Make a read-write layer."""
    after = replace(run.state, mounts={**run.state.mounts, name: parent})
    return run.do("create", lambda store: store.create_rw_layer(name, parent, **options), after)


def mount(run: Run, rw: RWLayer) -> str:
    """Mount one."""
    after = replace(run.state, mounted=run.state.mounted | {rw.name})
    return run.do("mount", lambda _: rw.mount(), after)


def unmount(run: Run, rw: RWLayer) -> None:
    """Unmount one."""
    after = replace(run.state, mounted=run.state.mounted - {rw.name})
    run.do("unmount", lambda _: rw.unmount(), after)


def write(run: Run, name: str, path: str) -> None:
    """Write a file in a mount."""
    run.write(f"{path}/hello", "hello")
    run.state = replace(run.state, files={**run.state.files, name: {"hello": "hello"}})


def remove(run: Run, rw: RWLayer) -> None:
    """Remove one."""
    mounts = {name: parent for name, parent in run.state.mounts.items() if name != rw.name}
    files = {name: found for name, found in run.state.files.items() if name != rw.name}
    unmounted = replace(run.state, mounted=run.state.mounted - {rw.name})
    after = replace(unmounted, mounts=mounts, files=files)
    run.do("removal of a mount", lambda _: rw.release(), unmounted, after)


def make_init(path: str) -> None:
    """Fill an init layer."""
    os.mkdir(f"{path}/dev")
    Path(path, "dev/console").write_text("")


def mounts(run: Run) -> None:
    """Create, mount, write, commit and remove read-write layers, with and without an init layer."""
    run.open(run.state)
    bare = create(run, "bare", None)
    base = _register(run, BASE, None, BASE_ID)
    web = create(run, "web", BASE_ID, init=make_init)
    write(run, "web", mount(run, web))
    unmount(run, web)
    layer = commit(run, web)
    committed = layer.chain_id
    run.do("release", lambda _: layer.release(), run.state.minus(committed))
    mount(run, web)
    remove(run, web)
    remove(run, bare)
    run.do("release", lambda _: base.release(), run.state.minus(BASE_ID))
    run.do("drain", lambda store: store.drain())
    run.close()


def commit(run: Run, rw: RWLayer) -> Layer:
    """Make a layer of the changes of one."""

    def commit(store: LayerStore) -> Layer:
        with rw.tar_stream() as stream:
            return store.register(stream, rw.parent)

    before = run.state
    return run.do(
        "commit",
        commit,
        before.plus(ANY),
        then=lambda layer: before.plus(layer.chain_id),
    )


NAME, COMMITTED, OTHER = "test/app:1", "test/done:1", "test/other:2"


def images(run: Run) -> None:
    """Load an image, make a read-write layer of it, commit that, name and remove images."""
    run.open(run.state)
    image = load_image(run)
    rw = create_of_image(run)
    write(run, "web", mount(run, rw))
    unmount(run, rw)
    made = _commit_to_image(run, rw, image.id)
    named = replace(run.state, names={**run.state.names, OTHER: made.id})
    run.do("tag", lambda store: store.images.tag(COMMITTED, OTHER), named)
    nameless = replace(named, names={NAME: image.id})
    struck = replace(nameless, images=frozenset({image.id}))
    run.do(
        "removal of an image",
        lambda store: store.images.remove(made.id, force=True),
        nameless,
        struck,
        struck.minus(made.chain_id or ""),
    )
    remove(run, rw)
    _remove_last_image(run, image.id)
    run.close()


def load_image(run: Run) -> Image:
    """Load an image of two layers."""
    archive = f"{run.inputs}/image.tar"
    layers, called = [BASE, CHILD], {"org.opencontainers.image.ref.name": "no+name"}
    members = {**docker_archive(layers, (NAME,)), **oci_layout(layers, called)}
    Path(archive).write_bytes(as_tar(members))
    first, both = run.state.plus(BASE_ID), run.state.plus(BASE_ID, CHILD_ID)
    unnamed = replace(both, images=frozenset({ANY}))
    loaded = replace(unnamed, names={NAME: ANY})
    (image,) = run.do(
        "load",
        lambda store: store.images.load(archive),
        first,
        both,
        unnamed,
        loaded,
        then=lambda found: replace(
            both, images=frozenset({found[0].id}), names={NAME: found[0].id}
        ),
    )
    return image


def create_of_image(run: Run, init: Init | None = None) -> RWLayer:
    """Make a read-write layer on that image."""
    return run.do(
        "create of an image",
        lambda store: store.images.create("web", NAME, init=init),
        replace(run.state, mounts={"web": CHILD_ID}),
    )


def _commit_to_image(run: Run, rw: RWLayer, image: str) -> Image:
    before = run.state
    more = replace(before.plus(ANY), images=before.images | {ANY})
    return run.do(
        "commit to an image",
        lambda store: store.images.commit(rw, COMMITTED),
        before.plus(ANY),
        more,
        replace(more, names={NAME: image, COMMITTED: ANY}),
        then=lambda found: replace(
            before.plus(found.chain_id or ""),
            images=before.images | {found.id},
            names={NAME: image, COMMITTED: found.id},
        ),
    )


def _remove_last_image(run: Run, image: str) -> None:
    nameless = replace(run.state, names={})
    struck = replace(nameless, images=frozenset())
    first = struck.minus(CHILD_ID)
    run.do(
        "removal of the last image",
        lambda store: store.images.remove(NAME),
        nameless,
        struck,
        first,
        first.minus(BASE_ID),
    )


def reopening(run: Run) -> None:
    """Close and open again, with what is mounted kept and not."""
    run.open(run.state)
    _register(run, BASE, None, BASE_ID)
    rw = create(run, "web", BASE_ID)
    mount(run, rw)
    run.close(keep_mounts=True)
    if run.driver == "vfs":  # a directory is mounted only as long as somebody says so
        run.state = replace(run.state, mounted=frozenset())
    store = run.open(run.state)
    store.get(BASE_ID)  # so that it outlives its mounts until the store is closed
    remove(run, store.get_rw_layer("web"))
    mount(run, create(run, "other", BASE_ID))
    run.close()
    store = run.open(run.state)
    base = store.get(BASE_ID)
    remove(run, store.get_rw_layer("other"))
    run.do("release", lambda _: base.release(), run.state.minus(BASE_ID))
    run.close()


SCENARIOS: dict[str, Callable[[Run], None]] = {
    "layers": layers,
    "mounts": mounts,
    "images": images,
    "reopening": reopening,
}
