"""Open a store in a fresh process, and print how long that took and what it holds.

`python -m benchmarks.curves.open_once ROOT` prints JSON: `seconds` of opening, `memory` in resident
bytes afterwards, `layers` and `mounts`.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path

from layerstore import LayerStore


def main() -> None:
    start = time.perf_counter()
    with LayerStore(sys.argv[1], durability="relaxed", prespawn=False) as store:
        seconds = time.perf_counter() - start
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        facts = {
            "seconds": seconds,
            "memory": pages * os.sysconf("SC_PAGE_SIZE"),
            "layers": len(store.map()),
            "mounts": len(store.mounts()),
        }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
