"""Running a command in a root file system: what it sees, what it may do, what is left of it."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerstore import (
    CommandNotRun,
    DriverError,
    Finished,
    InvalidName,
    LayerStore,
    RWLayer,
    Volume,
    WorkerDied,
    mount_points,
    run,
    start,
)
from layerstore.drivers.system.mountinfo import mount_points as mounts
from layerstore.drivers.system.proc_children import children_of
from tests.support.busybox import NAME, image_tar
from tests.support.processes import ends, kill, wait_until_handled

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]

Runs = Callable[..., Finished]


@pytest.fixture(scope="module")
def store(base_directory: Path) -> Iterator[LayerStore]:
    # No children of its own: they would come, one by one, while the first test is under way.
    place = base_directory / "run"
    with LayerStore(place, durability="relaxed", driver="overlay2", workers=0) as opened:
        opened.images.load(_Bytes(image_tar()))
        yield opened


class _Bytes:
    def __init__(self, content: bytes) -> None:
        self._left = content

    def read(self, size: int, /) -> bytes:
        piece, self._left = self._left[:size], self._left[size:]
        return piece


@pytest.fixture
def rw(store: LayerStore) -> Iterator[RWLayer]:
    with store.images.create("web", NAME, init=mount_points) as layer:
        yield layer


@pytest.fixture
def sh(rw: RWLayer) -> Runs:
    """A function that runs a line of shell and returns how it ended, with its output."""

    def run_it(line: str, **options: object) -> Finished:
        options.setdefault("env", {"PATH": "/bin"})
        options.setdefault("time_limit", 60)
        return run(rw, ["sh", "-c", line], capture=True, **options)  # type: ignore[arg-type]

    return run_it


def lines(finished: Finished) -> list[str]:
    assert finished.stderr == b"", finished.stderr
    assert finished.stdout is not None
    return finished.stdout.decode().splitlines()


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("true", 0),
        ("exit 7", 7),
        ("sh -c 'kill -9 $$'; exit $?", 137),
        ("sh -c 'kill -15 $$'; exit $?", 143),
    ],
)
def test_the_exit_status_is_the_commands(sh: Runs, line: str, status: int) -> None:
    assert sh(line).status == status


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (["nonsense"], 127),
        (["/nonsense"], 127),
        (["/etc"], 126),
        (["/etc/passwd"], 126),
        (["/script"], 127),
        (["/empty"], 126),
    ],
)
def test_a_program_that_cannot_be_run(rw: RWLayer, argv: list[str], status: int) -> None:
    with rw.mounted() as path:
        for name, content in (("script", "#!/missing\n"), ("empty", "")):
            Path(path, name).write_text(content)
            Path(path, name).chmod(0o755)
    with pytest.raises(CommandNotRun) as refused:
        run(rw, argv)
    assert refused.value.status == status


def test_it_has_namespaces_of_its_own(sh: Runs) -> None:
    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
    ours = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in kinds}
    found = sh("; ".join(f"ls -l /proc/self/ns/{kind}" for kind in kinds))
    theirs = dict(zip(kinds, (line.split(" -> ")[1] for line in lines(found)), strict=True))
    same = {kind for kind in kinds if ours[kind] == theirs[kind]}
    assert same == {"cgroup", "user"}
    assert lines(sh("echo $$; hostname; ls /proc | grep -c '^[0-9]'"))[:2] == ["1", "web"]
    assert lines(sh("hostname", hostname="other")) == ["other"]


def test_its_network_is_a_loopback_interface(sh: Runs) -> None:
    assert lines(sh("ip -o link | cut -d: -f2")) == [" lo"]
    # What is sent is a file, not a pipe: the listener has an empty input and soon ends its side,
    # and a sender that sees that before there is anything to send ends, too.
    script = (
        "echo hi > /tmp/sent; nc -l -p 7 > /tmp/got & "
        "until nc 127.0.0.1 7 < /tmp/sent; do :; done; wait; cat /tmp/got"
    )
    assert lines(sh(f"({script}) 2> /dev/null")) == ["hi"]
    ours = sorted(os.listdir("/sys/class/net"))
    assert lines(sh("ls /sys/class/net", network="host")) == ours


def test_its_privileges_are_those_of_a_container(sh: Runs) -> None:
    status = dict(line.split(":", 1) for line in lines(sh("cat /proc/self/status")) if ":" in line)
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert status[name].strip() == "00000000a80425fb"
    assert status["CapInh"].strip() == status["CapAmb"].strip() == "0" * 16
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")


FORBIDDEN = (
    "mount -t tmpfs x /tmp",
    "mount -o remount,rw /proc/sys",
    "unshare -r true",
    "unshare -m true",
    "unshare -n true",
    "echo 1 > /proc/sys/vm/drop_caches",
    "echo b > /proc/sysrq-trigger",
    "cat /proc/kcore | head -c 1 | grep -q .",
    "touch /sys/kernel/x",
    "hostname changed",
    "mknod /disk b 7 0 && cat /disk",
    "mknod /tmp/null c 1 3 && cat /tmp/null",
    "mknod /dev/shm/null c 1 3 && cat /dev/shm/null",
    "cat /etc/shadow",
    "kill -0 100",
)


def test_what_it_may_not_do(sh: Runs) -> None:
    tried = [*FORBIDDEN, "true"]
    script = "\n".join(f"({line}) > /dev/null 2>&1 && echo '{line}'" for line in tried)
    assert lines(sh(script)) == ["true"]


def test_its_devices_are_the_harmless_ones(sh: Runs) -> None:
    assert lines(sh("ls /dev")) == [
        "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
        "stdout", "tty", "urandom", "zero",
    ]  # fmt: skip
    assert lines(sh("echo x > /dev/null; head -c 3 /dev/zero | wc -c; echo e > /dev/stdout")) == [
        "3",
        "e",
    ]


@pytest.mark.parametrize(
    ("user", "found"),
    [
        ("", "uid=0(root) gid=0(root)"),
        ("app", "uid=1000(app) gid=1001(app) groups=2000(extra)"),
        ("1000", "uid=1000(app) gid=1001(app) groups=2000(extra)"),
        ("app:other", "uid=1000(app) gid=2001(other)"),
        ("4000", "uid=4000 gid=0(root)"),
        ("4000:5000", "uid=4000 gid=5000"),
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


def test_environment_and_directory(sh: Runs) -> None:
    assert lines(sh("echo $A; pwd", env={"PATH": "/bin", "A": "ü b"}, workdir="/new/place")) == [
        "ü b",
        "/new/place",
    ]
    names = {line.split("=")[0] for line in lines(sh("env", env={}))}
    assert names == {"PATH", "HOME", "HOSTNAME", "PWD", "SHLVL"}


def test_volumes(sh: Runs, tmp_path: Path) -> None:
    (tmp_path / "inner").write_text("content")
    rw_, ro, file = (
        Volume(source=str(tmp_path), target="/made/here"),
        Volume(source=str(tmp_path), target="/ro", read_only=True),
        Volume(source=str(tmp_path / "inner"), target="/etc/one-file"),
    )
    found = sh("cat /ro/inner /etc/one-file; touch /made/here/new", volumes=[rw_, ro, file])
    assert lines(found) == ["contentcontent"]
    assert (tmp_path / "new").exists()
    assert sh("touch /ro/x", volumes=[ro]).status != 0
    assert sh("mknod /made/here/d c 1 3 && cat /made/here/d", volumes=[rw_]).status != 0
    with pytest.raises(DriverError, match="No such file"):
        sh("true", volumes=[Volume(source="/missing-here", target="/x")])


def test_a_read_only_root(sh: Runs) -> None:
    assert sh("touch /new", read_only=True).status != 0
    assert lines(sh("echo 1 > /dev/shm/x && cat /dev/shm/x", read_only=True)) == ["1"]


def test_only_what_the_command_does_is_a_change(sh: Runs, rw: RWLayer) -> None:
    sh("echo 1 > /new")
    assert [str(change) for change in rw.changes()] == ["A /new"]


def test_missing_mount_points_are_made(store: LayerStore) -> None:
    with store.images.create("bare", NAME) as bare:
        assert run(bare, ["/bin/true"]).status == 0
        assert [str(change) for change in bare.changes()] == ["A /dev", "A /proc", "A /sys"]


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_a_mount_point_that_is_a_link_is_refused(store: LayerStore, name: str) -> None:
    with store.images.create("bare", NAME) as bare:
        with bare.mounted() as path:
            Path(path, name).symlink_to("/tmp")  # noqa: S108
        with pytest.raises(DriverError, match="Too many levels of symbolic links"):
            run(bare, ["/bin/true"])


def test_a_volume_s_target_does_not_lead_out(store: LayerStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    with store.images.create("bare", NAME) as bare:
        with bare.mounted() as path:
            Path(path, "link").symlink_to(outside)
        volume = Volume(source="/etc", target="/link/made")
        found = run(bare, ["/bin/ls", f"{outside}/made/passwd"], volumes=[volume], capture=True)
        assert lines(found) == [f"{outside}/made/passwd"]
    assert list(outside.iterdir()) == []


def test_modules_in_the_root_are_not_imported(store: LayerStore) -> None:
    """Whatever lies where Python's own modules lie is not for the process that goes in."""
    with store.images.create("bare", NAME) as bare:
        with bare.mounted() as path:
            for module in (os, subprocess):
                place = Path(path + os.path.dirname(os.path.realpath(str(module.__file__))))
                place.mkdir(parents=True, exist_ok=True)
                for name in ("pwd", "traceback", "linecache", "stat", "posixpath", "warnings"):
                    (place / f"{name}.py").write_text("import os; os.mkdir('/imported')")
        with pytest.raises(CommandNotRun):
            run(bare, ["/nonsense"], user="app")
        assert run(bare, ["/bin/test", "-e", "/imported"]).status == 1


def test_its_time_is_limited(sh: Runs) -> None:
    begin = time.monotonic()
    found = sh("trap '' TERM INT; sleep 60 & sleep 60", time_limit=0.3)
    assert (found.status, found.timed_out) == (124, True)
    assert time.monotonic() - begin < 30


def test_input_is_given_or_empty(sh: Runs) -> None:
    assert lines(sh("cat", given=b"to\nread\n")) == ["to", "read"]
    assert lines(sh("cat")) == []


@pytest.mark.parametrize("init", [False, True])
def test_signals_reach_the_command(rw: RWLayer, init: bool) -> None:
    script = "trap 'echo got; exit 3' USR1; echo ready; while true; do sleep 1; done"
    with rw.mounted() as path, _piped(path, script, init=init) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(signal.SIGUSR1)
        finished = running.wait()
    assert (finished.status, finished.stdout) == (3, b"got\n")


def _piped(path: str, script: str, **options: bool):  # type: ignore[no-untyped-def]
    return start(
        path,
        ["/bin/sh", "-c", script],
        env={"PATH": "/bin"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        **options,  # type: ignore[arg-type]
    )


def at_once(_pid: int) -> None:
    """Wait for nothing."""


def until_ready_for_signals(pid: int) -> None:
    """Wait until a process minds signals by handlers of its own."""
    wait_until_handled(pid, signal.SIGWINCH)


def until_forked(pid: int) -> None:
    """Wait until a process has a child, which isn't the command yet."""
    deadline = time.monotonic() + 60
    while not children_of(pid):
        assert time.monotonic() < deadline


@pytest.mark.parametrize("moment", [at_once, until_ready_for_signals, until_forked])
@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1"])
def test_a_signal_that_comes_early_ends_it(
    rw: RWLayer, name: str, moment: Callable[[int], None]
) -> None:
    """With `init` one that comes late does, too, so that it doesn't matter how quick this is."""
    number = signal.Signals[name]
    with rw.mounted() as path:
        running = start(
            path, ["/bin/sleep", "60"], init=True, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        with running:
            moment(running.pid)
            running.send_signal(number)
            finished = running.wait()
    assert (finished.status, finished.stderr) == (128 + number, b"")


def test_signals_that_are_held_back_here_are_not_for_the_command(sh: Runs) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    try:
        (line,) = lines(sh("grep SigBlk /proc/self/status"))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert int(line.split()[1], 16) == 0


def test_a_terminal_that_is_closed_ends_nothing(rw: RWLayer) -> None:
    script = "echo ready; until [ -e /go ]; do sleep 0.01; done; echo more; exit 4"
    ours, theirs = pty.openpty()
    with rw.mounted() as path:
        running = start(
            path,
            ["/bin/sh", "-c", script],
            env={"PATH": "/bin"},
            terminal=True,
            stdin=theirs,
            stdout=theirs,
        )
        os.close(theirs)
        with running:
            with os.fdopen(ours, "rb") as screen:
                assert screen.readline() == b"ready\r\n"
            Path(path, "go").touch()
            assert running.wait().status == 4


def test_a_command_without_handlers_dies_of_the_third_signal(rw: RWLayer) -> None:
    with rw.mounted() as path, _piped(path, "echo ready; exec sleep 60") as running:
        assert running.stdout is not None
        running.stdout.readline()
        sent = 0
        finished = None
        while finished is None:
            running.send_signal(signal.SIGTERM)
            sent += 1
            with contextlib.suppress(TimeoutError):
                finished = running.wait(0.1)
    assert finished.status == 137
    assert sent >= 3


@pytest.mark.parametrize("init", [True, False])
def test_only_a_first_process_of_ours_reaps_orphans(rw: RWLayer, init: bool) -> None:
    script = "(sleep 0.2 & exec true); echo ready; exec sleep 60"
    with rw.mounted() as path, _piped(path, script, init=init) as running:
        assert running.stdout is not None
        running.stdout.readline()
        (first,) = children_of(running.pid)
        # The command is the first process itself, or the one child that stays.
        wanted = ["S"] if init else ["Z"]
        deadline = time.monotonic() + 60
        while [_state_of(pid) for pid in children_of(first)] != wanted:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if init:
            running.send_signal(signal.SIGTERM)
            assert running.wait().status == 143


def _state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return "gone"


def test_waiting_has_a_timeout_and_goes_on(rw: RWLayer) -> None:
    script = "until [ -e /go ]; do sleep 0.01; done; exit 4"
    with rw.mounted() as path, _piped(path, script) as running:
        with pytest.raises(TimeoutError):
            running.wait(0.01)
        Path(path, "go").touch()
        assert running.wait().status == 4


def test_nothing_outlives_the_block(rw: RWLayer) -> None:
    with rw.mounted() as path, _piped(path, "echo ready; sleep 60 & exec sleep 60") as running:
        assert running.stdout is not None
        running.stdout.readline()
        (first,) = children_of(running.pid)
    assert ends(first, 60)
    assert not [point for point in mounts() if f"{point.path}/".startswith(f"{path}/")]


def test_the_command_ends_with_the_process_beside_it(rw: RWLayer) -> None:
    with rw.mounted() as path, _piped(path, "echo ready; exec sleep 60") as running:
        assert running.stdout is not None
        running.stdout.readline()
        (first,) = children_of(running.pid)
        kill(running.pid)
        with pytest.raises(WorkerDied, match="killed by SIGKILL"):
            running.wait()
        assert ends(first, 60)


def test_a_thread_that_started_a_command_may_end(rw: RWLayer) -> None:
    found = []
    with rw.mounted() as path:
        thread = threading.Thread(target=lambda: found.append(_piped(path, "sleep 0.3; exit 5")))
        thread.start()
        thread.join()
        assert found[0].wait().status == 5


def test_a_command_that_writes_much_is_captured(sh: Runs) -> None:
    found = sh("seq 100000; seq 100000 >&2; exit 1")
    assert found.status == 1
    assert found.stdout == found.stderr
    assert found.stdout is not None
    assert found.stdout.endswith(b"100000\n")


def test_many_run_at_once_and_leave_no_descriptor(store: LayerStore) -> None:
    def one(number: int) -> int:
        with store.images.create(f"many-{number}", NAME, init=mount_points) as layer:
            return run(layer, ["/bin/sh", "-c", f"exit {number}"], env={"PATH": "/bin"}).status

    one(0)
    store.drain()
    before = len(os.listdir("/proc/self/fd"))
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(one, range(24))) == list(range(24))
    store.drain()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_descriptors_of_the_embedding_process_are_not_inherited(sh: Runs) -> None:
    with open("/etc/hostname", "rb") as secret:
        os.set_inheritable(secret.fileno(), True)
        assert lines(sh("ls /proc/self/fd")) == ["0", "1", "2", "3"], "3 is the listing's own"


def test_modes_of_the_root_are_kept(rw: RWLayer, sh: Runs) -> None:
    sh("touch /made; mkdir /dir")
    with rw.mounted() as path:
        assert stat.S_IMODE(os.stat(f"{path}/made").st_mode) == 0o644
        assert stat.S_IMODE(os.stat(f"{path}/dir").st_mode) == 0o755


TOO_LONG = "a" * 63 + "ü"


@pytest.mark.parametrize(
    ("argv", "options", "message"),
    [
        ([], {}, "at least one word"),
        ([""], {}, "at least one word"),
        (["a\0b"], {}, "NUL"),
        (["a"], {"workdir": "b"}, "'b': a working directory begins with /"),
        (["a"], {"workdir": "/\0"}, "NUL"),
        (["a"], {"env": {"A": "\0"}}, "'A': a variable's value holds no NUL"),
        (["a"], {"env": {"a=b": "c"}}, "'a=b': a variable's name is not empty and holds no ="),
        (["a"], {"env": {"": "c"}}, "'': a variable's name is not empty"),
        (["a"], {"network": "bridge"}, "'bridge': a network is one of none, host"),
        (["a"], {"hostname": TOO_LONG}, "at most 64 bytes"),
        (["a"], {"time_limit": 0}, "'0': a time limit is more than 0 seconds"),
        (["a"], {"time_limit": -1.5}, "'-1.5': a time limit is more than 0 seconds"),
        (["a"], {"time_limit": float("nan")}, "'nan': a time limit is .* finite"),
        (["a"], {"time_limit": float("inf")}, "'inf': a time limit is .* finite"),
        (["a"], {"volumes": [Volume(source="etc", target="/a")]}, "paths begin with /"),
        (["a"], {"volumes": [Volume(source="/etc", target="/a\0")]}, "NUL"),
        (["a"], {"volumes": [Volume(source="/etc", target="//a/../..")]}, "target can't be /"),
        (["a"], {"volumes": [Volume(source="/etc", target="/")]}, "target can't be /"),
        (["a"], {"volumes": [Volume(source="/etc", target="/proc")]}, "target can't be /proc"),
        (["a"], {"volumes": [Volume(source="/etc", target="/x/../proc/sys/")]}, "can't be /proc"),
    ],
)
def test_what_there_cannot_be_is_refused_before_anything_is_done(
    rw: RWLayer, argv: list[str], options: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidName, match=message):
        run(rw, argv, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidName, match=message):
        start("/missing-here", argv, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("argv", ["ls", b"ls", [b"ls"], [Path("/bin/ls")]])
def test_a_command_is_a_sequence_of_strings(rw: RWLayer, argv: list[str]) -> None:
    with pytest.raises(TypeError, match=r"a command is|a word of a command is"):
        run(rw, argv)


@pytest.mark.parametrize("time_limit", [1e30, 2**31 / 1000, 10**400])
def test_a_long_time_limit_is_as_good_as_none(sh: Runs, time_limit: float) -> None:
    assert sh("exit 3", time_limit=time_limit).status == 3


def test_a_host_name_may_be_as_long_as_linux_has_them(sh: Runs) -> None:
    assert lines(sh("hostname", hostname="a" * 64)) == ["a" * 64]


@pytest.mark.parametrize("leads_to", ["/", "../../..", "/proc", "../proc/sys"])
def test_a_volume_s_target_leads_neither_to_the_root_nor_into_proc(
    store: LayerStore, leads_to: str
) -> None:
    with store.images.create("bare", NAME, init=mount_points) as bare:
        with bare.mounted() as path:
            Path(path, "srv/link").symlink_to(leads_to)
        volume = Volume(source="/etc", target="/srv/link")
        with pytest.raises(InvalidName, match=r"'/etc:/srv/link': .* lead to / nor into /proc"):
            run(bare, ["/bin/true"], volumes=[volume])


@pytest.mark.parametrize("target", ["/dev", "/sys"])
def test_a_volume_may_stand_for_other_mounts_of_the_system(
    sh: Runs, tmp_path: Path, target: str
) -> None:
    (tmp_path / "mine").touch()
    assert lines(sh(f"ls {target}", volumes=[Volume(source=str(tmp_path), target=target)])) == [
        "mine"
    ]


@pytest.mark.parametrize("target", ["/dev", "/dev/pts"])
def test_a_volume_that_hides_the_terminals_leaves_none(
    rw: RWLayer, tmp_path: Path, target: str
) -> None:
    volume = Volume(source=str(tmp_path), target=target)
    with (
        rw.mounted() as path,
        start(path, ["/bin/true"], terminal=True, volumes=[volume]) as running,
        pytest.raises(DriverError, match="open a terminal in /dev/pts: No such file"),
    ):
        running.wait()
