"""What one delivery of bytes from a device made: records, deltas, and the answers they earn.

Everything of one ``data_received`` is submitted at once and answered at once. The answers keep
the order of the packets they answer ([MQTT-4.6.0-2], [MQTT-4.6.0-3]) and say what the outcome
of the commit allows: success only when it is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum

from drivers.mqtt.codec.encoder import encode, encode_pubacks, encode_pubcomps, encode_pubrecs
from drivers.mqtt.codec.packets import Puback, Pubcomp, Pubrec, Version
from drivers.mqtt.codec.reasons import ReasonCode
from drivers.mqtt.store import Exchange, Memory
from gateway.domain.ports import Outcome, StateDelta
from gateway.domain.records import AlarmSnapshot, Record

NOT_TAKEN = {
    Outcome.FULL: ReasonCode.QUOTA_EXCEEDED,
    Outcome.FAILED: ReasonCode.UNSPECIFIED_ERROR,
}
"""The reason code of 5.0 for a message that was not committed."""


class Kind(IntEnum):
    """What a run of answers says."""

    PUBACK = 1
    PUBREC = 2
    PUBREC_AGAIN = 3
    """For a repeated QoS 2 message: success if the first one is durable by now."""
    PUBCOMP = 4
    PUBCOMP_UNKNOWN = 5
    """For an identifier that isn't known any more, or never was."""


class Answer:
    """What to write, and what it means."""

    __slots__ = ("acknowledged", "end", "freed", "out", "owed")

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.acknowledged = 0
        """Messages that are acknowledged with success for the first time."""
        self.freed = 0
        """Places of the receive maximum that are free again."""
        self.owed: list[int] = []
        """Released identifiers whose PUBCOMP has to wait for another commit."""
        self.end = False
        """No more can be said (3.1.1): close, and the device sends again."""


class Batch:
    """Collects while packets are handled; then it is submitted, settled and answered."""

    __slots__ = ("_runs", "began", "deltas", "memory", "messages", "outcome", "records", "unkept")

    def __init__(self) -> None:
        self.records: list[Record | AlarmSnapshot] = []
        self.deltas: list[StateDelta] = []
        self.memory: Memory | None = None
        self.outcome: Outcome | None = None
        self.messages = 0
        """QoS 1 and 2 messages that wait for the outcome."""
        self.unkept = 0
        """Those of them that hold no record: malformed ones, and commands' answers."""
        self.began: list[tuple[int, Exchange]] = []
        """QoS 2 messages that arrived in it."""
        self._runs: list[tuple[Kind, list[int]] | bytes] = []

    def __bool__(self) -> bool:
        return bool(self.records or self.deltas or self._runs)

    @property
    def commits(self) -> bool:
        """Whether it has to pass the sink, for its own sake or behind earlier batches."""
        return bool(self.records or self.deltas) or any(type(run) is tuple for run in self._runs)

    def say(self, data: bytes) -> None:
        """Write this in its place, whatever the outcome."""
        self._runs.append(data)

    def acknowledge(self, kind: Kind, packet_id: int) -> None:
        """Answer a packet by the outcome."""
        runs = self._runs
        if runs:
            last = runs[-1]
            if type(last) is tuple and last[0] is kind:
                last[1].append(packet_id)
                return
        runs.append((kind, [packet_id]))

    def settle(self, outcome: Outcome) -> None:
        """The commit is over: bring the session's memory in line with the disk."""
        self.outcome = outcome
        memory = self.memory
        if memory is None:
            return
        committed = outcome is Outcome.COMMITTED
        for packet_id, exchange in self.began:
            if committed:
                exchange.committed = True
            else:
                memory.forget(packet_id, exchange)
        if self.deltas:
            memory.settle(self.deltas, committed=committed)

    def answer(self, version: Version) -> Answer:
        """After ``settle``, and after all earlier batches were answered."""
        answer = Answer()
        for run in self._runs:
            if isinstance(run, bytes):
                answer.out.append(run)
            else:
                kind, packet_ids = run
                _WRITE[kind](self, kind, packet_ids, version, answer)
                if answer.end:
                    break
        answer.acknowledged = max(0, answer.acknowledged - self.unkept)
        return answer

    def _puback(self, kind: Kind, packet_ids: list[int], version: Version, answer: Answer) -> None:
        if self.outcome is Outcome.COMMITTED:
            answer.out.append(encode_pubacks(packet_ids))
            answer.acknowledged += len(packet_ids)
            answer.freed += len(packet_ids)
        else:
            self._refuse(kind, packet_ids, version, answer)

    def _pubrec(self, kind: Kind, packet_ids: list[int], version: Version, answer: Answer) -> None:
        if self.outcome is Outcome.COMMITTED:
            answer.out.append(encode_pubrecs(packet_ids))
            answer.acknowledged += len(packet_ids)
        else:
            self._refuse(kind, packet_ids, version, answer)

    def _again(self, kind: Kind, packet_ids: list[int], version: Version, answer: Answer) -> None:
        for packet_id in packet_ids:
            exchange = self.memory.exchanges.get(packet_id) if self.memory else None
            if exchange is not None and exchange.committed:
                answer.out.append(encode_pubrecs((packet_id,)))
            else:
                self._refuse(kind, (packet_id,), version, answer)

    def _pubcomp(self, kind: Kind, packet_ids: list[int], version: Version, answer: Answer) -> None:
        free: list[int] = []
        for packet_id in packet_ids:
            removed = self.memory is None or self.memory.is_released(packet_id)
            (free if removed and self.outcome is Outcome.COMMITTED else answer.owed).append(
                packet_id
            )
        if kind is Kind.PUBCOMP or version == Version.V311:
            answer.out.append(encode_pubcomps(free))
        else:
            code = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
            answer.out += [encode(Pubcomp(packet_id, code), version) for packet_id in free]
        if kind is Kind.PUBCOMP:
            answer.freed += len(free)

    def _refuse(
        self, kind: Kind, packet_ids: Sequence[int], version: Version, answer: Answer
    ) -> None:
        """Say that messages were not taken, which 3.1.1 can only do by closing."""
        if version == Version.V311:
            answer.end = True
            return
        code = NOT_TAKEN.get(self.outcome or Outcome.FULL, ReasonCode.QUOTA_EXCEEDED)
        packet = Puback if kind is Kind.PUBACK else Pubrec
        answer.out += [encode(packet(packet_id, code), version) for packet_id in packet_ids]
        answer.freed += len(packet_ids)


_WRITE: dict[Kind, Callable[[Batch, Kind, list[int], Version, Answer], None]] = {
    Kind.PUBACK: Batch._puback,  # noqa: SLF001 - the class's own table
    Kind.PUBREC: Batch._pubrec,  # noqa: SLF001
    Kind.PUBREC_AGAIN: Batch._again,  # noqa: SLF001
    Kind.PUBCOMP: Batch._pubcomp,  # noqa: SLF001
    Kind.PUBCOMP_UNKNOWN: Batch._pubcomp,  # noqa: SLF001
}
