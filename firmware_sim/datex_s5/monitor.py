"""A simulated S/5 monitor: does what it is asked, and nothing else."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from drivers.datex_s5 import framing
from drivers.datex_s5.codec import END_OF_LIST, HEADER, HEADER_BYTES, MainType, ShownAlarm
from drivers.datex_s5.curves import KINDS
from drivers.datex_s5.framing import FrameDecoder
from firmware_sim.datex_s5 import encode
from gateway.domain import terms

CURVES_EVERY_S: Final = 1.0
_RATES: Final = {kind.number: kind.rate_hz for kind in KINDS.values()}


class Screen(NamedTuple):
    """What is shown: metric code -> number in the metric's unit, and alarm messages."""

    values: Mapping[int, float]
    alarms: tuple[ShownAlarm, ...] = ()


class Monitor:
    """Requests in, frames out."""

    def __init__(self, screen: Callable[[], Screen], unix_s: Callable[[], int]) -> None:
        """Show ``screen``; the wall clock is ``unix_s``."""
        self._screen = screen
        self._unix_s = unix_s
        self._frames = FrameDecoder()
        self.interval_s = 0.0
        """Between transmissions of the numbers; 0 while none are wanted. Tests shorten it."""
        self.interval_s_max = math.inf
        """For tests that are in a hurry."""
        self.curves: tuple[int, ...] = ()
        self.differences = False
        self._shown: tuple[ShownAlarm, ...] = ()
        self._due = {"numbers": 0.0, "curves": 0.0}
        self._curve_s = 0

    def restart(self) -> None:
        """Power off and on: every request is forgotten."""
        self.interval_s, self.curves, self.differences = 0.0, (), False

    def receive(self, data: bytes) -> list[bytes]:
        """Bytes from the client."""
        answers: list[bytes] = []
        for found in self._frames.feed(data):
            if isinstance(found, bytes) and len(found) >= HEADER_BYTES:
                answers += self._request(HEADER.unpack_from(found)[-1], found[HEADER_BYTES:])
        return answers

    def _request(self, main_type: int, content: bytes) -> Iterator[bytes]:
        match main_type:
            case MainType.PHYSIOLOGICAL:
                _, interval_s, _, _ = struct.unpack("<BhIh", content)
                self.interval_s = min(float(interval_s), self.interval_s_max)
                self._due["numbers"] = 0.0
            case MainType.WAVE:
                what, _, kinds = struct.unpack_from("<hh8s", content)
                wanted = kinds.split(bytes((END_OF_LIST,)), 1)[0]
                self.curves = tuple(kind for kind in wanted if kind) if what == 0 else ()
            case MainType.ALARM:
                (command,) = struct.unpack_from("<h", content)
                if command == 0:
                    yield self._alarms(self._screen())
                self.differences = {2: True, 3: False}.get(command, self.differences)

    def tick(self, monotonic_s: float) -> list[bytes]:
        """The frames that are due."""
        screen, said = self._screen(), []
        if self.interval_s and self._is_due("numbers", monotonic_s, self.interval_s):
            said.append(framing.encode(encode.physiological(self._unix_s(), screen.values)))
        if self.curves and self._is_due("curves", monotonic_s, CURVES_EVERY_S):
            said.append(self._samples(screen))
        if self.differences and screen.alarms != self._shown:
            said.append(self._alarms(screen))
        return said

    def _is_due(self, flow: str, monotonic_s: float, every_s: float) -> bool:
        if monotonic_s < self._due[flow]:
            return False
        following = self._due[flow] + every_s
        self._due[flow] = following if following > monotonic_s else monotonic_s + every_s
        return True

    def _alarms(self, screen: Screen) -> bytes:
        self._shown = screen.alarms
        return framing.encode(encode.alarms(self._unix_s(), screen.alarms))

    def _samples(self, screen: Screen) -> bytes:
        beats = screen.values.get(terms.HEART_RATE, 60.0) / 60
        self._curve_s += 1
        shown = []
        for kind in self.curves:
            rate = _RATES[kind]
            phases = ((self._curve_s + i / rate) * beats for i in range(rate))
            shown.append((kind, 0, [round(1000 * math.sin(2 * math.pi * p)) for p in phases]))
        return framing.encode(encode.curves(self._unix_s(), shown))
