"""A device on CoAP over DTLS: the messages by hand, the session by the ward's own DTLS client.

Rules of the standard that it keeps: a confirmable request is repeated under its Message ID with
growing delays until something answers it (RFC 7252, 4.2); an empty acknowledgement ends the
repeating, and the response comes later, to be acknowledged itself (5.2.2); what was refused for
now (5.03) is a new request later (5.9.3.4). A session in which nothing answers any more is dead:
in the next one, all that is unfinished is said again.

Datagrams of both directions are lost and doubled now and then, as on a real network. The device's
times are shorter than the standard's, and more than one exchange is unfinished: it stands for
several devices, and the tests are in a hurry.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from random import Random

from OpenSSL import SSL

from drivers.transport.dtls.association import TIMEOUT, HandshakeError
from drivers.transport.dtls.client import DtlsClient
from firmware_sim.coap import names_a_gateway
from tests.crash.device import CONNECT_S_MAX, Device, Exchange, Habit

CONFIRMABLE, NON_CONFIRMABLE, ACKNOWLEDGEMENT, RESET = range(4)
EMPTY, POST, CHANGED, UNAVAILABLE = 0x00, 0x02, 0x44, 0xA3
ACK_TIMEOUT_S = 0.1
REPETITIONS_MAX = 2
AGAIN_S = 0.3
"""After 5.03, whatever its Max-Age says."""
SEPARATE_S_MAX = 5.0
"""A response that was announced by an empty acknowledgement is waited for so long."""
CONNECT_S = 0.7
"""Shorter than DTLS repeats: who comes again finds out sooner that the gateway is back. A try that
takes longer doubles it, for a machine on which every one does."""
STEP_S = 0.02
LOST, DOUBLED = 0.02, 0.02
"""Shares of the datagrams."""


@dataclass
class Transmission:
    """How often an exchange's message was sent, and when it is to be sent again."""

    message_id: int
    message: bytes
    due_s: float
    delay_s: float
    repetitions: int = 0
    announced: bool = False
    refused: bool = False


class CoapDevice(Device):
    """See :class:`tests.crash.device.Device`; an exchange's number is its token."""

    window = 8

    def __init__(
        self, device_id: str, tls: SSL.Context, port: int, habit: Habit, random: Random
    ) -> None:
        super().__init__(device_id, habit, random)
        self.patient = False
        """Whether it repeats nothing, on a network that loses and doubles nothing."""
        self._tls = tls
        self._port = port
        self._client: DtlsClient | None = None
        self._under_way: dict[int, Transmission] = {}
        self._message_id = random.getrandbits(16)
        self._connect_s = CONNECT_S
        self._broken = ""

    async def _live(self) -> None:
        self._broken = ""
        client = DtlsClient(self._tls, names_a_gateway, self._received, self._lost)
        try:
            await client.connect("127.0.0.1", self._port, self._connect_s)
        except HandshakeError as error:
            if error.reason == TIMEOUT:
                self._connect_s = min(2 * self._connect_s, CONNECT_S_MAX)
            raise ConnectionError(error.reason) from error
        self._connect_s = CONNECT_S
        self._client = client
        self.deaf = False
        self.diary.connects += 1
        for number, exchange in self._open.items():
            self._write(number, exchange)
        while not self._broken:
            self._repeat(client, time.monotonic())
            await asyncio.sleep(STEP_S)
        raise ConnectionError(self._broken)

    def break_off(self) -> None:
        """See :meth:`Device.break_off`."""
        self._lost("broken off")
        if self._client is not None:
            self._client.abort()
            self._client = None
        self._under_way.clear()

    def _lost(self, reason: str) -> None:
        self._broken = reason

    def _write(self, number: int, exchange: Exchange) -> None:
        if self._client is None:
            return
        self._message_id = (self._message_id + 1) & 0xFFFF
        token = number.to_bytes(2, "big")
        path = ("devices", self.device_id, exchange.message.kind)
        options, before = b"", 0
        for name in path:
            options += _option(11 - before, name.encode())
            before = 11
        options += _option(12 - before, b"\x32")  # Content-Format: application/json
        message = (
            _header(CONFIRMABLE, POST, self._message_id, len(token))
            + token
            + options
            + b"\xff"
            + exchange.message.payload
        )
        delay_s = ACK_TIMEOUT_S * self._random.uniform(1.0, 1.5)
        self._under_way[number] = Transmission(
            self._message_id, message, time.monotonic() + delay_s, delay_s
        )
        self._transmit(self._client, message)

    def _transmit(self, client: DtlsClient, message: bytes) -> None:
        chance = 1.0 if self.patient else self._random.random()
        for _ in range((chance >= LOST) + (LOST <= chance < LOST + DOUBLED)):
            client.send(message)

    def _repeat(self, client: DtlsClient, now_s: float) -> None:
        for number, sent in list(self._under_way.items()):
            if now_s < sent.due_s or self.patient:
                continue
            if sent.refused:
                self._write(number, self._open[number])
            elif sent.announced or sent.repetitions == REPETITIONS_MAX:
                raise ConnectionError("no answer")
            else:
                sent.repetitions += 1
                sent.delay_s *= 2
                sent.due_s = now_s + sent.delay_s
                self._transmit(client, sent.message)

    def _received(self, message: bytes) -> None:
        if self.deaf or self._client is None:
            return
        if not self.patient and self._random.random() < LOST:
            return
        kind, code = message[0] >> 4 & 3, message[1]
        message_id = int.from_bytes(message[2:4], "big")
        token = message[4 : 4 + (message[0] & 15)]
        if kind == RESET:
            self._lost("reset")
        elif code == EMPTY:
            for sent in self._under_way.values():
                if sent.message_id == message_id and not sent.refused:
                    sent.announced = True
                    sent.due_s = time.monotonic() + SEPARATE_S_MAX
        else:
            if kind == CONFIRMABLE:
                self._client.send(_header(ACKNOWLEDGEMENT, EMPTY, message_id, 0))
            self._answered(int.from_bytes(token, "big"), code)

    def _answered(self, number: int, code: int) -> None:
        exchange, sent = self._open.get(number), self._under_way.get(number)
        if exchange is None or sent is None:
            return  # the answer to a repetition
        if code == CHANGED:
            del self._under_way[number]
            self._acknowledged(exchange)
            self._end(number)
        elif code == UNAVAILABLE:
            sent.refused = True
            sent.due_s = time.monotonic() + AGAIN_S
        else:
            self._lost(f"{code >> 5}.{code & 31:02}")


def _header(kind: int, code: int, message_id: int, token_bytes: int) -> bytes:
    return bytes((0x40 | kind << 4 | token_bytes, code)) + message_id.to_bytes(2, "big")


def _option(delta: int, value: bytes) -> bytes:
    """RFC 7252, 3.1; a path's names are shorter than 269 bytes."""
    size = len(value)
    if size < 13:
        return bytes((delta << 4 | size,)) + value
    return bytes((delta << 4 | 13, size - 13)) + value
