"""The broker driver: a client of a ward's existing MQTT broker, over TLS with certificates.

Rules:

- A QoS 1 message is acknowledged to the broker (PUBACK) after its records are durable, never
  before, in the order of arrival. Everything is subscribed with QoS 1: the broker hands on
  QoS 2 messages with QoS 1, and QoS 0 ones as they are, unacknowledged.
- What can't be stored is left unacknowledged, and the connection is made anew after a pause: a
  broker repeats a message only then.
- What must not be repeated is acknowledged though it is not stored: malformed payloads, which
  are set aside, and messages of devices that are not admitted.
- The session persists at the broker, which keeps messages while we are away, to its own bound.
- The broker is a different authority than our own: reports say that it attests them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from random import Random
from typing import Any, Final, Literal

import aiomqtt
import msgspec
from aiomqtt import ProtocolVersion
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from drivers.base.boundary import one_message
from drivers.bedside import reading
from drivers.mqtt_broker.mapping import FILTERS, read_topic
from drivers.mqtt_broker.sending import Sending
from gateway.domain.devices import BrokerCredential, Device
from gateway.domain.errors import MalformedError, RefusalReason, RefusedError
from gateway.domain.ports import Outcome, Ports, Said, Submission
from gateway.domain.records import Attestation, Provenance
from gateway.domain.statements import Statement

logger = logging.getLogger(__name__)

NAME: Final = "mqtt_broker"
PORT: Final = 8883
BATCH_MAX: Final = 256
"""Messages that are submitted together when they came together."""
INBOX_MAX: Final = 4096
"""Messages received and not submitted; beyond it QoS 0 ones are dropped and counted."""
PACKET_BYTES_MAX: Final = 64 * 1024
"""Eight times the longest payload. A 5.0 broker is told, and drops what is longer; where a broker
sends it all the same, the connection ends before the library makes room for it."""
DEVICES_MAX: Final = 10_000
"""Devices of one broker that are remembered as admitted."""
BACKOFF_S_MIN: Final = 0.5
BACKOFF_S_MAX: Final = 30.0
DISCONNECT_S_MAX: Final = 2.0
_TRANSPORT = "broker"
"""As the identity service calls it."""
_QOS = 1
_RETAIN_NEVER = 2
"""MQTT 5.0, 3.8.3.1: send no retained messages; they are old news."""


class BrokerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One broker."""

    host: str
    """As in its certificate."""
    client_id: str
    """Of our session at the broker: it must stay the same and be nobody else's."""
    port: int = PORT
    version: Literal["3.1.1", "5.0"] = "5.0"
    receive_maximum: int = 256
    """QoS 1 messages on their way to the disk at once; in 3.1.1 the broker's own setting."""
    keepalive_s: int = 30
    session_expiry_s: int = 86_400
    """How long the broker keeps our session while we are away; in 3.1.1 its own setting."""

    @property
    def dials(self) -> tuple[str, ...]:
        """The broker."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (f"{host}:{self.port}",)


class BrokeredDevice:
    """A device that the broker vouches for; a LiveSession of the identity service."""

    def __init__(self, driver: BrokerDriver, device_id: str) -> None:
        self._driver = driver
        self.device_id = device_id
        self.device = Device(device_id)

    def kill(self, reason: str) -> None:
        """Take nothing more of it before it is admitted anew; idempotent."""
        self._driver.forget(self, reason)


class _Inbox(asyncio.Queue[aiomqtt.Message]):
    """Received messages. QoS 1 is bounded by the receive maximum, QoS 0 by ``INBOX_MAX``."""

    def __init__(self, ports: Ports) -> None:
        super().__init__()
        self._ports = ports

    def put_nowait(self, item: aiomqtt.Message) -> None:
        """For the library: take one message."""
        if item.qos == 0 and self.qsize() >= INBOX_MAX:
            self._ports.counters.add("not_taken", Outcome.FULL.value)
            return
        super().put_nowait(item)


class BrokerDriver:
    """A Driver."""

    def __init__(self, name: str, config: BrokerConfig, ports: Ports, random: Random) -> None:
        self._instance = name
        self._config = config
        self._ports = ports
        self._random = random
        self._broker = f"{config.host}:{config.port}"
        self._provenance = Provenance(NAME, Attestation.BROKER, self._broker)
        self._admitted: OrderedDict[str, BrokeredDevice] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._sending = Sending(is_v5=config.version == "5.0")
        self._readers: dict[str, Callable[[str, bytes], Statement]] = {}
        """By filter: who reads what is no report."""
        self._subscribing: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self.connections = 0
        """How often the broker accepted us."""

    # -- Driver

    async def start(self) -> None:
        """Begin to connect; a broker that is away is no reason not to start."""
        self._idle.set()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self._instance)

    async def stop(self, grace_s: float) -> None:
        """Take no more messages, acknowledge those under way, disconnect; idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        self._stopping.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        for session in list(self._admitted.values()):
            self.forget(session, "stopped")

    def addresses(self) -> Mapping[str, tuple[str, int]]:
        """None: it connects out."""
        return {}

    def healthy(self) -> bool:
        """Whether it runs; a broker that is away is not ours to heal."""
        return self._task is not None and not self._task.done()

    # -- Messenger

    async def send(self, topic: str, payload: bytes, expires_s: int, timeout_s: float) -> None:
        """Publish to the ward's screens; see the port."""
        await self._sending.send(topic, payload, expires_s, timeout_s)

    def listen(self, topics: str, read: Callable[[str, bytes], Statement]) -> None:
        """Take answers, too; see the port."""
        known = topics in self._readers
        self._readers[topics] = one_message(read)
        client = self._sending.client
        if client is not None and not known:
            task = asyncio.get_running_loop().create_task(self._subscribe(client, topics))
            self._subscribing.add(task)
            task.add_done_callback(self._subscribing.discard)

    async def _subscribe(self, client: aiomqtt.Client, topics: str) -> None:
        try:
            if self._config.version == "5.0":
                options = SubscribeOptions(qos=_QOS, retainHandling=_RETAIN_NEVER)
                await client.subscribe(topics, options=options)
            else:
                await client.subscribe(topics, qos=_QOS)
        except aiomqtt.MqttError as error:
            logger.warning("broker %s: %s can't be subscribed: %s", self._broker, topics, error)

    def forget(self, session: BrokeredDevice, reason: str) -> None:
        """For sessions: the device must be admitted anew."""
        if self._admitted.get(session.device_id) is session:
            del self._admitted[session.device_id]
            self._ports.admission.leave(session)
            logger.info("%s by %s: %s", session.device_id, self._broker, reason)

    # -- the connection

    async def _run(self) -> None:
        """Connect, take messages, and begin again, until cancelled."""
        attempt = 0
        while True:
            before = self.connections
            try:
                await self._serve()
            except (aiomqtt.MqttError, OSError) as error:
                logger.warning("broker %s: %s", self._broker, error or type(error).__name__)
            if self._stopping.is_set():
                return  # a cancellation that met the connection's own end was taken for it
            if self.connections > before:
                attempt = 0
                self._ports.counters.add("link_losses", NAME)
            ceiling_s = min(BACKOFF_S_MAX, BACKOFF_S_MIN * 2**attempt)
            await asyncio.sleep(BACKOFF_S_MIN + self._random.uniform(0, ceiling_s))
            attempt += 1

    async def _serve(self) -> None:
        """One connection.

        Raises:
            MqttError, OSError: it could not be made, or it ended.
        """
        inbox = _Inbox(self._ports)
        not_stored: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        async with self._connected(inbox) as client:
            taking = asyncio.create_task(self._take(client, inbox, not_stored))
            try:
                await asyncio.wait((taking, not_stored), return_when=asyncio.FIRST_COMPLETED)
            finally:
                taking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await taking
            if not_stored.done():
                raise aiomqtt.MqttError(f"not stored: {not_stored.result().value}")

    @contextlib.asynccontextmanager
    async def _connected(self, inbox: _Inbox) -> AsyncIterator[aiomqtt.Client]:
        config = self._config
        is_v5 = config.version == "5.0"
        properties: Properties | None = None
        if is_v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.ReceiveMaximum = config.receive_maximum
            properties.SessionExpiryInterval = config.session_expiry_s
            properties.MaximumPacketSize = PACKET_BYTES_MAX
        client = aiomqtt.Client(
            config.host,
            config.port,
            identifier=config.client_id,
            queue_type=lambda maxsize: inbox,  # type: ignore[arg-type]  # noqa: ARG005 - its own bound
            protocol=ProtocolVersion.V5 if is_v5 else ProtocolVersion.V311,
            clean_session=None if is_v5 else False,
            clean_start=False if is_v5 else MQTT_CLEAN_START_FIRST_ONLY,
            keepalive=config.keepalive_s,
            properties=properties,
            tls_context=self._ports.client_tls(),
            timeout=DISCONNECT_S_MAX * 5,
        )
        # The library acknowledges a message when it has it; paho, below it, can be told not to.
        client._client.manual_ack_set(on=True)  # noqa: SLF001 - docs/decisions/0004
        _bound(client._client)  # noqa: SLF001
        self._sending.prepare(client)
        async with client:
            for topic in (*FILTERS, *self._readers):
                options = SubscribeOptions(qos=_QOS, retainHandling=_RETAIN_NEVER)
                if is_v5:
                    await client.subscribe(topic, options=options)
                else:
                    await client.subscribe(topic, qos=_QOS)
            self.connections += 1
            logger.info("subscribed at broker %s", self._broker)
            self._sending.connected(client)
            try:
                yield client
            finally:
                self._sending.lost()

    # -- messages

    async def _take(
        self, client: aiomqtt.Client, inbox: _Inbox, not_stored: asyncio.Future[Outcome]
    ) -> None:
        """Submit what comes, in batches, until the connection ends.

        Raises:
            MqttError: it ended.
        """
        async for message in client.messages:
            await self._writable()
            if self._stopping.is_set():
                return  # what is left unacknowledged comes again after the next start
            batch = [message]
            while not inbox.empty() and len(batch) < BATCH_MAX:
                batch.append(inbox.get_nowait())
            self._submit(client, batch, not_stored)

    async def _writable(self) -> None:
        if not self._ports.sink.writable():
            resumed = asyncio.Event()
            self._ports.sink.when_writable(resumed.set)
            await resumed.wait()

    def _submit(
        self,
        client: aiomqtt.Client,
        batch: list[aiomqtt.Message],
        not_stored: asyncio.Future[Outcome],
    ) -> None:
        records: list[Said] = []
        understood = [self._read(message, records) for message in batch]
        owed = [message.mid for message in batch if message.qos == _QOS]
        reports_owed = sum(
            1 for message, good in zip(batch, understood, strict=True) if good and message.qos
        )
        counters = self._ports.counters
        self._in_flight += 1
        self._idle.clear()

        def done(outcome: Outcome) -> None:
            self._in_flight -= 1
            if self._in_flight == 0:
                self._idle.set()
            if outcome is not Outcome.COMMITTED:
                if not not_stored.done():
                    not_stored.set_result(outcome)
            elif not not_stored.done():  # else an earlier one waits, and the order is kept
                for message_id in owed:
                    client._client.ack(message_id, _QOS)  # noqa: SLF001 - docs/decisions/0004
                counters.add("acknowledged", NAME, n=reports_owed)

        self._ports.sink.submit(Submission(records, done))

    def _read(self, message: aiomqtt.Message, records: list[Said]) -> bool:
        """Add a message's records; False if it is to be acknowledged and forgotten."""
        payload = message.payload if isinstance(message.payload, bytes) else b""
        if message.retain:
            return False
        device_id = ""
        try:
            for topics, read in self._readers.items():
                if message.topic.matches(topics):
                    records.append(read(message.topic.value, payload))
                    return True
            device_id, kind = read_topic(message.topic.value)
            device = self._admit(device_id)
            now_us = self._ports.clock.now_us()
            records += reading.read(kind, payload, device, self._provenance, now_us)
        except RefusedError:
            return False
        except MalformedError as error:
            self._ports.counters.add("malformed", NAME, error.reason)
            self._ports.aside.keep(device_id, NAME, error.reason, payload)
            return False
        return True

    def _admit(self, device_id: str) -> Device:
        """The device as the identity service knows it.

        Raises:
            RefusedError: it is not admitted; already audited.
        """
        known = self._admitted.get(device_id)
        if known is not None:
            return known.device
        if len(self._admitted) >= DEVICES_MAX:
            self._ports.admission.refuse(
                RefusalReason.OVERLOADED, _TRANSPORT, self._broker, device_id
            )
            raise RefusedError(RefusalReason.OVERLOADED)
        session = BrokeredDevice(self, device_id)
        credential = BrokerCredential(device_id, self._broker)
        session.device = self._ports.admission.admit(credential, session)
        self._admitted[device_id] = session
        return session.device


def _bound(client: Any) -> None:
    """Let paho read no packet of more than PACKET_BYTES_MAX: it makes room for all of it at once.

    What it asks its socket for is what is left of a packet, which has up to 256 MiB.
    """
    receive = client._sock_recv  # noqa: SLF001

    def receive_bounded(size: int) -> bytes:
        if size > PACKET_BYTES_MAX:
            raise ConnectionError(f"a packet of {size} bytes")
        return bytes(receive(size))

    client._sock_recv = receive_bounded  # noqa: SLF001


class _Factory:
    """What the entry point names."""

    name = NAME
    config_type = BrokerConfig

    def create(self, name: str, config: Any, ports: Ports) -> BrokerDriver:
        """Make a driver; it connects after ``start``."""
        return BrokerDriver(name, config, ports, Random(secrets.randbits(64)))  # noqa: S311 - jitter


FACTORY = _Factory()
