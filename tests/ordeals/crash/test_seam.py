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
IOCTLS = {
    "FICLONE": "clone",
    "BTRFS_IOC_SUBVOL_CREATE": "subvolume",
    "BTRFS_IOC_SNAP_CREATE_V2": "snapshot",
    "BTRFS_IOC_SNAP_DESTROY,": "destroy",
    "BTRFS_SUBVOL_SPEC_BY_ID": "destroy-by-id",
    "BTRFS_IOC_SUBVOL_SETFLAGS": "setflags",
    "FS_IOC_FSSETXATTR": "project",
    "BTRFS_IOC_QUOTA_CTL": "quota",
    "BTRFS_IOC_QGROUP_": "quota",
    "BTRFS_IOC_SYNC": "syncfs",
}
CALL = re.compile(r"\d+ +(\w+)\((.*)")

CASES = [
    Case(scenario, driver, workers, durability="durable")
    for driver in ("overlay2", "vfs")
    for scenario in ("layers", "mounts", "images", "reopening", "together")
    for workers in (0, 1)
] + [Case(scenario, "btrfs", durability="durable") for scenario in ("layers", "forks")]


def _kind(name: str, arguments: str) -> str | None:
    if name in {"open", "openat", "openat2"}:
        return "create" if re.search(r"O_CREAT|O_TRUNC", arguments) else None
    if name == "ioctl":
        return next((kind for word, kind in IOCTLS.items() if word in arguments), None)
    if name == "unlinkat" and "AT_REMOVEDIR" in arguments:
        return "rmdir"
    return KINDS.get(name)


def _by_strace(output: Path, root: str) -> Counter[str]:
    found: Counter[str] = Counter()
    # What a child rehearses is in memory, by a descriptor of that.
    anywhere = r"\"/proc/self/fd/(?!\d+/(?:sample|\d+)[/\"])"
    beneath = re.compile(re.escape(root) + rf"[/>\"]|{anywhere}")
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
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_seam_sees_what_strace_sees(case: Case, harness: Harness, tmp_path: Path) -> None:
    output = tmp_path / "strace"
    with harness.trace(case, output) as attempt:
        outcome = attempt.run(seam.Plan(), log=True)
        assert outcome.status == 0, outcome.told
        ours = Counter(event.kind for event in seam.events(attempt.log))
        count = attempt.seen().count
    assert ours == _by_strace(output, attempt.root)
    # With a child, also what it does once it is confined, and its fork once it sees only the layer.
    assert (" pivot_root(" in output.read_text(errors="replace")) == bool(case.workers)
    assert ours.total() == count > 100
    assert case.driver != "btrfs" or {"subvolume", "snapshot", "destroy"} <= set(ours)
