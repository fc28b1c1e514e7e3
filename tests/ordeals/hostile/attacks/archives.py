"""Image archives that attack: links, cycles, sizes and depths that lie, names that lead out.

Published as CVE-2014-9356 and CVE-2014-9358 (docker: IDs and links in archives that lead out),
CVE-2017-14992 (docker: bombs), CVE-2021-41190 (OCI: a document that is two things), and
CVE-2024-3727 (containers/image: digests that are no digests).
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from typing import Any

import zstandard

from layerstore import IntegrityError, InvalidImage, LimitExceeded
from tests.ordeals.hostile.attack import Attack, Refused, Ways, attack
from tests.ordeals.hostile.attacks import raw
from tests.support.archives import as_tar, config_of, digest_of, docker_archive, oci_layout
from tests.tar.corpus.builder import file, symlink, tar

Links = Callable[[Ways], Mapping[str, tuple[bytes, str]]]
_LAYER = tar(file("f", b"x"))
_TOP = tar(file("g", b"y"))
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_DEEP = b"[" * 100_000
_MISSING = Refused(InvalidImage, "is missing")
_INVALID = Refused(InvalidImage, "")


def _docker(
    change: Callable[[dict[str, Any]], object] = lambda _: None,
    more: Mapping[str, bytes] | None = None,
    layers: tuple[bytes, ...] = (_LAYER, _TOP),
) -> bytes:
    members = docker_archive(layers)
    (entry,) = json.loads(members["manifest.json"])
    change(entry)
    members["manifest.json"] = json.dumps([entry]).encode()
    return as_tar({**members, **(more or {})})


def _with_links(
    links: Callable[[Ways], Mapping[str, tuple[bytes, str]]],
) -> Callable[[Ways], bytes]:
    """Return an archive some of whose members are links, given by type and target."""

    def build(ways: Ways) -> bytes:
        wanted = links(ways)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, content in docker_archive((_LAYER, _TOP)).items():
                info = tarfile.TarInfo(name)
                if name in wanted:
                    info.type, info.linkname = wanted[name]
                    archive.addfile(info)
                else:
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
            for name in wanted.keys() - docker_archive((_LAYER, _TOP)).keys():
                info = tarfile.TarInfo(name)
                info.type, info.linkname = wanted[name]
                archive.addfile(info)
        return buffer.getvalue()

    return build


def _oci(change: Callable[[dict[str, Any], dict[str, bytes]], object]) -> bytes:
    members = oci_layout((_LAYER,))
    index = json.loads(members["index.json"])
    change(index, members)
    return as_tar({**members, "index.json": json.dumps(index).encode()})


def _add(members: dict[str, bytes], document: object, kind: str) -> dict[str, Any]:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    members["blobs/sha256/" + digest_of(content)[7:]] = content
    return {"mediaType": kind, "digest": digest_of(content), "size": len(content)}


def _wide_index(index: dict[str, Any], members: dict[str, bytes]) -> None:
    """Indexes of indexes, each listing the next one ten times: 10^9 manifests in a few KiB."""
    described = index["manifests"][0]
    for _ in range(9):
        described = _add(members, {"schemaVersion": 2, "manifests": [described] * 10}, _INDEX)
    index["manifests"] = [described] * 10


def _two_things(index: dict[str, Any], members: dict[str, bytes]) -> None:
    """A manifest that is an index too."""
    name = "blobs/sha256/" + index["manifests"][0]["digest"][7:]
    document = json.loads(members[name]) | {"manifests": index["manifests"], "mediaType": _INDEX}
    index["manifests"] = [_add(members, document, _MANIFEST)]


def _layer_that(**fields: Any) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    def change(index: dict[str, Any], members: dict[str, bytes]) -> None:
        name = "blobs/sha256/" + index["manifests"][0]["digest"][7:]
        document = json.loads(members[name])
        document["layers"][0] |= fields
        index["manifests"] = [_add(members, document, _MANIFEST)]

    return change


NAMES_THAT_ARE_NONE = (
    "../../outside:1", "/etc:1", "a/../../b:1", "a:../b", "a,b:1", "a\nb:1", "a\0b:1", "n" * 5000,
    "sha256:" + "0" * 64, "A:1", "",
)  # fmt: skip


def named(name: str) -> bytes:
    """Return an archive whose image has a name."""
    return _docker(lambda entry: entry.update(RepoTags=[name]))


ARCHIVES: list[Attack] = [
    attack("a layer that is a link to outside",
           _with_links(lambda w: {"1/layer.tar": (b"2", f"{w.outside}/secret")}), _MISSING),
    attack("a layer that is a hard link to outside",
           _with_links(lambda w: {"1/layer.tar": (b"1", f"{w.outside}/secret")}), _MISSING),
    attack("a configuration that is a link to outside",
           _with_links(lambda w: {digest_of(config_of((_LAYER, _TOP)))[7:] + ".json":
                                  (b"2", f"{w.outside}/passwd")}), _MISSING),
    attack("a manifest that is a link to outside",
           _with_links(lambda w: {"manifest.json": (b"2", f"{w.outside}/secret")}), _INVALID),
    attack("links in a circle",
           _with_links(lambda _: {"1/layer.tar": (b"2", "other"),
                                  "1/other": (b"2", "layer.tar")}),
           Refused(InvalidImage, "leads nowhere")),
    attack("a layer that is a pipe", _with_links(lambda _: {"1/layer.tar": (b"6", "")}), _MISSING),
    attack("a layer that is a device", _with_links(lambda _: {"1/layer.tar": (b"3", "")}),
           _MISSING),
    *(
        attack(f"a {key} with the name {name!r}",
               _docker(lambda entry, key=key, value=value: entry.update({key: value})),  # type: ignore[misc]
               _MISSING)
        for name in ("../../../../outside/secret", "/etc/passwd", "a\0b", "n" * 5000)
        for key, value in (("Config", name), ("Layers", [name, name]))
    ),
    attack("layers that are each other's", _docker(lambda e: e["Layers"].reverse()),
           Refused(IntegrityError, "layer.tar in the stream should be")),
    attack("a layer for two", _docker(lambda e: e.update(Layers=[e["Layers"][0]] * 2)),
           Refused(IntegrityError, "layer.tar in the stream should be")),
    attack("a layer that attacks",
           lambda ways: _docker(layers=(tar(symlink("l", ways.outside), file("l/secret", b"1")),)),
           Refused(InvalidImage, "can't be put beneath")),
    attack("a layer that leads out", _docker(layers=(tar(file("../../../../outside/new")),)),
           Refused(InvalidImage, "leads out")),
    attack("a manifest of enormous depth", _docker(more={"manifest.json": _DEEP}),
           Refused(InvalidImage, "not JSON")),
    attack("a configuration of enormous depth",
           _docker(lambda e: e.update(Config="c"), {"c": b'{"rootfs":' + _DEEP}),
           Refused(InvalidImage, "not JSON")),
    attack("an index of enormous depth",
           as_tar({**oci_layout((_LAYER,)), "index.json": b'{"manifests":' + _DEEP}),
           Refused(InvalidImage, "")),
    attack("a configuration with a million diff IDs",
           _docker(lambda e: e.update(Config="c"),
                   {"c": b'{"rootfs":{"diff_ids":[' + b'"",' * 1_000_000 + b'""]}}'}),
           Refused(LimitExceeded, "number of layers")),
    attack("a manifest with a million layers",
           _docker(lambda e: e.update(Layers=["x"] * 300_000)), _MISSING),
    attack("a manifest that is too large",
           _docker(more={"manifest.json": b" " * (5 << 20)}),
           Refused(LimitExceeded, "manifest.json")),
    attack("a number that no integer holds",
           as_tar({**oci_layout((_LAYER,)),
                   "index.json": b'{"manifests":[{"size":' + b"9" * 5000 + b"}]}"}),
           _INVALID),
    attack("indexes that list each other many times", _oci(_wide_index),
           Refused(LimitExceeded, "")),
    attack("a document that is two things", _oci(_two_things), Refused(InvalidImage, "says it is")),
    attack("a manifest with another digest",
           _oci(lambda index, members: members.update(
               {"blobs/sha256/" + index["manifests"][0]["digest"][7:]: b"{}"})),
           Refused(IntegrityError, "")),
    *(
        attack(f"a digest {digest[:30]!r}",
               _oci(lambda index, _, digest=digest: index["manifests"][0].update(digest=digest)),  # type: ignore[misc]
               Refused(InvalidImage, ""))
        for digest in ("sha256:../../../../outside/secret", "sha256:", "../../x", "",
                       "md5:" + "0" * 32,
                       "sha256:" + "A" * 64, "sha256:" + "0" * 64 + "/../x",
                       "sha512:" + "0" * 64, "sha512:../../../../x", "sha512:" + "0" * 128)
    ),
    *(
        attack(f"a layer of {size} bytes, it says", _oci(_layer_that(size=size)),
               Refused(error, ""))
        for size, error in ((-1, IntegrityError), (1 << 62, IntegrityError), (0, IntegrityError))
    ),
    attack("a layer that lies elsewhere", _oci(_layer_that(
        mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar", urls=["file:///etc"],
        digest="sha256:" + "0" * 64)),
        Refused(InvalidImage, "is missing, which is kept at file:///etc")),
    attack("a layer compressed as a bomb",
           lambda _: as_tar(docker_archive((tar(file("z", bytes(24 << 20))),),
                                           compress=zstandard.compress)),
           Refused(LimitExceeded, ""), max_bytes=16 << 20),
    attack("an archive compressed as a bomb",
           lambda _: gzip.compress(_docker() + bytes(24 << 20)),
           Refused(LimitExceeded, ""), max_bytes=16 << 20),
    attack("headers that claim to be huge", raw.block(b"x", b"x", size=1 << 60) + raw.END,
           Refused(LimitExceeded, "headers")),
    attack("a long name that claims to be huge",
           raw.block(b"x", b"L", size=(1 << 33), magic=raw.GNU) + raw.END,
           Refused(LimitExceeded, "headers")),
    attack("a member that claims to be huge", raw.block(b"manifest.json", size=1 << 60) + raw.END,
           Refused(InvalidImage, "")),
    attack("a sparse member", raw.pax({b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0",
                                       b"GNU.sparse.name": b"manifest.json",
                                       b"GNU.sparse.realsize": b"%d" % (1 << 60)})
           + raw.member(b"x", raw.padded(b"1\n0\n0\n")) + raw.END, _INVALID),
    attack("a manifest twice", raw.member(b"manifest.json", b"[]") + _docker(),
           Refused(InvalidImage, "twice")),
    attack("no archive at all", b"\x1f\x8b\x08" + bytes(100), _INVALID),
]  # fmt: skip
