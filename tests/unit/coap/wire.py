"""A DTLS server and its peers with a wire between them that a test can tamper with."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from OpenSSL import SSL

from drivers.transport.dtls.association import Association
from drivers.transport.dtls.cookies import Address
from drivers.transport.dtls.handshakes import ServerLimits
from drivers.transport.dtls.records import read_client_hello, read_headers
from drivers.transport.dtls.server import DtlsServer
from drivers.transport.dtls.session import DtlsSession
from gateway.domain.devices import Device
from security import tls
from tests.fakes import FakeAdmission, FakeClock, FakeCounters
from tests.ward_pki import Holder, WardPki

HOME: Address = ("192.0.2.1", 40000)


class Wire:
    """The server's datagram transport: keeps what it sends, by address."""

    def __init__(self) -> None:
        self.sent: defaultdict[Address, list[bytes]] = defaultdict(list)
        self.closed = False

    def sendto(self, data: bytes, addr: Any = None) -> None:
        self.sent[addr].append(data)

    def take(self, address: Address) -> list[bytes]:
        return self.sent.pop(address, [])

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


class Owner:
    """The protocol above: remembers what it heard."""

    def __init__(self) -> None:
        self.live: list[DtlsSession] = []
        self.heard: list[tuple[str, bytes]] = []
        self.ended: list[tuple[str, str]] = []

    def opened(self, session: DtlsSession) -> None:
        self.live.append(session)

    def received(self, session: DtlsSession, plaintext: bytes) -> None:
        self.heard.append((session.device.device_id, plaintext))

    def closed(self, session: DtlsSession, reason: str) -> None:
        self.live.remove(session)
        self.ended.append((session.device.device_id, reason))


class Bench:
    """A server with fakes around it, on a wire; must be made on a running loop."""

    def __init__(self, ward: WardPki, *devices: Holder, limits: ServerLimits | None = None) -> None:
        self.context: SSL.Context = tls.dtls_server_context(ward.gateway.files)
        self.admission = FakeAdmission({each.der: each.device for each in devices})
        self.counters = FakeCounters()
        self.clock = FakeClock()
        self.owner = Owner()
        self.server = DtlsServer(
            "coap",
            lambda: self.context,
            self.owner,
            admission=self.admission,
            counters=self.counters,
            clock=self.clock,
            limits=limits or ServerLimits(),
        )
        self.wire = Wire()
        self.server._transport = self.wire  # type: ignore[assignment]
        self.server._loop = asyncio.get_running_loop()

    def put(self, datagram: bytes, address: Address = HOME) -> None:
        self.server.datagram_received(datagram, address)

    def connect(self, holder: Holder, address: Address = HOME) -> Peer:
        peer = Peer(self, holder, address)
        peer.association.start()
        peer.run()
        return peer

    def failed(self, reason: str) -> int:
        return self.counters.counts[("handshakes_failed", "coap", reason)]


class Peer:
    """A client's association; ``run`` carries datagrams both ways until both are silent."""

    def __init__(self, bench: Bench, holder: Holder, address: Address) -> None:
        self.bench = bench
        self.address = address
        self.association = Association(tls.dtls_client_context(holder.files), server=False)
        self.heard: list[bytes] = []
        self.held: list[bytes] = []
        """What the server sent and the peer has not read."""

    def run(self, rounds: int = 20) -> None:
        for _ in range(rounds):
            outgoing = self.association.outgoing()
            for datagram in outgoing:
                self.bench.put(datagram, self.address)
            if not self.read() and not outgoing:
                return

    def greet(self) -> bytes:
        """Send hello, get a cookie, send and return the hello with it."""
        self.association.start()
        for datagram in self.association.outgoing():
            self.bench.put(datagram, self.address)
        self.read()
        (with_cookie,) = self.association.outgoing()
        assert read_client_hello(with_cookie) is not None
        self.bench.put(with_cookie, self.address)
        return with_cookie

    def read(self) -> int:
        datagrams = self.bench.wire.take(self.address)
        for datagram in datagrams:
            self.heard += self.association.receive(datagram, len(read_headers(datagram)))
        return len(datagrams)

    def say(self, plaintext: bytes) -> None:
        self.bench.put(self.association.seal(plaintext), self.address)


def leave_half_open(bench: Bench, holder: Holder, address: Address) -> Peer:
    """A peer that has shown its cookie, and says no more."""
    peer = Peer(bench, holder, address)
    peer.greet()
    return peer


def device(bench: Bench, holder: Holder) -> Device:
    return bench.admission.devices[holder.der]
