"""Where drivers' submissions become records of the journal: the Sink.

Per submission, in one pass: duplicates are dropped, device time is judged, values are marked,
alarm rules run, every record is labelled and encoded, and all of it is handed to the committer
at once. Rules:

- Alarms go to the alarms lane with the state that they change, the driver's among it; everything
  else (reports, inventory events, device status, gaps) goes to telemetry with the driver's other
  deltas, and waveforms to a lane of their own: a report that has others beside them becomes two
  records with one message id.
- ``done`` is called in the order of submission, after the commit. A submission that repeats a
  message which is still on its way shares that message's fate.
- Records with the same message id, side by side in one submission and each of another type, are
  parts of one message. A second one of the same type is a repeat.
- Statements become records and state by their interpreter
  (:mod:`gateway.pipeline.interpreters`), in the same commit.
- What the journal did not take is told its driver, see :mod:`gateway.pipeline.dispatch`.
- A record that can't be encoded is a driver's fault: it is counted, logged, and stands in the
  journal as a Gap, so that it isn't lost in silence nor redelivered for ever.

``accepted`` counts every device message that was understood, repeats included; ``duplicates``
the repeats; ``not_taken`` those whose commit was refused.
"""

from __future__ import annotations

import logging
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from gateway.domain.labels import Label
from gateway.domain.ports import (
    Clock,
    Counters,
    Said,
    StateView,
    Submission,
)
from gateway.domain.records import (
    Alarm,
    AlarmChange,
    AlarmNotification,
    AlarmPriority,
    AlarmSnapshot,
    AssociationChange,
    Attestation,
    CabinetEvent,
    DeviceState,
    DeviceStatus,
    Gap,
    GatewayClock,
    InfusionOrder,
    InventoryEvent,
    LinkState,
    Quality,
    Record,
    Report,
    TimeMark,
    TimeQuality,
    Whose,
)
from gateway.domain.statements import Statement
from gateway.journal.types import Labelled
from gateway.pipeline import assess, normalise
from gateway.pipeline.alarms.engine import AlarmEngine, Changes
from gateway.pipeline.alarms.outbox import Outbox
from gateway.pipeline.alarms.rules import Readings
from gateway.pipeline.classification import Classification
from gateway.pipeline.config import PipelineConfig
from gateway.pipeline.dispatch import Commits, Dispatch
from gateway.pipeline.duplicates import Duplicates, Verdict
from gateway.pipeline.interpreters import Findings, Interpreter, Interpreters, NotUnderstoodError
from gateway.pipeline.label import DEFAULT_LABELS, Labels, codes_used
from gateway.pipeline.plan import Plans
from gateway.pipeline.seen import Seen, SeenTable
from gateway.pipeline.ticket import Ticket
from gateway.wire.records import encode
from gateway.wire.reports import encode_report
from gateway.wire.waveforms import check_waveforms

_log = logging.getLogger(__name__)

_TIME_QUALITIES = tuple(quality.name.lower() for quality in TimeQuality)
_QUALITIES = {int(quality): quality.name.lower() for quality in Quality}
_OF_ITSELF = (Gap, AlarmNotification, AssociationChange, GatewayClock, LinkState)
"""What the gateway says by itself: no device said it, and none was seen."""
_OWN_WORD = frozenset((Alarm, DeviceStatus))
"""Without an id, a driver's own word on a device or a connection."""
_IN_ALARMS = frozenset((Alarm, AlarmSnapshot, AlarmChange))
_MANY = (InventoryEvent, AlarmChange, Statement)
"""One message may tell of many."""
_UNENCODABLE = (ValueError, TypeError, struct.error)


class Associations(Protocol):
    """Who was where."""

    def of(self, report: Report, at_us: int) -> Whose:
        """Where the device stood at a time, and who was there."""

    def of_alarm(self, alarm: Alarm) -> Alarm:
        """The alarm, with whose it is as far as that is known."""


class Observer(Protocol):
    """Who looks at reports that may be about an infusion (``Plan.infusion``)."""

    def heard(self, report: Report, qualities: tuple[int, ...], whose: Whose) -> None:
        """One was taken; ``qualities`` as the pipeline marked them, ``whose`` where it was."""

    def signed_off(self, device_id: str) -> None:
        """A device was switched off properly."""

    def retired(self, device_id: str) -> None:
        """A device was revoked or retired."""


class Intake:
    """The Sink port.

    Args:
        config: of the pipeline.
        commits: the committer.
        clock: for silence, delays and tick; receive times are the drivers'.
        counters: as declared in :mod:`gateway.telemetry`.
        random_bytes: as :func:`os.urandom`, for alarm ids.
        labels: gives each record its class and level.
        interpreters: of the statements that drivers submit.
    """

    def __init__(
        self,
        config: PipelineConfig,
        commits: Commits,
        clock: Clock,
        counters: Counters,
        random_bytes: Callable[[int], bytes],
        labels: Labels = DEFAULT_LABELS,
        interpreters: Sequence[Interpreter] = (),
    ) -> None:
        self.infusions: Observer | None = None
        self._interpreters = Interpreters(interpreters)
        self.seen = SeenTable(config.devices_max)
        self.duplicates = Duplicates(config.duplicates)
        self.alarms = AlarmEngine(config, random_bytes, self._interpreters.conditions)
        self._labels = labels
        self._associations: Associations | None = None
        self.time = normalise.Clockwork(config.time, clock, config.devices_max)
        self._use(config)
        self._clock = clock
        self._counters = counters
        self._changes = Changes()
        """Untouched: most submissions change no alarm, and use it one after the other."""
        outbox = Outbox(self.alarms, counters, clock.now_us, self._label_of, self._whose_alarm)
        self._dispatch = Dispatch(commits, outbox, self._interpreters, counters)
        self._active: dict[AlarmPriority, int] = {}
        # Counts since the last flush: by driver, by driver, by quality, by time quality.
        self._accepted: Counter[str] = Counter()
        self._repeated: Counter[str] = Counter()
        self._marked: Counter[int] = Counter()
        self._times = [0] * len(TimeQuality)
        self._time_marks: Counter[int] = Counter()
        self._blocks = self._samples = 0

    def _use(self, config: PipelineConfig) -> None:
        self._config = config
        self._goodbyes = frozenset(config.silence.goodbye_reasons)
        self._plans = Plans(config, self._labels)

    # The Sink

    def submit(self, submission: Submission) -> None:
        """Take a submission; see the port."""
        ticket = Ticket(submission.done)
        changes = self._changes
        mono = self._clock.monotonic()
        self.time.steady.glance(mono)
        for record in submission.records:
            if type(record) is Report:
                self._report(record, ticket, changes, mono)
            else:
                self._other(record, ticket, changes, mono)
        if changes:
            self._changes = Changes()
        self._dispatch.send(ticket, changes, submission.deltas, submission.alarm_deltas)

    def writable(self) -> bool:
        """False while the journal is behind."""
        return self._dispatch.commits.writable()

    def when_writable(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` once, soon after ``writable`` becomes true again."""
        self._dispatch.commits.when_writable(resume)

    # What the daemon calls

    def associate(self, associations: Associations) -> None:
        """Say whose reports and alarms are; before any submission."""
        self._associations = associations

    def restore(self, view: StateView, boot_id: str = "") -> None:
        """Take over the alarms and watched devices that were committed; before any submission.

        Args:
            view: what was committed.
            boot_id: of the machine: clocks that were learnt go on while it is the same.
        """
        self.alarms.restore(view, self._clock.monotonic())
        self.time.keeping.restore(view, boot_id)
        self._interpreters.restore(view, self._clock.monotonic())
        self._show_active()

    def follow(self, config: PipelineConfig) -> None:
        """Go on under changed rules; sizes (``duplicates``, ``devices_max``) stay as they are."""
        self._use(config)
        self.time.follow(config.time)
        changes = Changes()
        self.alarms.follow(config, changes)
        if changes:
            self._dispatch.send(Ticket(None), changes, ())

    @property
    def classification(self) -> Classification:
        """What records are labelled by."""
        return self._labels.classification

    def classify(self, labels: Labels) -> None:
        """Go on under a changed classification; it counts from the next record on."""
        self._labels = labels
        self._plans = Plans(self._config, labels)

    def tick(self) -> None:
        """Raise delayed and technical alarms; to be called every 250 ms to 1 s."""
        self.time.steady.look()
        changes, ticket = Changes(), Ticket(None)
        at_us, mono = self._clock.now_us(), self._clock.monotonic()
        self.alarms.tick(at_us, mono, changes)
        if self._interpreters.waits:
            ticket.found, ticket.state = self._interpreters.catch_up(self._labelled_gap)
        self._take(self._interpreters.tick(at_us, mono), ticket, changes)
        clocks = self.time.keeping.due(
            self.time.steady.moment_us(),
            lambda: ((each.device_id, each.clock) for each in self.seen),
            len(self.seen),
        )
        if changes or self._dispatch.waits or ticket.found or ticket.state or clocks:
            self._dispatch.send(ticket, changes, clocks, catch_up=True)
        self.flush()

    def flush(self) -> None:
        """Hand the counts to the counters; tick does so too.

        Counting is per message, a counter's lock need not be.
        """
        add = self._counters.add
        for driver, n in self._accepted.items():
            add("accepted", driver, n=n)
        for driver, n in self._repeated.items():
            add("duplicates", driver, n=n)
        for quality, n in self._marked.items():
            add("marked_values", _QUALITIES.get(quality, "unknown"), n=n)
        for word, n in zip(_TIME_QUALITIES, self._times, strict=True):
            if n:
                add("time_quality", word, n=n)
        for marks, n in self._time_marks.items():
            for mark in TimeMark(marks):
                add("time_marks", (mark.name or "").lower(), n=n)
        self._time_marks.clear()
        if self._blocks:
            add("wave_blocks", n=self._blocks)
            add("wave_samples", n=self._samples)
        self._blocks = self._samples = 0
        for counts in (self._accepted, self._repeated, self._marked):
            counts.clear()
        self._times = [0] * len(TimeQuality)
        self._show_active()

    def retire(self, device_id: str) -> None:
        """End the alarms and the watching of a device that was revoked or retired.

        What was seen of it and its message ids stay, within their bounds: the fleet still tells
        when it was last heard, and what it may repeat once it is back is known.
        """
        changes = Changes()
        self.alarms.sign_off(device_id, self._clock.now_us(), self._clock.monotonic(), changes)
        if self.infusions is not None:
            self.infusions.retired(device_id)
        if changes:
            self._dispatch.send(Ticket(None), changes, ())

    def when_settled(self, done: Callable[[], None]) -> None:
        """Call ``done`` once everything submitted before has its outcome, which comes in order."""
        self._dispatch.when_settled(done)

    # Records

    def _report(  # noqa: C901  # the hot path stays in one piece
        self, report: Report, ticket: Ticket, changes: Changes, mono: float
    ) -> None:
        seen = self.seen.of(report.device_id)
        if self._is_repeat(report, report.provenance.driver, ticket, seen):
            return
        seen.last_us = report.received_us
        if seen.kind != report.kind or seen.bed != report.bed:
            _introduce(seen, report)
        time_quality, offset_us, late, measured = self.time.look(report, seen)
        self._times[time_quality] += 1
        if measured[2]:
            self._time_marks[measured[2]] += 1
        told = self._associations
        whose = _as_it_says(report) if told is None else told.of(report, measured[0])
        if report.waveforms:
            when = time_quality, offset_us, late, measured
            report, left = self._without_waveforms(report, ticket, when, whose)
            if not left:
                self.alarms.heard(report, mono, changes)
                return
        codes, values, qualities = report.codes, report.values, report.qualities
        plan = self._plans.of(report.kind, codes)
        if len(values) != len(codes) or (qualities and len(qualities) != len(codes)):
            self._unusable(report, ticket)
            return
        calm = not late and not qualities and assess.calm(plan, values)
        if not calm:
            qualities = assess.mark(plan, values, qualities, stale=late)
            self._count_marks(qualities, seen)
        if plan.battery >= 0 and (not qualities or qualities[plan.battery] == Quality.VALID):
            seen.battery_percent = values[plan.battery]
        alarms = self.alarms
        alarms.heard(report, mono, changes)
        if not calm or plan.drip is not None or alarms.holds(report.device_id):
            alarms.report(report, plan, Readings(codes, values, qualities), mono, changes)
        if plan.infusion and self.infusions is not None:
            self.infusions.heard(report, qualities, whose)
        try:
            encoded = encode_report(report, time_quality, offset_us, qualities, whose, measured)
        except _UNENCODABLE:
            self._unusable(report, ticket)
            return
        ticket.telemetry.append(self._labelled(report, plan.label, encoded, whose))

    def _without_waveforms(
        self, report: Report, ticket: Ticket, when: normalise.When, whose: Whose
    ) -> tuple[Report, bool]:
        """Put a report's waveforms into their lane; the rest, and whether that says anything."""
        waves = msgspec.structs.replace(
            report, codes=(), values=(), qualities=(), enumerations=(), texts=()
        )
        try:
            check_waveforms(waves.waveforms)
            encoded = encode_report(waves, when[0], when[1], whose=whose, measured=when[3])
        except _UNENCODABLE:
            self._unusable(report, ticket)
            return report, False
        label = self._labels.of_report(waves, self._labels.of_codes(()))
        if whose.state:
            label = self._labels.of_whose(label, whose.ward, whose.patient_id)
        ticket.waves.append(Labelled(label, encoded, codes_used(waves)))
        self._blocks += len(waves.waveforms)
        self._samples += sum(len(each.samples) for each in waves.waveforms)
        left = bool(report.codes or report.enumerations or report.texts)
        return msgspec.structs.replace(report, waveforms=()), left

    def _labelled(self, report: Report, numeric: Label, encoded: bytes, whose: Whose) -> Labelled:
        """Numbers alone have their plan's label, unless their device or patient adds something."""
        if whose.state:
            numeric = self._labels.of_whose(numeric, whose.ward, whose.patient_id)
        if report.enumerations or report.texts:
            label = self._labels.of_report(report, numeric)
            return Labelled(label, encoded, codes_used(report))
        labels = self._labels
        if labels.associates or labels.held:
            numeric = self._labels.of_report(report, numeric)
        return Labelled(numeric, encoded, report.codes)

    def _other(self, record: Said, ticket: Ticket, changes: Changes, mono: float) -> None:
        if isinstance(record, _OF_ITSELF):
            self._put(record, ticket)
            return
        if isinstance(record, Statement) and record.provenance.attestation is Attestation.GATEWAY:
            # A person's word at the gateway: no device said it, and none was seen.
            self._understand(record, ticket, changes, mono)
            return
        driver = record.provenance.driver
        seen = self.seen.of(record.device_id)
        # A driver's own status is no device message, nor what the gateway says to itself.
        from_device = bool(record.message_id) or not _is_own_word(record)
        if from_device and self._is_repeat(record, driver, ticket, seen):
            return
        seen.driver = driver
        if not isinstance(record, Alarm) and from_device:
            seen.last_us = record.received_us
        if isinstance(record, AlarmSnapshot):
            self.alarms.snapshot(record, mono, changes)
        elif isinstance(record, AlarmChange):
            self.alarms.change(record, mono, changes)
        elif isinstance(record, Statement):
            self._understand(record, ticket, changes, mono)
        else:
            if isinstance(record, DeviceStatus):
                self._status(record, seen, changes, mono)
            self._put(record, ticket)

    def _understand(
        self, statement: Statement, ticket: Ticket, changes: Changes, mono: float
    ) -> None:
        try:
            found = self._interpreters.interpret(statement, mono)
        except NotUnderstoodError:
            self._unusable(statement, ticket, "not_understood")
        else:
            self._take(found, ticket, changes)

    def _take(self, found: Findings, ticket: Ticket, changes: Changes) -> None:
        """Put an interpreter's findings on their way."""
        for told in found.conditions:
            self.alarms.condition(told.context, told.cause, changes, active=told.active)
        ticket.state = (*ticket.state, *found.deltas)
        records: list[Labelled] = []
        for record in found.records:
            self._put(record, ticket, records)
        ticket.found = (*ticket.found, *records)

    def _status(self, status: DeviceStatus, seen: Seen, changes: Changes, mono: float) -> None:
        seen.state = status.state
        seen.firmware = status.firmware or seen.firmware
        if status.battery_percent >= 0:
            seen.battery_percent = status.battery_percent
        if status.state is DeviceState.OFFLINE and status.reason in self._goodbyes:
            self.alarms.sign_off(status.device_id, status.received_us, mono, changes)
            if self.infusions is not None:
                self.infusions.signed_off(status.device_id)

    def _put(self, record: Record, ticket: Ticket, into: list[Labelled] | None = None) -> None:
        """Label and encode a record that isn't a report, for telemetry if not for elsewhere."""
        if isinstance(record, Alarm):
            record = self._whose_alarm(record)
        try:
            encoded = encode(record)
        except _UNENCODABLE:
            self._unusable(record, ticket)
            return
        if isinstance(record, Alarm):
            ticket.alarms.append(Labelled(self._label_of(record), encoded, record.codes))
        elif not isinstance(record, Report):
            into = ticket.telemetry if into is None else into
            into.append(Labelled(self._labels.of_other(record), encoded, ()))

    def _labelled_gap(self, gap: Gap) -> Labelled:
        return Labelled(self._labels.of_other(gap), encode(gap), ())

    def _whose_alarm(self, alarm: Alarm) -> Alarm:
        return alarm if self._associations is None else self._associations.of_alarm(alarm)

    def _label_of(self, alarm: Alarm) -> Label:
        return self._labels.of_alarm(alarm)

    def _unusable(self, record: Said, ticket: Ticket, reason: str = "unencodable") -> None:
        driver = "gateway" if isinstance(record, Gap) else record.provenance.driver
        _log.error("driver %s: %s was %s", driver, type(record).__name__, reason)
        self._counters.add("malformed", driver, reason)
        device_id = record.device_id.encode("ascii", "replace").decode()
        gap = Gap(reason=reason, device_id=device_id, reports=1)
        ticket.telemetry.append(self._labelled_gap(gap))

    # Messages

    def _is_repeat(
        self,
        record: Report
        | Alarm
        | InventoryEvent
        | CabinetEvent
        | DeviceStatus
        | InfusionOrder
        | AlarmSnapshot
        | AlarmChange
        | Statement,
        driver: str,
        ticket: Ticket,
        seen: Seen,
    ) -> bool:
        """Take the record's message id; True when its message was seen before."""
        message_id = record.message_id
        in_alarms = type(record) in _IN_ALARMS
        if message_id:
            if message_id == ticket.message_id and record.device_id == ticket.device_id:
                if type(record) not in ticket.kinds:
                    ticket.kinds.append(type(record))
                    if not in_alarms and ticket.claimed:
                        ticket.claims[-1] = (*ticket.claims[-1][:2], False)
                    return ticket.repeat
                if isinstance(record, _MANY) and not ticket.repeat:
                    return False
            else:
                ticket.device_id, ticket.message_id = record.device_id, message_id
            ticket.kinds = [type(record)]
            ticket.claimed = False
            ticket.repeat = self._claim(record.device_id, message_id, in_alarms, driver, ticket)
        self._accepted[driver] += 1
        ticket.messages += 1
        seen.messages += 1
        if message_id and ticket.repeat:
            self._repeated[driver] += 1
            seen.duplicates += 1
            return True
        return False

    def _claim(
        self, device_id: str, message_id: str, in_alarms: bool, driver: str, ticket: Ticket
    ) -> bool:
        place, n = self.duplicates.claim(device_id, message_id)
        verdict = place.take(n, ticket)
        if verdict is Verdict.NEW:
            ticket.claims.append((place, n, in_alarms))
            ticket.claimed = True
            return False
        if verdict is Verdict.BEYOND:
            self._counters.add("beyond_window", driver)
            return False
        original = place.pending.get(n)
        if isinstance(original, Ticket) and original is not ticket:
            ticket.originals.append(original)
        return True

    def _count_marks(self, qualities: Sequence[int], seen: Seen) -> None:
        for quality in qualities:
            if quality != Quality.VALID:
                self._marked[quality] += 1
                seen.marked_values += 1

    def _show_active(self) -> None:
        for priority, count in self.alarms.active.items():
            if self._active.get(priority) != count:
                self._active[priority] = count
                self._counters.set("alarms_active", count, priority.name.lower())


def _is_own_word(record: Said) -> bool:
    if isinstance(record, Statement):
        return record.provenance.attestation is Attestation.GATEWAY
    return type(record) in _OWN_WORD


def _as_it_says(report: Report) -> Whose:
    """Nobody's, where it says that it was: whose it is, no driver says."""
    return Whose(report.ward, report.bed)


def _introduce(seen: Seen, report: Report) -> None:
    seen.kind = report.kind
    seen.bed = report.bed
    seen.driver = report.provenance.driver
    seen.first_us = seen.first_us or report.received_us
