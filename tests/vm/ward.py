"""Devices that report to the machine from outside, and the account of what they were told.

Their connections survive nothing: services are killed and the power is cut under them, and they
come again, as devices do. What was acknowledged to them must be at the core.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections import Counter
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Self

from firmware_sim.intellivue.line import MonitorLine
from firmware_sim.intellivue.monitor import Monitor
from firmware_sim.intellivue.screen import Screen
from gateway.clock import SystemClock
from tests.crash.account import at_core, read
from tests.crash.device import HABITS, Device
from tests.crash.mqtt_device import MqttDevice

ANSWER_S_MAX = 300.0
"""An emulated machine may have to boot first."""
TICK_S = 0.05
SPOKEN = tuple(habit for habit in HABITS if not habit.coap)
"""The crash rounds' CoAP devices have less patience than an emulated machine asks for."""


class Count(NamedTuple):
    """What the devices were told so far."""

    sent: int
    acknowledged: int


class Ward:
    """One device of each habit, living in a thread; they say nothing until :meth:`pace`."""

    def __init__(self, identities: Sequence[Path], port: int, random: Random) -> None:
        """``identities``: a directory with cert.pem, key.pem, ca.pem for each habit."""
        self.devices: list[Device] = []
        for directory, habit in zip(identities, SPOKEN, strict=True):
            tls = ssl.create_default_context(cafile=str(directory / "ca.pem"))
            tls.load_cert_chain(directory / "cert.pem", directory / "key.pem")
            quiet = replace(habit, rate=0.0)
            self.devices.append(MqttDevice(directory.name, tls, port, quiet, random))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        for device in self.devices:
            self._start(device.run())

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def pace(self, rate: float) -> None:
        """From now on each device sends so many messages per second."""
        for device in self.devices:
            device.habit = replace(device.habit, rate=rate)

    def count(self) -> Count:
        """What they were told so far."""
        diaries = [device.diary for device in self.devices]
        return Count(sum(len(d.sent) for d in diaries), sum(len(d.acknowledged) for d in diaries))

    def settle(self) -> None:
        """Send nothing new, and wait until everything that was sent is answered.

        Raises:
            TimeoutError: it is not.
        """
        self.pace(0.0)

        async def answered() -> None:
            async with asyncio.timeout(ANSWER_S_MAX):
                while any(device.unfinished for device in self.devices):  # noqa: ASYNC110
                    await asyncio.sleep(TICK_S)  # the devices tell nobody, and there are four

        self._start(answered()).result()

    def finish(self) -> None:
        """Let each say a last calm thing, and wait for the answers; they say no more."""

        async def finished() -> None:
            async with asyncio.timeout(ANSWER_S_MAX):
                await asyncio.gather(*(device.finish() for device in self.devices))

        self._start(finished()).result()

    def close(self) -> None:
        """Switch them off, and wait until each is."""

        async def ended() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for each in others:
                each.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self._start(ended()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # The account

    def missing(self, core: Path) -> dict[str, int]:
        """Acknowledged messages that a copy of the core's store lacks, by device."""
        held = self._held(core)
        lacking = {
            device.device_id: len(device.diary.acknowledged - held[device.device_id].keys())
            for device in self.devices
        }
        return {name: number for name, number in lacking.items() if number}

    def contradictions(self, core: Path) -> list[str]:
        """After :meth:`finish`: whatever else the core's store says that the devices do not."""
        return at_core(core, self.devices)

    def _held(self, core: Path) -> dict[str, Counter[str]]:
        held: dict[str, Counter[str]] = {device.device_id: Counter() for device in self.devices}
        for name, message_id, device_us in read(
            core, "SELECT device_id, message_id, device_us FROM reports"
        ):
            if name in held:
                held[str(name)][str(message_id or device_us)] += 1
        return held


class SerialMonitor:
    """An IntelliVue monitor at the other end of the machine's serial line."""

    def __init__(self, line: Path, values: dict[int, float]) -> None:
        self._line = line
        self._values = values
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._live(),))
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    async def _live(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._line)
        line = MonitorLine(Monitor(lambda: Screen(self._values), SystemClock()), writer.write)
        with contextlib.closing(writer):
            while not self._stopping.is_set():
                try:
                    async with asyncio.timeout(TICK_S):
                        data = await reader.read(4096)
                except TimeoutError:
                    line.tick()
                    continue
                if not data:
                    return
                line.feed(data)
