"""Bounds by cgroup v2 alone, whatever this machine has: on a kernel that runs as a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.programs import KERNEL_SECONDS, pass_on_another_kernel

_TESTS = (
    *("test_who_wants_more_memory", "test_a_fork_bomb", "test_cpu_time", "test_what_is_written"),
    *("test_what_a_killed_process_has_left", "test_a_paused_command", "test_statistics_tell"),
    "test_bounds_hold_for_it_too",
)
_PREPARE = """
mount -t cgroup2 none /sys/fs/cgroup
truncate -s 200M {place}/inside/disk
mkfs.ext4 -q {place}/inside/disk
busybox losetup /dev/loop0 {place}/inside/disk
mount -t ext4 /dev/loop0 /var/tmp
"""


@pytest.mark.root
@pytest.mark.thorough
@pytest.mark.timeout(KERNEL_SECONDS + 30)
@pytest.mark.needs("linux.uml", "busybox", "mkfs.ext4")
def test_bounds_hold_where_cgroup_v2_is_all_that_there_is(tmp_path: Path) -> None:
    pass_on_another_kernel(
        tmp_path,
        [Path(__file__).with_name(f"test_{name}.py") for name in ("limits", "pausing", "exec")],
        only=" or ".join(_TESTS),
        modules=("drivers/block/loop", "fs/overlayfs/overlay"),
        prepare=_PREPARE,
    )
