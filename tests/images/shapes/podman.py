"""podman with a store and settings of its own, no network, and nothing of the machine in reach."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

_CONF = """
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
tmp_dir = "{0}/libpod"
image_copy_tmp_dir = "{0}"
[network]
network_backend = "cni"
network_config_dir = "{0}/networks"
"""
_STORAGE_CONF = """
[storage]
driver = "vfs"
graphroot = "{0}/root"
runroot = "{0}/run"
"""
# Where it keeps what it knows of blobs can't be set.
_APART = (
    "unshare", "--net", "--mount", "sh", "-ec", 'mount -t tmpfs none /var/lib; exec "$@"', "sh",
)  # fmt: skip


class Podman:
    """Its store, beneath a directory that is made."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self._environment = {**os.environ, "TMPDIR": str(place)}
        settings = {"CONTAINERS_CONF": _CONF, "CONTAINERS_STORAGE_CONF": _STORAGE_CONF}
        for name, text in settings.items():
            (place / name).write_text(text.format(place))
            self._environment[name] = str(place / name)

    def __call__(self, *words: str | Path) -> bytes:
        """Run a command of its and return what it prints."""
        done = subprocess.run(
            [*_APART, "podman", *words], env=self._environment, capture_output=True, check=False
        )
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def images(self) -> dict[str, list[str]]:
        """Return the names of every image, by its ID."""
        listed = json.loads(self("images", "--no-trunc", "--format", "json"))
        return {"sha256:" + image["Id"]: image["Names"] for image in listed}
