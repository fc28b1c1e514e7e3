"""Run a command in a throw-away root file system and tell what it changed.

As root: `python examples/throwaway.py ROOT IMAGE.tar COMMAND [ARGUMENT ...]`, where IMAGE.tar is
what `docker save` writes or an OCI layout. Exits with the command's status.
"""

from __future__ import annotations

import sys
import uuid

from layerstore import LayerStore, mount_points, run


def main(root: str, archive: str, *command: str) -> int:
    with LayerStore(root) as store:
        (image,) = store.images.load(archive)
        name = f"job-{uuid.uuid4()}"
        with store.images.create(name, image.id, init=mount_points) as rw:
            finished = run(rw, command)
            print(*rw.changes(), sep="\n")
    return finished.status


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
