"""A simulated oximeter: one line a second, as a Rad-8 or a Radical-7 writes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from drivers.masimo.codec import Exceptions
from gateway.domain import terms

PERIOD_S: Final = 1.0
_CO, _MET = terms.code("WARDGATE_SPCO"), terms.code("WARDGATE_SPMET")
_HB, _PVI = terms.code("WARDGATE_SPHB"), terms.code("WARDGATE_PVI")


class Screen(NamedTuple):
    """What is shown: metric code -> number in the metric's unit; EXC and ALARM."""

    values: Mapping[int, float]
    exceptions: int = Exceptions.SET
    alarms: int = 0


def rad8(screen: Screen, when: datetime) -> bytes:
    """A line of a Rad-8."""
    value = _values(screen)
    return (
        f"{when:%m/%d/%y %H:%M:%S} SN=0000056661 SPO2={value(terms.SPO2, '03.0f')}% "
        f"BPM={value(terms.PULSE_RATE, '03.0f')} PI={value(terms.PERFUSION_INDEX, '05.2f')}% "
        "SPCO=--.-% SPMET=--.-% DESAT=-- PIDELTA=+-- "
        f"ALARM={screen.alarms:04X} EXC={screen.exceptions:06X}\r\n"
    ).encode()


def radical7(screen: Screen, when: datetime) -> bytes:
    """A line of a Radical-7 with a colour screen."""
    value = _values(screen)
    return (
        f"{when:%m/%d/%y %H:%M:%S} SN=---------- SPO2={value(terms.SPO2, '03.0f')}% "
        f"BPM={value(terms.PULSE_RATE, '03.0f')} PI={value(terms.PERFUSION_INDEX, '05.2f')} "
        f"SPCO={value(_CO, '02.0f')}% SPMET={value(_MET, '04.1f')}% SPHB={value(_HB, '04.1f')} "
        f"SPOC=-- RESVD=--- DESAT=-- PIDELTA=+-- PVI={value(_PVI, '03.0f')} "
        f"ALARM={screen.alarms:06X} EXC={screen.exceptions:07X} EXC1=00000000\r\n"
    ).encode()


def _values(screen: Screen) -> Callable[[int, str], str]:
    def value(code: int, form: str) -> str:
        number = screen.values.get(code, math.nan)
        text = format(0.0 if math.isnan(number) else number, form)
        return text if not math.isnan(number) else "".join("-" if c.isdigit() else c for c in text)

    return value


class Oximeter:
    """Says what is due; hears nothing, as the real one."""

    def __init__(
        self,
        screen: Callable[[], Screen],
        clock: Callable[[], datetime],
        line: Callable[[Screen, datetime], bytes] = rad8,
    ) -> None:
        self._screen = screen
        self._clock = clock
        self._line = line
        self._due_s: float | None = None

    def receive(self, data: bytes) -> list[bytes]:
        """The oximeter has no ears."""
        del data
        return []

    def tick(self, monotonic_s: float) -> list[bytes]:
        """The line that is due; what was slept through is not said later."""
        if self._due_s is None:
            self._due_s = monotonic_s
        if monotonic_s < self._due_s:
            return []
        self._due_s = max(self._due_s + PERIOD_S, monotonic_s)
        return [self.line()]

    def line(self) -> bytes:
        """What is shown now."""
        return self._line(self._screen(), self._clock())
