"""What benchmarks need is told where it is missing. What they measure is no test."""

from __future__ import annotations

from pathlib import Path

import pytest

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
