"""A simulated Ivy 450C: one message a second, of what its screen shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from drivers.ivy450c import codec
from drivers.ivy450c.codec import ECG_SAMPLES, OTHER_SAMPLES, Curves, Line, Message
from gateway.domain import terms

PERIOD_S: Final = 1.0
_P1: Final = tuple(
    map(terms.code, ("MDC_PRESS_BLD_SYS", "MDC_PRESS_BLD_DIA", "MDC_PRESS_BLD_MEAN"))
)
_CUFF: Final = (
    terms.NIBP_SYS,
    terms.NIBP_DIA,
    terms.NIBP_MEAN,
    terms.code("MDC_PULS_RATE_NON_INV"),
)
_LINES: Final = (
    ("HR", (terms.HEART_RATE,), "ECG-II-DIAG"),
    ("RR", (terms.RESP_RATE,), "APNEA: 20 SEC"),
    ("ETCO2", (terms.ETCO2,), ""),
    ("SPO2", (terms.SPO2,), ""),
    ("NIBP", _CUFF, ""),
    ("P1", _P1, ""),
    ("P2", (0, 0, 0), "NO TRANSDUCER"),
    ("T1", (terms.TEMPERATURE,), ""),
    ("T2", (0,), ""),
)
_NO_TRANSDUCER: Final = 251
_ECG_ZERO, _ECG_PEAK = 120, 240


class Screen(NamedTuple):
    """What is shown: metric code -> number in the metric's unit, and line -> alarm text."""

    values: Mapping[int, float]
    alarms: Mapping[str, str] = {}


class Monitor:
    """Says what is due; hears nothing, as the real one."""

    def __init__(self, screen: Callable[[], Screen]) -> None:
        self._screen = screen
        self._due_s: float | None = None
        self._seconds = 0
        self.messages = 0
        """Said so far."""

    def receive(self, data: bytes) -> list[bytes]:
        """The monitor has no ears."""
        del data
        return []

    def tick(self, monotonic_s: float) -> list[bytes]:
        """The bytes that are due; what was slept through is not said later."""
        if self._due_s is None:
            self._due_s = monotonic_s
        if monotonic_s < self._due_s:
            return []
        self._due_s = max(self._due_s + PERIOD_S, monotonic_s)
        return [self.message()]

    def message(self) -> bytes:
        """One second of the monitor."""
        screen = self._screen()
        self.messages += 1
        self._seconds += 1
        return codec.encode(
            Message(
                _curves(screen.values, self._seconds),
                tuple(_line(name, codes, label, screen) for name, codes, label in _LINES),
            )
        )


def _line(name: str, codes: tuple[int, ...], label: str, screen: Screen) -> Line:
    values = tuple(_text(screen.values.get(code)) for code in codes)
    if name == "SPO2" and values[0]:
        label = f"PR={_text(screen.values.get(terms.PULSE_RATE))} "
    return Line(name, values, label, screen.alarms.get(name, ""))


def _text(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:g}"


def _curves(values: Mapping[int, float], second: int) -> Curves:
    """Curves of the right rate and, for P1, the right range."""
    beats = values.get(terms.HEART_RATE, 60.0) / 60
    breaths = values.get(terms.RESP_RATE, 12.0) / 60

    def phase(index: int, samples: int, per_s: float) -> float:
        return ((second + index / samples) * per_s) % 1.0

    def sine(low: float, high: float, per_s: float) -> bytes:
        swing = (
            math.sin(2 * math.pi * phase(i, OTHER_SAMPLES, per_s)) for i in range(OTHER_SAMPLES)
        )
        return bytes(min(250, max(0, round((low + high + (high - low) * s) / 2))) for s in swing)

    high, low = (values.get(code, math.nan) for code in _P1[:2])
    p1 = bytes([_NO_TRANSDUCER] * OTHER_SAMPLES)
    return Curves(
        bytes(
            _ECG_PEAK if phase(i, ECG_SAMPLES, beats) < beats / ECG_SAMPLES * 3 else _ECG_ZERO
            for i in range(ECG_SAMPLES)
        ),
        sine(0, 250, breaths),
        sine(117, 153, beats),
        p1 if math.isnan(high + low) else sine(low, high, beats),
        bytes([_NO_TRANSDUCER] * OTHER_SAMPLES),
    )
