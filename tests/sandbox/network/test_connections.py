"""What gets through: connections out, names, and published ports in. What doesn't: loopback."""

from __future__ import annotations

import contextlib
import shutil
import socket
from pathlib import Path

import pytest

from layerstore import DriverError
from layerstore.drivers.sandbox.network import programs
from layerstore.drivers.system.proc_children import children_of
from tests.sandbox.conftest import lines
from tests.sandbox.network.conftest import PYTHON, Starts
from tests.sandbox.network.world import ADDRESS, World, answer

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox", PYTHON, "ip")]

_LOOPBACK_ONLY = "search one.example\noptions ndots:1\nnameserver 127.0.0.53\n"


def test_names_are_looked_up_and_servers_reached(
    starts: Starts, world: World, program: str, tmp_path: Path
) -> None:
    world.resolve_by(_LOOPBACK_ONLY, tmp_path)
    resolver = world.bound(socket.SOCK_DGRAM, "127.0.0.53", 53)
    server = world.bound(socket.SOCK_STREAM, ADDRESS, 80)
    script = """if True:
    import socket
    with socket.create_connection((socket.gethostbyname("web.example"), 80)) as sock:
        print(sock.recv(9).decode())
    print(open("/etc/resolv.conf").read() + open("/etc/hosts").read().splitlines()[-1])
    """
    with starts(script, hostname="box") as running:
        query, client = resolver.recvfrom(512)
        assert b"\x03web\x07example\0" in query
        resolver.sendto(answer(query, ADDRESS), client)
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"hello")
        assert lines(running.wait()) == [
            "hello",
            *_LOOPBACK_ONLY.splitlines()[:2],
            "nameserver 10.0.2.3",
            "10.0.2.100\tbox",
        ]


def test_resolvers_that_are_named_count_alone(starts: Starts, program: str) -> None:
    script = "print(*[x for x in open('/etc/resolv.conf') if 'name' in x])"
    named = starts(script, dns=["198.51.100.9", "203.0.113.9"]).wait()
    assert lines(named)[:2] == ["nameserver 198.51.100.9", " nameserver 203.0.113.9"]


LISTENING = """if True:
    import socket
    streams, packets = socket.create_server(("", 80)), socket.socket(type=socket.SOCK_DGRAM)
    packets.bind(("", 53))
    print("ready", flush=True)
    with streams.accept()[0] as sock:
        sock.sendall(b"stream " + sock.recv(9))
    word, client = packets.recvfrom(9)
    packets.sendto(b"packet " + word, client)
    """


def _asked(sock: socket.socket, word: bytes, address: tuple[str, int]) -> bytes:
    """Send a packet, which may be lost, until there is an answer."""
    sock.settimeout(1)
    for _ in range(30):
        sock.sendto(word, address)
        with contextlib.suppress(TimeoutError):
            return sock.recv(99)
    raise TimeoutError(f"nobody answers at {address}")


@pytest.mark.parametrize("options", [{}, {"user": "1000"}, {"id_map": "0:100000:65536"}])
def test_published_ports_lead_into_it(
    starts: Starts, world: World, program: str, options: dict[str, str]
) -> None:
    published = ["127.0.0.1:8080:80", "80", "5353:53/udp"]
    with starts(LISTENING, publish=published, **options) as running:
        chosen = running.ports[1].host_port
        assert [str(port) for port in running.ports] == [
            "127.0.0.1:8080 -> 80/tcp",
            f"0.0.0.0:{chosen} -> 80/tcp",
            "0.0.0.0:5353 -> 53/udp",
        ]
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n", running.wait()
        with world.do(lambda: socket.create_connection((ADDRESS, chosen))) as sock:
            sock.sendall(b"one")
            assert sock.recv(99) == b"stream one"
        with world.do(lambda: socket.socket(type=socket.SOCK_DGRAM)) as sock:
            assert _asked(sock, b"two", (ADDRESS, 5353)) == b"packet two"
        assert running.wait().status == 0


HOSTILE = """if True:
    import socket, struct
    def tried(what):
        try:
            what()
        except OSError as error:
            refused.append(error.errno)
    def stream(family, address, bound):
        with socket.socket(family) as sock:
            sock.setblocking(False)
            if bound:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
            tried(lambda: sock.connect((address, 7)))
            sent.append(sock.detach())
    def packet(address, *options):
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            for option in options:
                sock.setsockopt(*option)
            tried(lambda: sock.sendto(b"here I am", (address, 7)))
    refused, sent = [], []
    index = socket.if_nametoindex("eth0")
    to_eth0 = (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    for address in ("127.0.0.1", "127.0.0.2", "10.0.2.3"):
        for bound in (False, True):
            stream(socket.AF_INET, address, bound)
            stream(socket.AF_INET6, "::ffff:" + address, bound)
        packet(address)
        packet(address, to_eth0)
        packet(address, to_eth0, (socket.SOL_SOCKET, socket.SO_DONTROUTE, 1))
        packet(address, (socket.IPPROTO_IP, 50, struct.pack("!I", index)))
        packet(address, to_eth0, (socket.SOL_SOCKET, socket.SO_BROADCAST, 1))
    packet("10.0.2.2")
    packet("255.255.255.255", to_eth0, (socket.SOL_SOCKET, socket.SO_BROADCAST, 1))
    stream(socket.AF_INET6, "::1", True)
    refused.clear()
    tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3))
    tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 255))
    assert refused == [1, 1], refused
    def last():
        with socket.socket() as sock:
            sock.connect(("198.51.100.1", 7))
            sock.recv(1)
    last()
    """


@pytest.mark.parametrize("options", [{}, {"user": "1000"}, {"id_map": "0:100000:65536"}])
def test_this_machine_s_loopback_is_closed(
    starts: Starts, world: World, program: str, options: dict[str, str]
) -> None:
    closed = [
        world.bound(kind, address, 7)
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
        for address in ("127.0.0.1", "127.0.0.2", "::1")
    ]
    last = world.bound(socket.SOCK_STREAM, ADDRESS, 7)
    with starts(HOSTILE, **options) as running:
        connection, _ = last.accept()
        # Whatever was sent has come by now: it passes one program, in order.
        for sock in closed:
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.accept() if sock.type == socket.SOCK_STREAM else sock.recv(9)
        connection.close()
        done = running.wait()
        assert (done.status, done.stderr) == (0, b"")


def test_a_port_that_is_taken_is_named(starts: Starts, world: World, program: str) -> None:
    world.bound(socket.SOCK_STREAM, ADDRESS, 8080)
    with pytest.raises(DriverError, match=r"publish 0\.0\.0\.0:8080/tcp: Address already in use"):
        starts("", publish=["8081:81", "8080:80"])
    with pytest.raises(DriverError, match=r"publish 0\.0\.0\.0:8009/tcp: Address already in use"):
        starts("", publish=["8009:9", "8009:10"])
    with pytest.raises(DriverError, match=r"192\.0\.2\.7:80/udp: Cannot assign requested address"):
        starts("", publish=["192.0.2.7:80:80/udp"])


def test_of_a_range_the_first_free_port_is_taken(
    starts: Starts, world: World, program: str
) -> None:
    world.bound(socket.SOCK_STREAM, ADDRESS, 8080)
    with starts("", publish=["8080-8089:80"]) as running:
        assert [str(port) for port in running.ports] == ["0.0.0.0:8081 -> 80/tcp"]
        assert running.wait().status == 0


def test_two_runs_have_a_network_each(starts: Starts, program: str) -> None:
    script = """if True:
    import signal, socket
    socket.create_server(("", 80))
    print(flush=True)
    signal.pause()
    """
    with starts(script, publish=["8081:80"]) as one, starts(script, publish=["8082:80"]) as other:
        for running in (one, other):
            assert running.stdout is not None
            assert running.stdout.readline() == b"\n"
        networks = {Path(f"/proc/{children_of(run.pid)[-1]}/ns/net") for run in (one, other)}
        assert len({path.readlink() for path in networks}) == 2


def test_low_ports_of_this_machine_are_root_s_to_give(starts: Starts, world: World) -> None:
    if programs.find_program() != shutil.which(programs.SLIRP):
        pytest.skip("needs slirp4netns")
    with starts(LISTENING, publish=["80:80"]) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n", running.wait()
        (pid,) = [
            pid
            for pid in children_of(running.pid)
            if Path(f"/proc/{pid}/comm").read_text() == f"{programs.SLIRP}\n"
        ]
        assert "CapPrm:\t0000000000000400" in Path(f"/proc/{pid}/status").read_text().splitlines()
        with world.do(lambda: socket.create_connection((ADDRESS, 80))) as sock:
            sock.sendall(b"one")
            assert sock.recv(99) == b"stream one"
