"""Rows of one device and order -> the contents of its reports.

A report has one device time and is released as its gravest member is. So there is one content for
each time, apart for metrics that nobody labelled and for free texts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from drivers.hl7.metrics import row as metric_row
from drivers.hl7.observation import ABNORMAL, Row
from drivers.hl7.quirks import DIMENSIONS, NOTHING_IN_THEM
from drivers.hl7.waves import waveform
from gateway.domain import terms, units
from gateway.domain.labels import UNLABELLED
from gateway.domain.records import (
    DeviceState,
    Enumeration,
    Provenance,
    Quality,
    Report,
    Text,
    TimeQuality,
    Waveform,
)

UNKNOWN_METRIC = "unknown_metric"
UNSUPPORTED_TYPE = "unsupported_type"
NO_WAVEFORM = "no_waveform"
CONTENTS_MAX = 64
"""Of one order: so many times of their own; what is beyond has the order's."""

POWER_OFF = frozenset(("OFF", "MDC_DEV_OFF"))
POWER_STATES = frozenset(("MDCX_DMC_ATTR_POWER_STATE", "MDC_ATTR_POWER_STATE"))
FIRMWARE = 531976
_FIRMWARE_NAMES = frozenset(("MDC_ID_PROD_SPEC_FW", "MDC_ID_PROD_SPEC_SW"))


class Content:
    """What one report will hold."""

    __slots__ = ("codes", "device_us", "enumerations", "qualities", "texts", "values", "waveforms")

    def __init__(self, device_us: int) -> None:
        self.device_us = device_us
        self.codes: list[int] = []
        self.values: list[float] = []
        self.qualities: list[Quality] = []
        self.enumerations: list[Enumeration] = []
        self.texts: list[Text] = []
        self.waveforms: list[Waveform] = []

    def report(
        self,
        device_id: str,
        kind: str,
        provenance: Provenance,
        received_us: int,
        message_id: str,
        place: tuple[str, str],
    ) -> Report:
        """The report; ``place`` is bed and ward."""
        all_valid = all(quality is Quality.VALID for quality in self.qualities)
        return Report(
            device_id,
            kind,
            provenance,
            received_us,
            tuple(self.codes),
            tuple(self.values),
            () if all_valid else tuple(self.qualities),
            self.device_us,
            TimeQuality.GOOD if self.device_us else TimeQuality.NONE,
            0,
            message_id,
            place[0],
            tuple(self.enumerations),
            tuple(self.texts),
            tuple(self.waveforms),
            ward=place[1],
        )


class Status(NamedTuple):
    """What a device says of itself (PCD-15)."""

    state: DeviceState
    firmware: str
    battery_percent: float


class Contents:
    """Collects rows.

    Args:
        order_us: the time of rows that have none of their own.
        left_out: gets a reason for each row that is left out.
    """

    def __init__(self, order_us: int, left_out: list[str]) -> None:
        self._order_us = order_us
        self._left_out = left_out
        self._contents: dict[tuple[int, bool, bool], Content] = {}

    def add(self, rows: Sequence[Row]) -> None:
        """Take the rows of one device system."""
        below = _below_arrays(rows)
        taken = {id(row) for children in below.values() for row in children.values()}
        for row in rows:
            if id(row) not in taken:
                self._add(row, below.get(row.path, {}))

    def all(self) -> list[Content]:
        """What was collected: first what has labels and the order's own time."""
        ranked = sorted(
            self._contents.items(),
            key=lambda item: (item[0][2], item[0][1], item[0][0] != self._order_us),
        )
        return [content for _, content in ranked]

    def _add(self, row: Row, below: dict[str, Row]) -> None:
        match row.kind:
            case "nothing":
                return
            case "unsupported":
                self._left_out.append(UNSUPPORTED_TYPE)
                return
        if row.named.refid in NOTHING_IN_THEM:
            return
        if not row.code:
            self._left_out.append(UNKNOWN_METRIC)
            return
        match row.kind:
            case "number":
                self._number(row)
            case "coded":
                value = row.coded
                name = value.refid or value.text or str(value.code)
                self._of(row).enumerations.append(
                    Enumeration(row.code, value.code, name[:64], row.quality)
                )
            case "text":
                self._of(row, text=True).texts.append(Text(row.code, row.text))
            case "array":
                unit = terms.metric(row.code).unit
                made = waveform(row, below, row.device_us or self._order_us, unit)
                if made is None:
                    self._left_out.append(NO_WAVEFORM)
                else:
                    self._of(row).waveforms.append(made)

    def _number(self, row: Row) -> None:
        known = metric_row(row.code, row.named, row.unit)
        if known is None:
            self._left_out.append(UNKNOWN_METRIC)
            return
        if row.code in DIMENSIONS:
            row = _in_its_dimension(row)
            known = terms.metric(row.code)
        value, quality = row.value, row.quality
        if not math.isnan(value):
            if row.unit:
                how = units.conversion(row.unit, known.unit)
                if how is None:
                    value, quality = math.nan, Quality.INVALID
                else:
                    value = how.shown(value)
            elif known.unit not in ("", "1") and quality is Quality.VALID:
                quality = Quality.QUESTIONABLE  # IHE requires the unit; nobody knows what it is in
        content = self._of(row)
        content.codes.append(row.code)
        content.values.append(value)
        content.qualities.append(quality)
        for flag in row.flags:
            if flag in ABNORMAL:
                content.enumerations.append(Enumeration(row.code, 0, flag))

    def _of(self, row: Row, *, text: bool = False) -> Content:
        unlabelled = terms.metric(row.code).label == UNLABELLED
        key = (row.device_us or self._order_us, unlabelled, text)
        if key not in self._contents and len(self._contents) >= CONTENTS_MAX:
            key = (self._order_us, unlabelled, text)
        return self._contents.setdefault(key, Content(key[0]))


def _in_its_dimension(row: Row) -> Row:
    """The row with the code of the metric whose unit its own converts to."""
    for code in (row.code, *DIMENSIONS[row.code]):
        if row.unit and units.conversion(row.unit, terms.metric(code).unit) is not None:
            return row._replace(code=code)
    return row


def is_firmware(row: Row) -> bool:
    """Whether a row tells a device's firmware."""
    return row.code == FIRMWARE or row.named.refid in _FIRMWARE_NAMES


def status_of(rows: Sequence[Row]) -> Status:
    """State, firmware and battery, as far as the rows tell them."""
    state, firmware, battery = DeviceState.ONLINE, "", -1.0
    for row in rows:
        word = (row.coded.refid or row.coded.text or row.text).upper()
        if row.named.refid in POWER_STATES and word in POWER_OFF:
            state = DeviceState.OFFLINE
        elif is_firmware(row):
            firmware = firmware or row.text or row.coded.text
        elif row.code == terms.BATTERY and row.quality is Quality.VALID:
            battery = row.value if 0 <= row.value <= 100 else battery
    return Status(state, firmware[:64], battery)


def _below_arrays(rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """For each array's path the number rows below it, by REFID."""
    found: dict[str, dict[str, Row]] = {
        row.path: {} for row in rows if row.kind == "array" and row.path
    }
    if found:
        for row in rows:
            parent = row.path.rpartition(".")[0]
            if row.kind == "number" and parent in found and row.named.refid:
                found[parent].setdefault(row.named.refid, row)
    return found
