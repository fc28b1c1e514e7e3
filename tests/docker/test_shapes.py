"""dockerd takes archives of odd shapes as layerstore takes them: the same images, by the byte.

With vfs, for which docker's unpacking knows what aufs left; its overlay2 shows `.wh..wh.plnk`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from layerstore import LayerStore
from tests.docker.root import DockerRoot, control_groups, need_dockerd
from tests.images.samples import Members
from tests.images.shapes.shapes import IMAGE as SHAPED_ID
from tests.images.shapes.shapes import NAME as SHAPED
from tests.images.shapes.shapes import SHAPES
from tests.images.shapes.test_legacy import IDS, TARS, chain, layer
from tests.support.archives import as_tar, docker_archive
from tests.support.trees import Facts, read_tree
from tests.tar.test_aufs import WHOLE as AUFS

pytestmark = [pytest.mark.root, pytest.mark.thorough, pytest.mark.timeout(300)]

PROCESS: dict[str, Any] = {
    "Hostname": "h<>&", "Domainname": None, "Memory": 5, "CpuShares": 2, "PortSpecs": None,
    "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Env": ["B=<2>", "A=1"], "Cmd": None,
    "Entrypoint": ["/init"], "Volumes": {"/z": {}, "/a": {}}, "Labels": {"z": "ü", "a": "\u2028"},
    "OpenStdin": True, "NetworkDisabled": True, "Tty": False, "OnBuild": [], "MacAddress": "",
}  # fmt: skip


def old(number: int, **fields: Any) -> Members:
    return {
        **layer(number, None, TARS[0], **fields),
        "repositories": json.dumps({f"old{number}": {"1": IDS[number]}}).encode(),
    }


def without(number: int, *keys: str, **fields: Any) -> Members:
    members = old(number, **fields)
    name = f"{IDS[number]}/json"
    document = json.loads(members[name])
    for key in keys:
        document.pop(key, None)
    return {**members, name: json.dumps(document, indent=2, ensure_ascii=False).encode()}


def with_sources() -> Members:
    members = docker_archive(TARS[1:], ["sources:1"])
    (entry,) = json.loads(members["manifest.json"])
    diff = "sha256:" + json.loads(members[entry["Config"]])["rootfs"]["diff_ids"][1][7:]
    urls = ["https://example.org/a?b&c"]
    source = {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
              "size": 12, "digest": "sha256:" + "0" * 64, "urls": urls}  # fmt: skip
    entry["LayerSources"] = {diff: source}
    return {**members, "manifest.json": json.dumps([entry]).encode()}


ARCHIVES: dict[str, Members] = {
    "a chain of three layers": chain(),
    "as docker 1.9.1 wrote it": without(0, config=PROCESS, container_config=PROCESS),
    "as docker 1.8.2 wrote it": without(
        1, docker_version="1.8.2", config=PROCESS, container_config=PROCESS,
        created="2014-05-06T07:08:09.100000000+02:00", comment="<c>", throwaway=True, layer_id="x",
    ),
    "of no version": without(
        2, "docker_version", "created", "author", "config", "container_config", "os"
    ),
    "a step of history that is null": docker_archive(
        TARS, ["null:1"], history=[None, {"created_by": "x"}, None]
    ),
    "a layer that isn't passed on": with_sources(),
    "a layer made with aufs": docker_archive([AUFS], ["aufs:1"]),
}  # fmt: skip


def test_dockerd_makes_the_same_images(request: pytest.FixtureRequest, root_dir: Path) -> None:
    need_dockerd(request, root_dir)
    (root_dir / "theirs").mkdir()
    ours, theirs = DockerRoot(root_dir, "vfs"), DockerRoot(root_dir / "theirs", "vfs")
    archives = [root_dir / f"{number}.tar" for number in range(len(ARCHIVES))]
    for path, members in zip(archives, ARCHIVES.values(), strict=True):
        path.write_bytes(as_tar(members))
    for name in ("docker 24", "docker 25", "crane", "rules_oci", "rules_docker", "nix"):
        archives.append(root_dir / f"{name}.tar")
        archives[-1].write_bytes(SHAPES[name][0]())
    with ours.store() as store:
        for path in archives:
            store.images.load(path)
        mine = {image.id: set(image.names) for image in store.images.list()}
        parents = {image.id: image.parent for image in store.images.list()}
        seen = [shown(store, "aufs:1")]
    with control_groups(), theirs.docker() as docker:
        for path in archives:
            docker.load(str(path))
        others = docker.images()
        (root_dir / "saved.tar").write_bytes(docker.save("old:1", "null:1", SHAPED))
        others_parents = {image: docker.inspect_image(image)["Parent"] or None for image in others}
    with theirs.store() as store:
        seen.append(shown(store, "aufs:1"))
        assert (store.check(), store.images.get("aufs:1").missing) == ([], None)
    seen[1].pop(".wh..wh.plnk", None)  # which 20.10 leaves there, empty
    assert seen[0] == seen[1]
    with LayerStore(root_dir / "again", driver="vfs", durability="relaxed") as store:
        again = {image.id: set(image.names) for image in store.images.load(root_dir / "saved.tar")}
    assert again.items() <= mine.items()
    assert again[SHAPED_ID] == {SHAPED}
    assert mine == others
    assert parents == others_parents


def shown(store: LayerStore, image: str) -> dict[str, Facts]:
    with store.images.create("shown", image) as rw, rw.mounted() as path:
        tree = read_tree(path)
    del tree["."]
    return tree
