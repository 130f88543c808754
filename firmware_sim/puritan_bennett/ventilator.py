"""A simulated ventilator, without I/O: bytes in, bytes out.

Port 1 answers as the manual says: a command is four letters and CR, what is none is passed over,
``RSET`` empties the buffer. Port 2 is :class:`Curves`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime

from drivers.puritan_bennett.codec import (
    COUNTS,
    CR,
    FIRST_FIELD,
    BreathEnd,
    BreathStart,
    Request,
    Sample,
    encode_reply,
    encode_wave_line,
)
from drivers.puritan_bennett.fields import LAYOUTS
from gateway.domain.ports import Clock

COMMAND_BYTES_MAX = 16
VENTILATOR_ID = "840 3512049871"
RESTING: dict[str, dict[int, str]] = {
    "MISCF": {
        8: "INVASIVE",
        9: "SIMV",
        10: "VC",
        11: "PS",
        12: "V-Trig",
        13: "14.0",
        14: "0.45",
        15: "42.0",
        16: "40",
        18: "5.0",
        34: "40.0",
        35: "OFF",
        36: "12.0",
        37: "3.00",
        42: "35",
        60: "70.0",
        69: "19.2",
        70: "15",
        71: "0.45",
        72: "6.75",
        73: "22.4",
        74: "9.1",
        75: "2.30",
        77: "40",
        87: "5.1",
        94: "17.8",
        105: "OFF",
    },
    "MISCA": {
        9: "SIMV",
        10: "14.0",
        11: "0.45",
        13: "40",
        15: "5.0",
        34: "15",
        35: "0.45",
        36: "6.75",
        38: "22.4",
        39: "9.1",
        42: "40.0",
        45: "0.25",
        46: "3.00",
        47: "35",
    },
}
"""An adult on the ventilator, by the manual's field numbers."""


class Ventilator:
    """Port 1.

    Args:
        clock: its own.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buffer = bytearray()
        self.fields = {mnemonic: dict(fields) for mnemonic, fields in RESTING.items()}
        """What the next reply says, by field number; blank where nothing stands."""
        self.replies = 0
        # Faults, which may be switched at any time.
        self.silent = False
        self.knows_full = True
        """Else it is of the software that knows ``SNDA`` alone."""

    def receive(self, data: bytes) -> bytes:
        """Take bytes; what is answered."""
        answers = b""
        for byte in data:
            if byte != CR:
                self._buffer.append(byte)
                del self._buffer[:-COMMAND_BYTES_MAX]
                continue
            answers += self._answer(bytes(self._buffer) + b"\r")
            self._buffer.clear()
        return b"" if self.silent else answers

    def alarm(self, field: int, word: str = "HIGH") -> None:
        """Show an alarm in the full report; ``NORMAL`` ends it."""
        self.fields["MISCF"][field] = word

    def reply(self, mnemonic: str) -> bytes:
        """One reply with what is shown now."""
        layout = LAYOUTS[mnemonic]
        now = datetime.fromtimestamp(self._clock.now_us() // 1_000_000, UTC)
        shown = dict.fromkeys((row.field for row in layout.alarms), "NORMAL")
        shown |= {95: ""} if mnemonic == "MISCF" else {}
        shown |= self.fields[mnemonic]
        shown |= {
            6: VENTILATOR_ID,
            layout.clock: now.strftime("%H:%M"),
            layout.date: now.strftime("%b %d %Y").upper(),
        }
        numbers = range(FIRST_FIELD, FIRST_FIELD + COUNTS[mnemonic])
        return encode_reply(mnemonic, [shown.get(number, "") for number in numbers])

    def _answer(self, command: bytes) -> bytes:
        if command == Request.BASIC.value:
            self.replies += 1
            return self.reply("MISCA")
        if command == Request.FULL.value and self.knows_full:
            self.replies += 1
            return self.reply("MISCF")
        return b""


class Curves:
    """Port 2: breaths of so many samples, for ever.

    Args:
        period_samples: of one breath, 20 ms each.
        skip: samples of the first breath that were said before anybody listened.
    """

    def __init__(self, period_samples: int = 200, skip: int = 0) -> None:
        self._period = period_samples
        self._at = skip
        self._breath = 54042
        self.lose_ends = False
        """Breaths end without ``BE``, as they do at times."""

    def say(self, samples: int) -> Iterator[bytes]:
        """The lines of the next samples, and what stands between them."""
        for _ in range(samples):
            if self._at == 0:
                self._breath += 1
                yield encode_wave_line(BreathStart(self._breath))
            yield encode_wave_line(self.sample(self._at / self._period))
            self._at = (self._at + 1) % self._period
            if self._at == 0 and not self.lose_ends:
                yield encode_wave_line(BreathEnd())

    @staticmethod
    def sample(phase: float) -> Sample:
        """Inspiration takes the first third; phase is 0 to 1."""
        if phase < 1 / 3:
            return Sample(round(40.0 * math.sin(3 * math.pi * phase), 2), round(5 + 51 * phase, 2))
        left = math.exp(-6 * (phase - 1 / 3))
        return Sample(round(-45.0 * left, 2), round(5 + 17 * left, 2))
