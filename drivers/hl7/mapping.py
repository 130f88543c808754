"""Messages -> records (IHE PCD TF-2: PCD-01, PCD-04, PCD-10, PCD-15).

- A message is an order or several (OBR), each with rows (OBX). A row's device is the equipment
  identity (OBX-18) of the device system (MDS) that contains it by OBX-4; that of a module or a
  channel is the module's. Where no MDS row names one: the value of ``MDC_ATTR_SYS_ID``, else the
  first OBX-18 of that device system, else the sender itself is meant.
- Per device and order: a Report of what has a label, at OBR-7's time; values with a time of their
  own (OBX-14), of unlabelled metrics, and texts stand in reports of their own, since a report has
  one device time and is released as its gravest member is.
- The message id is MSH-10; the further reports of one message and device get ``#2`` and on.
- An alert is a Report, which remembers the message, and what it says of one alarm condition.
- A pump's event (PCD-10) is a Report of kind ``event``: the event is one of its enumerations.
- A pump may name its drug in OBR-4 alone: where no row does, that is its drug.
- Device status (PCD-15) is a Report and a DeviceStatus.
- Who the patient is (PID) is not read. PV1-3 says where, if the registry doesn't.

Interpreting goes in steps (:meth:`Interpreter.step`), so that a long message delays nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, tzinfo
from typing import Final, NamedTuple

from drivers.hl7 import alarms, codec, values
from drivers.hl7.alarms import Alert
from drivers.hl7.codec import Header, Segment
from drivers.hl7.contents import Content, Contents, is_firmware, status_of
from drivers.hl7.metrics import Term
from drivers.hl7.observation import TEXT_CHARACTERS_MAX, Reading, Row, read_row
from drivers.hl7.quirks import quirk_of
from drivers.hl7.sources import active_first
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError
from gateway.domain.ports import Said
from gateway.domain.records import (
    AlarmChange,
    AlarmKind,
    AlarmPhase,
    DeviceAlarm,
    DeviceState,
    DeviceStatus,
    Provenance,
)

OBSERVATIONS, ALERT, EVENT, STATUS = "observations", "alert", "event", "status"
"""Kinds of report."""
POWERED_OFF: Final = "powered_off"
STEP_SEGMENTS: Final = 24
STEP_CHARACTERS: Final = 8192
"""Read in one step: a millisecond or two, up to ten for a long array."""
ORDERS_MAX: Final = 256
PLACE_CHARACTERS_MAX: Final = 64
SYS_ID: Final = frozenset((67972,))
SYS_ID_NAME: Final = "MDC_ATTR_SYS_ID"
KINDS: Final = {"R40": ALERT, "R42": EVENT}
"""By MSH-9.2."""
NO_DRUGS: Final = frozenset(("", "0", "999999"))
"""OBR-4.1 of a pump that was told none."""
OF_INFUSIONS: Final = frozenset((terms.FLOW_RATE, terms.PROGRAMMED_RATE, terms.INFUSING_STATUS))
STATUS_PROFILES: Final = ("IHE_PCD_015", "IHE_PCD_MEMDMC", "IHE_PCD_DMC")
TOO_MANY_ORDERS: Final = "too_many_orders"


class Order(NamedTuple):
    """One OBR with its rows."""

    device_us: int
    rows: list[Row]
    drug: str = ""
    """OBR-4, where it is no term of IEEE 11073."""


class Whose(NamedTuple):
    """Whose rows these are, and how that is known."""

    device: Device
    provenance: Provenance


Resolve = Callable[[tuple[str, ...]], Whose | None]
"""Equipment identity (components of an EI; empty: none was named) -> whose it is; None: leave it
out. It may raise RefusedError: the sender must not speak for that device."""


class Interpreted(NamedTuple):
    """What becomes of a message."""

    records: list[Said]
    left_out: list[str]
    """Why rows were left out, one reason a row."""


class Interpreter:
    """Reads one message in steps, and makes its records.

    Args:
        content: of the frame.
        header: as read, without a fault.
        zone: of the sender's times, where neither they nor MSH-7 name one.

    Raises:
        MalformedError: too many segments.
    """

    def __init__(self, content: bytes, header: Header, zone: tzinfo = UTC) -> None:
        self._header = header
        self._texts = codec.segments(content, header)
        self._at = 1  # the MSH segment is read
        self._zone = values.offset_of(header.time) or zone
        self._reading = Reading(
            self._zone,
            quirk_of(header.application),
            bool(header.processing_id) and header.processing_id.upper() != "P",
        )
        self._orders: list[Order] = []
        self._ward = self._bed = ""

    def step(self, segments: int = STEP_SEGMENTS) -> bool:
        """Read some segments more, at least one; True when all are read.

        Raises:
            MalformedError: a segment breaks the standard.
        """
        characters = 0
        for text in self._texts[self._at : self._at + segments]:
            if characters > STEP_CHARACTERS:
                break
            characters += len(text)
            self._at += 1
            self._read(codec.segment(text, self._header))
        return self._at >= len(self._texts)

    def _read(self, segment: Segment) -> None:
        match segment.name:
            case "OBX":
                if not self._orders:
                    self._orders.append(Order(0, []))
                self._orders[-1].rows.append(read_row(segment, self._reading))
            case "OBR":
                if len(self._orders) >= ORDERS_MAX:
                    raise MalformedError(TOO_MANY_ORDERS)
                when = values.time_us(segment.raw(7), self._zone)
                self._orders.append(Order(when, [], drug_of(segment.components(4))))
            case "PV1":
                place = [each.strip() for each in segment.components(3)[:3]]
                self._ward = place[0][:PLACE_CHARACTERS_MAX]
                self._bed = "-".join(filter(None, place[1:]))[:PLACE_CHARACTERS_MAX]
            case _:
                pass

    def finish(self, whose: Resolve, received_us: int) -> Interpreted:
        """The records of the whole message.

        Raises:
            RefusedError: ``whose`` did.
        """
        done = Interpreted([], [])
        told_us = values.time_us(self._header.time, self._zone)
        numbers: Counter[str] = Counter()
        systems: dict[str, tuple[str, ...]] = {}
        for order in self._orders:
            parts: dict[str, tuple[Whose, list[Row]]] = {}
            for equipment, rows in _by_equipment(order.rows, systems):
                found = whose(equipment)
                if found is not None:
                    parts.setdefault(found.device.device_id, (found, []))[1].extend(rows)
            for found, rows in parts.values():
                teller = _Teller(self, found, numbers, received_us, done)
                teller.tell(rows, order.device_us or told_us, order.drug)
        return done

    @property
    def kind(self) -> str:
        """Of the message's reports."""
        if any(each.startswith(STATUS_PROFILES) for each in self._header.profiles):
            return STATUS
        return KINDS.get(self._header.trigger, OBSERVATIONS)

    @property
    def training(self) -> bool:
        """Whether the message is about nobody."""
        return self._reading.training

    @property
    def control_id(self) -> str:
        """MSH-10."""
        return self._header.control_id

    def place(self, device: Device, rows: Sequence[Row]) -> tuple[str, str]:
        """Bed and ward."""
        told = next((row.ward for row in rows if row.ward), "")
        return device.bed or self._bed, device.ward or told or self._ward


class _Teller:
    """Makes the records of one device and order."""

    def __init__(
        self,
        message: Interpreter,
        whose: Whose,
        numbers: Counter[str],
        received_us: int,
        done: Interpreted,
    ) -> None:
        self._message = message
        self._device, self._provenance = whose
        self._numbers = numbers
        self._received_us = received_us
        self._done = done
        self._place = ("", "")

    def tell(self, rows: list[Row], order_us: int, drug: str) -> None:
        kind = self._message.kind
        self._place = self._message.place(self._device, rows)
        alert = alarms.read_alert(rows) if kind == ALERT else None
        contents = Contents(order_us, self._done.left_out)
        if alert is not None:
            contents.add(alarms.words(rows, alert))
        elif kind == STATUS:
            contents.add([row for row in rows if not is_firmware(row)])  # the status has it
        else:
            contents.add(rows if kind == ALERT else active_first(_with_drug(rows, drug)))
        companions: list[Callable[[str], Said]] = []
        if kind == STATUS:
            companions.append(lambda message_id: self._status(rows, order_us, message_id))
        if alert is not None and alert.phase is not None:
            turned = alert
            companions.append(lambda message_id: self._change(turned, order_us, message_id))
        found = contents.all() or ([Content(order_us)] if companions else [])
        for at, content in enumerate(found):
            message_id = self._next_id()
            self._done.records.append(
                content.report(
                    self._device.device_id,
                    kind,
                    self._provenance,
                    self._received_us,
                    message_id,
                    self._place,
                )
            )
            if at == 0:
                self._done.records.extend(make(message_id) for make in companions)

    def _next_id(self) -> str:
        self._numbers[self._device.device_id] += 1
        number = self._numbers[self._device.device_id]
        control_id = self._message.control_id
        return control_id if number == 1 else f"{control_id}#{number}"

    def _status(self, rows: list[Row], order_us: int, message_id: str) -> DeviceStatus:
        status = status_of(rows)
        off = status.state is DeviceState.OFFLINE
        return DeviceStatus(
            self._device.device_id,
            self._device.kind,
            self._provenance,
            self._received_us,
            status.state,
            POWERED_OFF if off else STATUS,
            order_us,
            status.firmware,
            status.battery_percent,
            message_id,
        )

    def _change(self, alert: Alert, order_us: int, message_id: str) -> AlarmChange:
        training = self._message.training
        return AlarmChange(
            self._device.device_id,
            self._provenance,
            self._received_us,
            DeviceAlarm(
                alert.condition,
                alert.code,
                alert.priority,
                AlarmKind.ADVISORY if training else alert.kind,
                f"demo: {alert.text}" if training else alert.text,
                alert.codes,
                alert.values,
                alert.limit,
            ),
            alert.phase is not AlarmPhase.END,
            order_us,
            self._place[0],
            message_id,
        )


def drug_of(components: tuple[str, ...]) -> str:
    """The drug that an OBR-4 names; empty if it names none, but a device or an alert.

    Infusion pumps have their medication there: ``2222^Dopamine``.
    """
    code, name, system = (*(each.strip() for each in components[:3]), "", "", "")[:3]
    if system == "MDC" or name.startswith("MDC") or code.startswith("MDC") or code in NO_DRUGS:
        return ""
    return name[:TEXT_CHARACTERS_MAX]


def _with_drug(rows: list[Row], drug: str) -> list[Row]:
    """The rows, and the order's drug where they tell of an infusion and name none."""
    codes = {row.code for row in rows}
    if not drug or terms.DRUG_NAME in codes or not codes & OF_INFUSIONS:
        return rows
    named = Term(terms.DRUG_NAME, "MDC_DRUG_NAME_LABEL")
    return [*rows, Row("", named, terms.DRUG_NAME, "text", text=drug)]


def _by_equipment(
    rows: list[Row], systems: dict[str, tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], list[Row]]]:
    """The rows of each device system, with its identity; ``systems`` are those known so far."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.mds, []).append(row)
    for mds, its in found.items():
        named = _equipment(its)
        if named:
            systems[mds] = named
    for mds, its in found.items():
        alone = next(iter(systems.values())) if len(systems) == 1 else ()
        yield systems.get(mds, alone), its


def _equipment(rows: list[Row]) -> tuple[str, ...]:
    """Who a device system is, by its rows."""
    for row in rows:
        if row.is_mds and any(row.equipment):
            return row.equipment
    for row in rows:
        if row.named.code in SYS_ID or row.named.refid == SYS_ID_NAME:
            if row.text:
                return tuple(row.text.split("^"))
            if any(row.equipment):
                return row.equipment
    for row in rows:
        if any(row.equipment):
            return row.equipment
    return ()
