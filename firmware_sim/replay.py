"""A monitor fed from a recorded patient: one sample of the record for each message.

``n`` of the message id is the sample's index. Missing samples are absent; a zero that the
record holds is sent as the monitor showed it.
"""

from __future__ import annotations

from firmware_sim.wfdb import Record, Signal
from gateway.domain.errors import ConfigError

FIELDS = {
    "HR": "hr",
    "PULSE": "pr",
    "SpO2": "spo2",
    "RESP": "rr",
    "ABPSys": "abp_sys",
    "ABPDias": "abp_dia",
    "ABPMean": "abp_mean",
    "NBPSys": "nibp_sys",
    "NBPDias": "nibp_dia",
    "NBPMean": "nibp_mean",
}
"""Names of numerics in MIMIC records -> fields of the bedside payload."""
RATE_UNITS = frozenset({"pm", "bpm", "rpm", "/min", "br/min"})
"""RESP is the respiration rate in these; in others (mV, NU) a waveform record's curve."""
DIGITS = 4


class Replay:
    """The numerics of a record.

    Raises:
        ConfigError: the record has none that a monitor sends (a waveform record).
    """

    def __init__(self, record: Record) -> None:
        self._signals: list[tuple[str, Signal]] = [
            (FIELDS[signal.name], signal)
            for signal in record.signals
            if signal.name in FIELDS
            and signal.samples_per_frame == 1
            and (signal.name != "RESP" or signal.units in RATE_UNITS)
        ]
        if not self._signals:
            raise ConfigError(f"record {record.name} has none of {', '.join(FIELDS)}")
        self.samples = record.frames

    def sample(self, index: int) -> dict[str, float] | None:
        """The fields of one message; None behind the record's end."""
        if index >= self.samples:
            return None
        values = ((field, signal.value(index)) for field, signal in self._signals)
        return {field: round(value, DIGITS) for field, value in values if value is not None}
