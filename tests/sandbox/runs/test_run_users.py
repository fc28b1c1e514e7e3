"""Whom a command runs as: the users and groups of its root file system, by name or number."""

from __future__ import annotations

import pytest

from layerstore import InvalidName
from tests.sandbox.conftest import Runs, lines

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


@pytest.mark.parametrize(
    ("user", "found"),
    [
        ("", "uid=0(root) gid=0(root) groups=0(root)"),
        ("app", "uid=1000(app) gid=1001(app) groups=1001(app),2000(extra)"),
        ("1000", "uid=1000(app) gid=1001(app) groups=1001(app),2000(extra)"),
        ("app:other", "uid=1000(app) gid=2001(other) groups=2001(other)"),
        ("app:2001", "uid=1000(app) gid=2001(other) groups=2001(other)"),
        ("4000", "uid=4000 gid=0(root) groups=0(root)"),
        ("4000:5000", "uid=4000 gid=5000 groups=5000"),
    ],
)
def test_users_are_those_of_the_root_file_system(sh: Runs, user: str, found: str) -> None:
    assert lines(sh("id", user=user)) == [found]


@pytest.mark.parametrize("user", ["nobody-knows", "app:nobody-knows", "-1", "4294967295", "²"])
def test_an_unknown_user_is_refused(sh: Runs, user: str) -> None:
    with pytest.raises(InvalidName, match="no user or group"):
        sh("true", user=user)


def test_another_user_has_no_privileges(sh: Runs) -> None:
    (line,) = lines(sh("grep CapEff /proc/self/status", user="app"))
    assert line.split()[1] == "0" * 16
    assert sh("touch /etc/x", user="app").status != 0
    assert lines(sh("echo $HOME", user="app")) == ["/home/app"]
