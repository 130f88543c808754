"""One connection of one device: the state machine between packets, commits and time.

Sans-I/O: what comes in are bytes, outcomes and ticks; what goes out are submissions to the sink
and calls of a :class:`Wire`. Rules:

- ``WAITING`` (for CONNECT) -> ``OPEN`` -> ``CLOSED``; ``HANDLERS`` says what each packet does.
  That CONNECT comes first and once, the decoder sees to.
- Everything that one delivery of bytes brings is one submission, and is answered by one write,
  after its commit. Answers leave in the order of the packets ([MQTT-4.6.0-2]).
- While ``receive_maximum`` messages await their answer, the device isn't read.
- While the gateway does not read, the device's keep-alive stands still.
- The last status of a connection is submitted after everything that it brought.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from drivers.base.connection import Wire
from drivers.base.served import GATEWAY_STOPPED
from drivers.mqtt import admission, mapping
from drivers.mqtt.codec import errors
from drivers.mqtt.codec.decoder import Decoder
from drivers.mqtt.codec.encoder import encode
from drivers.mqtt.codec.errors import MqttError
from drivers.mqtt.codec.packets import (
    PINGRESP,
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Role,
    Subscribe,
    Unsubscribe,
    Version,
    Will,
)
from drivers.mqtt.codec.properties import Properties
from drivers.mqtt.codec.reasons import CONNACK_TO_RETURN_CODE, DISCONNECT_SERVER_CODES, ReasonCode
from drivers.mqtt.config import MqttConfig
from drivers.mqtt.downlink import Downlink
from drivers.mqtt.inbound import Inbound
from drivers.mqtt.mapping import DRIVER, Topics
from drivers.mqtt.replies import Batch, Kind
from drivers.mqtt.roles import OURS, LateWill, Pause, Place, State
from drivers.mqtt.store import Memory, Store
from gateway.domain.devices import Device
from gateway.domain.errors import RefusalReason
from gateway.domain.ports import Outcome, Ports, Submission, Tap, Tapped
from gateway.domain.records import AlarmSnapshot, Record

log = logging.getLogger(__name__)

KEEP_ALIVE_FACTOR = 1.5
"""[MQTT-3.1.2-24] of 3.1.1, [MQTT-3.1.2-22] of 5.0."""

KILLED: dict[str, ReasonCode] = {
    RefusalReason.REVOKED: ReasonCode.NOT_AUTHORIZED,
    RefusalReason.EXPIRED: ReasonCode.NOT_AUTHORIZED,
    RefusalReason.UNKNOWN_DEVICE: ReasonCode.NOT_AUTHORIZED,
    GATEWAY_STOPPED: ReasonCode.SERVER_SHUTTING_DOWN,
}
"""What a 5.0 client is told when its session is killed; of anything else, such as a suspension,
that an administrator wanted it."""


class Session:
    """One connection. ``kill`` makes it a :class:`gateway.domain.ports.LiveSession`."""

    __slots__ = (
        "_batches",
        "_config",
        "_decoder",
        "_downlink",
        "_end",
        "_finished",
        "_greeted",
        "_handling",
        "_heard",
        "_inbound",
        "_keep_alive_s",
        "_memory",
        "_owed",
        "_pauses",
        "_place",
        "_ports",
        "_store",
        "_topics",
        "_unanswered",
        "_version",
        "_will",
        "_wire",
        "device",
        "opened",
        "peer",
        "state",
    )

    def __init__(
        self,
        peer: str,
        wire: Wire,
        place: Place,
        ports: Ports,
        config: MqttConfig,
        store: Store,
    ) -> None:
        """Wait for CONNECT; ``admitted`` says who it is before the first byte.

        Args:
            peer: address and port, for audit and take-over.
            wire: the connection.
            place: the endpoint's sessions.
            ports: of the gateway.
            config: limits.
            store: session states.
        """
        self.peer = peer
        self.state = State.WAITING
        self.device = Device("")
        self.opened = False
        self._wire = wire
        self._place = place
        self._ports = ports
        self._config = config
        self._store = store
        self._topics = Topics.of("")
        self._decoder = Decoder(
            Role.SERVER,
            config.packet_size_bytes_max,
            topic_alias_max=config.topic_alias_maximum,
        )
        self._version = Version.V311
        self._memory: Memory | None = None
        self._will: Will | None = None
        self._batches: deque[Batch] = deque()
        self._pauses: set[Pause] = set()
        self._heard = ports.clock.monotonic()
        self._keep_alive_s = 0
        self._unanswered = 0  # QoS 1 and 2 messages whose commit is under way
        self._handling = False
        self._owed: list[int] = []  # PUBCOMPs that wait for a commit that succeeds
        self._end = ""  # why it ended
        self._finished = False
        self._greeted = False  # CONNACK was written

    def admitted(self, device: Device) -> None:
        """The certificate proved who it is."""
        self.device = device
        self._topics = Topics.of(device.device_id)
        self._inbound = Inbound(
            self, device, self._topics, self._ports, self._config.receive_maximum
        )
        self._downlink = Downlink(self, device.device_id, self._topics, self._ports)

    # What comes in

    def receive(self, data: bytes) -> None:
        """Bytes came."""
        if self.state is State.CLOSED:
            return
        packets = self._decoder.feed(data)
        if packets:
            # Whole packets count, not bytes: who trickles a packet is silent.
            self._heard = self._ports.clock.monotonic()
            batch = Batch()
            now_us = self._ports.clock.now_us()
            self._handling = True
            for packet in packets:
                if type(packet) is Publish:
                    self._inbound.publish(packet, batch, now_us)
                else:
                    HANDLERS[type(packet)](self, packet, batch)
                if self._end:
                    break
            self._handling = False
            self._submit(batch)
        if self._end:
            self._finish()
        elif self._decoder.failed is not None:
            self._broken(self._decoder.failed, data)
        else:
            self._mind_reading()

    def lost(self) -> None:
        """The connection is gone."""
        self._close("link_lost")

    def kill(self, reason: str) -> None:
        """Drop the connection now; idempotent.

        A 5.0 client is told why, if it takes that without being waited for.
        """
        code = KILLED.get(reason, ReasonCode.ADMINISTRATIVE_ACTION)
        self._drop(Disconnect(code), reason)

    def move(self, place: str) -> None:
        """Send a 5.0 client to another gateway (4.13, Server redirection); idempotent.

        One of 3.1.1 loses its connection, and asks the DNS again.
        """
        moved = Disconnect(ReasonCode.SERVER_MOVED, Properties(server_reference=place))
        self._drop(moved, "moved")

    def _drop(self, word: Disconnect, reason: str) -> None:
        last_words = b""
        if self.state is State.OPEN and self._greeted and self._version == Version.V5:
            last_words = encode(word, self._version)
        self._wire.abort(last_words)
        self._will = None
        self._close(reason)

    def use_tap(self, tap: Tap | None) -> Tapped:
        """See :class:`gateway.domain.ports.Tappable`."""
        return self._wire.use_tap(tap)

    def tick(self, now: float) -> None:
        """Time passes; to be called about once a second with monotonic seconds."""
        if self._pauses & OURS:
            self._heard = now
        silent_s = now - self._heard
        if self.state is State.WAITING:
            if silent_s > self._config.connect_timeout_s:
                self._ports.counters.add("handshakes_failed", DRIVER, "no_connect")
                self._wire.abort()
                self._close("no_connect")
        elif self._keep_alive_s and silent_s > KEEP_ALIVE_FACTOR * self._keep_alive_s:
            self.disconnect(ReasonCode.KEEP_ALIVE_TIMEOUT, "keep_alive")
        elif not self._batches and self._has_unsaved():
            self._submit(Batch())

    def taken_over(self) -> None:
        """The same device connected again ([MQTT-3.1.4-2], [MQTT-3.1.4-3])."""
        self.disconnect(ReasonCode.SESSION_TAKEN_OVER, "taken_over")

    def stop(self) -> None:
        """The gateway stops: read no more, answer what is under way, then close.

        It is the gateway that goes, so nothing is said about the device, and its last will is
        not published.
        """
        self._pause(Pause.STOPPING, on=True)
        if not self._batches:
            self._will = None
            self.disconnect(ReasonCode.SERVER_SHUTTING_DOWN, GATEWAY_STOPPED)

    def host(self) -> str:
        """The peer's address without its port."""
        return self.peer.rpartition(":")[0]

    def peer_reads(self, *, reads: bool) -> None:
        """Whether the peer takes what we write."""
        self._downlink.reads = reads
        self._pause(Pause.PEER, on=not reads)

    # CONNECT and DISCONNECT

    def _on_connect(self, connect: Connect, batch: Batch) -> None:
        self._version = connect.version
        device = self.device
        refusal = admission.refusal(connect, device.device_id, self._topics)
        if refusal is not None:
            if refusal.mismatch:
                self.refuse(RefusalReason.IDENTITY_MISMATCH)
            self._reject(refusal.code)
            return
        reason = self._place.claim(self)
        if reason is None:
            self._reject(ReasonCode.BANNED)
            return
        self.opened = True
        now_us = self._ports.clock.now_us()
        self._memory, present = self._store.open(
            device.device_id,
            admission.expiry_s(connect, self._config),
            now_us,
            clean_start=connect.clean_start,
        )
        self.state = State.OPEN
        self._will = connect.will
        self._keep_alive_s = admission.keep_alive_s(connect, self._config)
        batch.records.append(mapping.online(device, now_us, reason))
        connack = admission.accepted(connect, device.device_id, self._config, present=present)
        batch.say(encode(connack, self._version))
        self._inbound.open(connect.version, self._memory)
        self._downlink.open(connect, self._memory)
        log.info("%s %s, MQTT %s", device.device_id, reason, self._version.name)

    def _reject(self, code: ReasonCode) -> None:
        if self._version == Version.V5 or code in CONNACK_TO_RETURN_CODE:
            self._wire.send(encode(Connack(reason_code=code), self._version))
        self._wire.close()
        self._close("refused")

    def _on_disconnect(self, packet: Disconnect, _: Batch) -> None:
        expiry_s = packet.properties.session_expiry_interval
        if expiry_s is not None and self._memory is not None:
            self._memory.expiry_s = min(expiry_s, self._config.session_expiry_s_max)
        self._wire.close()
        if packet.reason_code is ReasonCode.SUCCESS:
            self._will = None  # [MQTT-3.14.4-3]
            self._close("disconnected")
        else:
            self._close("device_error")

    def disconnect(self, code: ReasonCode, why: str) -> None:
        """Say why, where the version can, and close."""
        if self.state is State.CLOSED:
            return
        if self._greeted and self._version == Version.V5:
            self._wire.send(encode(Disconnect(code), self._version))
        self._wire.close()
        self._close(why)

    def _broken(self, error: MqttError, data: bytes) -> None:
        """The peer broke the protocol."""
        device_id = self.device.device_id
        self._ports.aside.keep(device_id, DRIVER, error.reason, data)
        self._ports.counters.add("malformed", DRIVER, error.reason)
        self.refuse(RefusalReason.MALFORMED)
        log.info("%s broke %s: %s", device_id, error.clause, error)
        if self.state is State.WAITING:
            # Without a good CONNECT there is no version to speak, except in two cases that
            # 3.1.1 wants answered: [MQTT-3.1.2-2], [MQTT-3.1.3-8].
            if error.rule in (errors.PROTOCOL_VERSION, errors.CLIENT_ID_EMPTY):
                self._wire.send(encode(Connack(reason_code=error.code), Version.V311))
            self._wire.close()
            self._close("protocol_error")
            return
        known = error.code in DISCONNECT_SERVER_CODES
        self.disconnect(error.code if known else ReasonCode.PROTOCOL_ERROR, "protocol_error")

    def _on_pingreq(self, _packet: Pingreq, batch: Batch) -> None:
        batch.say(encode(PINGRESP, self._version))

    # Commits

    def write(self, data: bytes) -> None:
        """Write behind the answers that are still to come."""
        batch = Batch()
        batch.say(data)
        self._submit(batch)

    def _has_unsaved(self) -> bool:
        return bool(self._owed) or (self._memory is not None and bool(self._memory.unsaved))

    def _submit(self, batch: Batch) -> None:
        memory = self._memory
        if memory is not None and memory.unsaved:
            batch.deltas = memory.take_unsaved()
        for packet_id in self._owed:
            batch.acknowledge(Kind.PUBCOMP, packet_id)
        self._owed.clear()
        if not batch:
            return
        batch.memory = memory
        self._batches.append(batch)
        if not batch.commits:
            self._settled(batch, Outcome.COMMITTED)
            return
        self._unanswered += batch.messages
        self._ports.sink.submit(
            Submission(batch.records, lambda outcome: self._settled(batch, outcome), batch.deltas)
        )

    def _settled(self, batch: Batch, outcome: Outcome) -> None:
        batch.settle(outcome)
        batches = self._batches
        out: list[bytes] = []
        end = False
        while batches and batches[0].outcome is not None and not end:
            first = batches.popleft()
            self._unanswered -= first.messages
            answer = first.answer(self._version)
            self._inbound.answered(answer.freed)
            out += answer.out
            end = answer.end
            if self.state is State.CLOSED:
                continue
            if answer.acknowledged:
                self._ports.counters.add("acknowledged", DRIVER, n=answer.acknowledged)
            self._owed += answer.owed
        if self.state is State.CLOSED:
            return
        data = b"".join(out)
        if data:
            self._wire.send(data)
            self._greeted = True
        if end:
            self.disconnect(ReasonCode.QUOTA_EXCEEDED, "not_taken")
        elif Pause.STOPPING in self._pauses:
            self.stop()
        elif not self._handling:
            self._mind_reading()

    # Back-pressure

    def _mind_reading(self) -> None:
        """Read or don't, by what is under way."""
        if self.state is State.CLOSED:
            return
        self._pause(Pause.UNANSWERED, on=self._unanswered >= self._config.receive_maximum)
        if Pause.JOURNAL not in self._pauses and not self._ports.sink.writable():
            self._pause(Pause.JOURNAL, on=True)
            self._ports.sink.when_writable(self._journal_ready)

    def _journal_ready(self) -> None:
        if self.state is not State.CLOSED:
            self._pause(Pause.JOURNAL, on=False)

    def _pause(self, why: Pause, *, on: bool) -> None:
        if (why in self._pauses) is on:
            return
        before = bool(self._pauses)
        if on:
            self._pauses.add(why)
        else:
            self._pauses.remove(why)
        if why is Pause.JOURNAL:
            self._place.paused(1 if on else -1)
        if bool(self._pauses) is not before:
            if on:
                self._wire.pause_reading()
            else:
                self._wire.resume_reading()

    # The end

    def refuse(self, reason: str) -> None:
        """Audit and count a refusal."""
        self._ports.admission.refuse(reason, DRIVER, self.peer, self.device.device_id)

    def _close(self, why: str) -> None:
        """From now on nothing is read, and nothing but what stands is written."""
        if self._end:
            return
        self.state = State.CLOSED
        self._end = why
        if not self._handling:
            self._finish()

    def _finish(self) -> None:
        """Once: leave the place, and say what became of the device."""
        if self._finished:
            return
        self._finished = True
        if Pause.JOURNAL in self._pauses:
            self._place.paused(-1)
        late = None
        memory = self._memory
        if memory is not None:
            self._downlink.close()
            if self._end != GATEWAY_STOPPED:
                late = self._say_goodbye(memory)
            log.info("%s %s", self.device.device_id, self._end)
        self._place.leave(self, late)
        self._ports.admission.leave(self)

    def _say_goodbye(self, memory: Memory) -> LateWill | None:
        now_us = self._ports.clock.now_us()
        delay_s = 0
        will = self._will
        if will is not None:
            delay_s = min(will.properties.will_delay_interval or 0, memory.expiry_s)
        self._store.close(memory, now_us)
        moved = self._end == "taken_over"
        records: list[Record | AlarmSnapshot] = []
        if will is not None and not delay_s:
            records.append(mapping.offline(self.device, now_us, "last_will", will.payload))
        elif not moved:
            records.append(mapping.offline(self.device, now_us, self._end))
        deltas = memory.take_unsaved()
        if records or deltas:
            self._ports.sink.submit(
                Submission(
                    records,
                    lambda outcome: memory.settle(deltas, committed=outcome is Outcome.COMMITTED),
                    deltas,
                )
            )
        if will is None or not delay_s or moved:
            return None
        device = self.device
        return LateWill(
            delay_s, lambda at_us: mapping.offline(device, at_us, "last_will", will.payload)
        )


HANDLERS: dict[type, Callable[[Session, Any, Batch], None]] = {
    Connect: Session._on_connect,  # noqa: SLF001 - the class's own table
    Puback: lambda session, packet, batch: session._downlink.puback(packet, batch),  # noqa: SLF001
    Pubrec: lambda session, packet, batch: session._downlink.pubrec(packet, batch),  # noqa: SLF001
    Pubrel: lambda session, packet, batch: session._inbound.pubrel(packet, batch),  # noqa: SLF001
    Pubcomp: lambda *_: None,  # nothing is sent at QoS 2
    Subscribe: lambda session, packet, batch: session._downlink.subscribe(packet, batch),  # noqa: SLF001
    Unsubscribe: lambda session, packet, batch: session._downlink.unsubscribe(packet, batch),  # noqa: SLF001
    Pingreq: Session._on_pingreq,  # noqa: SLF001
    Disconnect: Session._on_disconnect,  # noqa: SLF001
}
"""What each packet of a client does; PUBLISH, the hot path, is handled before. AUTH needs an
authentication method, which CONNECT is refused for, and the rest is a server's: the decoder
refuses them."""
