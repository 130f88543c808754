"""What a record's label is the highest of, member by member: for people, one record at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, assert_never

from gateway.domain.labels import Label
from gateway.domain.records import (
    Alarm,
    AlarmNotification,
    AlarmSource,
    AssociationChange,
    CabinetEvent,
    DeviceStatus,
    Gap,
    GatewayClock,
    InfusionOrder,
    InventoryEvent,
    LinkState,
    Record,
    Report,
)
from gateway.domain.terms import DEVICE_ALARM, metric
from gateway.pipeline.classification import NOBODY, highest
from gateway.pipeline.label import ORDER, Labels


class Member(NamedTuple):
    """Something that a record says, without what it says of it."""

    what: str
    label: Label


def members(record: Record, labels: Labels) -> list[Member]:
    """Every member; the highest of their labels is what :class:`Labels` gives the record."""
    found = list(_content(record, labels))
    if record.device_id and not labels.is_own(record):
        found += _device(record.device_id, labels)
    return found


def deciding(found: list[Member]) -> list[Member]:
    """Those whose label is the record's."""
    whole = highest(member.label for member in found)
    return [member for member in found if member.label == whole]


def _content(record: Record, labels: Labels) -> Iterator[Member]:  # noqa: C901  # a case each
    told = labels.classification
    yield from _at("the device's id", record.device_id, told.device_ids)
    match record:
        case Report():
            yield from _metrics(record.codes, labels)
            yield from _metrics((part.code for part in record.enumerations), labels)
            yield from _waveforms(record, labels)
            yield from _texts(record, labels)
            yield from _at("the bed", record.bed, told.places)
            yield from _whose(record, labels)
        case Alarm():
            yield from _metrics(record.codes, labels)
            if record.source is AlarmSource.DEVICE:
                yield Member("the device's phrase for it", told.metric(DEVICE_ALARM))
            yield from _at("the bed", record.bed, told.places)
            yield from _whose(record, labels)
        case DeviceStatus():
            yield Member("that it happened", NOBODY)
            yield from _at("the device's last words", record.detail, told.own_words)
        case InventoryEvent() | CabinetEvent():
            yield from _of_cabinet(record, labels)
        case AlarmNotification():
            yield Member("that it happened", NOBODY)
            yield from _at("the bed", record.bed, told.places)
            yield from _at("who answered", record.by, told.badges)
        case InfusionOrder():
            yield from _metrics(ORDER, labels)
            yield Member("free text (an order's)", told.free_text)
            yield from _at("the bed", record.bed, told.places)
        case Gap() | GatewayClock():
            yield Member("that it happened", NOBODY)
        case LinkState():
            yield Member("that it happened", NOBODY)
            yield from _at("the cell", record.cell, told.places)
            yield from _at("the zones", "".join(record.zones), told.places)
        case AssociationChange():
            yield from _association(record, labels)
        case _:
            assert_never(record)
    if not isinstance(record, Gap):
        vouches = record.provenance.attested_by if record.device_id else ""
        yield from _at("who vouches for the device", vouches, told.addresses)


def _association(record: AssociationChange, labels: Labels) -> Iterator[Member]:
    told = labels.classification
    yield Member("that it is an association", told.associations)
    yield Member("the place", told.places)
    yield from _whose(record, labels)
    if not record.ward and told.unknown_ward is not None:
        yield Member("the ward, which is not told", told.unknown_ward)


def _whose(record: Report | Alarm | AssociationChange, labels: Labels) -> Iterator[Member]:
    told = labels.classification
    named = record.association_id or record.patient_id
    yield from _at("the association's name", named, told.associations)
    if named and record.ward in told.wards:
        yield Member(f"the bed's ward ({record.ward})", told.wards[record.ward])
    yield from _at("the patient's identifier", record.patient_id, told.patients)


def _of_cabinet(record: InventoryEvent | CabinetEvent, labels: Labels) -> Iterator[Member]:
    told = labels.classification
    yield Member("that it happened", NOBODY)
    yield Member("the place", told.places)
    worn = "".join(record.badges)
    if isinstance(record, InventoryEvent):
        worn = record.badge or worn
    else:
        yield from _at("what persons wrote", record.reason, told.free_text)
    yield from _at("a badge", worn, told.badges)


def _metrics(codes: Iterable[int], labels: Labels) -> Iterator[Member]:
    for code in codes:
        yield Member(f"the metric {metric(code).refid}", labels.classification.metric(code))


def _waveforms(report: Report, labels: Labels) -> Iterator[Member]:
    for code in dict.fromkeys(part.code for part in report.waveforms):
        yield Member(f"a waveform ({metric(code).refid})", labels.classification.waveforms)
        yield from _metrics((code,), labels)


def _texts(report: Report, labels: Labels) -> Iterator[Member]:
    for text in report.texts:
        yield Member(f"free text ({metric(text.code).refid})", labels.classification.free_text)
        yield from _metrics((text.code,), labels)


def _at(what: str, said: str, label: Label) -> Iterator[Member]:
    """A member that is there if the record says something."""
    if said:
        yield Member(what, label)


def _device(device_id: str, labels: Labels) -> Iterator[Member]:
    device = labels.device(device_id)
    for what, name, label in (
        ("ward", device.ward if device is not None else "", labels.of_ward(device)),
        ("kind", device.kind if device is not None else "", labels.of_kind(device)),
    ):
        if label is not None:
            told = f" ({name})" if name else ", which the registry does not tell"
            yield Member(f"the device's {what}{told}", label)
    tagged = labels.classification.tagged.get(device_id)
    if tagged is not None:
        yield Member("a tag that the device has", tagged)
