"""Makes docs/trace.png anew: `python -m tests.trace.picture OUT.png`, as root, with Chromium."""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from layerstore import LayerStore
from layerstore.command import main
from tests.support.tars import layer_tar
from tests.trace.chromium import Chromium


def record(place: Path) -> Path:
    """Trace a store that makes and removes a few read-write layers."""
    with LayerStore("/var/tmp/layerstore-picture", durability="relaxed") as store:  # noqa: S108
        base = store.register(layer_tar({"etc": None, "etc/name": b"base"}))
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(lambda n: store.create_rw_layer(f"warm-{n}").release(), range(3)))
            store.drain()
            store.trace_to(place / "trace")
            layers = list(
                threads.map(lambda n: store.create_rw_layer(f"job-{n}", base.chain_id), range(3))
            )
            layers[0].mount()
            layers[0].changes()
            list(threads.map(lambda layer: layer.release(), layers))
        base.release()
        store.drain()
        store.trace_to(None)
    return place / "trace"


def draw(journal: Path, out: Path) -> None:
    """Take a picture of the page with one request chosen."""
    page = journal.with_suffix(".html")
    if main(["trace", str(journal), "--html", str(page)]):
        raise SystemExit(1)
    with Chromium(width=1320, height=860) as browser:
        browser.open(page)
        browser.click_on("#search")
        browser.type("ReleaseRWLayer job-1")
        browser.press("Enter")
        browser.settle()
        out.write_bytes(browser.screenshot())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        draw(record(Path(place)), Path(sys.argv[1]))
