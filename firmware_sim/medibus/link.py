"""A ward's device as a ventilator on a serial line: the DeviceLink of that kind.

What the ward sends are bedside messages; the ventilator shows their values, and tells them when it
is asked next, so that each measurement is one answer. Serial acknowledges nothing: a message is
UNCONFIRMED once it was told, and GIVEN_UP when nobody asks. Beside that it breathes: its curves go
on as long as somebody is there. When the ward sends nothing for three intervals it hangs: it says
nothing more.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final

from drivers.bedside.codec import Vitals, decode_cbor, decode_json
from drivers.medibus.codec import Code
from drivers.medibus.replies import AlarmEntry
from firmware_sim.link import Outcome
from firmware_sim.medibus.line import SerialMedibus
from gateway.domain.errors import MalformedError
from gateway.domain.ports import Clock

SILENT_S_MIN = 3.0
REPLUG_S = 0.5
SHOWN: Final = {"rr": 0xD6, "etco2": 0xE6, "spo2": 0xEB, "pr": 0xE1}
"""A bedside message's field -> the code of the device's measurement."""
_HIGH: Final = {
    "etco2": (50.0, AlarmEntry(26, 0x28, "ETCO2 !!!")),
    "rr": (35.0, AlarmEntry(20, 0x90, "RATE !!")),
}
"""Above which value the device raises which alarm by itself."""


class VentilatorLink:
    """See :class:`firmware_sim.link.DeviceLink`.

    Args:
        port: where the line's other end appears; its directory must exist.
        clock: the machine's.
        interval_s: how often the ward sends.
    """

    def __init__(self, port: Path, clock: Clock, interval_s: float = 2.0) -> None:
        self._silent_s = max(SILENT_S_MIN, 3 * interval_s)
        self._serial = SerialMedibus(port, clock)
        self._silence: asyncio.TimerHandle | None = None
        self._replug: asyncio.TimerHandle | None = None

    async def connect(self) -> None:
        """Switch it on; up when a gateway asks for its measurements."""
        self._serial.start()
        await self._serial.asked.wait()

    async def send(self, kind: str, payload: bytes, message_id: str) -> Outcome:
        """Show a message's values until they were asked for; what is no message is noise."""
        del message_id
        try:
            message = (decode_json if payload[:1] == b"{" else decode_cbor)(kind, payload)
        except MalformedError:
            self._serial.end.write(payload)
            return Outcome.UNCONFIRMED
        if not isinstance(message, Vitals):
            return Outcome.REFUSED
        self._show(message)
        self._wake()
        asked = self._serial.asked
        asked.clear()
        try:
            async with asyncio.timeout(self._silent_s):
                await asked.wait()
        except TimeoutError:
            return Outcome.GIVEN_UP
        return Outcome.UNCONFIRMED

    async def close(self) -> None:
        """Switch off; idempotent."""
        for timer in (self._silence, self._replug):
            if timer is not None:
                timer.cancel()
        self._serial.close()

    def drop(self) -> None:
        """Pull the cable, and put it back soon."""
        self._serial.end.pull_cable()
        self._replug = asyncio.get_running_loop().call_later(REPLUG_S, self._plug_in)

    def _show(self, message: Vitals) -> None:
        device = self._serial.device
        alarms: list[AlarmEntry] = []
        for field, code in SHOWN.items():
            value = getattr(message, field)
            if value is None:
                continue
            device.show(code, f"{value:.0f}")
            limit, alarm = _HIGH.get(field, (float("inf"), None))
            if alarm is not None and value > limit:
                alarms.append(alarm)
        device.alarms[Code.ALARMS_1] = alarms

    def _plug_in(self) -> None:
        with contextlib.suppress(OSError):
            self._serial.end.plug_in()

    def _wake(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
        self._serial.device.silent = False
        self._silence = asyncio.get_running_loop().call_later(self._silent_s, self._hang)

    def _hang(self) -> None:
        self._serial.device.silent = True
