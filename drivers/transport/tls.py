"""A TLS listener that asks for client certificates, for drivers whose devices connect over TCP.

Rules:

- An accept loop of our own, since ``loop.create_server(ssl=…)`` hides why a handshake failed
  and keeps the context that it was given. Here each connection gets the context that is
  current when it arrives.
- What is half open is bounded in number and time, together and per host, and so is how often a
  host begins (:mod:`drivers.transport.line`). Accepting never waits, so that no host's crowd
  stands before another's device.
- Only few begin at a time, so that a storm's handshakes leave the loop to connected devices.
- When places are short, handshakes whose peer owes us the next word for ``STALLED_S``, as the
  kernel knows, make room, and any that lasts ``HANDSHAKE_OVERDUE_S``. One that waits for our own
  CPU is not given up for that, so that a storm of honest devices is served in order.
- Nothing of ours is allocated for a peer before it has proved a certificate, except the
  protocol object that its factory makes; scanners and plaintext clients cost a socket.
- A peer that is refused gets its TLS alert, which asyncio and uvloop would keep to themselves.
- A peer whose certificate is refused is audited; one that only breaks off or stays silent is
  counted, so that a port scan can't fill the audit log.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from drivers.transport.addresses import Address, bind_stream
from drivers.transport.dtls.rates import host_of
from drivers.transport.line import Line, LineLimits
from drivers.transport.sockets import hang_up, owes_us_a_word, prepared, say, waits_for_us
from gateway.domain.errors import RefusalReason
from gateway.domain.ports import Admission, Counters
from security.tls import alert_of, refusal_of

log = logging.getLogger(__name__)

HANDSHAKES_MAX = 128
"""Half-open connections."""
FRESH_MAX = 16
FRESH_S = 0.1
"""Of those at most so many that began so short a time ago, or whose peer waits for us. In a storm
the steps of all of them come due in one turn of the loop, at 1 to 2 ms of CPU each: that is what
reports of the devices that are connected wait for. Who waits for a late loop counts, for however
long: else all places would come due in one turn, and make it later. Who is slow, or says a little
now and then, does not count, and keeps nobody from beginning."""
HANDSHAKES_PER_HOST_QUARTERS = 3
"""A host may have so many quarters of the places: a whole ward may be behind one address."""
HANDSHAKE_OVERDUE_S = 2.0
STALLED_S = 0.25
"""Several round trips of a ward's radio network."""
WAITING_MAX = 8192
"""In line for a handshake: a socket each."""
PER_HOST_BURST = 1000
PER_HOST_PER_S = 200.0
"""Handshakes that a host may begin after a rest, and then per second: half a core at most. Five
thousand devices behind one address are back within 20 s."""
LINE_CHECK_S = 0.05
"""How often somebody who waits is looked after, beside whenever a handshake ends."""
HANDSHAKE_TIMEOUT_S = 10.0
SHUTDOWN_TIMEOUT_S = 2.0
"""How long a peer may take to answer our close_notify."""
ACCEPT_RETRY_S = 0.5
"""Pause after accept failed for want of descriptors or memory."""
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
    waiting_max: int = WAITING_MAX
    """In line for a handshake."""
    per_host_burst: int = PER_HOST_BURST
    """Handshakes that a host may begin after a rest."""
    per_host_per_s: float = PER_HOST_PER_S
    """And then per second."""

    @property
    def line(self) -> LineLimits:
        """The same for who waits and who is under way."""
        return LineLimits(
            self.handshakes_max,
            max(1, self.handshakes_max * HANDSHAKES_PER_HOST_QUARTERS // 4),
            self.waiting_max,
            self.handshake_timeout_s,
            self.per_host_burst,
            self.per_host_per_s,
        )


class _Arrival(NamedTuple):
    sock: socket.socket
    spare: socket.socket
    peer: str


class _Pending(NamedTuple):
    since: float
    host: str
    spare: socket.socket


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
        self._line: Line[_Arrival] = Line(limits.line)
        self._check: asyncio.TimerHandle | None = None
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
        if self._check is not None:
            self._check.cancel()
            self._check = None
        while (arrival := self._line.leave()) is not None:
            self._turn_away(arrival)
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
        self._line.limit(limits.line)

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

    @property
    def half_open(self) -> int:
        """Handshakes under way."""
        return len(self._pending)

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as self._group:
            for sock in self._sockets:
                self._accepting[sock] = self._group.create_task(self._accept(sock, self._group))

    async def _accept(self, listening: socket.socket, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listening)
                spare = prepared(sock)
            except OSError as error:
                if error.errno in _OURS_TO_REPORT:
                    raise
                # Anything else is one peer's misfortune (ECONNABORTED and what Linux passes on
                # from the network, accept(2)), or a shortage that will pass.
                if error.errno in _SHORTAGES:
                    log.warning("%s: can't accept: %s", self._name, error.strerror)
                    await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            arrival = _Arrival(sock, spare, _name(address))
            self._connections += 1
            full = self._connections > self._limits.connections_max
            if full or not self._line.join(host_of(address[0]), arrival, loop.time()):
                self._turn_away(arrival)
                continue
            self._serve_line(group)

    def _serve_line(self, group: asyncio.TaskGroup) -> None:
        """Begin what may begin; look again soon when somebody still waits."""
        now_s = asyncio.get_running_loop().time()
        while True:
            room = FRESH_MAX - self._fresh(now_s)
            while room > 0 and (chosen := self._line.begin(now_s)) is not None:
                room -= 1
                host, arrival = chosen
                task = group.create_task(self._handshake(host, arrival))
                self._pending[task] = _Pending(now_s, host, arrival.spare)
            crowded = self._line.short_of_places()
            if crowded is None or not self._make_room(crowded, now_s):
                break
        while (arrival_late := self._line.overdue(now_s)) is not None:
            self._turn_away(arrival_late)
        if len(self._line) and self._check is None:
            self._check = asyncio.get_running_loop().call_later(
                LINE_CHECK_S, self._check_line, group
            )

    def _fresh(self, now_s: float) -> int:
        """How many under way began within FRESH_S or wait for us; counted up to FRESH_MAX."""
        fresh = (
            each
            for each in reversed(self._pending.values())
            if now_s - each.since < FRESH_S or waits_for_us(each.spare)
        )
        return sum(1 for _ in itertools.islice(fresh, FRESH_MAX))

    def _check_line(self, group: asyncio.TaskGroup) -> None:
        self._check = None
        if self.healthy():
            self._serve_line(group)

    def _make_room(self, host: str, now_s: float) -> bool:
        """Give up the oldest handshake that deserves it, of a host or of anybody ("")."""
        for task, pending in self._pending.items():
            age_s = now_s - pending.since
            if age_s < min(STALLED_S, self._limits.handshake_overdue_s):
                return False  # and so are all later ones
            if host not in ("", pending.host):
                continue
            if age_s >= self._limits.handshake_overdue_s or owes_us_a_word(
                pending.spare, STALLED_S
            ):
                del self._pending[task]
                self._line.end(pending.host)
                task.cancel()
                self._failed("overdue")
                return True
        return False

    def _turn_away(self, arrival: _Arrival) -> None:
        self._connections -= 1
        arrival.sock.close()
        arrival.spare.close()
        self._counters.add("refused", RefusalReason.OVERLOADED, self._name)

    async def _handshake(self, host: str, arrival: _Arrival) -> None:
        sock, spare, peer = arrival
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
            await say(alert_of(error), spare)
        except OSError as error:
            release()
            timed_out = isinstance(error, ConnectionAbortedError | TimeoutError)
            self._failed("timeout" if timed_out else "broken_off")
        except Exception:
            # A task boundary: whatever one connection brings, the others go on.
            release()
            log.exception("%s: a handshake ended in a fault of ours", self._name)
            hang_up(sock)
        except asyncio.CancelledError:
            # Given up for another, or stopped: make sure that the socket is gone, too.
            release()
            hang_up(sock)
            raise
        else:
            self._counters.add("handshakes", self._name)
        finally:
            spare.close()
            task = asyncio.current_task()
            if task is not None and self._pending.pop(task, None) is not None:
                self._line.end(host)
            # Cancelled ones made room for others, who begin already, or the listener stops.
            if len(self._line) and task is not None and not task.cancelling():
                self._serve_line(self._group)

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


def _name(address: Any) -> str:
    if not isinstance(address, tuple):
        return ""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
