"""A DTLS server on one UDP socket: admits devices by their certificates.

Rules:

- Nothing is kept for an address that has not returned a cookie (RFC 6347, 4.2.1); no OpenSSL
  object sees its bytes.
- A handshake under way lives beside the session that the same address may have: the session
  ends only when the new handshake is complete and its device admitted (RFC 6347, 4.2.8).
- A repeated ClientHello is told from a new one by its random, and goes to where it belongs.
- Handshakes are bounded in number, per host and in time; sessions in number, per device and in
  idle time. What is beyond a bound is refused, or the longest silent makes room
  (:mod:`drivers.transport.dtls.handshakes`, for handshakes).
- A handshake that is given up for another gets an alert, so that an honest peer begins anew
  instead of repeating itself to nobody.
- A certificate proves a device to the identity service before the owner hears of the session.
  Of a peer that is refused the network sees an alert and nothing else.
- Killing a session sends close_notify and forgets it; both at once.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from weakref import WeakSet

from OpenSSL import SSL

from drivers.transport.dtls import arrival
from drivers.transport.dtls.association import (
    TIMEOUT,
    Association,
    HandshakeError,
    note_of,
)
from drivers.transport.dtls.cookies import Address, Cookies
from drivers.transport.dtls.handshakes import Handshake, Handshakes, ServerLimits
from drivers.transport.dtls.records import (
    APPLICATION_DATA,
    HANDSHAKE,
    ClientHello,
    final_alert,
    hello_verify_request,
    read_client_hello,
    read_headers,
)
from drivers.transport.dtls.session import DtlsSession, SessionOwner, peer_name
from gateway.domain.devices import CertificateCredential
from gateway.domain.errors import MalformedError, RefusalReason, RefusedError
from gateway.domain.ports import Admission, Clock, Counters

logger = logging.getLogger(__name__)

RECEIVE_BUFFER_BYTES: Final = 4 * 1024 * 1024
"""Asked of the kernel, which may give less: a second of a full ward while the loop is busy."""
TIMER_S_MIN: Final = 0.01
SWEEP_S_MAX: Final = 30.0
_MODE_RELEASE_BUFFERS = 0x10
"""SSL_MODE_RELEASE_BUFFERS of openssl/ssl.h: an idle session gives back 20 KiB."""
REPLACED: Final = "replaced"
"""The same address completed a new handshake."""
TAKEN_OVER: Final = "taken_over"
"""The same device has newer sessions elsewhere."""
IDLE: Final = "idle"
PEER_CLOSED: Final = "closed"
OVERDUE: Final = "overdue"
"""A handshake that was given up for another one."""
STOPPED: Final = "stopped"


class DtlsServer(asyncio.DatagramProtocol):
    """The listener.

    Args:
        name: of the transport, in metrics and the audit log (``"coap"``).
        context: gives the current context of ``security.tls``; asked at each handshake.
        owner: the protocol above.
    """

    def __init__(
        self,
        name: str,
        context: Callable[[], SSL.Context],
        owner: SessionOwner,
        *,
        admission: Admission,
        counters: Counters,
        clock: Clock,
        limits: ServerLimits,
    ) -> None:
        self._name = name
        self._make_context = context
        self._owner = owner
        self._admission = admission
        self._counters = counters
        self._clock = clock
        self._limits = limits
        self._cookies = Cookies(clock.monotonic, secrets.token_bytes)
        self._handshakes = Handshakes(limits)
        self._sessions: OrderedDict[Address, DtlsSession] = OrderedDict()
        self._by_device: dict[str, list[DtlsSession]] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._congested = False
        self._descriptor: int | None = None

    # -- life-cycle

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Bind and listen; returns the bound address.

        Raises:
            OSError: the address can't be bound.
            ConfigError: there is no usable context.
        """
        self._current_context()
        loop = self._loop = asyncio.get_running_loop()
        sock = _bind(host, port)
        for reason in RefusalReason.ALL:
            self._counters.add("refused", reason, self._name, n=0)  # alert rules see it from 0
        self._counters.set("sessions", 0, self._name)
        arrival.watch(sock)
        self._descriptor = sock.fileno()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=sock)
        self._sweep()
        bound = sock.getsockname()
        return bound[0], bound[1]

    def stop(self) -> None:
        """Close every session and the socket; idempotent."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for handshake in self._handshakes:
            self._handshakes.remove(handshake)
        for session in list(self._sessions.values()):
            self.drop(session, STOPPED)
        if self._transport is not None:
            self._transport.close()
            self._transport = self._descriptor = None

    def listening(self) -> bool:
        """Whether the socket is open."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def sessions(self) -> int:
        """Admitted sessions."""
        return len(self._sessions)

    @property
    def half_open(self) -> int:
        """Handshakes under way."""
        return len(self._handshakes)

    def connection_lost(self, exc: Exception | None) -> None:
        """For the loop: the socket is gone."""
        if exc is not None:
            logger.error("the %s socket failed: %s", self._name, exc)
        self._transport = None

    def error_received(self, exc: Exception) -> None:
        """For the loop: an ICMP error, which anybody can forge; the timers decide."""

    # -- datagrams

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """For the loop: hand one datagram to the session or handshake that it belongs to."""
        address: Address = addr
        try:
            headers = read_headers(data)
        except MalformedError as error:
            self._counters.add("malformed", self._name, error.reason)
            return
        first = headers[0]
        if first.content_type == HANDSHAKE and first.epoch == 0:
            hello = read_client_hello(data)
            if hello is not None:
                self._hello(data, len(headers), hello, address)
                return
        session = self._sessions.get(address)
        handshake = self._handshakes.get(address)
        if handshake is not None and (session is None or first.content_type != APPLICATION_DATA):
            self._advance(handshake, data, len(headers))
        elif session is not None:
            # Application data alone needs no answer of the record layer's own.
            quiet = len(headers) == 1 and first.content_type == APPLICATION_DATA
            self._receive(session, data, len(headers), quiet=quiet)
        # Else a stray: an old session's, or a stranger's. An alert would tell a forger more
        # than it would help a device, whose own timers start a new handshake.

    def transmit(self, datagram: bytes, address: Address) -> None:
        """For sessions: put a datagram on the wire, or drop it as a full network would."""
        if self._transport is not None and not self._congested:
            self._transport.sendto(datagram, address)

    def pause_writing(self) -> None:
        """For the loop: its buffer is full."""
        self._congested = True

    def resume_writing(self) -> None:
        """For the loop: its buffer has room again."""
        self._congested = False

    def _receive(self, session: DtlsSession, datagram: bytes, records: int, *, quiet: bool) -> None:
        plaintexts = session.association.receive(datagram, records)
        if plaintexts:
            # Only what verified keeps a session: a forger can't.
            session.active_s = self._clock.monotonic()
            self._sessions.move_to_end(session.address)
        if not quiet:
            session.flush()
        for plaintext in plaintexts:
            if session.alive:
                if session.tap is not None:
                    session.tap.received(plaintext)
                self._owner.received(session, plaintext)
        if not session.association.established:
            self.drop(session, PEER_CLOSED)

    # -- handshakes

    def _hello(self, datagram: bytes, records: int, hello: ClientHello, address: Address) -> None:
        handshake = self._handshakes.get(address)
        if handshake is not None and handshake.client_random == hello.random:
            self._advance(handshake, datagram, records)
            return
        session = self._sessions.get(address)
        if session is not None and session.client_random == hello.random:
            return  # a late repetition of what is long answered
        if not hello.cookie or not self._cookies.accepts(address, hello.random, hello.cookie):
            # Also for a wrong cookie: after a restart of ours it is an honest one.
            cookie = self._cookies.bake(address, hello.random)
            self.transmit(hello_verify_request(hello, cookie), address)
            return
        leaving = self._room_for(address)
        if leaving is None:
            self._counters.add("handshakes_failed", self._name, RefusalReason.OVERLOADED)
            return
        for each in leaving:
            self._handshakes.remove(each)
            if each is not handshake:  # else its peer has begun anew by itself
                self._counters.add("handshakes_failed", self._name, OVERDUE)
                self.transmit(final_alert(), each.address)
        self._begin(datagram, hello, address)

    def _room_for(self, address: Address) -> tuple[Handshake, ...] | None:
        """Whose handshakes end so that one more begins; None: it may not."""
        now_s = self._clock.monotonic()
        if address not in self._sessions and len(self._sessions) >= self._limits.sessions_max:
            longest_idle = next(iter(self._sessions.values()))
            if now_s - longest_idle.active_s < self._limits.evict_idle_s_min:
                return None
        return self._handshakes.room_for(address, now_s, self._waited_s())

    def _waited_s(self) -> float:
        if self._descriptor is None:
            return 0.0
        return arrival.waited_s(self._descriptor, self._clock.now_us())

    def _begin(self, datagram: bytes, hello: ClientHello, address: Address) -> None:
        association = Association(
            self._current_context(), server=True, note=(address, hello.random, self._cookies)
        )
        now_s = self._clock.monotonic()
        deadline_s = now_s + self._limits.handshake_s_max
        handshake = Handshake(association, address, hello.random, now_s, deadline_s)
        self._handshakes.add(handshake)
        try:
            association.listen(datagram)
        except HandshakeError as error:
            self._fail(handshake, error)
            return
        self._after(handshake, [])

    def _advance(self, handshake: Handshake, datagram: bytes, records: int) -> None:
        try:
            plaintexts = handshake.association.receive(datagram, records)
        except HandshakeError as error:
            self._fail(handshake, error)
            return
        self._handshakes.heard(handshake, self._clock.monotonic())
        self._after(handshake, plaintexts)

    def _after(self, handshake: Handshake, plaintexts: list[bytes]) -> None:
        self._flush(handshake)
        if handshake.association.established:
            self._establish(handshake, plaintexts)
            return
        if handshake.timer is not None:
            handshake.timer.cancel()
        wait_s = handshake.association.timeout_s()
        left_s = handshake.deadline_s - self._clock.monotonic()
        wait_s = left_s if wait_s is None else min(wait_s, left_s)
        assert self._loop is not None
        handshake.timer = self._loop.call_later(
            max(wait_s, TIMER_S_MIN), partial(self._on_timer, handshake)
        )

    def _on_timer(self, handshake: Handshake) -> None:
        if self._clock.monotonic() >= handshake.deadline_s:
            self._fail(handshake, HandshakeError(TIMEOUT))
            return
        try:
            handshake.association.on_timeout()
        except HandshakeError as error:
            self._fail(handshake, error)
            return
        self._after(handshake, [])

    def _fail(self, handshake: Handshake, error: HandshakeError) -> None:
        self._flush(handshake)
        self._handshakes.remove(handshake)
        self._counters.add("handshakes_failed", self._name, error.reason)
        if error.reason != TIMEOUT:
            self._admission.refuse(error.reason, self._name, peer_name(handshake.address))
        logger.info("handshake with %s failed: %s", peer_name(handshake.address), error)

    def _flush(self, handshake: Handshake) -> None:
        for datagram in handshake.association.outgoing():
            self.transmit(datagram, handshake.address)

    # -- sessions

    def _establish(self, handshake: Handshake, plaintexts: list[bytes]) -> None:
        self._handshakes.remove(handshake)
        address, association = handshake.address, handshake.association
        now_s = self._clock.monotonic()
        session = DtlsSession(
            association, address, handshake.client_random, self.transmit, self.drop
        )
        session.active_s = now_s
        try:
            credential = CertificateCredential(
                association.peer_certificate(), self._name, session.peer
            )
            session.device = self._admission.admit(credential, session)
        except (RefusedError, HandshakeError) as error:
            session.alive = False
            session.close()
            self._counters.add("handshakes_failed", self._name, error.reason)
            logger.info("refused %s: %s", session.peer, error)
            return
        self._make_room(address, session.device.device_id)
        self._sessions[address] = session
        self._by_device.setdefault(session.device.device_id, []).append(session)
        self._counters.add("handshakes", self._name)
        self._counters.set("sessions", len(self._sessions), self._name)
        logger.info(
            "%s connected from %s, %s",
            session.device.device_id,
            session.peer,
            association.describe(),
        )
        self._owner.opened(session)
        for plaintext in plaintexts:
            if session.alive:
                if session.tap is not None:
                    session.tap.received(plaintext)
                self._owner.received(session, plaintext)

    def _make_room(self, address: Address, device_id: str) -> None:
        present = self._sessions.get(address)
        if present is not None:
            self.drop(present, REPLACED)
        own = self._by_device.get(device_id, [])
        if len(own) >= self._limits.sessions_per_device_max:
            self.drop(min(own, key=lambda each: each.active_s), TAKEN_OVER)
        if len(self._sessions) >= self._limits.sessions_max:
            self.drop(next(iter(self._sessions.values())), IDLE)

    def drop(self, session: DtlsSession, reason: str) -> None:
        """End a session: close_notify, then forget it; idempotent."""
        if not session.alive:
            return
        if reason != REPLACED:  # else its peer holds the new association at the same address
            session.close()
        session.alive = False
        if self._sessions.get(session.address) is session:
            del self._sessions[session.address]
            self._counters.set("sessions", len(self._sessions), self._name)
        own = self._by_device.get(session.device.device_id, [])
        if session in own:
            own.remove(session)
            if not own:
                del self._by_device[session.device.device_id]
        self._counters.set("sessions", len(self._sessions), self._name)
        self._admission.leave(session)
        logger.info("%s disconnected: %s", session.device.device_id, reason)
        self._owner.closed(session, reason)

    def _sweep(self) -> None:
        idle_since_s = self._clock.monotonic() - self._limits.idle_s_max
        while self._sessions:
            longest_idle = next(iter(self._sessions.values()))
            if longest_idle.active_s > idle_since_s:
                break
            self.drop(longest_idle, IDLE)
        assert self._loop is not None
        pause_s = min(SWEEP_S_MAX, self._limits.idle_s_max / 2)
        self._sweeper = self._loop.call_later(pause_s, self._sweep)

    # -- context

    def _current_context(self) -> SSL.Context:
        context = self._make_context()
        if context not in _PREPARED:
            context.set_cookie_generate_callback(_never_asked)
            context.set_cookie_verify_callback(_verify_cookie)
            context.set_mode(_MODE_RELEASE_BUFFERS)
            _PREPARED.add(context)
        return context


_PREPARED: Final[WeakSet[SSL.Context]] = WeakSet()
"""Contexts that have our callbacks: a context that was used can't be given them any more, and a
listener that starts again may get the same one."""


def _verify_cookie(connection: SSL.Connection, cookie: bytes) -> bool:
    """OpenSSL asks again what ``_hello`` checked, of the bytes that it parsed itself."""
    address, client_random, cookies = note_of(connection)
    return bool(cookies.accepts(address, client_random, cookie))


def _never_asked(connection: SSL.Connection) -> bytes:
    """OpenSSL sees ClientHellos with a good cookie only; should it ask, it gets a useless one."""
    del connection
    return secrets.token_bytes(16)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setblocking(False)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise OSError(error.errno, error.strerror, f"{host} port {port}") from error
    return sock
