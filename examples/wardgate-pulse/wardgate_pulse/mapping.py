"""Readings -> records; no I/O."""

from __future__ import annotations

import math
from typing import Final

from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import Provenance, Quality, Report
from wardgate_pulse.codec import Reading

KIND: Final = "vitals"
PULSE_RATE: Final = terms.code("MDC_PULS_RATE")


def report(reading: Reading, device: Device, provenance: Provenance, received_us: int) -> Report:
    """One reading; a number that is missing is unavailable, not left out."""
    missing = reading.pulse_rate is None
    return Report(
        device.device_id,
        KIND,
        provenance,
        received_us,
        codes=(PULSE_RATE,),
        values=(math.nan if reading.pulse_rate is None else float(reading.pulse_rate),),
        qualities=(Quality.UNAVAILABLE,) if missing else (),
        bed=device.bed,
        ward=device.ward,
    )
