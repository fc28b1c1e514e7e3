"""The seam sees every call that changes the disk: strace sees no other."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.ordeals.crash.rig import seam
from tests.ordeals.crash.rig.harness import Case, Harness

KINDS = {
    "mkdir": "mkdir",
    "mkdirat": "mkdir",
    "rmdir": "rmdir",
    "unlink": "unlink",
    "unlinkat": "unlink",
    "rename": "rename",
    "renameat": "rename",
    "renameat2": "rename",
    "link": "link",
    "linkat": "link",
    "symlink": "symlink",
    "symlinkat": "symlink",
    "mknod": "mknod",
    "mknodat": "mknod",
    "chmod": "chmod",
    "fchmod": "chmod",
    "fchmodat": "chmod",
    "fchmodat2": "chmod",
    "chown": "chown",
    "lchown": "chown",
    "fchown": "chown",
    "fchownat": "chown",
    "utimensat": "utime",
    "utime": "utime",
    "utimes": "utime",
    "futimesat": "utime",
    "setxattr": "setxattr",
    "lsetxattr": "setxattr",
    "fsetxattr": "setxattr",
    "removexattr": "removexattr",
    "lremovexattr": "removexattr",
    "fremovexattr": "removexattr",
    "write": "write",
    "pwrite64": "write",
    "writev": "write",
    "pwritev": "write",
    "pwritev2": "write",
    "sendfile": "write",
    "copy_file_range": "write",
    "splice": "write",
    "truncate": "truncate",
    "ftruncate": "truncate",
    "fallocate": "truncate",
    "fsync": "fsync",
    "fdatasync": "fsync",
    "syncfs": "syncfs",
    "mount": "mount",
    "umount2": "umount",
    "creat": "create",
}
CALL = re.compile(r"\d+ +(\w+)\((.*)")


def _kind(name: str, arguments: str) -> str | None:
    if name in {"open", "openat", "openat2"}:
        return "create" if re.search(r"O_CREAT|O_TRUNC", arguments) else None
    if name == "ioctl":
        return "clone" if "FICLONE" in arguments else None
    if name == "unlinkat" and "AT_REMOVEDIR" in arguments:
        return "rmdir"
    return KINDS.get(name)


def _by_strace(output: Path, root: str) -> Counter[str]:
    found: Counter[str] = Counter()
    beneath = re.compile(re.escape(root) + r"[/>\"]|\"/proc/self/fd/")
    for line in output.read_text(errors="replace").splitlines():
        call = CALL.match(line)
        kind = _kind(call[1], call[2]) if call else None
        if kind is None or call is None:
            continue
        # The written bytes are none of a path: only what comes before them counts.
        arguments = call[2].split(", ")[0] if kind == "write" and "write" in call[1] else call[2]
        found[kind] += bool(beneath.search(arguments))
    return +found


@pytest.mark.root
@pytest.mark.timeout(0)
@pytest.mark.sampled(4)
@pytest.mark.parametrize("driver", ["overlay2", "vfs"])
@pytest.mark.parametrize("scenario", ["layers", "mounts", "images", "reopening"])
@pytest.mark.parametrize("workers", [0, 1])
def test_the_seam_sees_what_strace_sees(
    scenario: str, driver: str, workers: int, harness: Harness, tmp_path: Path
) -> None:
    case = Case(scenario, driver, workers, durability="durable")
    output = tmp_path / "strace"
    with harness.trace(case, output) as attempt:
        outcome = attempt.run(seam.Plan(), log=True)
        assert outcome.status == 0, outcome.told
        ours = Counter(event.kind for event in seam.events(attempt.log))
        count = attempt.seen().count
    assert ours == _by_strace(output, attempt.root)
    # With a child, also what it does once it is confined, and its fork once it sees only the layer.
    assert (" pivot_root(" in output.read_text(errors="replace")) == bool(workers)
    assert ours.total() == count > 100
