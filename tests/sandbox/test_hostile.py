"""Running commands in root file systems that were made to deceive whoever runs them."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerstore import (
    CommandNotRun,
    DriverError,
    Finished,
    InvalidName,
    LayerStore,
    LayerStoreError,
    RWLayer,
    Volume,
    run,
)
from tests.support.busybox import NAME, image_tar

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]

Make = Callable[[Path], object]


@pytest.fixture(scope="module")
def store(base_directory: Path) -> Iterator[LayerStore]:
    # No children of its own: they would come, one by one, while the first test is under way.
    place = base_directory / "run-hostile"
    with LayerStore(place, durability="relaxed", driver="overlay2", workers=0) as opened:
        opened.images.load(io.BytesIO(image_tar()))
        yield opened


@pytest.fixture
def rw(store: LayerStore) -> Iterator[RWLayer]:
    with store.images.create("bare", NAME) as layer:
        yield layer


def put(rw: RWLayer, name: str, make: Make) -> None:
    """Put something in the place of whatever has a name in a layer."""
    with rw.mounted() as path:
        place = Path(path, name)
        place.unlink(missing_ok=True)
        make(place)


def link(leads_to: str) -> Make:
    return lambda place: place.symlink_to(leads_to)


def content(text: str) -> Make:
    def write(place: Path) -> None:
        place.write_text(text)
        place.chmod(0o755)

    return write


def zero_device(place: Path) -> None:
    os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(1, 5))


def very_long(place: Path) -> None:
    place.touch()
    os.truncate(place, 1 << 40)


def ran(rw: RWLayer, *argv: str, user: str = "") -> Finished:
    return run(rw, argv, user=user, capture=True, time_limit=60, env={"PATH": "/bin"})


NO_FILES = [
    os.mkfifo,
    zero_device,
    Path.mkdir,
    very_long,
    link("/dev/zero"),
    link("/dev/tty"),
    link("/missing"),
    link("/proc/kmsg"),
    link("/proc/version"),
    link("/sys/kernel/uevent_seqnum"),
    content("app\n"),
    content("app:x:1:1::/h\0ome:/bin/sh\n"),
]


@pytest.mark.parametrize("make", NO_FILES)
def test_a_passwd_that_is_none_names_nobody(rw: RWLayer, make: Make) -> None:
    """CVE-2024-9676: one that never ends, or that is this machine's."""
    put(rw, "etc/passwd", make)
    with pytest.raises(InvalidName, match="no user or group app"):
        ran(rw, "/bin/true", user="app")
    assert ran(rw, "/bin/sh", "-c", "echo $HOME", user="12").stdout == b"/\n"


@pytest.mark.parametrize("make", NO_FILES)
def test_a_group_file_that_is_none_names_nobody(rw: RWLayer, make: Make) -> None:
    put(rw, "etc/group", make)
    with pytest.raises(InvalidName, match="no user or group other"):
        ran(rw, "/bin/true", user="app:other")
    assert ran(rw, "/bin/true", user="app").status == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (link("passwd"), "read /etc/passwd: Too many levels of symbolic links"),
        (link("/proc/self/fd/0"), "read /etc/passwd: Too many levels of symbolic links"),
        (content(f"app:x:{'1' * 5000}:1::/:\n"), "no user or group 1111"),
        (content("app:x:\u00b2:1::/:\n"), "no user or group"),
        (content("app:x:-1:1::/:\n"), "no user or group -1"),
        (content("root:x:0:0:a\x0bapp:x:0:0::/::/:\n"), "no user or group app"),
    ],
)
def test_a_passwd_that_makes_no_sense_is_an_error(rw: RWLayer, make: Make, message: str) -> None:
    put(rw, "etc/passwd", make)
    with pytest.raises(LayerStoreError, match=message):
        ran(rw, "/bin/true", user="app")


NUMBERS_AS_NAMES = content(
    "1000:x:0:0::/root:/bin/sh\n4294967296:x:0:0::/root:/bin/sh\n-1:x:0:0::/root:/bin/sh\n"
    "+7:x:0:0::/root:/bin/sh\n 7:x:0:0::/root:/bin/sh\n3proxy:x:33:34::/srv:/bin/sh\n"
    "seven:x:7:70::/home/seven:/bin/sh\n"
)
NUMBERS_AS_GROUPS = content(
    "2000:x:0:\n4294967296:x:0:\n-1:x:0:\nvideo:x:44:seven\nwheel:x:10:1000,7\n"
)


@pytest.mark.parametrize(
    ("user", "ids"),
    [
        ("1000", b"1000 0 0\n"),
        ("7", b"7 70 70 44\n"),
        ("seven", b"7 70 70 44\n"),
        ("3proxy", b"33 34 34\n"),
        ("7:2000", b"7 2000 2000\n"),
        ("7:0044", b"7 44 44\n"),
    ],
)
def test_a_number_is_a_number_whatever_has_it_for_a_name(
    rw: RWLayer, user: str, ids: bytes
) -> None:
    """CVE-2016-3697."""
    put(rw, "etc/passwd", NUMBERS_AS_NAMES)
    put(rw, "etc/group", NUMBERS_AS_GROUPS)
    shown = ran(rw, "/bin/sh", "-c", "echo $(id -u) $(id -g) $(id -G)", user=user)
    assert shown.stdout == ids


@pytest.mark.parametrize(
    "user",
    ["4294967296", "-1", "+7", " 7", "4294967295", "7:4294967296", "7:-1", "7:+44", "\u0667"],
)
def test_a_number_that_there_can_not_be_is_refused_though_a_name_is_so(
    rw: RWLayer, user: str
) -> None:
    """CVE-2024-40635, CVE-2026-46680."""
    put(rw, "etc/passwd", NUMBERS_AS_NAMES)
    put(rw, "etc/group", NUMBERS_AS_GROUPS)
    with pytest.raises(InvalidName, match="no user or group"):
        ran(rw, "/bin/true", user=user)


def test_a_file_that_is_forbidden_to_the_primary_group_is_not_read(rw: RWLayer) -> None:
    """What a group may not do, no member may who leaves it: the group can't be left.

    CVE-2022-36109, CVE-2022-2989, CVE-2022-2990, CVE-2022-2995, CVE-2023-25173.
    """
    put(rw, "etc/passwd", NUMBERS_AS_NAMES)
    put(rw, "secret", content("x"))
    with rw.mounted() as path:
        os.chown(f"{path}/secret", 0, 70)
        os.chmod(f"{path}/secret", 0o604)
    done = ran(rw, "/bin/sh", "-c", "cat /secret; id -G", user="seven")
    assert done.stdout == b"70\n"


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
@pytest.mark.parametrize("make", [os.mkfifo, zero_device, content("x")])
def test_a_mount_point_that_is_no_directory_is_refused(rw: RWLayer, name: str, make: Make) -> None:
    put(rw, name, make)
    with pytest.raises(DriverError, match=f"/{name}: Not a directory"):
        ran(rw, "/bin/true")


@pytest.mark.parametrize("leads_to", ["/tmp/made", "../../../tmp/made", "/etc/../tmp/x/../made"])  # noqa: S108
def test_links_lead_a_volume_s_target_inside_only(
    rw: RWLayer, tmp_path: Path, leads_to: str
) -> None:
    """CVE-2024-1753, CVE-2024-9341."""
    (tmp_path / "file").write_text("text")
    for name, source in (("directory", tmp_path), ("alone", tmp_path / "file")):
        put(rw, "srv/link", link(f"{leads_to}-{name}"))
        done = run(
            rw,
            ["/bin/ls", "-d", f"/tmp/made-{name}"],  # noqa: S108
            capture=True,
            volumes=[Volume(source=str(source), target="/srv/link")],
        )
        assert (done.status, done.stderr) == (0, b"")
        assert not os.path.lexists(f"/tmp/made-{name}")  # noqa: S108


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (link("link"), "mount on /srv/link: Too many levels of symbolic links"),
        (os.mkfifo, "mount on /srv/link: Not a directory .source and target are both"),
        (content("x"), "mount on /srv/link: Not a directory"),
    ],
)
def test_a_volume_s_target_that_is_none_is_told_by_its_name(
    rw: RWLayer, make: Make, message: str
) -> None:
    put(rw, "srv/link", make)
    with pytest.raises(DriverError, match=message):
        run(rw, ["/bin/true"], volumes=[Volume(source="/etc", target="/srv/link")])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (link("link"), "go to /srv/link: Too many levels of symbolic links"),
        (link("/missing"), "go to /srv/link: No such file"),
        (os.mkfifo, "go to /srv/link: Not a directory"),
        (content("x"), "go to /srv/link: Not a directory"),
    ],
)
def test_a_working_directory_that_is_none_is_told_by_its_name(
    rw: RWLayer, make: Make, message: str
) -> None:
    put(rw, "srv/link", make)
    with pytest.raises(DriverError, match=message):
        run(rw, ["/bin/true"], workdir="/srv/link")


SELF = "/proc/self/exe"
THIS_MACHINE_S = [
    {"program": link(SELF)},
    {"program": content(f"#!{SELF}\n")},
    {"program": content(f"#! \t {SELF}\0x\n")},
    {"program": content("#!/link\n"), "link": link(SELF)},
    # What the kernel takes for an end of the name, and nothing else, is one.
    *(
        {"program": content(f"#!/bin/sh{end}x\n"), f"bin/sh{end}x": link(SELF)}
        for end in ("\r", "\v", "\f")
    ),
    # So many interpreters the kernel goes through.
    {
        "program": content("#!/1\n"),
        "1": content("#!/2\n"),
        "2": content("#!/3\n"),
        "3": content("#!/4\n"),
        "4": content(f"#!{SELF}\n"),
    },
]


@pytest.mark.parametrize("files", THIS_MACHINE_S)
def test_this_machine_s_interpreter_is_not_run(rw: RWLayer, files: dict[str, Make]) -> None:
    """CVE-2019-5736."""
    for name, make in files.items():
        put(rw, name, make)
    with pytest.raises(CommandNotRun, match="symbolic links"):
        ran(rw, "/program")


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("#!/missing\n", 127, "what interprets it is missing"),
        ("#!/program\n", 126, "symbolic links"),
        ("#!\n", 126, "Exec format error"),
        (f"#!{' ' * 300}/bin/sh\n", 126, "Exec format error"),
        ("#!/etc\n", 126, "Permission denied"),
        ("#!/fifo\n", 126, "Permission denied"),
        ("\x7fELF", 126, "Exec format error"),
    ],
)
def test_a_script_that_nothing_interprets(
    rw: RWLayer, text: str, status: int, message: str
) -> None:
    put(rw, "fifo", os.mkfifo)
    put(rw, "program", content(text))
    with pytest.raises(CommandNotRun, match=message) as refused:
        ran(rw, "/program")
    assert refused.value.status == status


@pytest.mark.parametrize("text", ["#!/bin/sh\0x\necho hi\n", "#! \t/bin/sh\t\necho hi\n"])
def test_an_interpreter_s_name_ends_where_the_kernel_ends_it(rw: RWLayer, text: str) -> None:
    put(rw, "program", content(text))
    assert ran(rw, "/program").stdout == b"hi\n"


@pytest.mark.parametrize("make", [os.mkfifo, zero_device, Path.mkdir])
def test_a_program_that_is_no_file_is_not_run(rw: RWLayer, make: Make) -> None:
    put(rw, "program", make)
    with pytest.raises(CommandNotRun, match="Permission denied"):
        ran(rw, "/program")
