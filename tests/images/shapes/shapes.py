"""One image in each of the shapes that tools give it, made by hand after what those tools write.

Owns the shapes only. `IMAGE` is the image, `NAME` how it is called; what a tool's own program makes
of it is the tests' business.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from typing import Any

import zstandard

from tests.images.samples import Members, blob, described
from tests.support.archives import config_of, digest_of, oci_layout
from tests.support.nasty_image import nasty_layers
from tests.support.tars import layer_tar

NAME = "team/app:1"
_TWICE = layer_tar({"twice": b"2"})
LAYERS = [*nasty_layers()[:-1], _TWICE, _TWICE]
"""Without the sparse member, which not every tool passes on; two equal layers are among them."""
FIELDS: dict[str, Any] = {
    "created": "1970-01-01T00:00:01Z",
    "config": {"Env": ["A=<1>"], "Cmd": ["/bin/sh"], "Labels": {"a": "ü"}},
    "history": [{"created": "1970-01-01T00:00:01Z", "created_by": f"step {number}"}
                for number in range(len(LAYERS))],
}  # fmt: skip
CONFIG = config_of(LAYERS, **FIELDS)
IMAGE = digest_of(CONFIG)
FULL = f"docker.io/{NAME}"
_REF, _CONTAINERD = "org.opencontainers.image.ref.name", "io.containerd.image.name"
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def hexes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def layout(annotations: Mapping[str, str] | None, **options: Any) -> Members:
    return oci_layout(LAYERS, annotations, **options, **FIELDS)


def zipped(tar: bytes) -> bytes:
    return gzip.compress(tar, mtime=0)


def zstd(tar: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(tar)


def manifest_json(config: str, layers: list[str], **fields: Any) -> bytes:
    return json.dumps([{"Config": config, "RepoTags": [NAME], "Layers": layers, **fields}]).encode()


def docker_24() -> bytes:
    """`docker save` from 1.10 to 24, and podman: folders, and links for layers that are equal."""
    members: dict[str, bytes | str] = {}
    names: list[str] = []
    first: dict[bytes, str] = {}
    for number, tar in enumerate(LAYERS):
        home = hexes(b"v1 %d" % number)
        members[f"{home}/VERSION"] = b"1.0"
        members[f"{home}/json"] = json.dumps({"id": home}).encode()
        names.append(f"{home}/layer.tar")
        members[names[-1]] = f"../{first[tar]}" if tar in first else tar
        first.setdefault(tar, names[-1])
    members[f"{IMAGE[7:]}.json"] = CONFIG
    members["manifest.json"] = manifest_json(f"{IMAGE[7:]}.json", names)
    members["repositories"] = json.dumps({"team/app": {"1": home}}).encode()
    return in_tar(members)


def docker_25() -> bytes:
    """`docker save` from 25 on: a layout too, and a source for every layer."""
    members: dict[str, bytes | str] = dict(layout({_CONTAINERD: FULL, _REF: "1"}))
    kind = "application/vnd.oci.image.layer.v1.tar"
    sources = {digest_of(tar): described(tar, kind) for tar in LAYERS}
    layers = [blob(tar) for tar in LAYERS]
    members["manifest.json"] = manifest_json(blob(CONFIG), layers, LayerSources=sources)
    members["repositories"] = json.dumps({"team/app": {"1": hexes(LAYERS[-1])}}).encode()
    return in_tar({"blobs/": b"", "blobs/sha256/": b"", **members})


def crane() -> bytes:
    """`crane pull`, ko, and kaniko's --tar-path: a digest for the configuration's name."""
    members = {IMAGE: CONFIG, **{f"{hexes(zipped(tar))}.tar.gz": zipped(tar) for tar in LAYERS}}
    layers = [f"{hexes(zipped(tar))}.tar.gz" for tar in LAYERS]
    return in_tar({**members, "manifest.json": manifest_json(IMAGE, layers)})


def rules_oci() -> bytes:
    """rules_oci's oci_load: the manifest comes first, and blobs have a suffix."""
    names = [f"{blob(zipped(tar))}.tar.gz" for tar in LAYERS]
    members = dict(zip(names, map(zipped, LAYERS), strict=True))
    manifest = {"manifest.json": manifest_json(blob(CONFIG), names)}
    return in_tar(
        {**manifest, "blobs/": b"", "blobs/sha256/": b"", blob(CONFIG): CONFIG, **members}
    )


def rules_docker() -> bytes:
    """rules_docker's and jib's: names of their own, each with `./` before it."""
    names = [f"layer{number}.tar.gz" for number in range(len(LAYERS))]
    members = {f"./{name}": zipped(tar) for name, tar in zip(names, LAYERS, strict=True)}
    manifest = manifest_json("config.json", names)
    return in_tar({**members, "./config.json": CONFIG, "./manifest.json": manifest})


def nix() -> bytes:
    """nixpkgs' streamLayeredImage: a stream of PAX members that is made in 1970."""
    names = [f"{hexes(tar)}/layer.tar" for tar in LAYERS]
    members = dict(zip(names, LAYERS, strict=True))
    entry = {"Config": f"{IMAGE[7:]}.json", "RepoTags": [NAME], "Layers": names}
    manifest = json.dumps([entry], indent=4).encode()
    return in_tar({**members, f"{IMAGE[7:]}.json": CONFIG, "manifest.json": manifest}, mtime=1)


def buildkit(*, attested: bool) -> bytes:
    """`buildx build --output type=oci`: with attestations, an index in the index."""
    members = layout(None, compress=zipped, suffix="+gzip")
    (image,) = json.loads(members["index.json"])["manifests"]
    annotations = {_CONTAINERD: FULL, _REF: "1",
                   "org.opencontainers.image.created": "1970-01-01T00:00:01Z"}  # fmt: skip
    if not attested:
        return _indexed(members, {**image, "annotations": annotations})
    statement = b'{"_type": "https://in-toto.io/Statement/v0.1"}'
    facts = (
        b'{"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": {"type": "layers"}}'
    )
    about = {"schemaVersion": 2, "mediaType": _MANIFEST,
             "config": described(facts, "application/vnd.oci.image.config.v1+json"),
             "layers": [described(statement, "application/vnd.in-toto+json")]}  # fmt: skip
    provenance = json.dumps(about).encode()
    unknown = {"os": "unknown", "architecture": "unknown"}
    of_image = {"vnd.docker.reference.digest": image["digest"],
                "vnd.docker.reference.type": "attestation-manifest"}  # fmt: skip
    listed = [
        {**image, "platform": {"os": "linux", "architecture": "amd64"}},
        {**described(provenance, _MANIFEST), "platform": unknown, "annotations": of_image},
    ]
    index = json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": listed}).encode()
    members |= {blob(one): one for one in (statement, facts, provenance, index)}
    return _indexed(members, {**described(index, _INDEX), "annotations": annotations})


def _indexed(members: Members, descriptor: dict[str, Any]) -> bytes:
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [descriptor]}
    return in_tar({**members, "index.json": json.dumps(index).encode()})


def kaniko_layout() -> bytes:
    """kaniko's --oci-layout-path and `crane pull --format oci`: nothing says a name."""
    return in_tar(layout(None, compress=zipped, suffix="+gzip"))


def in_tar(members: Mapping[str, bytes | str], mtime: int = 0) -> bytes:
    """Pack members: strings are symbolic links, names that end in a slash directories."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w|") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.mtime = mtime
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            data = content if isinstance(content, bytes) else b""
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


SHAPES: dict[str, tuple[Callable[[], bytes], list[str]]] = {
    "docker 24": (docker_24, [NAME]),
    "docker 25": (docker_25, [NAME]),
    "crane": (crane, [NAME]),
    "rules_oci": (rules_oci, [NAME]),
    "rules_docker": (rules_docker, [NAME]),
    "nix": (nix, [NAME]),
    "buildkit": (lambda: buildkit(attested=False), [NAME]),
    "buildkit with provenance": (lambda: buildkit(attested=True), [NAME]),
    "kaniko's layout": (kaniko_layout, []),
    "a layout in zstd": (
        lambda: in_tar(layout({_REF: NAME}, compress=zstd, suffix="+zstd")),
        [NAME],
    ),
}
"""How each is made, and the names that the image has then."""
