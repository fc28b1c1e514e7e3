"""A run's network, from nothing to one that packets pass, and its end.

Owns the order: a namespace whose loopback is closed, the program, its ports; then the command.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence

from layerstore.drivers.errors import DriverError
from layerstore.drivers.sandbox.network import namespace, ports, programs, shut
from layerstore.drivers.sandbox.network.helper import API, Helper
from layerstore.drivers.sandbox.network.plan import Connection, PrivateNetwork


class Network(Connection):
    """The network of one run."""

    def __init__(self, network: PrivateNetwork, given: socket.socket, alive: int) -> None:
        """By the socket `given` came what keeps its ports free (`ports.hand_over`).

        Nothing is waited for once nobody wants the command any more (`alive` is readable).
        """
        super().__init__()
        self._network = network
        self._held = ports.receive(given) if network.ports else []
        os.register_at_fork(after_in_child=self._let_go)
        self._alive = alive
        self._pasta = programs.is_pasta(network.program)
        self._helper: Helper | None = None

    def enter(self) -> None:
        """Make a namespace, have its packets pass, and go into it for good. Raises DriverError."""
        privileged = not self._pasta and ports.wants_privilege(self._network.ports)
        if not privileged:
            ports.refuse_low(self._network.ports)
        with _told("make"):
            place = namespace.make(privileged=privileged)
        self._connect(place)

    def attach(self, pid: int) -> None:
        """Have the packets of a process pass, which is in a user namespace of its own.

        That owns the network namespace. Raises DriverError.
        """
        ports.refuse_low(self._network.ports)
        with _told("make"):
            place = namespace.of_process(pid)
        self._connect(place)

    def _connect(self, place: namespace.Place) -> None:
        with _told("make"):
            self._let_go()
            self._helper = Helper(self._network.program, place, _Words(self._network))
        ready = self._helper.await_ready(self._alive)
        with _told("close"):
            place.enter(_settle if ready else None)
            place.close()
        if ready and not self._pasta:
            ports.publish(self._helper, self._network.ports)

    def _let_go(self) -> None:
        """Have the ports free for the program; a fork that kept them would be in its way."""
        while self._held:
            os.close(self._held.pop())

    def end(self) -> None:
        """End what packets pass."""
        if self._helper is not None:
            self.lost = self._helper.end()


@contextlib.contextmanager
def connected(
    network: PrivateNetwork, given: socket.socket, alive: int, *, mapped: bool
) -> Iterator[Network]:
    """Have packets of a network pass until the block ends.

    This process is in it, but where users of the command are `mapped`: then it is attached to the
    command's process. Raises DriverError.
    """
    made = Network(network, given, alive)
    try:
        if not mapped:
            made.enter()
        yield made
    finally:
        made.end()


def _settle() -> None:
    shut.close_loopback()
    shut.allow_ping_and_low_ports()


@contextlib.contextmanager
def _told(verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DriverError.from_os_error(verb, "a private network", error) from error


class _Words:
    """A command line, as Helper asks for it."""

    def __init__(self, network: PrivateNetwork) -> None:
        self._network = network

    def __call__(
        self, namespace_path: str, ready_path: str, ready: int, until: int
    ) -> Sequence[str]:
        network = self._network
        if programs.is_pasta(network.program):
            return programs.pasta_words(
                network.program,
                namespace=namespace_path,
                ready=ready_path,
                ports=network.ports,
                forward=not network.dns,
            )
        return programs.slirp_words(
            network.program,
            namespace=namespace_path,
            ready=ready,
            until=until,
            api=API if network.ports else None,
            forward=not network.dns,
        )
