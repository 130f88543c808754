"""A simulated Asena GH: it answers as the recorded ones do, and does what it is told.

That it can be set is for tests: whoever talks to it can be shown to have changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from drivers.alaris.codec import Damage, Message, MessageDecoder
from firmware_sim.alaris.encode import encode

SERIAL: Final = "8002-51740"


@dataclass
class Syringe:
    """What is in it, and how it runs."""

    rate_ml_h: float | None = 3.5
    infused_ml: float = 1.234
    to_be_infused_ml: float | None = 11.0
    pressure_mmhg: float = 17.91
    time_left: str = "02:50:00"
    mode: str = "SET"
    drug: str = ""
    type: str = "BD PLASTIPAK"
    size_ml: int = 50
    alarm: str = "AL_NOALM"
    running: bool = True


@dataclass
class AlarisPump:
    """One pump, without I/O: bytes in, bytes out."""

    shown: Syringe = field(default_factory=Syringe)
    serial: str = SERIAL
    unknown: frozenset[str] = frozenset()
    """Names that this software does not know: no answer."""
    silent: bool = False
    asked: list[str] = field(default_factory=list)
    """Names of what it was asked or told, in order."""
    told: list[Message] = field(default_factory=list)
    """What would have changed something."""

    def __post_init__(self) -> None:
        self._decoder = MessageDecoder()

    def receive(self, data: bytes) -> list[bytes]:
        """Take bytes; what is answered."""
        answers = []
        for found in self._decoder.feed(data):
            if isinstance(found, Damage):
                continue
            self.asked.append(found.name)
            answer = self._answer(found)
            if not self.silent and found.name not in self.unknown:
                answers.append(answer)
        return answers

    def status(self) -> bytes:
        """The answer to INF."""
        shown = self.shown
        return encode(
            "INF",
            self.serial,
            "-" if shown.alarm == "AL_NOALM" else shown.alarm,
            shown.mode,
            "" if shown.rate_ml_h is None else f"{shown.rate_ml_h:.2f}",
            "ml/h",
            shown.drug,
            f"{shown.infused_ml:.3f}",
            "ml",
            f"{shown.pressure_mmhg:.2f}",
            "mmHg",
            shown.time_left,
            "EVENT",
            "127904",
        )

    def _answer(self, message: Message) -> bytes:
        answers: dict[str, Callable[[], bytes]] = {
            "INF": self.status,
            "ALARM": lambda: encode("ALARM", self.shown.alarm, " ", " "),
            "INF_VTBI": self._to_be_infused,
            "SYRINGE_STATUS": self._syringe,
            "INST_SERIALNO": lambda: encode("INST_SERIALNO", self.serial),
            "COMMS_PROTOCOL": lambda: encode("COMMS_PROTOCOL", "Asena Rev 2.1.5"),
        }
        answer = answers.get(message.name)
        return self._tell(message) if answer is None or message.fields else answer()

    def _to_be_infused(self) -> bytes:
        volume = self.shown.to_be_infused_ml
        if volume is None:
            return encode("INF_VTBI", "DEACT", "", "", "")
        return encode("INF_VTBI", "ACTIV", f"{volume:.3f}", "ml", "STOP")

    def _syringe(self) -> bytes:
        return encode("SYRINGE_STATUS", self.shown.type, f"{self.shown.size_ml:3d}", "CONF")

    def _tell(self, message: Message) -> bytes:
        """It is set: it does as it is told, and says the same again, but no code."""
        self.told.append(message)
        match message.name, message.fields:
            case "INF_RATE", (rate, "ml/h"):
                self.shown.rate_ml_h = float(rate)
            case "INF_START" | "INF_STOP", ():
                self.shown.running = message.name == "INF_START"
            case "REMOTE_CTRL", ("ENABLED", _):
                return encode("REMOTE_CTRL", "ENABLED", "****", "PERMIT", "0", "ms")
        return encode(message.name, *message.fields)
