"""What dockerd makes of `docker import -c` and `docker commit -c`, kept in a table.

Owns the table's form: a line for each try, with the way, the instructions, and what they set (of a
commit: what differs from the base afterwards), or null where dockerd refuses them. `python -m
tests.images.instructions` asks dockerd for all of it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from benchmarks.dockerd import DockerdRefused
from tests.docker.api import Docker
from tests.support.archives import as_tar, docker_archive
from tests.support.tars import layer_tar

TABLE = Path(__file__).with_name("table.jsonl")
BASES: dict[str, dict[str, Any]] = {
    "import": {},
    "commit": {
        "User": "u",
        "ExposedPorts": {"1/tcp": {}},
        "Env": ["PATH=/bin", "A=one", "EMPTY=", "X=$A", "NOEQUALS"],
        "Cmd": ["c"],
        "Entrypoint": ["e"],
        "Volumes": {"/v": {}},
        "WorkingDir": "/srv",
        "Labels": {"k": "v"},
        "StopSignal": "SIGHUP",
        "OnBuild": ["RUN x"],
        "Shell": ["/bin/bash", "-c"],
        "Healthcheck": {"Test": ["CMD", "x"], "Interval": 5_000_000_000, "Retries": 3},
    },
    "commit of a command": {"Cmd": "one word", "Env": ["PATH=/bin"]},
}
"""The configuration that each way begins with."""
_LAYER = layer_tar({"file": b"1"})
_OF_THE_CONTAINER = frozenset(
    {"Hostname", "Domainname", "Image", "AttachStdin", "AttachStdout", "AttachStderr"}
    | {"Tty", "OpenStdin", "StdinOnce"}
)

Config = dict[str, Any]


class Row(NamedTuple):
    """One line of the table."""

    way: str
    changes: list[str]
    result: Config | None


def table() -> list[Row]:
    """Read it."""
    return [Row(*json.loads(line)) for line in TABLE.read_text().splitlines()]


def write_table(rows: list[Row]) -> None:
    TABLE.write_text("".join(json.dumps(row) + "\n" for row in rows))


def told(config: Mapping[str, Any], way: str) -> Config:
    """Return what a configuration says and its base doesn't, without empty fields."""
    now, before = _without_empty(config), _without_empty(BASES[way])
    return {key: now.get(key) for key in sorted({*now, *before}) if now.get(key) != before.get(key)}


def _without_empty(config: Mapping[str, Any]) -> Config:
    found = {key: value for key, value in config.items() if key not in _OF_THE_CONTAINER and value}
    for key, value in found.items():
        if key == "Healthcheck":
            found[key] = {name: said for name, said in value.items() if said}
        elif key == "Cmd" and isinstance(value, str):
            found[key] = [value]
    return found


class Asked:
    """A dockerd with the bases, and a container of each."""

    def __init__(self, docker: Docker, place: Path) -> None:
        self._docker = docker
        for number, (way, config) in enumerate(BASES.items()):
            archive = place / "base.tar"
            archive.write_bytes(as_tar(docker_archive([_LAYER], [f"{number}:1"], config=config)))
            docker.load(str(archive))
            body = json.dumps({"Image": f"{number}:1"}).encode()
            path = f"/containers/create?name={_container(way)}"
            if way != "import":
                docker.daemon.call("POST", path, body, "application/json")

    def answer(self, way: str, changes: list[str]) -> Config | None:
        """Return what is in the table as the result."""
        try:
            image = self._imported(changes) if way == "import" else self._committed(way, changes)
        except DockerdRefused:
            return None
        return told(self._docker.inspect_image(image)["Config"], way)

    def _imported(self, changes: list[str]) -> str:
        query = urlencode([("fromSrc", "-"), *(("changes", change) for change in changes)])
        path = f"/images/create?{query}"
        answer = self._docker.daemon.call("POST", path, _LAYER, "application/x-tar")
        last = json.loads(answer.splitlines()[-1])
        if "error" in last:
            raise DockerdRefused(last["error"])
        image: str = last["status"]
        return image

    def _committed(self, way: str, changes: list[str]) -> str:
        query = urlencode(
            [("container", _container(way)), *(("changes", change) for change in changes)]
        )
        image: str = json.loads(self._docker.daemon.call("POST", f"/commit?{query}"))["Id"]
        return image


def _container(way: str) -> str:
    return way.replace(" ", "-")
