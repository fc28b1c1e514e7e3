"""Project quotas on a kernel that has them, whatever this one has: one that runs as a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.programs import KERNEL_SECONDS, pass_on_another_kernel

_TESTS = Path(__file__).with_name("test_quotas.py")
_FILE_SYSTEMS = ("quota/quota_tree", "quota/quota_v2", "overlayfs/overlay")
_MODULES = ("drivers/block/loop", *(f"fs/{name}" for name in _FILE_SYSTEMS))


@pytest.mark.root
@pytest.mark.thorough
@pytest.mark.timeout(KERNEL_SECONDS + 30)
@pytest.mark.needs("linux.uml", "busybox")
def test_quotas_bound_layers_on_a_kernel_that_has_them(tmp_path: Path) -> None:
    prepare = "mount -t tmpfs tmpfs /var/tmp"
    pass_on_another_kernel(tmp_path, [_TESTS], modules=_MODULES, prepare=prepare)
