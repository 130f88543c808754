"""Puts the books into the pipeline: what is said comes in, associations and their records go out.

Rules:

- What is said is kept (state space ``association``) in the commit of what follows from it. The book
  is derived from it again after a restart, and nothing is told twice.
- An association's record has the next revision of this gateway, which is kept, too.
- While anything is in quarantine, an alarm condition of the gateway's own stands: somebody on site
  has to resolve it. It names no bed and nobody.
- Whose a report is costs one look-up as long as its bed has the patient that it had.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.association import devices, events
from gateway.association.book import Book, Change, conflicts
from gateway.association.config import AssociationConfig, PatientIds
from gateway.association.devices import Devices, Placement
from gateway.association.events import Bed, Event, Kind
from gateway.association.occupancy import State
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError
from gateway.domain.movements import PatientMovement
from gateway.domain.ports import Counters, StateView
from gateway.domain.records import (
    Alarm,
    AlarmKind,
    AlarmPriority,
    AlarmSource,
    AssociationChange,
    AssociationState,
    AssociationSubject,
    Attestation,
    Provenance,
    Report,
    Whose,
)
from gateway.domain.statements import Statement
from gateway.pipeline.alarms.state import Cause, Context
from gateway.pipeline.interpreters import Findings

_log = logging.getLogger(__name__)

SPACE: Final = "association"
NAMING: Final = "naming"
REVISION: Final = "revision"
NAMING_BYTES: Final = 16
TIDY_S: Final = 60.0
"""Between two looks at what has passed the horizon."""
ONSET_AGO_US_MAX: Final = 86_400_000_000
"""An alarm that its device says began longer ago, or later than it came, has the device's clock."""
CONDITION: Final = "association_quarantined"
CODE_MALFUNCTION: Final = 196678
"""MDC_EVT_MALF, as of everything that the gateway says of itself."""
BEDS_REMEMBERED_MAX: Final = 65_536
_NEVER: Final = (1, 0, Whose("", ""))
_GATEWAY: Final = Provenance("gateway", Attestation.GATEWAY)


class Said(Statement, frozen=True, kw_only=True):
    """What a person on site says, all of it or nothing."""

    events: tuple[Event, ...] = ()
    placements: tuple[Placement, ...] = ()


class Associator:
    """An interpreter of the intake's, and what tells it whose reports are.

    Args:
        config: checked.
        own_id: the gateway's.
        random_bytes: as :func:`os.urandom`, once, for the key that names associations.
        device_of: the registry.
        counters: as declared in :mod:`gateway.telemetry`.
    """

    takes = (PatientMovement, Said)
    conditions = frozenset((CONDITION,))
    spaces = frozenset((SPACE,))

    def __init__(
        self,
        config: AssociationConfig,
        own_id: str,
        random_bytes: Callable[[int], bytes],
        device_of: Callable[[str], Device | None],
        counters: Counters,
    ) -> None:
        self._own_id = own_id
        self._device_of = device_of
        self._counters = counters
        self._events_max = config.events_max
        self._secret = random_bytes(NAMING_BYTES)
        self._secret_kept = False
        self._revision = 0
        self._tidied = 0.0
        self._in_doubt: bool | None = None
        self.follow(config)
        self._open()

    def _open(self) -> None:
        self.book = Book(self._secret, self._events_max)
        self.devices = Devices(self._secret, self._events_max)
        self._known: dict[tuple[str, str], tuple[int, int, Whose]] = {}
        """By bed: who was there, from when to when, as it was last asked for."""

    def follow(self, config: AssociationConfig) -> None:
        """Go on under a changed configuration; ``events_max`` stays as it is."""
        self._config = config
        self._on_records = config.patient_ids is PatientIds.RECORDS
        self._known = {}

    def registry(self, device_id: str) -> Device | None:
        """What the registry says of a device."""
        return self._device_of(device_id)

    # Whose it is

    def of(self, report: Report, at_us: int) -> Whose:
        """Where the device stood at a time, and who was there."""
        ward, bed = report.ward, report.bed
        if self.devices:
            stood = self.devices.at(report.device_id, at_us)
            if stood is not None:
                ward, bed = stood
        from_us, to_us, whose = self._known.get((ward, bed), _NEVER)
        if from_us <= at_us < to_us:
            return whose
        return self._look(ward, bed, at_us)

    def of_alarm(self, alarm: Alarm) -> Alarm:
        """The alarm, with whose it was when it began."""
        if alarm.device_id == self._own_id:
            return alarm
        began_us = alarm.onset_us
        if not 0 <= alarm.at_us - began_us <= ONSET_AGO_US_MAX:
            began_us = alarm.at_us
        device = self._device_of(alarm.device_id)
        ward = alarm.ward or (device.ward if device is not None else "")
        stood = self.devices.at(alarm.device_id, began_us)
        whose = self._look(*(stood if stood is not None else (ward, alarm.bed)), began_us)
        return msgspec.structs.replace(
            alarm,
            ward=whose.ward,
            bed=whose.bed,
            patient_id=whose.patient_id,
            association_id=whose.association_id,
            association_state=AssociationState(whose.state),
        )

    def _look(self, ward: str, bed: str, at_us: int) -> Whose:
        """Who was in a bed at a time, to be remembered for what comes next from there."""
        from_us, to_us, span = self.book.around(ward, bed, at_us)
        if span is None:
            whose = Whose(ward, bed)
        elif span.state is State.QUARANTINED:
            whose = Whose(ward, bed, state=int(AssociationState.QUARANTINED))
        else:
            patient = span.patient if self._on_records else ""
            current = int(AssociationState.CURRENT)
            whose = Whose(ward, bed, patient, span.association_id, current)
        if len(self._known) >= BEDS_REMEMBERED_MAX:
            self._known.clear()
        self._known[ward, bed] = from_us, to_us, whose
        return whose

    # What is said

    def interpret(self, statement: PatientMovement | Said, mono: float, found: Findings) -> None:
        """Take what was said; said again it is no news."""
        del mono
        self._keep_secret(found)
        self._known.clear()
        if isinstance(statement, Said):
            said, placements, word = statement.events, statement.placements, "person"
        else:
            said, placements, word = (_event(statement),), (), "adt"
        self._take(said, statement, word, found)
        placed = self.devices.place(*placements)
        for each in placements:
            found.delta(SPACE, f"d/{each.key}", devices.pack(each))
        self._forget("d", placed.forgotten, found)
        for change in placed.changes:
            self._tell(change, placements[0].device_id, "place", statement, found)
        if found.records:
            found.delta(SPACE, REVISION, str(self._revision).encode())
        self._show(statement.received_us, found)

    def _take(
        self, said: tuple[Event, ...], statement: Statement, word: str, found: Findings
    ) -> None:
        if not said:
            return
        by = statement.provenance.attested_by or statement.device_id
        noted = [
            msgspec.structs.replace(each, by=by, noted_us=statement.received_us) for each in said
        ]
        added = self.book.add(*noted)
        self._counters.add("association_events", word, "new" if added.is_new else "repeat")
        if not added.is_new:
            return
        for each in noted:
            found.delta(SPACE, f"e/{each.key}", events.pack(each))
        self._forget("e", added.forgotten, found)
        cause = noted[0].kind.name.lower()
        for change in added.changes:
            self._tell(change, "", cause, statement, found)

    def _tell(
        self, change: Change, device_id: str, cause: str, statement: Statement, found: Findings
    ) -> None:
        """Make the record of an association as it is from now on."""
        span = change.span
        self._revision += 1
        nowhere = self._config.patient_ids is PatientIds.NOWHERE
        found.record(
            AssociationChange(
                association_id=span.association_id,
                subject=AssociationSubject.DEVICE if device_id else AssociationSubject.BED,
                provenance=_by(statement),
                device_id=device_id,
                ward=span.bed.ward,
                bed=span.bed.bed,
                patient_id="" if nowhere else span.patient,
                from_us=span.from_us,
                to_us=0 if span.is_open else span.to_us,
                state=AssociationState(int(span.state)),
                reason=span.doubt,
                cause=cause,
                revision=self._revision,
                at_us=statement.received_us,
            )
        )

    def _forget(self, kind: str, keys: list[str], found: Findings) -> None:
        for key in keys:
            found.delta(SPACE, f"{kind}/{key}", None)
        if keys:
            self._counters.add("association_forgotten", n=len(keys))

    def _keep_secret(self, found: Findings) -> None:
        if not self._secret_kept:
            self._secret_kept = True
            found.delta(SPACE, NAMING, self._secret)

    # Time and state

    def tick(self, at_us: int, mono: float, found: Findings) -> None:
        """Forget what has passed the horizon."""
        if self._in_doubt is None:
            self._show(at_us, found, mono)
        if mono - self._tidied < TIDY_S:
            return
        self._tidied = mono
        self._known.clear()
        before_us = at_us - self._config.horizon_us
        self._forget("e", self.book.forget(before_us), found)
        self._forget("d", self.devices.forget(before_us), found)
        self._show(at_us, found, mono)

    def _show(self, at_us: int, found: Findings, mono: float = 0.0) -> None:
        waiting = conflicts(self.book)
        self._counters.set("association_quarantined", len(waiting))
        in_doubt = bool(waiting)
        if in_doubt == self._in_doubt:
            return
        self._in_doubt = in_doubt
        cause = Cause(
            CONDITION,
            CODE_MALFUNCTION,
            AlarmKind.ADVISORY,
            AlarmSource.GATEWAY,
            AlarmPriority.LOW,
            "Who lies in a bed can't be told: wardgate association list --conflicts",
        )
        context = Context(self._own_id, "", _GATEWAY, at_us, mono)
        found.condition(context, cause, active=in_doubt)

    def value_of(self, space: str, key: str) -> bytes | None:
        """A piece of state as it is now."""
        del space
        kind, _, name = key.partition("/")
        if key == NAMING:
            return self._secret
        if key == REVISION:
            return str(self._revision).encode()
        if kind == "e":
            event = self.book.get(name)
            return None if event is None else events.pack(event)
        placement = self.devices.get(name)
        return None if placement is None else devices.pack(placement)

    def is_kept(self, device_id: str, view: StateView) -> bool:
        """Whether everything that was said of a device's place is on disk."""
        keys = self.devices.keys_of(device_id)
        return all(view.get(SPACE, f"d/{key}") is not None for key in keys)

    def restore(self, view: StateView, mono: float) -> None:
        """Take over what was committed."""
        del mono
        items = view.items(SPACE)
        if NAMING in items:
            self._secret, self._secret_kept = items[NAMING], True
            self._open()
        self._revision = int(items.get(REVISION, b"0"))
        said: list[Event] = []
        placements: list[Placement] = []
        for key, value in items.items():
            try:
                if key.startswith("e/"):
                    said.append(events.unpack(value))
                elif key.startswith("d/"):
                    placements.append(devices.unpack(value))
            except MalformedError:
                _log.error("an event of an association can't be read, and is left out")
        self._known.clear()
        self.book.restore(said)
        self.devices.restore(placements)


def _by(statement: Statement) -> Provenance:
    """Who said it, by name."""
    source = statement.provenance
    return Provenance(source.driver, source.attestation, source.attested_by or statement.device_id)


def _event(told: PatientMovement) -> Event:
    return Event(
        Kind(int(told.kind)),
        told.patient,
        told.occurred_us,
        told.recorded_us,
        Bed(told.ward, told.bed) if told.bed else events.NOWHERE,
        Bed(told.prior_ward, told.prior_bed) if told.prior_bed else events.NOWHERE,
        told.visit,
        told.other,
    )
