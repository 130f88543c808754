"""Answers of the pump -> records.

- Each answer to LE is a Report: rate in tenths of mL/h, infused volume in thousandths of mL, both
  hexadecimal. What is no number is NaN and INVALID.
- What the bits of alarm and error, and the numbers of the mode mean, is not public. That there is
  an alarm is not kept back for it: anything but zeros is one, with the pump's value in its text.
- The pump has no clock in its answers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Final

from drivers.fresenius.replies import ALARM, ERROR, MODE, RATE, VOLUME
from drivers.infusion import codes
from drivers.infusion.codes import KIND
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    AlarmSnapshot,
    DeviceAlarm,
    Enumeration,
    Provenance,
    Quality,
    Record,
    Report,
    Text,
)

DELIVERY_MODE: Final = terms.code("MDC_DEV_PUMP_PROGRAM_DELIVERY_MODE")
NUMBERS: Final = {RATE: (terms.FLOW_RATE, 10), VOLUME: (terms.VOLUME_INFUSED, 1000)}
"""Letter -> metric, and what its value is divided by."""

_HEX: Final = re.compile(r"[0-9A-Fa-f]{1,8}")


class Mapper:
    """What is remembered of one pump: its drug, and what it says is wrong."""

    def __init__(self, device: Device, provenance: Provenance, told: set[int]) -> None:
        """Keep the parts.

        Args:
            device: the pump.
            provenance: of its records.
            told: codes of texts that were reported so far, of an opening before, too; it is added
                to.
        """
        self._device = device
        self._provenance = provenance
        self.drug = ""
        """As the pump has it; empty: none, or not known."""
        self._told = told
        self._wrong: dict[str, str] = {}
        """Alarm and error, by letter."""
        self.unmapped = 0
        """Values that were no number."""

    def records(self, found: Mapping[str, str], received_us: int) -> list[Record | AlarmSnapshot]:
        """What variables say, all that were asked for or some that the pump told by itself."""
        device, source = self._device, self._provenance
        records: list[Record | AlarmSnapshot] = []
        values = [self._value(letter, found[letter]) for letter in NUMBERS if letter in found]
        if values:
            numbers, amounts, qualities = zip(*values, strict=True)
            report = Report(
                device.device_id,
                KIND,
                source,
                received_us,
                numbers,
                amounts,
                () if all(each is Quality.VALID for each in qualities) else qualities,
                bed=device.bed,
                enumerations=tuple(_modes(found)),
                texts=tuple(self._texts()),
                ward=device.ward,
            )
            records.append(report)
        wrong = {letter: found[letter] for letter in (ALARM, ERROR) if letter in found}
        if wrong:
            self._wrong |= wrong
            alarms = tuple(_alarms(self._wrong))
            records.append(AlarmSnapshot(device.device_id, source, received_us, alarms, device.bed))
        return records

    def _texts(self) -> Iterator[Text]:
        """A drug that is there no more is told as empty: nobody is to go on with the old one."""
        if self.drug or terms.DRUG_NAME in self._told:
            self._told.add(terms.DRUG_NAME)
            yield Text(terms.DRUG_NAME, self.drug)

    def _value(self, letter: str, value: str) -> tuple[int, float, Quality]:
        code, divisor = NUMBERS[letter]
        if not _HEX.fullmatch(value):
            self.unmapped += 1
            return code, math.nan, Quality.INVALID
        return code, int(value, 16) / divisor, Quality.VALID


def _modes(found: Mapping[str, str]) -> Iterator[Enumeration]:
    if MODE in found:
        yield Enumeration(DELIVERY_MODE, 0, f"mode_{found[MODE].lower()}")


def _alarms(found: Mapping[str, str]) -> Iterator[DeviceAlarm]:
    """The gravest first; both are HIGH."""
    for letter, condition, event in (
        (ALARM, "pump_alarm", codes.UNKNOWN),
        (ERROR, "pump_error", codes.MALFUNCTION),
    ):
        value = found.get(letter, "").strip("0")
        if value:
            text = f"{condition.replace('_', ' ')} {found[letter].upper()}"
            priority, kind = AlarmPriority.HIGH, AlarmKind.TECHNICAL
            yield DeviceAlarm(condition, event, priority, kind, text)
