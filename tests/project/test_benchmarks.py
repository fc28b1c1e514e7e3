"""What benchmarks need is told where it is missing. What they measure is no test."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.curves.growth import bending
from benchmarks.peer.build import PACKAGES, PeerUnavailable, require


def test_without_go_or_its_packages_moby_is_not_built_and_what_to_install_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PeerUnavailable) as raised:
        require(tmp_path)
    told = str(raised.value)
    assert "go, apt-get, dpkg-query, github.com/docker/docker/daemon/graphdriver" in told
    assert told.endswith(f"apt-get install {' '.join(PACKAGES)}")


def test_what_bends_upward_is_told_and_noise_is_not() -> None:
    taken = {
        "flat": [[1.0, 1.1, 0.9], [1.0, 1.2, 1.1]],
        "slow once": [[1.0, 1.0, 1.0], [5.0, 1.9, 5.0]],
        "bent": [[1.0, 0.9, 9.0], [3.1, 3.0, 4.0]],
    }
    assert bending(taken, (100, 10_000)).endswith("from 100 to 10,000 of each: bent (3.0 x)")
    del taken["bent"]
    assert bending(taken, (100, 10_000)) == "nothing bends upward from 100 to 10,000 of each"
