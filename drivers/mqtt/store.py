"""What of an MQTT session outlives its connection, and a restart of the gateway.

Session state (4.1 of 3.1.1 and 5.0) here is: that the session exists, its expiry, its
subscription to the command topic, and the packet identifiers of QoS 2 messages that were
received and not released. Commands are no session state: they are delivered now or never.

It is kept in memory and as StateDeltas that commit with the records they belong to:

- space ``mqtt.session``, key ``<device>``: a :class:`Saved`, as long as the session exists;
- space ``mqtt.qos2``, key ``<device>/<packet id>``: a digest of topic and payload, from the
  commit of the message until its PUBREL was committed.

Why a crash at any instant neither loses nor doubles a QoS 2 message ([MQTT-4.3.3-2] of 3.1.1,
[MQTT-4.3.3-8] to [MQTT-4.3.3-12] of 5.0):

- before the message's commit: nothing is stored and no PUBREC was sent; it comes again;
- after it, before PUBREC arrived: the message comes again with the same identifier, which is
  known, and is answered by PUBREC without being stored;
- after PUBREL came, before its removal was committed: PUBCOMP was not sent; PUBREL comes again;
- after the removal, before PUBCOMP arrived: PUBREL comes again and finds nothing, which is
  answered by PUBCOMP (5.0: reason 0x92).

PUBCOMP has to wait for the removal's commit: the client may use the identifier for another
message right after it, which a stale entry would swallow. For the same reason a known
identifier alone does not make a repetition. A device that lost its memory and kept connecting
without clean start begins again at identifier 1: the digest tells that this is another
message, and then it is stored. DUP is not consulted; it may be wrong either way
([MQTT-3.3.1-3]).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.domain.ports import StateDelta, StateView

SESSIONS = "mqtt.session"
QOS2 = "mqtt.qos2"


class Saved(msgspec.Struct, frozen=True, omit_defaults=True):
    """A session's entry in the state store."""

    expiry_s: int
    command_qos: int | None = None
    """Granted QoS of the subscription to the command topic."""
    ended_us: int = 0
    """When its connection ended; 0 while connected, or when the gateway was killed."""


class Exchange:
    """One QoS 2 message that was received and not released."""

    __slots__ = ("committed", "digest")

    def __init__(self, digest: bytes, *, committed: bool) -> None:
        self.digest = digest
        self.committed = committed


class Memory:
    """The session state of one device."""

    __slots__ = ("_newest", "command_qos", "device_id", "exchanges", "expiry_s", "saved", "unsaved")

    def __init__(self, device_id: str) -> None:
        self.device_id = device_id
        self.exchanges: dict[int, Exchange] = {}
        self.command_qos: int | None = None
        self.expiry_s = 0
        self.saved = False
        """Whether ``mqtt.session`` has an entry."""
        self.unsaved: dict[tuple[str, str], StateDelta] = {}
        """Deltas that the next submission for this device has to carry."""
        self._newest: dict[tuple[str, str], StateDelta] = {}
        """The last delta of each key that isn't durable yet, also while it is on its way."""

    def begin(self, packet_id: int, digest: bytes) -> Exchange:
        """A QoS 2 message arrived; its entry commits with it."""
        exchange = Exchange(digest, committed=False)
        self.exchanges[packet_id] = exchange
        self._keep(QOS2, f"{self.device_id}/{packet_id}", digest)
        return exchange

    def release(self, packet_id: int) -> bool:
        """PUBREL came; False when the identifier is not known."""
        if self.exchanges.pop(packet_id, None) is None:
            return False
        self._keep(QOS2, f"{self.device_id}/{packet_id}", None)
        return True

    def forget(self, packet_id: int, exchange: Exchange) -> None:
        """The message was not taken: its identifier is free again."""
        if self.exchanges.get(packet_id) is exchange:
            del self.exchanges[packet_id]

    def save(self, ended_us: int = 0) -> None:
        """The session's own entry changed, or the session ended with its connection."""
        if self.expiry_s:
            entry = Saved(self.expiry_s, self.command_qos, ended_us)
            self._keep(SESSIONS, self.device_id, msgspec.json.encode(entry))
            self.saved = True
        elif self.saved:
            self._keep(SESSIONS, self.device_id, None)
            self.saved = False

    def clear(self) -> None:
        """Discard the session: clean start, or its expiry."""
        for packet_id in list(self.exchanges):
            self.release(packet_id)
        self.command_qos = None
        self.expiry_s = 0
        self.save()

    def take_unsaved(self) -> list[StateDelta]:
        """What has to be committed, to put into a submission.

        The session's own entry goes with every submission until one is committed: else a
        message could become durable in a session that isn't.
        """
        deltas = list(self.unsaved.values())
        own = (SESSIONS, self.device_id)
        entry = self.unsaved.get(own)
        self.unsaved.clear()
        if entry is not None:
            self.unsaved[own] = entry
        return deltas

    def settle(self, deltas: Sequence[StateDelta], *, committed: bool) -> None:
        """The outcome of a submission that carried ``deltas``.

        A delta that failed is owed, unless a newer one for its key is on its way: then that
        one's outcome decides. A message's entry fails with its message; but it may have stood in
        for the removal of an older entry, so what is owed is the removal.
        """
        for delta in deltas:
            key = (delta.space, delta.key)
            if self._newest.get(key) is not delta:
                continue
            if committed:
                del self._newest[key]
                self.unsaved.pop(key, None)
            elif delta.space == QOS2:
                self._keep(QOS2, delta.key, None)
            else:
                self._keep(delta.space, delta.key, delta.value)

    def is_released(self, packet_id: int) -> bool:
        """Whether the identifier's removal is durable, if it ever was known."""
        return (QOS2, f"{self.device_id}/{packet_id}") not in self._newest

    def _keep(self, space: str, key: str, value: bytes | None) -> None:
        delta = StateDelta(space, key, value)
        self.unsaved[(space, key)] = delta
        self._newest[(space, key)] = delta


class Store:
    """The memories of all devices; there are as many as devices that ever connected."""

    def __init__(self, view: StateView, now_us: int) -> None:
        """Take over what was committed; sessions of a killed gateway expire from now on."""
        self._memories: dict[str, Memory] = {}
        self._ended: dict[str, int] = {}
        for device_id, entry in view.items(SESSIONS).items():
            saved = msgspec.json.decode(entry, type=Saved)
            memory = self._memories[device_id] = Memory(device_id)
            memory.expiry_s = saved.expiry_s
            memory.command_qos = saved.command_qos
            memory.saved = True
            self._ended[device_id] = saved.ended_us or now_us
        for key, digest in view.items(QOS2).items():
            device_id, _, packet_id = key.rpartition("/")
            memory = self._memories.setdefault(device_id, Memory(device_id))
            memory.exchanges[int(packet_id)] = Exchange(digest, committed=True)

    def open(
        self, device_id: str, expiry_s: int, now_us: int, *, clean_start: bool
    ) -> tuple[Memory, bool]:
        """A connection begins: its session state, and whether it was there before."""
        memory = self._memories.setdefault(device_id, Memory(device_id))
        ended_us = self._ended.pop(device_id, now_us)
        expired = ended_us + memory.expiry_s * 1_000_000 < now_us
        present = memory.saved and not clean_start and not expired
        if not present:
            memory.clear()
        memory.expiry_s = expiry_s
        memory.save()
        return memory, present

    def close(self, memory: Memory, now_us: int) -> None:
        """The connection ended, and with it the session unless it has an expiry."""
        if memory.expiry_s:
            self._ended[memory.device_id] = now_us
            memory.save(now_us)
        else:
            memory.clear()
