"""What the tests ask of a dockerd beyond what benchmarks do: its images, its containers, its view.

Owns requests and the reading of their answers. It starts no daemon and touches no file.
"""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any
from urllib.parse import urlencode

from benchmarks.dockerd import Dockerd, DockerdRefused
from layerstore import Change, ChangeKind

_KINDS = {0: ChangeKind.MODIFY, 1: ChangeKind.ADD, 2: ChangeKind.DELETE}
_TAR = "application/x-tar"
_JSON = "application/json"


class Docker:
    """One running dockerd."""

    def __init__(self, daemon: Dockerd) -> None:
        self.daemon = daemon

    def _get(self, path: str, **query: str) -> Any:
        return json.loads(self.daemon.call("GET", f"{path}?{urlencode(query)}"))

    def _post(self, path: str, document: Any = None, **query: str) -> Any:
        body = json.dumps(document).encode() if document is not None else None
        answer = self.daemon.call("POST", f"{path}?{urlencode(query)}", body, _JSON)
        return json.loads(answer) if answer else None

    # Images

    def import_tar(self, tar: bytes, name: str) -> None:
        """docker import - NAME"""
        repository, _, tag = name.partition(":")
        query = urlencode({"fromSrc": "-", "repo": repository, "tag": tag})
        answer = self.daemon.call("POST", f"/images/create?{query}", tar, _TAR)
        if b'"error"' in answer:
            raise DockerdRefused(answer.decode())

    def load(self, archive: str) -> None:
        """docker load -i ARCHIVE"""
        self.daemon.load(archive)

    def save(self, *names: str) -> bytes:
        """docker save NAME..."""
        query = urlencode([("names", name) for name in names])
        return self.daemon.call("GET", f"/images/get?{query}")

    def saved_layers(self, *names: str) -> dict[str, bytes]:
        """Return the layer tars of docker save, by diff ID as the configuration tells it."""
        found = {}
        with tarfile.open(fileobj=io.BytesIO(self.save(*names))) as archive:
            for entry in json.loads(_member(archive, "manifest.json")):
                diff_ids = json.loads(_member(archive, entry["Config"]))["rootfs"]["diff_ids"]
                for diff_id, layer in zip(diff_ids, entry["Layers"], strict=True):
                    found[diff_id] = _member(archive, layer)
        return found

    def images(self) -> dict[str, set[str]]:
        """docker images -a: the names of each image by ID."""
        return {
            image["Id"]: {tag for tag in image["RepoTags"] or [] if tag != "<none>:<none>"}
            for image in self._get("/images/json", all="1")
        }

    def inspect_image(self, name: str) -> dict[str, Any]:
        """docker image inspect NAME"""
        found: dict[str, Any] = self._get(f"/images/{name}/json")
        return found

    def tag(self, image: str, name: str) -> None:
        """docker tag IMAGE NAME"""
        repository, _, tag = name.rpartition(":")
        self._post(f"/images/{image}/tag", repo=repository, tag=tag)

    def remove_image(self, name: str) -> None:
        """docker rmi NAME"""
        self.daemon.call("DELETE", f"/images/{name}")

    def prune_images(self) -> None:
        """docker image prune"""
        self._post("/images/prune", filters='{"dangling":["true"]}')

    def commit(self, container: str, name: str) -> str:
        """docker commit CONTAINER NAME"""
        repository, _, tag = name.partition(":")
        answer = self._post("/commit", {}, container=container, repo=repository, tag=tag)
        found: str = answer["Id"]
        return found

    # Containers

    def create(self, name: str, image: str, script: str) -> str:
        """docker create --network none, of a shell that runs `script`; returns the ID."""
        document = {
            "Image": image,
            "Cmd": ["/bin/sh", "-e", "-c", script],
            "NetworkDisabled": True,
            "HostConfig": {"NetworkMode": "none"},
        }
        found: str = self._post("/containers/create", document, name=name)["Id"]
        return found

    def run(self, name: str, image: str, script: str) -> str:
        """docker run; returns the container's ID, and raises with its output where it fails."""
        container = self.create(name, image, script)
        self.start(container)
        return container

    def start(self, container: str) -> None:
        """docker start, and wait for its end."""
        self._post(f"/containers/{container}/start")
        status = self._post(f"/containers/{container}/wait")["StatusCode"]
        if status:
            raise DockerdRefused(f"{container} ended with {status}: {self.output(container)!r}")

    def output(self, container: str) -> bytes:
        """docker logs, without the headers that tell stdout from stderr."""
        rest = self.daemon.call("GET", f"/containers/{container}/logs?stdout=1&stderr=1")
        found = b""
        while rest:
            end = 8 + int.from_bytes(rest[4:8], "big")
            found, rest = found + rest[8:end], rest[end:]
        return found

    def copy_in(self, container: str, tar: bytes, path: str = "/") -> None:
        """docker cp - CONTAINER:PATH"""
        query = urlencode({"path": path})
        self.daemon.call("PUT", f"/containers/{container}/archive?{query}", tar, _TAR)

    def changes(self, container: str) -> list[Change]:
        """docker diff, ordered by path."""
        found = self._get(f"/containers/{container}/changes") or []
        changes = [Change(entry["Path"], _KINDS[entry["Kind"]]) for entry in found]
        return sorted(changes, key=lambda change: change.path.encode())

    def containers(self) -> dict[str, str]:
        """docker ps -a: the name of each container by ID."""
        found = self._get("/containers/json", all="1")
        return {entry["Id"]: entry["Names"][0].removeprefix("/") for entry in found}

    def image_of(self, container: str) -> str:
        """Return the ID of the image that a container was made from."""
        return str(self._get(f"/containers/{container}/json")["Image"])

    def remove(self, container: str) -> None:
        """docker rm CONTAINER"""
        self.daemon.remove(container)

    def prune_everything(self) -> None:
        """docker system prune -a, as far as it is about containers and images."""
        self._post("/containers/prune")
        self._post("/images/prune", filters='{"dangling":["false"]}')


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None, name
    return file.read()
