"""A stand-in for docker's own registry, for examples that pull what everybody knows.

`python -m tests.support.registries.stand_in DIRECTORY` runs a registry at localhost:5000, in a
network of the examples' own. It has `library/alpine:3.20`, in truth the busybox of tests, and the
same as `app:1` for two platforms. This user's `registries.conf` says that docker's registry is that
one. Prints a line once it can be asked, and stays until it is killed.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from tests.support.busybox import rootfs_tar
from tests.support.registries.daemon import running
from tests.support.registries.images import LAYER, put_image, put_index

_ADDRESS = "localhost:5000"
_SETTINGS = f"""
[[registry]]
prefix = "docker.io"
location = "{_ADDRESS}"
"""


def main(place: Path) -> None:
    place.mkdir()
    with running(place, address=_ADDRESS) as registry:
        layer = rootfs_tar()
        put_image(registry, "library/alpine", "3.20", [(layer, LAYER)], [layer])
        images = [
            (
                put_image(registry, "app", name, [(layer, LAYER)], [layer], architecture=name),
                {"os": "linux", "architecture": name},
            )
            for name in ("amd64", "arm64")
        ]
        put_index(registry, "app", "1", images)
        settings = Path.home() / ".config/containers/registries.conf"
        settings.parent.mkdir(parents=True)
        settings.write_text(_SETTINGS)
        print("ready", flush=True)
        signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
