"""The device's side of MQTT: one client on the project's codec, 3.1.1 or 5.0.

Rules:

- A message is the device's until the gateway took it over (PUBACK, PUBREC): after a reconnect
  it is sent again, with DUP and its old packet identifier where the gateway kept the session
  ([MQTT-4.4.0-1] of both versions), as a new publish where it did not.
- At most ``inflight_max`` messages, and no more than the gateway's Receive Maximum, are
  unacknowledged; further senders wait.
- PINGREQ goes out every half keep-alive, the gateway's where it named one; a connection on which
  no PINGRESP came in that time is given up.
- Reconnects back off exponentially with full jitter, from ``BACKOFF_S_MIN`` to
  ``BACKOFF_S_MAX``.
- Commands arrive on ``devices/<id>/command`` and are acknowledged after the device answered.

The TLS context is given: which certificate it shows, if any, is what a simulated thief plays with.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import msgspec

from drivers.mqtt.codec.decoder import Decoder
from drivers.mqtt.codec.encoder import encode
from drivers.mqtt.codec.packets import (
    PINGREQ,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Role,
    Subscribe,
    Subscription,
    Version,
    Will,
)
from drivers.mqtt.codec.properties import NO_PROPERTIES, Properties
from drivers.mqtt.codec.reasons import ReasonCode
from firmware_sim.link import Outcome

PACKET_SIZE_BYTES_MAX = 64 * 1024
READ_BYTES_MAX = 64 * 1024
CONNECT_S_MAX = 15.0
"""TCP, TLS and CONNACK together."""
BACKOFF_S_MIN = 0.2
BACKOFF_S_MAX = 10.0
KEEP_ALIVE_S = 30
SESSION_EXPIRY_S = 3600
PACKET_ID_MAX = 0xFFFF

CommandHandler = Callable[[bytes], bytes]
"""Payload of a command -> payload of its result."""


class Settings(NamedTuple):
    """How one device speaks MQTT."""

    device_id: str
    host: str
    port: int
    tls: ssl.SSLContext | None
    version: Version = Version.V5
    qos: int = 1
    keep_alive_s: int = KEEP_ALIVE_S
    inflight_max: int = 16
    will: bytes = b""
    """Payload of the last will on ``devices/<id>/status``; empty for none."""


class _Pending:
    """A message that the gateway has not taken over yet, or whose QoS 2 exchange is open."""

    __slots__ = ("on_wire", "outcome", "publish", "released", "sent")

    def __init__(self, publish: Publish, outcome: asyncio.Future[Outcome]) -> None:
        self.publish = publish
        self.outcome = outcome
        self.sent = False  # at least once in the session that the gateway keeps
        self.on_wire = False  # on this connection
        self.released = False  # PUBREC was received

    def packet(self) -> Publish | Pubrel:
        """What to send now; notes that it was sent."""
        again, self.sent, self.on_wire = self.sent, True, True
        if self.released:
            return Pubrel(self.publish.packet_id)
        return msgspec.structs.replace(self.publish, dup=True) if again else self.publish


class RefusedError(ConnectionError):
    """The gateway answered CONNECT with a failure, or ended the connection with a reason."""

    def __init__(self, code: ReasonCode) -> None:
        super().__init__(f"refused with 0x{code:02x} {code.name}")
        self.code = code


class MqttLink:
    """One device's link; see :class:`firmware_sim.link.DeviceLink`."""

    def __init__(
        self, settings: Settings, random: Random, on_command: CommandHandler | None = None
    ) -> None:
        self._settings = settings
        self._random = random
        self._on_command = on_command
        self._base = f"devices/{settings.device_id}"
        self._pending: dict[int, _Pending] = {}
        self._slots = asyncio.Semaphore(settings.inflight_max)
        self._next_id = 0
        self._writer: asyncio.StreamWriter | None = None
        self._up = asyncio.Event()
        self._run_task: asyncio.Task[None] | None = None
        self._closed = False
        self._window = settings.inflight_max
        self._keep_alive_s = settings.keep_alive_s
        self._pong = True
        self._ping_timer: asyncio.TimerHandle | None = None
        self.connects = 0
        """How often the link came up."""

    @property
    def connected(self) -> bool:
        """Whether the gateway has accepted the connection that stands."""
        return self._up.is_set()

    async def connect(self) -> None:
        """See :meth:`DeviceLink.connect`."""
        reader, decoder, rest = await self._open()
        self._run_task = asyncio.get_running_loop().create_task(
            self._run(reader, decoder, rest), name=f"mqtt {self._settings.device_id}"
        )

    async def send(self, kind: str, payload: bytes, _message_id: str) -> Outcome:
        """See :meth:`DeviceLink.send`."""
        return await self._publish(f"{self._base}/{kind}", payload, self._settings.qos)

    async def trespass(self, device_id: str, kind: str, payload: bytes) -> Outcome:
        """Publish to another device's topic, once.

        At QoS 0 in 3.1.1, where the gateway's answer is to close: a message that waited for an
        acknowledgement would be sent again on each connection, and end them all.
        """
        qos = 1 if self._settings.version is Version.V5 else 0
        return await self._publish(f"devices/{device_id}/{kind}", payload, qos)

    async def _publish(self, topic: str, payload: bytes, qos: int) -> Outcome:
        if qos == 0:
            return await self._publish_once(topic, payload)
        async with self._slots:
            if self._closed:
                return Outcome.GIVEN_UP
            packet_id = self._free_id()
            outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            pending = _Pending(Publish(topic, payload, qos, packet_id), outcome)
            self._pending[packet_id] = pending
            self._pump()
            return await outcome

    def drop(self) -> None:
        """Break the connection off without a word, as a device that loses power does."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def close(self) -> None:
        """See :meth:`DeviceLink.close`."""
        self._closed = True
        if self._up.is_set():
            self._write(Disconnect())
        if self._run_task is not None:
            self._run_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._run_task
        await self._hang_up()
        for pending in self._pending.values():
            if not pending.outcome.done():
                pending.outcome.set_result(Outcome.GIVEN_UP)
        self._pending.clear()

    # The connection

    async def _open(self) -> tuple[asyncio.StreamReader, Decoder, list[Packet]]:
        """Connect up to CONNACK, then send what is unacknowledged.

        Raises:
            OSError, TimeoutError: no connection, no trust, or refused.
        """
        settings = self._settings
        async with asyncio.timeout(CONNECT_S_MAX):
            reader, self._writer = await asyncio.open_connection(
                settings.host, settings.port, ssl=settings.tls
            )
            decoder = Decoder(Role.CLIENT, PACKET_SIZE_BYTES_MAX, settings.version)
            try:
                self._write(self._connect_packet())
                packets = await self._next(reader, decoder)
                connack = _accepted(packets.pop(0))
            except BaseException:
                await self._hang_up()
                raise
        self.connects += 1
        self._pong = True
        granted = connack.properties
        self._window = min(settings.inflight_max, granted.receive_maximum or PACKET_ID_MAX)
        self._keep_alive_s = settings.keep_alive_s
        if granted.server_keep_alive is not None:  # [MQTT-3.1.2-21]
            self._keep_alive_s = granted.server_keep_alive
        if not connack.session_present and self._on_command is not None:
            wish = Subscription(f"{self._base}/command", qos=1)
            self._write(Subscribe(self._free_id(), (wish,)))
        self._up.set()
        self._resend(session_present=connack.session_present)
        return reader, decoder, packets

    def _connect_packet(self) -> Connect:
        settings = self._settings
        v5 = settings.version is Version.V5
        will = Will(f"{self._base}/status", settings.will, qos=1) if settings.will else None
        return Connect(
            client_id=settings.device_id,
            version=settings.version,
            clean_start=False,
            keep_alive_s=settings.keep_alive_s,
            will=will,
            properties=Properties(session_expiry_interval=SESSION_EXPIRY_S)
            if v5
            else NO_PROPERTIES,
        )

    async def _next(self, reader: asyncio.StreamReader, decoder: Decoder) -> list[Packet]:
        """The next packets, at least one.

        Raises:
            OSError: the connection ended, or the gateway sent what is no MQTT.
        """
        while True:
            data = await reader.read(READ_BYTES_MAX)
            if not data:
                raise ConnectionError("the gateway closed the connection")
            packets = decoder.feed(data)
            if decoder.failed is not None and not packets:
                raise ConnectionError("the gateway broke the protocol") from decoder.failed
            if packets:
                return packets

    async def _run(
        self, reader: asyncio.StreamReader, decoder: Decoder, packets: list[Packet]
    ) -> None:
        """Serve the connection; when it ends, back off and make the next, until cancelled."""
        attempt = 0
        while True:
            with contextlib.suppress(OSError):  # TimeoutError and ssl.SSLError are OSErrors
                await self._serve(reader, decoder, packets)
            await self._hang_up()
            while True:
                await asyncio.sleep(backoff_s(attempt, self._random))
                attempt += 1
                try:
                    reader, decoder, packets = await self._open()
                except OSError:
                    continue
                attempt = 0
                break

    async def _serve(
        self, reader: asyncio.StreamReader, decoder: Decoder, packets: list[Packet]
    ) -> None:
        half_s = self._keep_alive_s / 2
        if half_s:
            self._ping_timer = asyncio.get_running_loop().call_later(half_s, self._ping)
        try:
            while True:
                for packet in packets:
                    self._received(packet)
                packets = await self._next(reader, decoder)
        finally:
            if self._ping_timer is not None:
                self._ping_timer.cancel()

    def _ping(self) -> None:
        if not self._pong:
            self.drop()
            return
        self._pong = False
        self._write(PINGREQ)
        self._ping_timer = asyncio.get_running_loop().call_later(self._keep_alive_s / 2, self._ping)

    async def _hang_up(self) -> None:
        self._up.clear()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()

    # Packets

    def _write(self, packet: Packet) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode(packet, self._settings.version))

    def _received(self, packet: Packet) -> None:
        match packet:
            case Puback() | Pubrec() if packet.reason_code >= ReasonCode.UNSPECIFIED_ERROR:
                self._settle(packet.packet_id, Outcome.REFUSED)
            case Puback():
                self._settle(packet.packet_id, Outcome.ACKNOWLEDGED)
            case Pubrec():
                self._recorded(packet.packet_id)
            case Pubcomp():
                self._settle(packet.packet_id, Outcome.ACKNOWLEDGED)
            case Publish():
                self._command(packet)
            case Pubrel():
                self._write(Pubcomp(packet.packet_id))
            case Pingresp():
                self._pong = True
            case Disconnect():
                raise RefusedError(packet.reason_code)
            case _:
                pass

    def _settle(self, packet_id: int, outcome: Outcome) -> None:
        pending = self._pending.pop(packet_id, None)
        if pending is None:
            return
        if not pending.outcome.done():
            pending.outcome.set_result(outcome)
        self._pump()

    def _recorded(self, packet_id: int) -> None:
        """PUBREC: the message is the gateway's; its identifier is ours until PUBCOMP."""
        pending = self._pending.get(packet_id)
        if pending is not None:
            pending.released = True
            if not pending.outcome.done():
                pending.outcome.set_result(Outcome.ACKNOWLEDGED)
        self._write(Pubrel(packet_id))

    def _pump(self) -> None:
        """Send, in order, what is not on this connection yet and fits the window."""
        if not self._up.is_set():
            return
        for pending in itertools.islice(self._pending.values(), self._window):
            if not pending.on_wire:
                self._write(pending.packet())

    def _resend(self, *, session_present: bool) -> None:
        """[MQTT-4.4.0-1], in the order of the first sending ([MQTT-4.6.0-1]).

        Without a session the identifiers mean nothing to the gateway: what it did not take over
        is a new publish, and what it did is done.
        """
        for packet_id, pending in list(self._pending.items()):
            pending.on_wire = False
            pending.sent = pending.sent and session_present
            if pending.released and not session_present:
                del self._pending[packet_id]
        self._pump()

    def _command(self, packet: Publish) -> None:
        if self._on_command is not None and packet.topic == f"{self._base}/command":
            result = self._on_command(packet.payload)
            self._write(Publish(f"{self._base}/command/result", result))
        if packet.qos == 1:
            self._write(Puback(packet.packet_id))
        elif packet.qos == 2:
            self._write(Pubrec(packet.packet_id))

    async def _publish_once(self, topic: str, payload: bytes) -> Outcome:
        """QoS 0: wait for a connection, write, forget."""
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                await self._up.wait()
        except TimeoutError:
            return Outcome.GIVEN_UP
        self._write(Publish(topic, payload))
        if self._writer is not None:
            with contextlib.suppress(OSError):
                await self._writer.drain()
        return Outcome.UNCONFIRMED

    def _free_id(self) -> int:
        """[MQTT-2.3.1-2] of 3.1.1, [MQTT-2.2.1-3] of 5.0: not zero, not in use."""
        while True:
            self._next_id = self._next_id % PACKET_ID_MAX + 1
            if self._next_id not in self._pending:
                return self._next_id


def _accepted(packet: Packet) -> Connack:
    """The CONNACK of success.

    Raises:
        RefusedError: the gateway said no.
        ConnectionError: it said something else.
    """
    if not isinstance(packet, Connack):
        raise ConnectionError("the gateway did not answer with CONNACK")
    if packet.reason_code is not ReasonCode.SUCCESS:
        raise RefusedError(packet.reason_code)
    return packet


def backoff_s(attempt: int, random: Random) -> float:
    """How long to wait before attempt ``attempt`` + 1: exponential, full jitter."""
    ceiling = min(BACKOFF_S_MAX, BACKOFF_S_MIN * 2 ** min(attempt, 16))
    return random.uniform(0, ceiling)
