"""Class and level of every record (GB/T 39725-2020), as ``docs/classification.md`` explains.

Rules: a record has the label of its highest member; at equal levels the class that tells more
about a person wins. Members are its metrics; its device's id (with the bed plan it re-identifies),
place and address; the patient's identifier, and the name of their time in the bed; free text,
waveforms and badges, whatever their metric; and what its device's ward, kind and tags add. An
unknown code is unlabelled (level 4). Which label each member has is the hospital's
:class:`~gateway.pipeline.classification.Classification`.

What a device says while it is held (:mod:`gateway.network.holds`) is of level ``HELD``, whatever
it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import lru_cache

from gateway.domain.devices import Device
from gateway.domain.labels import HELD, Label
from gateway.domain.records import (
    Alarm,
    AlarmNotification,
    AlarmSource,
    AssociationChange,
    Attestation,
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
from gateway.domain.terms import DEVICE_ALARM, DRUG_NAME, PROGRAMMED_RATE, VOLUME_TO_BE_INFUSED
from gateway.pipeline.classification import DEFAULTS, NOBODY, Classification, highest

_Other = (
    DeviceStatus
    | InventoryEvent
    | CabinetEvent
    | Gap
    | AlarmNotification
    | AssociationChange
    | InfusionOrder
    | GatewayClock
    | LinkState
)
ORDER = (DRUG_NAME, PROGRAMMED_RATE, VOLUME_TO_BE_INFUSED)
"""What an infusion order tells, by the metrics of which a pump tells the same."""
DeviceOf = Callable[[str], Device | None]
"""What the registry tells of a device; None when it tells nothing."""


def nobody(_device_id: str) -> Device | None:
    """A registry that tells nothing."""
    return None


def codes_used(report: Report) -> tuple[int, ...]:
    """Every metric of a report, for its section's dictionary."""
    if not (report.enumerations or report.texts or report.waveforms):
        return report.codes
    return (
        *report.codes,
        *(e.code for e in report.enumerations),
        *(t.code for t in report.texts),
        *(w.code for w in report.waveforms),
    )


class Labels:
    """Labels records by one classification; build a new one when it changes."""

    def __init__(
        self,
        classification: Classification = DEFAULTS,
        device_of: DeviceOf = nobody,
        own_id: str = "",
        held: Collection[str] = (),
    ) -> None:
        """Look at what there is to look at per record.

        Args:
            classification: what each member has.
            device_of: the registry.
            own_id: the gateway's own id, by which it tells of itself: it lies in no ward.
            held: devices in quarantine, as they are at any time.
        """
        self.held = held
        self._own_id = own_id
        self.classification = told = classification
        self._device_of = device_of
        self._metric = told.metric
        self._registered = bool(told.wards or told.device_kinds)
        self._registered |= (told.unknown_ward or told.unknown_device_kind) is not None
        self._by_place = highest((told.device_ids, told.places)) != told.device_ids
        self._by_association = highest((told.device_ids, told.associations)) != told.device_ids
        self._by_address = highest((told.device_ids, told.addresses)) != told.device_ids
        self.associates = bool(
            self._registered or told.tagged or self._by_place or self._by_address
        )
        """Whether a record's label depends on more than its content; the defaults don't."""

    def of_codes(self, codes: Iterable[int]) -> Label:
        """The label of one device's metrics."""
        return highest((self.classification.device_ids, *map(self._metric, codes)))

    def of_report(self, report: Report, numeric: Label) -> Label:
        """The label of a report whose numeric codes have the label ``numeric``."""
        label = numeric
        if report.enumerations or report.texts or report.waveforms:
            labels = [numeric]
            labels += (self._metric(e.code) for e in report.enumerations)
            if report.waveforms:
                labels.append(self.classification.waveforms)
            labels += (self._metric(w.code) for w in report.waveforms)
            for text in report.texts:
                labels += (self.classification.free_text, self._metric(text.code))
            label = highest(labels)
        if self.associates or self.held:
            label = self._associated(
                label, report.device_id, report.bed, report.provenance.attested_by
            )
        if report.association_id or report.patient_id:
            label = self.of_whose(label, report.ward, report.patient_id)
        return label

    def of_whose(self, label: Label, ward: str, patient_id: str) -> Label:
        """The label of a record that names an association in a ward, and perhaps a patient."""
        told = self.classification
        if self._by_association:
            label = _higher(label, told.associations)
        if told.wards and ward in told.wards:  # where the patient is; the device may be elsewhere's
            label = _higher(label, told.wards[ward])
        return _higher(label, told.patients) if patient_id else label

    def of_alarm(self, alarm: Alarm) -> Label:
        """The label of the values that caused it, and of the phrase that a device has for it.

        A text that the gateway wrote says no more than the values beside it.
        """
        said = (DEVICE_ALARM,) if alarm.source is AlarmSource.DEVICE else ()
        label = self.of_codes((*alarm.codes, *said))
        if alarm.association_id or alarm.patient_id:
            label = self.of_whose(label, alarm.ward, alarm.patient_id)
        if self.is_own(alarm):
            return label
        return self._associated(label, alarm.device_id, alarm.bed, alarm.provenance.attested_by)

    def is_own(self, record: Record) -> bool:
        """Whether the gateway tells of itself, not of a device."""
        return (
            isinstance(record, Alarm)
            and record.device_id == self._own_id
            and record.provenance.attestation is Attestation.GATEWAY
        )

    def of_other(self, record: _Other) -> Label:
        """Everything that carries no metrics."""
        told = self.classification
        if isinstance(record, Gap | GatewayClock):
            return self._of_itself(record)
        attested_by = record.provenance.attested_by
        if isinstance(record, AssociationChange):
            label = highest((told.associations, told.places))
            label = self.of_whose(label, record.ward, record.patient_id)
            if not record.ward and told.unknown_ward is not None:
                label = _higher(label, told.unknown_ward)
            if record.device_id:
                label = _higher(label, told.device_ids)
            return self._associated(label, record.device_id, record.bed, attested_by)
        if isinstance(record, DeviceStatus):
            said = (told.own_words,) if record.detail else ()
            label = highest((NOBODY, told.device_ids, *said))
            return self._associated(label, record.device_id, "", attested_by)
        if isinstance(record, AlarmNotification | InfusionOrder):
            if isinstance(record, InfusionOrder):
                members = (told.free_text, *map(self._metric, ORDER))
            else:
                members = (NOBODY, *((told.badges,) if record.by else ()))
            label = highest((told.device_ids, *members))
            return self._associated(label, record.device_id, record.bed, attested_by)
        if isinstance(record, LinkState):
            label = highest((NOBODY, told.device_ids, *self._of_link(record)))
        else:
            label = highest((NOBODY, told.device_ids, told.places, *self._of_cabinet(record)))
        return self._associated(label, record.device_id, "", attested_by)

    def _of_link(self, record: LinkState) -> Iterable[Label]:
        """A cell is a place, and so is a zone."""
        if record.cell or record.zones:
            yield self.classification.places

    def _of_cabinet(self, record: InventoryEvent | CabinetEvent) -> Iterable[Label]:
        """Who was at a cabinet, and what they wrote."""
        told = self.classification
        if record.badges or (isinstance(record, InventoryEvent) and record.badge):
            yield told.badges
        if isinstance(record, CabinetEvent) and record.reason:
            yield told.free_text

    def _of_itself(self, record: Gap | GatewayClock) -> Label:
        """What the gateway tells of itself: it lies in no ward, but a device of a Gap may."""
        if not record.device_id:
            return NOBODY
        label = highest((NOBODY, self.classification.device_ids))
        if isinstance(record, GatewayClock):
            return label
        return self._associated(label, record.device_id, "", "")

    def of_ward(self, device: Device | None) -> Label | None:
        """What a device's ward adds."""
        told = self.classification
        if device is None or not device.ward:
            return told.unknown_ward
        return told.wards.get(device.ward)

    def of_kind(self, device: Device | None) -> Label | None:
        """What a device's kind adds."""
        told = self.classification
        if device is None or not device.kind:
            return told.unknown_device_kind
        return told.device_kinds.get(device.kind)

    def device(self, device_id: str) -> Device | None:
        """What the registry tells of a device."""
        return self._device_of(device_id)

    def _associated(self, label: Label, device_id: str, place: str, address: str) -> Label:
        """The label of a record with what its device adds."""
        if self.held and device_id in self.held:
            return Label(label.data_class, HELD)
        if not self.associates or not device_id:
            return label
        told = self.classification
        if self._registered:
            device = self._device_of(device_id)
            for added in (self.of_ward(device), self.of_kind(device)):
                if added is not None:
                    label = _higher(label, added)
        added = told.tagged.get(device_id)
        if added is not None:
            label = _higher(label, added)
        if place and self._by_place:
            label = _higher(label, told.places)
        if address and self._by_address:
            label = _higher(label, told.addresses)
        return label


DEFAULT_LABELS = Labels()


@lru_cache(maxsize=1024)
def _higher(one: Label, other: Label) -> Label:
    """There are thirty labels, hence 900 pairs."""
    return highest((one, other))
