"""A TLS listener that asks for client certificates, for drivers whose devices connect over TCP.

Rules:

- An accept loop of our own, since ``loop.create_server(ssl=…)`` hides why a handshake failed
  and keeps the context that it was given. Here each connection gets the context that is
  current when it arrives.
- What is half open is bounded in number and time. When all places are taken, the oldest
  handshake that is overdue makes room; an honest one takes milliseconds, so peers that connect
  and keep silent delay honest ones by ``HANDSHAKE_OVERDUE_S`` at most.
- Nothing of ours is allocated for a peer before it has proved a certificate, except the
  protocol object that its factory makes; scanners and plaintext clients cost a socket.
- A peer that is refused gets its TLS alert, which asyncio and uvloop would keep to themselves.
- A peer whose certificate is refused is audited; one that only breaks off or stays silent is
  counted, so that a port scan can't fill the audit log.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from drivers.transport.addresses import Address, bind_stream
from gateway.domain.errors import RefusalReason
from gateway.domain.ports import Admission, Counters
from security.tls import alert_of, refusal_of

log = logging.getLogger(__name__)

HANDSHAKES_MAX = 128
"""Half-open connections. At 2.5 ms of CPU each, the last of them waits a third of a second."""
HANDSHAKE_OVERDUE_S = 2.0
HANDSHAKE_TIMEOUT_S = 10.0
SHUTDOWN_TIMEOUT_S = 2.0
"""How long a peer may take to answer our close_notify."""
ACCEPT_RETRY_S = 0.5
"""Pause after accept failed for want of descriptors or memory."""
TCP_SILENCE_S = 60
TCP_PROBE_INTERVAL_S = 10
TCP_PROBES_MAX = 3
TCP_UNACKED_MS_MAX = 30_000
"""A peer that is gone without a word is noticed by TCP, also where the protocol has no timer."""

ALERT_LINGER_S = 1.0
"""How long a refused peer may take to read why."""
ALERT_READS_MAX = 8
ALERT_READ_BYTES = 4096

_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_OURS_TO_REPORT = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}

ProtocolFactory = Callable[[Callable[[], None]], asyncio.Protocol]
"""Makes the protocol of one connection. It must call its argument in ``connection_lost``."""


class Peer(NamedTuple):
    """Who is at the other end, as the handshake proved it."""

    certificate: bytes
    """DER."""
    name: str
    """Address and port, for the audit log only."""


def peer_of(transport: asyncio.BaseTransport) -> Peer:
    """The peer of a connection of a :class:`TlsListener`."""
    tls = transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) or b""
    return Peer(certificate, _name(transport.get_extra_info("peername")))


class ListenerLimits(NamedTuple):
    """What a listener spends at most."""

    connections_max: int
    """At a time, half-open ones included; more are closed at once."""
    handshakes_max: int = HANDSHAKES_MAX
    """Half-open connections at a time."""
    handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S
    """After which a handshake is given up."""
    handshake_overdue_s: float = HANDSHAKE_OVERDUE_S
    """After which it makes room when places are short."""


class _Pending(NamedTuple):
    since: float
    sock: socket.socket


class TlsListener:
    """Accepts, shakes hands, and gives each admitted connection a protocol."""

    def __init__(
        self,
        name: str,
        make_protocol: ProtocolFactory,
        context: Callable[[], Any],
        admission: Admission,
        counters: Counters,
        limits: ListenerLimits,
    ) -> None:
        """Keep the parts; opens nothing.

        Args:
            name: the transport's label in metrics and audit.
            make_protocol: see :data:`ProtocolFactory`; called for each handshake.
            context: the current server context, called for each connection.
            admission: told of refused certificates.
            counters: for handshakes.
            limits: of number and time.
        """
        self._name = name
        self._make_protocol = make_protocol
        self._context = context
        self._admission = admission
        self._counters = counters
        self._limits = limits
        self._connections = 0
        self._pending: dict[asyncio.Task[None], _Pending] = {}
        self._freed = asyncio.Event()
        self._sockets: list[socket.socket] = []
        self._serving: asyncio.Task[None] | None = None
        self._group = asyncio.TaskGroup()
        self._accepting: dict[socket.socket, asyncio.Task[None]] = {}

    async def start(self, addresses: Sequence[Address]) -> None:
        """Bind and begin to accept.

        Raises:
            OSError: an address can't be bound; nothing is left open.
        """
        self._sockets = bind_stream(addresses)
        for reason in RefusalReason.ALL:
            self._counters.add("refused", reason, self._name, n=0)  # alert rules see it from 0
        self._serving = asyncio.create_task(self._serve(), name=f"{self._name} listener")

    async def stop(self) -> None:
        """Close the listening sockets and give up half-open connections; idempotent.

        Established connections are their driver's to end.
        """
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.cancel()
            await asyncio.wait([serving])
        for sock in self._sockets:
            sock.close()
        self._sockets = []
        self._accepting.clear()

    async def move(
        self, added: Sequence[Address], removed: Sequence[Address], limits: ListenerLimits
    ) -> None:
        """Listen at further addresses, and no longer at others; connections stay.

        At least one address has to be left; ``removed`` are literal, without port 0.

        Raises:
            OSError: an added address can't be bound; nothing has changed.
        """
        fresh = bind_stream(added)
        for sock in fresh:
            self._accepting[sock] = self._group.create_task(self._accept(sock, self._group))
        ending = [sock for sock in self._sockets if sock.getsockname()[:2] in removed]
        self._sockets = [sock for sock in self._sockets if sock not in ending] + fresh
        tasks = [self._accepting.pop(sock) for sock in ending]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for sock in ending:
            sock.close()
        self._limits = limits

    def addresses(self) -> list[Address]:
        """Where it listens, with the ports that were taken."""
        return [sock.getsockname()[:2] for sock in self._sockets]

    def healthy(self) -> bool:
        """Whether it accepts."""
        return self._serving is not None and not self._serving.done()

    @property
    def connections(self) -> int:
        """Open connections, half-open ones included."""
        return self._connections

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as self._group:
            for sock in self._sockets:
                self._accepting[sock] = self._group.create_task(self._accept(sock, self._group))

    async def _accept(self, listening: socket.socket, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._room()
            try:
                sock, address = await loop.sock_accept(listening)
                spare = _prepared(sock)
            except OSError as error:
                if error.errno in _OURS_TO_REPORT:
                    raise
                # Anything else is one peer's misfortune (ECONNABORTED and what Linux passes on
                # from the network, accept(2)), or a shortage that will pass.
                if error.errno in _SHORTAGES:
                    log.warning("%s: can't accept: %s", self._name, error.strerror)
                    await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            if self._connections >= self._limits.connections_max:
                sock.close()
                spare.close()
                self._counters.add("refused", RefusalReason.OVERLOADED, self._name)
                continue
            self._connections += 1
            task = group.create_task(self._handshake(sock, spare, _name(address)))
            self._pending[task] = _Pending(loop.time(), sock)

    async def _room(self) -> None:
        """Wait until one more handshake may begin."""
        loop = asyncio.get_running_loop()
        while len(self._pending) >= self._limits.handshakes_max:
            oldest, pending = next(iter(self._pending.items()))
            wait_s = pending.since + self._limits.handshake_overdue_s - loop.time()
            if wait_s <= 0:
                del self._pending[oldest]
                oldest.cancel()
                self._failed("overdue")
                return
            self._freed.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._freed.wait()
            except TimeoutError:
                continue

    async def _handshake(self, sock: socket.socket, spare: socket.socket, peer: str) -> None:
        loop = asyncio.get_running_loop()
        release = _Release(self._left)
        try:
            await loop.connect_accepted_socket(
                lambda: self._make_protocol(release),
                sock,
                ssl=self._context(),
                ssl_handshake_timeout=self._limits.handshake_timeout_s,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            )
        except ssl.SSLError as error:
            release()
            self._refused(error, peer)
            await _say(alert_of(error), spare)
        except OSError as error:
            release()
            timed_out = isinstance(error, ConnectionAbortedError | TimeoutError)
            self._failed("timeout" if timed_out else "broken_off")
        except Exception:
            # A task boundary: whatever one connection brings, the others go on.
            release()
            log.exception("%s: a handshake ended in a fault of ours", self._name)
            _hang_up(sock)
        except asyncio.CancelledError:
            # Given up for another, or stopped: make sure that the socket is gone, too.
            release()
            _hang_up(sock)
            raise
        else:
            self._counters.add("handshakes", self._name)
        finally:
            spare.close()
            task = asyncio.current_task()
            if task is not None:
                self._pending.pop(task, None)
            self._freed.set()

    def _refused(self, error: ssl.SSLError, peer: str) -> None:
        if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            self._failed("broken_off")
            return
        reason = refusal_of(error)
        self._failed(reason)
        self._admission.refuse(reason, self._name, peer)

    def _failed(self, reason: str) -> None:
        self._counters.add("handshakes_failed", self._name, reason)

    def _left(self) -> None:
        self._connections -= 1


class _Release:
    """Gives a connection's place back, once."""

    __slots__ = ("_give_back",)

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def __call__(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()


async def _say(alert: bytes, sock: socket.socket) -> None:
    """Write the alert, and let the peer read it.

    Closing right away would reset the connection, for what the peer sent meanwhile wasn't read.
    """
    if not alert:
        return
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(ALERT_LINGER_S):
            await loop.sock_sendall(sock, alert)
            sock.shutdown(socket.SHUT_WR)
            for _ in range(ALERT_READS_MAX):
                if not await loop.sock_recv(sock, ALERT_READ_BYTES):
                    return


def _prepared(sock: socket.socket) -> socket.socket:
    """Set an accepted socket's options.

    Returns:
        A second descriptor of it, to tell the peer what is wrong: the event loop closes the
        first as soon as a handshake fails.

    Raises:
        OSError: the peer is gone, or descriptors are short; the socket is closed.
    """
    try:
        _set_options(sock)
        return sock.dup()
    except OSError:
        sock.close()
        raise


def _set_options(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, TCP_SILENCE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, TCP_PROBE_INTERVAL_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, TCP_PROBES_MAX)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_UNACKED_MS_MAX)


def _hang_up(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # already gone


def _name(address: Any) -> str:
    if not isinstance(address, tuple):
        return ""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
