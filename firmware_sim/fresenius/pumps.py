"""Simulated pumps on one line: one by itself, or several in a base. Without I/O.

They can be set, for tests: whoever talks to them can be shown to have changed nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from drivers.fresenius.codec import (
    BASE,
    DAMAGED,
    ENQ,
    TAKEN,
    Damage,
    Frame,
    FrameDecoder,
)
from firmware_sim.fresenius.encode import encode

ASKS_S: Final = 2.0
"""Between two enquiries whether somebody is there."""
CLOSED_BASE, ABSENT, CLOSED_MODULE = "0D", "0E", "1E"
UNKNOWN_COMMAND, NOT_USED = "01", "0A"


@dataclass
class Pump:
    """What one pump does."""

    rate_ml_h: float | None = 3.5
    """None: it says something that is no number."""
    infused_ml: float = 1.234
    alarm: int = 0
    error: int = 0
    mode: int = 1
    drug: str | None = ""
    """None: it knows no drugs."""
    knows: str = "ademrksib"
    """Letters of variables."""
    present: bool = True
    open: bool = False
    silent: bool = False


@dataclass
class PumpLine:
    """The pumps of one line, by address; None is one by itself."""

    pumps: Mapping[int | None, Pump]
    told: list[Frame] = field(default_factory=list)
    """What would have changed something."""
    heard: list[Frame] = field(default_factory=list)
    """All that was asked or told, in order."""
    base_open: bool = False
    strict: bool = True
    """Whether modules answer only while their base has a session."""
    alive: int = 0
    """How often somebody was there."""

    def __post_init__(self) -> None:
        self._decoder = FrameDecoder()
        self._due_s: float | None = None

    def switch_on(self) -> None:
        """All sessions of before are gone."""
        self.base_open = False
        self._due_s = None
        self._decoder = FrameDecoder()
        for pump in self.pumps.values():
            pump.open = False

    def receive(self, data: bytes) -> list[bytes]:
        """Take bytes; what is answered."""
        said: list[bytes] = []
        self.alive += data.count(b"\x14")
        for found in self._decoder.feed(data.replace(b"\x14", b"")):
            match found:
                case Frame():
                    self.heard.append(found)
                    said += self._answers(found)
                case Damage(reason) if reason != "noise":
                    said.append(DAMAGED)
        return said

    def tick(self, monotonic_s: float) -> list[bytes]:
        """The enquiry that is due, while a session is open."""
        if not any(pump.open for pump in self.pumps.values()):
            return []
        if self._due_s is None or monotonic_s < self._due_s:
            self._due_s = self._due_s or monotonic_s + ASKS_S
            return []
        self._due_s = monotonic_s + ASKS_S
        return [bytes((ENQ,))]

    def _answers(self, frame: Frame) -> list[bytes]:
        if frame.address == BASE:
            self.base_open = frame.head != "FC"
            return [TAKEN, encode(BASE, "C")]
        pump = self.pumps.get(frame.address)
        if pump is None or pump.silent:
            return []
        head, arguments = self._answer(pump, frame)
        return [TAKEN, encode(frame.address, head, arguments)]

    def _answer(self, pump: Pump, frame: Frame) -> tuple[str, str | None]:
        refusal = self._refusal(pump, frame)
        if refusal:
            return "I", refusal
        match frame.head, frame.arguments:
            case (("DC" | "FC"), None):
                pump.open = frame.head == "DC"
            case "LE", str(letters):
                return self._variables(pump, letters)
            case "LP", None:
                return ("I", UNKNOWN_COMMAND) if pump.drug is None else ("C", pump.drug)
            case _:
                self._tell(pump, frame)
        return "C", None

    def _refusal(self, pump: Pump, frame: Frame) -> str:
        if self.strict and frame.address is not None and not self.base_open:
            return CLOSED_BASE
        if not pump.present:
            return ABSENT
        return CLOSED_MODULE if frame.head != "DC" and not pump.open else ""

    def _tell(self, pump: Pump, frame: Frame) -> None:
        """It is set: it does as it is told."""
        self.told.append(frame)
        if frame.head == "PR" and frame.arguments:
            pump.rate_ml_h = int(frame.arguments, 16) / 10

    def _variables(self, pump: Pump, letters: str) -> tuple[str, str]:
        values = {
            "a": f"{pump.alarm:04X}",
            "e": f"{pump.error:04X}",
            "m": f"{pump.mode:X}",
            "d": "X" if pump.rate_ml_h is None else f"{round(pump.rate_ml_h * 10):04X}",
            "r": f"{round(pump.infused_ml * 1000):08X}",
        }
        if any(letter not in pump.knows or letter not in values for letter in letters):
            return "I", NOT_USED
        return "C", ";".join(letter + values[letter] for letter in letters)
