"""Run a command in a throw-away root file system and tell what it changed.

As root: `python examples/throwaway.py ROOT IMAGE.tar COMMAND [ARGUMENT ...]`, where IMAGE.tar is
what `docker save` writes or an OCI layout. Exits with the command's status.
"""

from __future__ import annotations

import subprocess
import sys
import uuid

from layerstore import LayerStore


def main(root: str, archive: str, *command: str) -> int:
    with LayerStore(root) as store:
        (image,) = store.images.load(archive)
        with store.images.create(f"job-{uuid.uuid4()}", image.id) as rw:
            with rw.mounted() as path:
                status = subprocess.run(["chroot", path, *command], check=False).returncode
            print(*rw.changes(), sep="\n")
    return status


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
