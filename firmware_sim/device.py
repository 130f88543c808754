"""One simulated device: measures at its interval, sends, keeps what is unacknowledged.

A device makes a message only while fewer than ``OUTSTANDING_MAX`` of its messages are
unsettled: behind a gateway that is down its memory is full, and it measures without keeping.
Message ids are ``boot:n``; a replayed message's ``n`` is the index of its sample.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from firmware_sim import messages
from firmware_sim.effects import Effects
from firmware_sim.link import DeviceLink, Outcome
from firmware_sim.log import Log, Sent
from firmware_sim.mqtt import backoff_s
from firmware_sim.scenario import SimDevice

OUTSTANDING_MAX = 64
GRACE_S = 10.0
"""How long a stopping device waits for its last acknowledgements."""


class Surroundings(NamedTuple):
    """What every device of a ward shares."""

    log: Log
    now_us: Callable[[], int]
    """Wall time, microseconds."""
    stop: asyncio.Event


class Device:
    """One device's life: connect, send until the ward stops, say goodbye."""

    def __init__(
        self,
        spec: SimDevice,
        link: DeviceLink,
        source: messages.Source,
        boot: str,
        random: Random,
        around: Surroundings,
    ) -> None:
        self.spec = spec
        self.link = link
        self.source = source
        self.effects = Effects()
        self._boot = boot
        self._n = 0
        self._random = random
        self._around = around
        self._outstanding: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until the ward stops or the recording ends; returns with the link closed."""
        try:
            if await self._connect():
                await self._measure()
                if self._outstanding:
                    await asyncio.wait(self._outstanding, timeout=GRACE_S)
        finally:
            await self.link.close()
            for task in self._outstanding:
                task.cancel()  # what the closing link did not settle
            if self._outstanding:
                await asyncio.wait(self._outstanding)

    async def _connect(self) -> bool:
        """Until the link is up for the first time; False when the ward stops before."""
        attempt = 0
        while not self._around.stop.is_set():
            connecting = asyncio.ensure_future(self.link.connect())
            stopping = asyncio.ensure_future(self._around.stop.wait())
            await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not connecting.done():
                connecting.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):
                    await connecting
                return False
            error = connecting.exception()
            if error is None:
                return True
            if not isinstance(error, OSError):
                raise error
            await self._pause(backoff_s(attempt, self._random))
            attempt += 1
        return False

    async def _measure(self) -> None:
        loop = asyncio.get_running_loop()
        interval = self.spec.group.interval_s
        # Devices were not switched on at once: their ticks are spread over the interval.
        due = loop.time() + self._random.uniform(0, interval)
        while await self._pause(due - loop.time()):
            due = max(due + interval, loop.time())
            if not self.effects.silent and not self._tick(interval):
                return

    async def _pause(self, seconds: float) -> bool:
        """Wait; False when the ward stops."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._around.stop.wait()
        return not self._around.stop.is_set()

    def _tick(self, seconds: float) -> bool:
        """Measure once and send it; False when there is nothing more to measure."""
        if len(self._outstanding) >= OUTSTANDING_MAX:
            return True
        message = self.measure(seconds)
        if message is None:
            return False
        self._start(message)
        if self.effects.repeat:
            self._start(message, fault="duplicates")
        return True

    def measure(self, seconds: float) -> messages.Told | None:
        """The next message, by the device's own clock."""
        t_us = self._around.now_us() + self.effects.clock_offset_us(self._around.now_us())
        message = self.source.next(self._boot, self._n, t_us // 1000, seconds)
        self._n += 1
        return message

    def _start(self, message: messages.Told, fault: str = "") -> None:
        task = asyncio.get_running_loop().create_task(self._send(message, fault))
        self._outstanding.add(task)
        task.add_done_callback(self._outstanding.discard)

    async def _send(self, message: messages.Told, fault: str) -> None:
        message_id = f"{message.boot}:{message.n}"
        payload = messages.encode(message, cbor=self.spec.group.cbor)
        around = self._around
        transport = self.spec.group.transport
        sent = Sent(
            self.spec.device_id,
            "" if transport in ("serial", "lan") else message_id,
            transport,
            self.source.kind,
            around.now_us(),
            fault,
        )
        around.log.sent(sent)
        outcome = Outcome.GIVEN_UP
        try:
            outcome = await self.link.send(self.source.kind, payload, message_id)
        finally:
            self._settled(sent, outcome)

    def _settled(self, sent: Sent, outcome: Outcome) -> None:
        around = self._around
        done = around.now_us() if outcome is Outcome.ACKNOWLEDGED else None
        around.log.settled(sent, outcome, done)
