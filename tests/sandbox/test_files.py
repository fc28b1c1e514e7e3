"""Files of a root file system are read and written where a process in it would find them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from layerstore import DriverError, LimitExceeded
from layerstore.sandbox.files import list_directory, read_file, write_file

OUTSIDE = "outside"


@pytest.fixture
def root(tmp_path: Path) -> str:
    (tmp_path / OUTSIDE).mkdir()
    (tmp_path / OUTSIDE / "secret").write_text("secret")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/name").write_text("inside")
    return str(root)


def test_what_is_written_is_read(root: str) -> None:
    write_file(root, "/new/directory/file", b"\0one")
    assert read_file(root, "new/directory/file") == b"\0one"
    assert stat.S_IMODE(os.stat(f"{root}/new/directory/file").st_mode) == 0o644
    os.chmod(f"{root}/new/directory/file", 0o600)
    write_file(root, "/new/directory/file", b"2")
    assert read_file(root, "/new/directory/file") == b"2"
    assert stat.S_IMODE(os.stat(f"{root}/new/directory/file").st_mode) == 0o600


@pytest.mark.root
def test_modes_and_owners_are_those_that_are_asked_for(root: str) -> None:
    write_file(root, "/file", b"", mode=0o4755, owner=(1, 2))
    status = os.stat(f"{root}/file")
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o4755, 1, 2)


@pytest.mark.parametrize("target", ["/etc", "../../../../etc", "../etc/../etc/."])
def test_links_lead_inside(root: str, target: str) -> None:
    os.symlink(target, f"{root}/link")
    write_file(root, "/link/name", b"changed")
    assert Path(root, "etc/name").read_bytes() == b"changed"


@pytest.mark.parametrize(
    "link", ["../outside/secret", "/../outside/secret", "../../root/../outside/secret"]
)
def test_nothing_leads_out(root: str, link: str) -> None:
    os.symlink(link, f"{root}/link")
    with pytest.raises(DriverError):
        read_file(root, "/link")
    with pytest.raises(DriverError):
        read_file(root, link)
    write_file(root, "/link", b"mine")  # where the link leads inside, made there
    assert Path(root).parent.joinpath("outside/secret").read_text() == "secret"
    assert read_file(root, "/link") == b"mine"


def test_magic_links_are_not_followed(root: str) -> None:
    os.symlink("/proc/self/root/etc/passwd", f"{root}/link")
    os.symlink(f"/proc/{os.getpid()}/cwd", f"{root}/cwd")
    for path in ("/link", "/cwd/x", "/proc/self/cwd/pyproject.toml"):
        with pytest.raises(DriverError) as caught:
            read_file(root, path)
        assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize(
    ("kind", "number"),
    [("directory", errno.EISDIR), ("fifo", errno.EINVAL), ("socket", errno.EINVAL)],
)
def test_only_regular_files_are_opened(root: str, kind: str, number: int) -> None:
    match kind:
        case "directory":
            os.mkdir(f"{root}/it")
        case "fifo":
            os.mkfifo(f"{root}/it")  # nobody writes to it: opening would wait for ever
        case _:
            os.mknod(f"{root}/it", stat.S_IFSOCK | 0o644)
    for attempt in (lambda: read_file(root, "/it"), lambda: write_file(root, "/it", b"")):
        with pytest.raises(DriverError) as caught:
            attempt()
        assert caught.value.errno == number


@pytest.mark.root
def test_a_device_is_not_opened(root: str) -> None:
    os.mknod(f"{root}/zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    with pytest.raises(DriverError, match="it is a character device"):
        read_file(root, "/zero")


def test_no_more_is_read_than_is_asked_for(root: str) -> None:
    assert read_file(root, "/etc/name", most=6) == b"inside"
    with pytest.raises(LimitExceeded, match="/etc/name"):
        read_file(root, "/etc/name", most=5)


def test_what_is_missing_is_named(root: str) -> None:
    with pytest.raises(DriverError, match="/etc/none"):
        read_file(root, "/etc/none")
    with pytest.raises(DriverError, match="/etc/name/x"):
        read_file(root, "/etc/name/x")
    with pytest.raises(DriverError, match="/none"):
        list_directory(root, "/none")


def test_a_directory_is_listed(root: str) -> None:
    os.symlink("name", f"{root}/etc/alias")
    os.mkdir(f"{root}/etc/sub")
    entries = {entry.name: entry for entry in list_directory(root, "/etc")}
    assert list(entries) == ["alias", "name", "sub"]
    assert [entry.kind for entry in entries.values()] == ["link", "file", "directory"]
    assert entries["alias"].target == "name"
    assert entries["name"].size == 6
    with pytest.raises(DriverError) as caught:
        list_directory(root, "/etc/name")
    assert caught.value.errno == errno.ENOTDIR
