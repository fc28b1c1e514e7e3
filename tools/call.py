"""Draw how a call travels, from a real trace: `python -m tools.call` writes docs/call.svg.

Owns the picture. It shows the messages of one `register` and one `create_rw_layer` in the order in
which each causes the next. That a worker is free, and that the trash may be swept, is left out:
nobody waits for it.
"""

from __future__ import annotations

import io
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path

from layerstore import LayerStore, TraceRecord

PICTURE = Path(__file__).parent.parent / "docs" / "call.svg"
_LANES = ("caller", "mounts", "layers", "pool", "worker", "child")
_WORDS = {
    "caller": ("your thread", "layerstore/operations"),
    "mounts": ("MountRegistry", "actors/registries/mounts"),
    "layers": ("LayerRegistry", "actors/registries/layers"),
    "pool": ("DriverPool", "actors/workers/pool"),
    "worker": ("DriverWorker", "actors/workers/worker"),
    "child": ("its child", "drivers/worker/child"),
}
_CALLS = {"Register": "store.register(tar)", "CreateRWLayer": "store.create_rw_layer(name, parent)"}
_LEFT_OUT = {"Finished", "Sweep"}
_LEFT, _LANE, _ROW, _TOP = 80, 150, 30, 84
_STYLE = """
text { font: 12px sans-serif; fill: #333 } .lane { font-weight: bold; text-anchor: middle }
.title { font: bold 14px monospace } .kind, .file { text-anchor: middle }
.file { font-size: 10px; fill: #777 } .job { fill: #fdf3d8 }
line, rect { stroke: #888 } .life { stroke: #ddd } .back { stroke-dasharray: 4 3 }
"""


def traced() -> list[TraceRecord]:
    """Make both calls on a store of one worker, and return what its actors said."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("file"))
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as root,
        LayerStore(root, workers=1, durability="relaxed") as store,
    ):
        layer = store.register(tar.getvalue())
        store.create_rw_layer("web", layer.chain_id).release()
        layer.release()
        return store.trace()


def way(records: list[TraceRecord], kind: str) -> list[TraceRecord]:
    """Return the records of the request of a kind, each before what it causes."""
    (root,) = (r for r in records if r.kind == kind and r.cause == 0)

    def beneath(record: TraceRecord) -> Iterator[TraceRecord]:
        if record.kind in _LEFT_OUT:
            return
        yield record
        for other in records:
            if other.cause == record.sequence and other is not record:
                yield from beneath(other)

    return list(beneath(root))


def _lane(name: str) -> int:
    short = "worker" if "worker" in name else name.split(" ", maxsplit=1)[0]
    return _LEFT + _LANE * _LANES.index(short)


def _row(record: TraceRecord, at: int) -> Iterator[str]:
    begin, end = _lane(record.sender), _lane(record.receiver)
    is_job = "worker" in record.sender and (
        "worker" in record.receiver or "child" in record.receiver
    )
    if is_job:
        yield f'<rect class="job" x="{end - 70}" y="{at - 15}" width="140" height="22" rx="4"/>'
        yield f'<text class="kind" x="{end}" y="{at}">{escape(record.kind)}: the disk</text>'
        return
    back = ' class="back"' if record.kind in ("Answer", "Done") else ""
    turn = 8 if begin < end else -8
    yield f'<line{back} x1="{begin}" y1="{at}" x2="{end - turn}" y2="{at}" marker-end="url(#to)"/>'
    middle = (begin + end) // 2
    yield f'<text class="kind" x="{middle}" y="{at - 4}">{escape(record.kind)}</text>'


def picture(records: list[TraceRecord]) -> str:
    """Return the document."""
    parts: list[str] = []
    top = 0
    width = 2 * _LEFT + _LANE * (len(_LANES) - 1)
    for kind, call in _CALLS.items():
        rows = way(records, kind)
        bottom = top + _TOP + _ROW * len(rows)
        parts.append(f'<text class="title" x="12" y="{top + 24}">{escape(call)}</text>')
        for lane in _LANES:
            x = _lane(lane)
            name, file = _WORDS[lane]
            parts.append(f'<text class="lane" x="{x}" y="{top + 48}">{name}</text>')
            parts.append(f'<text class="file" x="{x}" y="{top + 63}">{file}</text>')
            parts.append(f'<line class="life" x1="{x}" y1="{top + 70}" x2="{x}" y2="{bottom}"/>')
        for number, record in enumerate(rows):
            parts.extend(_row(record, top + _TOP + _ROW * number + 14))
        top = bottom + 10
    arrow = (
        '<marker id="to" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="#888"/></marker>'
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}">'
    ground = f'<rect width="{width}" height="{top}" fill="#fff" stroke="none"/>'
    body = "\n".join(parts)
    return f"{head}\n<style>{_STYLE}</style>\n<defs>{arrow}</defs>\n{ground}\n{body}\n</svg>\n"


def main() -> int:
    """Write it."""
    PICTURE.write_text(picture(traced()))
    print(f"{PICTURE.name} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
