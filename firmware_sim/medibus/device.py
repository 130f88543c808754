"""A simulated MEDIBUS device, without I/O: bytes in, bytes out.

It answers as the protocol definition says: what it does not know with an echo, what is damaged with
NAK; it ends the conversation after ten seconds in which it hears nothing, and begins one by itself
when it is told to.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from drivers.medibus import replies
from drivers.medibus.codec import Code, Command, Damage, Decoder, Realtime, Response, encode
from drivers.medibus.realtime import Phase, encode_record
from drivers.medibus.replies import AlarmEntry, CurveConfig, Entry, Identity
from gateway.domain.ports import Clock

SILENCE_S = 10.0
BREATH_S = 4.0
GERMAN = ("JAN", "FEB", "MAR", "APR", "MAI", "JUN", "JUL", "AUG", "SEP", "OKT", "NOV", "DEZ")
WHO = Identity("8411", "EvitaXL", "07.03:04.00")

CURVES = (
    CurveConfig(0x00, 16000, -50, 150, 0xFFF),
    CurveConfig(0x01, 16000, -200, 200, 0xFFF),
    CurveConfig(0x03, 16000, 0, 4000, 0xFFF),
    CurveConfig(0x06, 16000, 0, 100, 0x3FF),
    CurveConfig(0x02, 16000, 0, 100, 0x3FF),
)


class MedibusDevice:
    """One device.

    Args:
        clock: its own.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._decoder = Decoder()
        self._heard_s = -math.inf
        self._enabled = 0
        self._asked: list[tuple[CurveConfig, int]] = []
        self._sampled = 0
        self.commands: list[int] = []
        """What it was asked, in order."""
        self.replies = 0
        """Times that it answered the question for its measurements."""
        self.entries: dict[int, list[Entry]] = {
            Code.DATA_1: [
                Entry(0x73, "9.1"),
                Entry(0x74, "18"),
                Entry(0x78, "5.1"),
                Entry(0x7D, "22"),
                Entry(0x88, "450"),
                Entry(0xB9, "6.75"),
                Entry(0xC1, ""),
                Entry(0xD6, "15"),
                Entry(0xE1, "74"),
                Entry(0xE6, "38"),
                Entry(0xEB, "97"),
                Entry(0xF0, "40"),
            ],
            Code.DATA_2: [Entry(0x21, "448"), Entry(0x07, "0.61")],
            Code.LOW_LIMITS_1: [Entry(0xB9, "3.0"), Entry(0xE6, "30")],
            Code.HIGH_LIMITS_1: [Entry(0xB9, "12.0"), Entry(0x7D, "40"), Entry(0xD6, "35")],
            Code.LOW_LIMITS_2: [],
            Code.HIGH_LIMITS_2: [],
            Code.SETTINGS: [
                Entry(0x01, "40"),
                Entry(0x04, "0.45"),
                Entry(0x09, "14"),
                Entry(0x0B, "5.0"),
                Entry(0x12, "10"),
                Entry(0x4A, "47"),
                Entry(0x4B, "70"),
            ],
        }
        self.texts = [Entry(0x07, "SIMV/ASB"), Entry(0x20, "Erwachs."), Entry(0x22, "mmHg")]
        self.alarms: dict[int, list[AlarmEntry]] = {Code.ALARMS_1: [], Code.ALARMS_2: []}
        self.curves: tuple[CurveConfig, ...] = CURVES
        # Faults, which may be switched at any time.
        self.silent = False
        self.unknown: frozenset[int] = frozenset()
        """Commands that it does not know."""
        self.deaf_to: frozenset[int] = frozenset()
        """Commands that it doesn't even echo."""

    def receive(self, data: bytes) -> bytes:
        """Take bytes; what is answered."""
        said = b""
        for found in self._decoder.feed(data):
            match found:
                case Command():
                    self._heard_s = self._clock.monotonic()
                    self.commands.append(found.code)
                    answer = encode(Response(found.code, self._answer(found)))
                    said += b"" if found.code in self.deaf_to else answer
                case Damage(_, _, True):
                    said += encode(Response(Code.CORRUPT, b""))
                case Response():
                    self._heard_s = self._clock.monotonic()
                case Realtime():
                    self._enable(found.data)
        return b"" if self.silent else said

    def begin(self) -> bytes:
        """Begin a conversation by itself: it was switched on."""
        self._enabled = 0
        return encode(Command(Code.INITIALISE, b"")) + encode(Command(Code.IDENTIFY, b""))

    def alarm(self, priority: int, code: int, phrase: str, page: int = 1) -> None:
        """Show an alarm."""
        command = Code.ALARMS_1 if page == 1 else Code.ALARMS_2
        self.alarms[command].append(AlarmEntry(priority, code, phrase))

    def show(self, code: int, text: str) -> None:
        """Change a measurement of the first code page."""
        data = self.entries[Code.DATA_1]
        data[:] = [Entry(code, text) if each.code == code else each for each in data]

    @property
    def sends_curves(self) -> bool:
        """Whether somebody asked for them and is still there."""
        heard = self._clock.monotonic() - self._heard_s < SILENCE_S
        return heard and bool(self._enabled) and not self.silent

    def sample(self, ticks: int) -> bytes:
        """The records of so many of its intervals."""
        said = b""
        for _ in range(ticks):
            at = self._sampled
            self._sampled += 1
            due = [n for n, (_, every) in enumerate(self._asked) if at % every == 0]
            streams = [n for n in due if self._enabled >> n & 1]
            if not streams or not self.sends_curves:
                continue
            interval_s = self._asked[0][0].interval_us / 1e6
            breath = math.modf(at * interval_s / BREATH_S)[0]
            begins = breath < interval_s / BREATH_S
            said += encode_record(
                {n: _sample(self._asked[n][0], breath) for n in streams},
                Phase.INSPIRATION if begins else None,
            )
        return said

    def _answer(self, command: Command) -> bytes:
        code, body = command.code, b""
        if code in self.unknown:
            return body
        if code in self.entries:
            self.replies += code == Code.DATA_1
            wide = code == Code.SETTINGS
            width = replies.SETTING_WIDTH if wide else replies.DATA_WIDTH
            body = replies.encode_entries(self.entries[code], width)
        elif code in self.alarms:
            body = replies.encode_alarms(self.alarms[code])
        match code:
            case Code.TEXTS:
                body = replies.encode_texts(self.texts)
            case Code.IDENTIFY:
                body = replies.encode_identity(WHO)
            case Code.DATE_TIME:
                now = datetime.fromtimestamp(self._clock.now_us() // 1_000_000, UTC)
                date = f"{now.day:2d}-{GERMAN[now.month - 1]}-{now:%y}"
                body = f"{now:%H:%M:%S}{date}".encode("ascii")
            case Code.CURVES:
                body = replies.encode_curves(self.curves)
            case Code.SEND_CURVES:
                self._configure(command.argument)
            case Code.INITIALISE | Code.STOP:
                self._enabled = 0
        return body

    def _configure(self, argument: bytes) -> None:
        by_code = {curve.code: curve for curve in self.curves}
        pairs = [argument[at : at + 4] for at in range(0, len(argument), 4)]
        codes = (bytes.fromhex(each.decode()) for each in pairs)
        self._asked = [(by_code[code], every) for code, every in codes]
        self._enabled = 0

    def _enable(self, stream: bytes) -> None:
        at = stream.find(b"\xc1")
        if at >= 0:
            self._enabled = stream[at + 1] & 0x0F


def value_of(code: int, breath: float) -> float:
    """What a curve shows at a phase of the breath, 0 to 1, in the device's unit."""
    inhaling = breath < 1 / 3
    out = math.exp(-6 * (breath - 1 / 3)) if not inhaling else 0.0
    match code:
        case 0x00:
            return 5 + (51 * breath if inhaling else 17 * out)
        case 0x01:
            return 40 * math.sin(3 * math.pi * breath) if inhaling else -45 * out
        case 0x03:
            return 450 * (3 * breath if inhaling else out)
        case 0x06:
            return 0.0 if inhaling else 38 * (1 - out)
        case _:
            return 50 + 40 * math.sin(10 * math.pi * breath)


def _sample(curve: CurveConfig, breath: float) -> int:
    share = (value_of(curve.code, breath) - curve.low) / (curve.high - curve.low)
    return min(curve.steps, max(0, round(share * curve.steps)))
