"""One sender's connection: frames in, answers out, in the order of the messages.

Rules:

- Success is answered in ``Submission.done``, when the journal has the message, never before.
- One message is read a little at a time, and one step a turn of the loop, so that no sender's
  messages, however long or many, stand before another's.
- What is broken is answered and survived. ``FAULTS_MAX`` broken ones without a good one between
  end the connection, and so do ``FOREIGN_MAX`` in another's name.
- It is not read while it has work, while ``pending_max`` of its messages wait for the journal,
  while the journal is behind, while it doesn't take its answers, and while it repeats itself too
  often.
- An acknowledgement is never answered: two receivers would talk for ever.

Without I/O: a Wire, and the hub's ``soon`` for the next step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container
from datetime import tzinfo
from functools import partial
from typing import Final, NamedTuple, Protocol

from drivers.base.boundary import FAULT, one_message
from drivers.base.connection import Wire
from drivers.hl7 import acknowledgement, adt, codec
from drivers.hl7.acknowledgement import Problem
from drivers.hl7.charsets import UNKNOWN_CHARSET
from drivers.hl7.codec import Header, read_header
from drivers.hl7.config import Hl7Config
from drivers.hl7.mapping import Interpreter, Whose
from drivers.hl7.mllp import Broken, Frame, Framer
from drivers.hl7.orders import NO_PUMP, OrderInterpreter
from drivers.hl7.senders import NAME, Senders, Voice, VouchedDevices
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError, RefusalReason, RefusedError
from gateway.domain.ports import Outcome, Ports, Submission, Tap, Tapped
from gateway.domain.records import Attestation, Provenance

FAULTS_MAX: Final = 64
FOREIGN_MAX: Final = 4
EVENTS: Final = frozenset(("R01", "R40", "R42"))
ORDER: Final = ("RGV", "O15")
ANSWERS: Final = frozenset(("ACK", "MCF", "ORA", "ORR"))
"""MSH-9.1 of messages that answer one."""

UNSUPPORTED_MESSAGE: Final = "unsupported_message"
UNSUPPORTED_EVENT: Final = "unsupported_event"
UNSUPPORTED_VERSION: Final = "unsupported_version"
UNEXPECTED_ANSWER: Final = "unexpected_answer"

PROBLEMS: Final[dict[str, Problem]] = {
    codec.EMPTY: acknowledgement.SEQUENCE,
    codec.NO_HEADER: acknowledgement.SEQUENCE,
    codec.BAD_SEPARATORS: acknowledgement.DATA_TYPE,
    codec.NO_CONTROL_ID: acknowledgement.REQUIRED,
    codec.BAD_CONTROL_ID: acknowledgement.DATA_TYPE,
    UNKNOWN_CHARSET: acknowledgement.TABLE_VALUE,
    adt.NO_PATIENT: acknowledgement.REQUIRED,
    adt.NO_TIME: acknowledgement.REQUIRED,
    adt.BAD_IDENTIFIER: acknowledgement.DATA_TYPE,
    adt.TRAINING: acknowledgement.PROCESSING_ID,
    UNSUPPORTED_MESSAGE: acknowledgement.MESSAGE_TYPE,
    UNSUPPORTED_EVENT: acknowledgement.EVENT,
    NO_PUMP: acknowledgement.REQUIRED,
    UNSUPPORTED_VERSION: acknowledgement.VERSION_ID,
    RefusalReason.IDENTITY_MISMATCH: acknowledgement.UNKNOWN_KEY,
    FAULT: acknowledgement.FAULTY,
}
"""Reason -> what the sender is told; all others are a broken structure."""


@one_message
def _interpreter(content: bytes, header: Header, zone: tzinfo) -> Interpreter | OrderInterpreter:
    kind = OrderInterpreter if _is_order(header) else Interpreter
    return kind(content, header, zone)


@one_message
def _read_on(interpreter: Interpreter | OrderInterpreter) -> bool:
    return interpreter.step()


class _Slot:
    """A message's place in the order of answers."""

    __slots__ = ("answer", "header")

    def __init__(self, header: Header) -> None:
        self.header = header
        self.answer: bytes | None = None


class _Reading(NamedTuple):
    """A message that is being read."""

    interpreter: Interpreter | OrderInterpreter
    slot: _Slot
    content: bytes


def _is_order(header: Header) -> bool:
    return (header.message_code, header.trigger) == ORDER


class Shared(Protocol):
    """What a session has in common with the listener's others."""

    ports: Ports
    soon: Callable[[Callable[[], None]], object]
    """Calls a function in the loop's next turn."""
    senders: Senders
    vouched: VouchedDevices

    @property
    def config(self) -> Hl7Config:
        """In force."""

    def is_clone(self, session: Session) -> bool:
        """Whether several addresses with one certificate speak too often in turns."""

    def brakes(self, session: Session, control_id: str) -> bool:
        """Whether a message has to wait, because its sender repeats too much."""

    def next_id(self) -> str:
        """MSH-10 of an answer."""

    def left(self, session: Session, reason: str) -> None:
        """A session ended."""


class Session:
    """See the module; a StreamSession, and a LiveSession that admission can kill."""

    def __init__(self, peer: str, wire: Wire, hub: Shared) -> None:
        self.peer = peer
        self.device = Device("")
        self._wire = wire
        self._hub = hub
        self._ports = hub.ports
        self._framer = Framer(hub.config.message_size_bytes_max)
        self._inbox: deque[Frame | Broken] = deque()
        self._slots: deque[_Slot] = deque()
        self._reading: _Reading | None = None
        self._turn_due = False
        self._is_paused = False
        self._peer_reads = True
        self._awaits_journal = False
        self._braked = False
        self._stopping = False
        self._over = False
        self._faults = 0
        self._foreign = 0
        self._frame_since: float | None = None

    @property
    def host(self) -> str:
        """The peer's address without its port."""
        return self.peer.rpartition(":")[0]

    # What the connection says

    def receive(self, data: bytes) -> None:
        """Bytes of the stream."""
        if self._over or self._hub.is_clone(self):
            return
        found = self._framer.feed(data)
        self._inbox.extend(found)
        if not self._framer.inside:
            self._frame_since = None
        elif found or self._frame_since is None:
            self._frame_since = self._ports.clock.monotonic()
        if not self._turn_due:
            self._turn()

    def peer_reads(self, *, reads: bool) -> None:
        """Whether the sender takes its answers."""
        self._peer_reads = reads
        self._go_on()

    def lost(self) -> None:
        """The connection has ended."""
        self._end("link_lost")

    # What driver and identity service say

    def stop(self) -> None:
        """Take nothing more, answer what waits for the journal, close."""
        self._stopping = True
        self._inbox.clear()
        if self._reading is not None:
            self._slots.remove(self._reading.slot)
            self._reading = None
        self._go_on()

    def kill(self, reason: str) -> None:
        """Drop the connection now; idempotent."""
        self._end(reason)
        self._wire.abort()

    def use_tap(self, tap: Tap | None) -> Tapped:
        """See :class:`gateway.domain.ports.Tappable`."""
        return self._wire.use_tap(tap)

    def tick(self, now_s: float) -> None:
        """Once a second: brakes are tried, and a message that does not end is given up."""
        if self._over:
            return
        if self._braked:
            self._braked = False
            self._go_on()
        if self._frame_since is None or self._is_paused:
            self._frame_since = now_s if self._framer.inside else None
        elif now_s - self._frame_since > self._hub.config.frame_timeout_s:
            self._ports.counters.add("malformed", NAME, "timeout")
            self.kill("timeout")

    # One step a turn

    def _turn(self) -> None:
        self._turn_due = False
        if self._over:
            return
        if self._may_work():
            if self._reading is not None:
                self._step(self._reading)
            elif self._inbox:
                self._take(self._inbox.popleft())
        self._go_on()

    def _may_work(self) -> bool:
        return (
            not self._braked
            and not self._stopping
            and self._peer_reads
            and self._ports.sink.writable()
            and len(self._slots) <= self._hub.config.pending_max
        )

    def _go_on(self) -> None:
        """Have the next turn, read or don't, close or don't, as things stand."""
        if self._over:
            return
        has_work, may_work = bool(self._inbox) or self._reading is not None, self._may_work()
        if has_work and may_work and not self._turn_due:
            self._turn_due = True
            self._hub.soon(self._turn)
        if not self._ports.sink.writable() and not self._awaits_journal:
            self._awaits_journal = True
            self._ports.sink.when_writable(self._journal_is_back)
        pause = has_work or not may_work or len(self._slots) >= self._hub.config.pending_max
        if pause is not self._is_paused:
            self._is_paused = pause
            (self._wire.pause_reading if pause else self._wire.resume_reading)()
        if self._stopping and not self._slots:
            self._wire.close()

    def _journal_is_back(self) -> None:
        self._awaits_journal = False
        self._go_on()

    # One message

    def _take(self, item: Frame | Broken) -> None:
        if isinstance(item, Broken):
            header, _ = read_header(item.head)
            self._refuse(self._slot(header), item.reason, item.head)
            return
        header, wrong = read_header(item.content)
        wrong = wrong or self._unwelcome(header)
        if not wrong and self._hub.brakes(self, header.control_id):
            self._braked = True
            self._inbox.appendleft(item)
            return
        slot = self._slot(header)
        if wrong:
            self._refuse(slot, wrong, item.content)
            return
        if header.message_code == "ADT":
            self._take_movements(slot, item.content)
            return
        try:
            zone = self._hub.senders.of(self.device.device_id).zone
            reading = _Reading(_interpreter(item.content, header, zone), slot, item.content)
        except MalformedError as error:
            self._refuse(slot, error.reason, item.content)
            return
        self._reading = reading
        self._step(reading)

    def _take_movements(self, slot: _Slot, content: bytes) -> None:
        """Hand on what an ADT message says; it is short, and read at once."""
        header, device_id = slot.header, self.device.device_id
        try:
            found = one_message(self._hub.senders.of(device_id).feed.read)(content, header)
        except MalformedError as error:
            self._refuse(slot, error.reason, content)
            return
        now_us = self._ports.clock.now_us()
        statements = adt.statements(found, device_id, header.control_id, now_us)
        self._ports.sink.submit(Submission(statements, partial(self._settled, slot)))

    def _unwelcome(self, header: Header) -> str:
        """Why a message is not for us; empty if it is."""
        voice = self._hub.senders.of(self.device.device_id)
        events = self._events(header, voice)
        if not events:
            return UNSUPPORTED_MESSAGE
        if not header.version.startswith("2."):
            return UNSUPPORTED_VERSION
        component = header.encoding.component
        if not voice.is_called(header.application, header.facility, component):
            return RefusalReason.IDENTITY_MISMATCH
        return "" if header.trigger in events else UNSUPPORTED_EVENT

    @staticmethod
    def _events(header: Header, voice: Voice) -> Container[str]:
        """The trigger events that the sender may send of this message; none if not the message."""
        if header.message_code == "ADT" and voice.feed.allowed:
            return adt.KINDS
        if _is_order(header) and voice.orders:
            return (header.trigger,)
        return EVENTS if header.message_code == "ORU" else ()

    def _step(self, reading: _Reading) -> None:
        try:
            if not _read_on(reading.interpreter):
                return
            self._reading = None
            self._submit(reading)
        except (MalformedError, RefusedError) as error:
            self._reading = None
            self._refuse(reading.slot, error.reason, reading.content)

    def _submit(self, reading: _Reading) -> None:
        """Hand a message's records on.

        Raises:
            MalformedError, RefusedError: it can't be read, or speaks for a device that is none of
                its sender's.
        """
        hub, device = self._hub, self.device
        voice = hub.senders.of(device.device_id)
        if isinstance(reading.interpreter, OrderInterpreter):
            self._order(reading, reading.interpreter, voice)
            return
        absent = 0

        def whose(equipment: tuple[str, ...]) -> Whose | None:
            nonlocal absent
            found = voice.whose(equipment, device, hub.vouched)
            absent += found is None
            return found

        finish = one_message(reading.interpreter.finish)
        done = finish(whose, self._ports.clock.now_us())
        if absent and not done.records:
            # Audited already: nothing of it is of a device that is let in.
            self._answer(reading.slot, acknowledgement.UNKNOWN_KEY)
            return
        for reason in done.left_out:
            self._ports.counters.add("malformed", NAME, reason)
        for reason in set(done.left_out):
            self._ports.aside.keep(device.device_id, NAME, reason, reading.content)
        self._ports.sink.submit(Submission(done.records, partial(self._settled, reading.slot)))

    def _order(self, reading: _Reading, interpreter: OrderInterpreter, voice: Voice) -> None:
        """Hand what was ordered on: to the gateway, and to no pump."""
        told_by = self.device.device_id
        told = one_message(interpreter.finish)(
            voice.pump_of,
            told_by,
            Provenance(NAME, Attestation.BROKER, told_by),
            self._ports.clock.now_us(),
        )
        for reason in interpreter.left_out:
            self._ports.counters.add("malformed", NAME, reason)
        self._ports.sink.submit(Submission(told, partial(self._settled, reading.slot)))

    def _settled(self, slot: _Slot, outcome: Outcome) -> None:
        if outcome is Outcome.COMMITTED:
            self._faults = 0
            self._ports.counters.add("acknowledged", NAME)
            self._answer(slot, None)
        else:
            self._answer(slot, acknowledgement.NOT_STORED)
        self._go_on()

    # Answers

    def _slot(self, header: Header) -> _Slot:
        slot = _Slot(header)
        self._slots.append(slot)
        return slot

    def _refuse(self, slot: _Slot, reason: str, content: bytes) -> None:
        """Answer what can't be taken over, keep a sample, and remember that it happened."""
        if reason == RefusalReason.IDENTITY_MISMATCH:
            self._foreign += 1
            self._ports.admission.refuse(reason, NAME, self.peer, self.device.device_id)
        else:
            self._faults += 1
            if slot.header.message_code in ANSWERS:
                reason = UNEXPECTED_ANSWER
            self._ports.counters.add("malformed", NAME, reason)
            self._ports.aside.keep(self.device.device_id, NAME, reason, content)
        if reason == UNEXPECTED_ANSWER:
            slot.answer = b""
            self._flush()
        else:
            self._answer(slot, PROBLEMS.get(reason, acknowledgement.SEQUENCE))
        if self._faults >= FAULTS_MAX or self._foreign >= FOREIGN_MAX:
            self.stop()

    def _answer(self, slot: _Slot, problem: Problem | None) -> None:
        now_us = self._ports.clock.now_us()
        slot.answer = acknowledgement.answers(slot.header, problem, now_us, self._hub.next_id())
        self._flush()

    def _flush(self) -> None:
        """Write what is answered, up to the first message that is not."""
        while self._slots and (answer := self._slots[0].answer) is not None:
            self._slots.popleft()
            if answer and not self._over:
                self._wire.send(answer)

    def _end(self, reason: str) -> None:
        if self._over:
            return
        self._over = True
        if self._framer.inside:
            self._ports.counters.add("malformed", NAME, "truncated")
        self._inbox.clear()
        self._reading = None
        self._hub.left(self, reason)
