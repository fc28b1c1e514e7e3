"""Names, labels and options that smuggle mount options or paths: refused, or taken as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore import DriverError, InvalidName, LayerDoesNotExist, LayerStore, LayerStoreError
from layerstore.drivers.system.mountinfo import mount_points
from tests.ordeals.hostile.arena import Arena
from tests.support.tars import layer_tar

pytestmark = pytest.mark.root

NAMES = (
    "../../outside", "/etc", "a/b", "..", ".", "", "a\0b", "a\nb", "a,b", "a:b", "n" * 300,
    "x,upperdir=/etc", "x:/etc", "-x", ".hidden", "a\\b", "\udcff", "a b", "\u202eb",
)  # fmt: skip
LABELS = (
    'x",upperdir=/etc', "x,upperdir=/etc", "x\\", "x\0", "x\n", '"', "x y", "x=y", "x\\,y",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_read_write_layer_is_checked(name: str, arena: Arena) -> None:
    with arena.unharmed():
        for act in (
            arena.store.create_rw_layer,
            arena.store.get_rw_layer,
            arena.store.get_mount_id,
        ):
            with pytest.raises(LayerStoreError) as caught:
                act(name)
            assert type(caught.value).__name__ in ("InvalidName", "MountDoesNotExist")


@pytest.mark.parametrize("label", LABELS)
def test_a_mount_label_holds_no_other_option(label: str, arena: Arena) -> None:
    store = arena.store
    with arena.unharmed(), store.create_rw_layer("labelled", arena.base) as rw:
        if store.driver_name in ("vfs", "btrfs"):
            assert rw.mount(label)  # there is no mount whose options it could be
            rw.unmount()
            return
        with pytest.raises(InvalidName):
            rw.mount(label)
        with pytest.raises(InvalidName):
            store.create_rw_layer("other", arena.base, mount_label=label)


@pytest.mark.parametrize("key", ["size", "upperdir", "x,y", "", "../x"])
def test_storage_options_that_nobody_knows_are_refused(key: str, arena: Arena) -> None:
    value = "much" if arena.store.driver_name == "btrfs" else "1G"  # which btrfs keeps to
    with arena.unharmed(), pytest.raises(InvalidName):
        arena.store.create_rw_layer("web", arena.base, storage_opt={key: value})


@pytest.mark.parametrize("chain", ["../../x", "sha256:../../x", "", "sha256:" + "0" * 63, "a\0b"])
def test_a_chain_id_is_checked(chain: str, arena: Arena) -> None:
    calls: tuple[Callable[[], object], ...] = (
        lambda: arena.store.get(chain),
        lambda: arena.store.create_rw_layer("web", chain or "x"),
        lambda: arena.store.register(layer_tar({"f": b"1"}), chain or "x"),
    )
    for act in calls:
        with arena.unharmed(), pytest.raises((InvalidName, LayerDoesNotExist)):
            act()


@pytest.mark.parametrize("option", ["mountopt", "overlay2.mountopt", "size", "x,y=z"])
def test_driver_options_that_nobody_knows_are_refused(option: str, watched: Path) -> None:
    with pytest.raises(LayerStoreError, match=r".+") as caught:
        LayerStore(watched / "options", driver="overlay2", driver_options={option: "x,upperdir=/"})
    assert not isinstance(caught.value, DriverError)


@pytest.mark.parametrize(
    "name",
    [
        "a,b",
        "a:b",
        "a\\b",
        'a"b',
        "a b",
        "a\nb",
        "x,lowerdir=y",
        "\\,\\:",
        "a\\054b",
        "=",
        "\u00e9",
    ],
)
def test_a_root_of_any_name_is_mounted_where_it_is(name: str, watched: Path) -> None:
    with LayerStore(watched / name, driver="overlay2", durability="relaxed") as store:
        base = store.register(layer_tar({"f": b"1"}))
        top = store.register(layer_tar({"g": b"2"}), base.chain_id)
        with store.create_rw_layer("web", top.chain_id) as rw, rw.mounted() as path:
            assert sorted(entry.name for entry in Path(path).iterdir()) == ["f", "g"]
            Path(path, "new").write_bytes(b"3")
            upper = Path(rw.metadata()["UpperDir"])
            assert [entry.name for entry in upper.iterdir()] == ["new"]
            assert path in {point.path for point in mount_points()}
