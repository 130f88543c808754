"""Class and level of every record (GB/T 39725-2020), as ``docs/classification.md`` explains.

Rules: a record has the label of its highest member; at equal levels the class that tells more
about a person wins; a device's id is a member of its own (level 3: with the bed plan it
re-identifies); free text identifies (level 4); an unknown code is unlabelled (level 4).
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.domain.labels import DataClass, Label
from gateway.domain.records import Alarm, AlarmSource, DeviceStatus, Gap, InventoryEvent, Report
from gateway.domain.terms import DEVICE_ALARM, metric

EQUIPMENT = Label(DataClass.HEALTH_RESOURCES, 3)
"""A device's id: it names equipment, and through the bed plan a person."""
NOBODY = Label(DataClass.HEALTH_RESOURCES, 2)
"""About the gateway alone."""
STAFF = Label(DataClass.PERSONAL_ATTRIBUTES, 4)
"""A badge names the person who carried it."""
TEXT = Label(DataClass.MEDICAL_APPLICATION, 4)
OWN_WORDS = Label(DataClass.HEALTH_RESOURCES, 4)
"""A device's last words: free text, about equipment."""

# At equal levels the first of these is the label: it tells more about a person.
_PRECEDENCE = {
    data_class: len(DataClass) - place
    for place, data_class in enumerate(
        (
            DataClass.PERSONAL_ATTRIBUTES,
            DataClass.HEALTH_STATUS,
            DataClass.MEDICAL_APPLICATION,
            DataClass.MEDICAL_PAYMENT,
            DataClass.PUBLIC_HEALTH,
            DataClass.HEALTH_RESOURCES,
        )
    )
}


def highest(labels: Iterable[Label]) -> Label:
    """The label of a combination; it has at least one member."""
    return max(labels, key=lambda label: (label.level, _PRECEDENCE[label.data_class]))


def of_codes(codes: Iterable[int]) -> Label:
    """The label of one device's metrics."""
    return highest((EQUIPMENT, *(metric(code).label for code in codes)))


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


def of_report(report: Report, numeric: Label) -> Label:
    """The label of a report whose numeric codes have the label ``numeric``."""
    labels = [numeric]
    labels += (metric(e.code).label for e in report.enumerations)
    labels += (metric(w.code).label for w in report.waveforms)
    for text in report.texts:
        labels += (TEXT, metric(text.code).label)
    return highest(labels)


def of_alarm(alarm: Alarm) -> Label:
    """The label of the values that caused it, and of the phrase that a device has for it.

    A text that the gateway wrote says no more than the values beside it.
    """
    if alarm.source is AlarmSource.DEVICE:
        return of_codes((*alarm.codes, DEVICE_ALARM))
    return of_codes(alarm.codes)


def of_other(record: DeviceStatus | InventoryEvent | Gap) -> Label:
    """Everything that carries no metrics."""
    if isinstance(record, DeviceStatus):
        return OWN_WORDS if record.detail else EQUIPMENT
    if isinstance(record, InventoryEvent):
        return STAFF if record.badge else EQUIPMENT
    return EQUIPMENT if record.device_id else NOBODY
