"""A ward's device as an IntelliVue monitor on a serial line or a network: their DeviceLinks.

What the ward sends are bedside messages; the monitor shows their values and puts a reply with
them on the line at once, so that each measurement is one reply. Neither acknowledges anything:
a message is UNCONFIRMED once its reply was written, and GIVEN_UP when nobody polls the monitor.
When the ward sends nothing for three intervals the monitor hangs: it says nothing more.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from drivers.bedside.codec import Vitals, decode_cbor, decode_json
from drivers.bedside.mapping import VITALS
from firmware_sim.intellivue.lan import LanMonitor
from firmware_sim.intellivue.line import SerialMonitor
from firmware_sim.intellivue.screen import Screen
from firmware_sim.link import Outcome
from gateway.domain.errors import MalformedError
from gateway.domain.ports import Clock

SILENT_S_MIN = 3.0
REPLUG_S = 0.5
CLOCK_TOLERANCE_US = 1_000_000
"""A monitor's clock has whole seconds: less than that is no offset."""
SINUS_RHYTHM = 16402


class _MonitorClock:
    """The machine's clock, off by what the ward's device is off."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_us = 0

    def now_us(self) -> int:
        return self._clock.now_us() + self._offset_us

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def show(self, device_us: int) -> None:
        """Set the clock, if it is off by more than it can show."""
        if abs(device_us - self.now_us()) > CLOCK_TOLERANCE_US:
            self._offset_us = device_us - self._clock.now_us()


class _Shown:
    """What both have in common; see :class:`firmware_sim.link.DeviceLink`."""

    def __init__(self, clock: Clock, interval_s: float) -> None:
        self._silent_s = max(SILENT_S_MIN, 3 * interval_s)
        self._clock = _MonitorClock(clock)
        self._screen = Screen({}, rhythm=SINUS_RHYTHM)
        self._silence: asyncio.TimerHandle | None = None
        self._replug: asyncio.TimerHandle | None = None

    async def send(self, kind: str, payload: bytes, message_id: str) -> Outcome:
        """Show a message's values and reply with them; what is no message is noise on the line."""
        del message_id
        try:
            message = (decode_json if payload[:1] == b"{" else decode_cbor)(kind, payload)
        except MalformedError:
            self._noise(payload)
            return Outcome.UNCONFIRMED
        if not isinstance(message, Vitals):
            return Outcome.REFUSED
        if message.t is not None:
            self._clock.show(message.t * 1000)
        values = {code: getattr(message, field) for field, code in VITALS.items()}
        shown = {code: float(value) for code, value in values.items() if value is not None}
        self._screen = self._screen._replace(values=shown)
        self._wake()
        return Outcome.UNCONFIRMED if self._show() else Outcome.GIVEN_UP

    def _noise(self, noise: bytes) -> None:
        raise NotImplementedError

    def _show(self) -> bool:
        raise NotImplementedError

    def _be_silent(self, silent: bool) -> None:
        raise NotImplementedError

    def _cancel_timers(self) -> None:
        for timer in (self._silence, self._replug):
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
        self._be_silent(False)
        self._silence = asyncio.get_running_loop().call_later(self._silent_s, self._be_silent, True)


class MonitorLink(_Shown):
    """A monitor on a serial line.

    Args:
        device_id: the monitor's.
        port: where the line's other end appears; its directory must exist.
        clock: the machine's.
        interval_s: how often the ward sends.
    """

    def __init__(self, device_id: str, port: Path, clock: Clock, interval_s: float = 1.0) -> None:
        super().__init__(clock, interval_s)
        self._serial = SerialMonitor(port, lambda: self._screen, self._clock, bed=device_id)
        self._serial.monitor.paced = True

    async def connect(self) -> None:
        """Switch the monitor on; up when a gateway polls it."""
        self._serial.start()
        await self.polled()

    async def polled(self) -> None:
        """Wait until a gateway polls the monitor."""
        await self._serial.monitor.polled.wait()

    async def close(self) -> None:
        """Switch off; idempotent."""
        self._cancel_timers()
        self._serial.close()

    def drop(self) -> None:
        """Pull the cable, and put it back soon."""
        self._serial.pull_cable()
        self._replug = asyncio.get_running_loop().call_later(REPLUG_S, self._plug_in)

    def _plug_in(self) -> None:
        with contextlib.suppress(OSError):
            self._serial.plug_in()

    def _noise(self, noise: bytes) -> None:
        self._serial.line.garbage(noise)

    def _show(self) -> bool:
        return self._serial.show()

    def _be_silent(self, silent: bool) -> None:
        self._serial.line.silent = silent


class LanMonitorLink(_Shown):
    """A monitor on a network, with waves.

    Args:
        device_id: the monitor's.
        address: where it is.
        clock: the machine's.
        interval_s: how often the ward sends.
        announced: where it announces itself; None: nowhere.
    """

    def __init__(
        self,
        device_id: str,
        address: tuple[str, int],
        clock: Clock,
        interval_s: float = 1.0,
        announced: tuple[str, int] | None = None,
    ) -> None:
        super().__init__(clock, interval_s)
        self._lan = LanMonitor(address, lambda: self._screen, self._clock, announced, bed=device_id)
        self._lan.monitor.paced = True
        self._on = False

    async def connect(self) -> None:
        """Switch the monitor on; up when a gateway polls it."""
        if not self._on:
            self._on = True
            await self._lan.start()
        await self.polled()

    async def polled(self) -> None:
        """Wait until a gateway polls the monitor."""
        await self._lan.monitor.polled.wait()

    async def close(self) -> None:
        """Switch off; idempotent."""
        self._cancel_timers()
        self._on = False
        self._lan.close()

    def drop(self) -> None:
        """Restart: the association is gone, and the gateway has to notice."""
        self._lan.monitor.restart()

    def _noise(self, noise: bytes) -> None:
        self._lan.garbage(noise)

    def _show(self) -> bool:
        return self._lan.show()

    def _be_silent(self, silent: bool) -> None:
        self._lan.silent = silent
