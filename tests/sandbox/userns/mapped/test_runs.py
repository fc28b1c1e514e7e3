"""What a command with users of its own sees, and that it is a run like any other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from layerstore import InvalidArgument, InvalidName, LayerStore, RWLayer, Volume, image_volumes, run
from tests.sandbox.conftest import Runs, lines
from tests.support.busybox import NAME

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


def test_root_inside_is_another_outside(sh: Runs, box: RWLayer, first: int) -> None:
    found = lines(sh("id -u; cat /proc/self/uid_map /proc/self/gid_map; cat /proc/self/setgroups"))
    assert found[0] == "0"
    assert [line.split() for line in found[1:3]] == [["0", str(first), "65536"]] * 2
    assert found[3] == "allow"
    assert lines(
        sh("echo x > /made; chown app /made; ls -ln /made | tr -s ' ' | cut -d' ' -f3,4")
    ) == ["1000 0"]
    with box.mounted() as path:
        assert os.stat(f"{path}/made").st_uid == first + 1000
    assert [str(change) for change in box.changes()] == ["A /made"]


def test_everything_that_a_run_mounts_is_there(sh: Runs) -> None:
    script = """
    set -e
    test $$ = 1; hostname; cat /etc/hostname; ip -o link | cut -d: -f2
    echo x > /dev/null; head -c 1 /dev/zero | wc -c; echo y > /dev/shm/a; echo z > /tmp/b
    ls -ln /etc/hosts /etc/resolv.conf | tr -s ' ' | cut -d' ' -f3,4; echo more >> /etc/hosts
    test -e /dev/pts/ptmx; test -d /dev/mqueue; test -d /sys/class/net
    """
    assert lines(sh(script)) == ["box", "box", " lo", "1", "0 0", "0 0"]
    assert lines(sh("echo x > /etc/new || true; touch /tmp/x", read_only=False)) == []
    refused = sh("touch /x", read_only=True)
    assert b"Read-only file system" in (refused.stderr or b"")
    assert sh("sleep 60", time_limit=0.3).timed_out
    assert lines(sh("ps | wc -l; exit 0", init=True))


def test_users_are_those_of_the_image_as_far_as_the_map_goes(sh: Runs, store: LayerStore) -> None:
    assert lines(sh("id -u; id -g; id -G", user="app")) == ["1000", "1001", "1001 2000"]
    with (
        store.images.create("small", NAME, id_map="auto:size=100") as small,
        pytest.raises(InvalidName, match="no such user"),
    ):
        run(small, ["true"], user="1000")


def test_a_volume_is_as_it_is(sh: Runs, first: int, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)  # nobody inside finds a way here
    (tmp_path / "mine").mkdir(mode=0o755)
    (tmp_path / "mine/file").write_text("1")
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", first, first)
    volumes = [
        Volume(source=str(tmp_path / "mine"), target="/mine"),
        Volume(source=str(tmp_path / "mine/file"), target="/single", read_only=True),
        Volume(source=str(tmp_path / "theirs"), target="/mine/../theirs"),
    ]
    script = (
        "cat /mine/file /single; ls -lnd /mine | tr -s ' ' | cut -d' ' -f3; echo 2 > /theirs/new"
    )
    assert lines(sh(script, volumes=volumes)) == ["1165534"]
    assert (tmp_path / "theirs/new").stat().st_uid == first
    for line in ("echo 2 > /mine/file", "touch /mine/new", "echo 2 > /single"):
        assert sh(line, volumes=volumes).status == 1
    assert [path.name for path in tmp_path.glob("mine/*")] == ["file"]


def test_volumes_of_the_image_are_the_layers_users(
    store: LayerStore, box: RWLayer, sh: Runs, first: int
) -> None:
    volumes = image_volumes(store, box, ["/srv", "/new"])
    assert lines(sh("touch /srv/a /new/b; ls -ln /srv /new | grep -c ' 0 '", volumes=volumes)) == [
        "2"
    ]
    assert {os.stat(volume.source).st_uid for volume in volumes} == {first}


def test_this_machines_network_is_refused(box: RWLayer) -> None:
    with pytest.raises(InvalidArgument, match="network of its own"):
        run(box, ["true"], network="host")
    with pytest.raises(InvalidArgument, match="user and a group 0"):
        run(box, ["true"], id_map="1:100000:5")


def test_a_fork_has_users_of_its_own_and_its_volumes_are_theirs(
    store: LayerStore, box: RWLayer, sh: Runs, first: int
) -> None:
    volumes = image_volumes(store, box, ["/srv"])
    assert (
        lines(sh("touch /srv/a; chown 5:6 /srv/a; chmod 4755 /srv/a; echo 1 > /f", volumes=volumes))
        == []
    )
    with box.fork("twin") as twin:
        assert twin.id_map == f"0:{first + 65536}:65536"
        (own,) = image_volumes(store, twin, ["/srv"])
        found = os.stat(f"{own.source}/a")
        assert (found.st_uid, found.st_gid) == (first + 65536 + 5, first + 65536 + 6)
        assert oct(found.st_mode) == "0o104755"
        assert run(twin, ["cat", "/f"], capture=True, env={"PATH": "/bin"}).stdout == b"1\n"
    with (
        store.images.create("said", NAME, id_map="0:100000:65536") as said,
        said.fork("same") as same,
    ):
        assert same.id_map == said.id_map
