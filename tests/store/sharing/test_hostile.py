"""What comes over the socket is hostile: it ends its own connection, and nobody else notices."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from layerstore import CannotAttach, LayerNotRetained, LayerStore
from layerstore.drivers.system.frames import EndOfFrames, receive_frame, send_frame
from layerstore.engine.sharing.wire import PIECE, PROTOCOL
from tests.support.processes import ends
from tests.support.tars import layer_tar
from tests.support.waiting import wait_until

CHAIN = "sha256:" + "0" * 64
GET = {"reference": 1, "chain_id": CHAIN}
SOURCE = {"offset": 0, "size": None, "inflate": False, "confirmed": False}
ALSO = {"expected_digest": None, "expected_diff_id": None}


@pytest.fixture(scope="module")
def owned(base_directory: Path) -> Iterator[LayerStore]:
    """A store whose socket anything is sent to."""
    with LayerStore(base_directory / "hostile", driver="vfs", prespawn=False) as store:
        assert store.check() == []  # by a worker that stays
        yield store


def connect(store: LayerStore, *, greet: bool = True) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(f"{store.root}/layerstore/socket")
    sock.settimeout(60)
    if greet:
        send_frame(sock, ["hello", PROTOCOL])
        answer, _ = receive_frame(sock)
        assert isinstance(answer, list)
        assert answer[0] == "owner"
    return sock


def last_word(sock: socket.socket) -> str:
    """Return why a connection was cut off, which it is then."""
    answer, _ = receive_frame(sock)
    assert isinstance(answer, list)
    assert answer[0] == "bad"
    with pytest.raises((EndOfFrames, ConnectionResetError)):
        receive_frame(sock)
    return str(answer[1])


def is_well(store: LayerStore) -> bool:
    """Whether others go on, and nothing is left."""
    with LayerStore.attach(store.root) as other:
        return other.map() == {} and other.check() == []


def takes_calls(store: LayerStore) -> bool:
    try:
        return is_well(store)
    except CannotAttach:
        return False


def ask(name: str, fields: object, actor: str = "layers", descriptors: int = 0) -> list[object]:
    return ["ask", 1, actor, name, fields, descriptors]


@pytest.mark.parametrize(
    "frame",
    [
        None,
        [],
        {},
        "hello",
        ["what"],
        ["look", 1, "secrets"],
        ["abandon", "one"],
        ["ask", 1],
        ask("GetLayer", {**GET, "chain_id": "sha256:../../etc"}),
        ask("GetLayer", {**GET, "more": 1}),
        ask("GetLayer", {**GET, "reference": "1"}),
        ask("GetLayer", {"reference": 1}),
        ask("GetLayer", GET, actor="mounts"),
        ask("GetLayer", GET, actor="supervisor"),
        ask("GetLayer", GET, descriptors=1),
        ask("GetLayer", GET, descriptors=-1),
        ask("CloseBooks", {}),
        ask("UnmountAll", {}, actor="mounts"),
        ask("Abandon", {"reference": 1}),
        ask("CheckDisk", {"job": {"step": {}}}),
        ask("Register", {"reference": 1, "parent": None, "descriptor": None, "source": {}}),
        ask(
            "Register",
            {"reference": 1, "parent": None, "descriptor": None, "source": {**SOURCE, **ALSO}},
        ),
        ask("TagImage", {"query": {}, "name": "../x", "repository": "x"}, actor="images"),
        ["part", 1, 5],
        ["last", 1, b"\xff" * 100],
        ["watch", 1],
        ["watch", 1, "one"],
        ["unwatch", None, 1],
        ["journal", 1, 5],
        ["journal", 1, "relative"],
        ["journal", 1, "/a\0b"],
        ["journal", 1, "/" + "a" * 9000],
        ["records", []],
    ],
    ids=lambda frame: repr(frame)[:60],
)
def test_a_bad_frame_ends_its_connection_alone(owned: LayerStore, frame: object) -> None:
    with connect(owned) as sock:
        send_frame(sock, frame)
        assert last_word(sock)
    assert is_well(owned)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 100,
        b"\xff" * 100,
        struct.pack(">I", 3) + b"\x91\xc1\xc1",
        struct.pack(">I", 5) + b"\xdd\xff\xff\xff\xff",
        struct.pack(">I", 2000) + b"\x91" * 2000,
    ],
    ids=lambda garbage: garbage[:8].hex(),
)
@pytest.mark.parametrize("greet", [True, False])
def test_garbage_ends_its_connection_alone(
    owned: LayerStore, garbage: bytes, *, greet: bool
) -> None:
    with connect(owned, greet=greet) as sock:
        sock.sendall(garbage)
        assert last_word(sock)
    assert is_well(owned)


def test_another_protocol_is_refused_with_both_numbers(owned: LayerStore) -> None:
    with connect(owned, greet=False) as sock:
        send_frame(sock, ["hello", PROTOCOL + 1])
        assert last_word(sock) == f"its owner speaks protocol {PROTOCOL}, not {PROTOCOL + 1}"


def test_half_a_frame_keeps_nobody_waiting(owned: LayerStore) -> None:
    with connect(owned) as one, connect(owned, greet=False) as other:
        one.sendall(struct.pack(">I", 100) + b"\x91")
        other.sendall(b"\0")
        assert is_well(owned)


def test_numbers_of_others_are_of_no_use(owned: LayerStore) -> None:
    layer = owned.register(layer_tar({"a": b"1"}))
    try:
        with connect(owned) as sock:
            for number in (layer.reference, layer.reference + 1, -1, 1 << 62):
                fields = {"reference": number, "chain_id": layer.chain_id, "keep": False}
                send_frame(sock, ask("ReleaseLayer", fields))
                answer, _ = receive_frame(sock)
                assert answer == ["error", 1, [LayerNotRetained.__name__, layer.chain_id]]
            send_frame(sock, ask("GetLayer", {"reference": 7, "chain_id": layer.chain_id}))
            receive_frame(sock)
            send_frame(sock, ask("GetLayer", {"reference": 7, "chain_id": layer.chain_id}))
            assert last_word(sock) == "the number 7 is in use"
        wait_until(lambda: owned.map()[layer.chain_id].references == 1)
    finally:
        layer.release()


def test_descriptors_that_belong_to_nothing_are_closed(owned: LayerStore) -> None:
    # Those of the test before are hung up, but perhaps not noticed yet.
    wait_until(lambda: not owned._basis._listener._connections)  # type: ignore[union-attr]
    before = len(os.listdir("/proc/self/fd"))
    reader, writer = os.pipe()
    with connect(owned) as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # before it has sent all
            for _ in range(40):
                send_frame(sock, ["abandon", 1], (writer, writer))
        assert last_word(sock) == "descriptors came that belong to no frame"
    with connect(owned) as sock:
        send_frame(sock, ask("GetLayer", GET, descriptors=1), (writer,))
        assert last_word(sock) == "GetLayer has 0 descriptors, not 1"
    os.close(writer)
    assert os.read(reader, 1) == b""  # so nobody else has it
    os.close(reader)
    # Fewer, where the trash was just being swept before.
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before)


def is_cut_off_while(sock: socket.socket, frames: Iterable[object]) -> bool:
    try:
        for frame in frames:
            send_frame(sock, frame)
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


def test_who_does_not_read_its_answers_is_cut_off(owned: LayerStore) -> None:
    layer = owned.register(layer_tar({"a": b"1"}), descriptor='"%s"' % ("x" * 1_000_000))
    for question in (["layers", "MapLayers", {}, 0], ["trace"]):
        word = "ask" if len(question) > 1 else "look"
        with connect(owned) as sock:
            asked = ([word, number, *question] for number in range(100_000))
            assert is_cut_off_while(sock, asked)
    assert owned.map().keys() == {layer.chain_id}
    layer.release()


def test_pieces_without_an_end_are_bounded(owned: LayerStore) -> None:
    with connect(owned) as sock:
        assert is_cut_off_while(sock, (["part", n, b"x" * PIECE] for n in range(10_000)))
    assert is_well(owned)


_AS_NOBODY = """
import os, sys
sys.path.insert(0, sys.argv[2])
import socket
os.setuid(65534)
sock = socket.socket(socket.AF_UNIX)
try:
    sock.connect(sys.argv[1])
    print(sock.recv(1000)[4:])
except PermissionError as error:
    print(error.strerror)
"""


@pytest.mark.root
def test_another_user_is_refused(owned: LayerStore, tmp_path: Path) -> None:
    path = f"{owned.root}/layerstore/socket"
    assert os.stat(path).st_mode & 0o777 == 0o600

    def answer() -> str:
        command = [sys.executable, "-c", _AS_NOBODY, path, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    modes = {place: os.stat(place).st_mode for place in (owned.root, Path(path).parent, path)}
    modes[Path(owned.root).parent] = os.stat(Path(owned.root).parent).st_mode
    try:
        for place in modes:
            os.chmod(place, 0o777)
        assert "user 65534 may not use this store" in answer()
        os.chmod(path, 0o600)
        assert answer() == "Permission denied\n"
    finally:
        for place, mode in modes.items():
            os.chmod(place, mode & 0o7777)


_MANY = """
import socket, sys
path, count = sys.argv[1], int(sys.argv[2])
held = []
for _ in range(count):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    held.append(sock)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_thousand_connections_are_held_and_no_more(owned: LayerStore) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(4096, limits[0]), limits[1]))
    command = [sys.executable, "-c", _MANY, f"{owned.root}/layerstore/socket", "999"]
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as many:
            assert many.stdout is not None
            assert many.stdout.readline() == b"held\n"
            with connect(owned), connect(owned, greet=False) as last:
                assert last_word(last) == "as many processes are attached as may be"
            many.kill()
            assert ends(many.pid, 60)
        wait_until(lambda: takes_calls(owned))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
