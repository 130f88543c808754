"""One driver with its device, and everything around them in memory but the link between the two.

The link is a real one over the loopback, so that a driver is tested as the gateway runs it, from
its entry point on. Between device and link a check may tamper with what the device says.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Any, Self

import msgspec

from contract.exhibit import DEVICE_ID, Exhibit, Place
from contract.fakes import (
    FakeAdmission,
    FakeAside,
    FakeCommands,
    FakeCounters,
    FakeSink,
    FakeState,
)
from contract.peers import Peer, peer_of
from contract.pki import Certificates
from gateway.clock import SystemClock
from gateway.domain import devices
from gateway.domain.ports import Driver, DriverFactory, Outcome, Ports, Submission
from gateway.domain.records import Quality, Report
from gateway.domain.statements import Statement
from security import tls

TICK_S = 0.02
"""How often the device is asked what is due."""
WAIT_S = 30.0
"""For what must happen; a slow machine needs a small part of it."""
GRACE_S = 3.0
RECOVERY_TRIES_MAX = 10
RECOVERY_S = 4.0
"""Per try: a link that is made anew, a dialogue that begins anew, and a report."""
NUMBERS = range(40, 191)
DAY_US = 86_400_000_000

Tamper = Callable[[Sequence[bytes]], Iterable[bytes]]
"""Frames as the device says them -> chunks as they go on the link."""


class JumpingClock(SystemClock):
    """The machine's, with a wall clock that can be set."""

    offset_us = 0

    def now_us(self) -> int:
        """Wall time."""
        return super().now_us() + self.offset_us


class BenchSink(FakeSink):
    """Knows which numbers were submitted, and wakes who waits."""

    def __init__(self, exhibit: Exhibit) -> None:
        super().__init__(Outcome.COMMITTED)
        self._code = exhibit.code
        self._of_statement = exhibit.numbers
        self.reports: dict[float, Report | Statement] = {}
        """By number: the newest with it."""
        self.news = asyncio.Event()

    def submit(self, submission: Submission) -> None:
        """Take it."""
        for record in submission.records:
            if isinstance(record, Report):
                self.reports.update(dict.fromkeys(self._numbers(record), record))
            elif isinstance(record, Statement) and self._of_statement is not None:
                self.reports.update(dict.fromkeys(self._of_statement(record), record))
        super().submit(submission)
        self.news.set()

    def _numbers(self, report: Report) -> Iterator[float]:
        """What stands under the code: values that are valid, and the samples of a waveform."""
        qualities = report.qualities or (Quality.VALID,) * len(report.codes)
        for code, value, quality in zip(report.codes, report.values, qualities, strict=True):
            if code == self._code and quality is Quality.VALID:
                yield value
        for wave in report.waveforms:
            if wave.code == self._code:
                for sample in set(wave.samples):
                    yield round(sample * wave.scale + wave.offset, 6)

    def of(self, kind: type[Any]) -> list[Any]:
        """All submitted records of a kind."""
        return [record for record in self.records if isinstance(record, kind)]


class _Faults(logging.Handler):
    """Exceptions that were logged: what came from outside must never be one."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.found.append(self.format(record))


class Bench:
    """Use it as a context: it starts the driver and the device, and checks how they end."""

    def __init__(
        self,
        exhibit: Exhibit,
        factory: DriverFactory,
        certificates: Certificates,
        *,
        admitted: bool = True,
    ) -> None:
        self.exhibit = exhibit
        self.factory = factory
        self.random = Random(1)  # noqa: S311 - chunks and noise, the same in each run
        self.device = exhibit.device()
        self.sink = BenchSink(exhibit)
        self.clock = JumpingClock()
        known = devices.Device(DEVICE_ID, kind="monitor", bed="7", ward="icu")
        who: dict[bytes | str, devices.Device] = {
            DEVICE_ID: known,
            certificates.device_der: known,
        }
        self.admission = FakeAdmission(who if admitted else {})
        self.counters = FakeCounters()
        self.aside = FakeAside()
        self.tamper: Tamper = list
        self.pace_s = 0.0
        """Between two chunks."""
        self.ups = 0
        """How often there was a link."""
        self.heard_bytes = 0
        self.shown: set[float] = set()
        self.driver: Driver
        self.peer: Peer
        self._certificates = certificates
        self._numbers = iter(NUMBERS)
        self._linked = False
        self._outbox: deque[bytes | None] = deque()
        """Chunks; None cuts the link."""
        self._faults = _Faults()
        self._moving: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._threads = set(threading.enumerate())
        logging.getLogger().addHandler(self._faults)
        asyncio.get_running_loop().set_exception_handler(self._on_fault)
        self.peer = await peer_of(self.exhibit.reach, self, self._certificates)
        self.config: Any = msgspec.convert(
            dict(self.exhibit.config(Place(self.peer.port))), self.factory.config_type
        )
        self.driver = self.factory.create("exhibit", self.config, self._ports())
        self._moving = [asyncio.create_task(self._tick()), asyncio.create_task(self._move())]
        await self.driver.start()
        await self.peer.start(self.driver.addresses)
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        self.tamper = list
        try:
            await self.driver.stop(GRACE_S)
            await self.driver.stop(GRACE_S)  # idempotent
        finally:
            await self.peer.close()
            for task in self._moving:
                task.cancel()
            await asyncio.wait(self._moving)
            logging.getLogger().removeHandler(self._faults)
        if kind is None:
            assert not self._faults.found, self._faults.found[0]
            assert not self.admission.live, "stop() left sessions at the admission"
            await self.until(lambda: len(asyncio.all_tasks()) == 1)  # our own alone
            await asyncio.get_running_loop().shutdown_default_executor()
            await self.until(lambda: set(threading.enumerate()) <= self._threads)

    # What checks do

    def fresh(self) -> float:
        """A number that was not shown yet."""
        return float(next(self._numbers))

    def show(self, number: float) -> None:
        """Let the device show a number."""
        self.shown.add(number)
        self._say(self.device.show(number))

    def inject(self, noise: bytes) -> None:
        """Put bytes on the link that nobody meant."""
        self._outbox.append(noise)

    def cut(self) -> None:
        """Break the link off behind what was said so far."""
        self._outbox.append(None)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition.

        Raises:
            TimeoutError: it did not come true within WAIT_S.
        """
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await asyncio.sleep(TICK_S / 2)

    async def ticks(self, count: int) -> None:
        """Let the device have its say so many times."""
        await asyncio.sleep(count * TICK_S)

    async def arrival(self, number: float) -> Report | Statement:
        """The report with a number that is shown, once it was submitted."""
        await self.until(lambda: number in self.sink.reports)
        return self.sink.reports[number]

    async def passes(self) -> Report | Statement:
        """Show a number to a link that is well, and see it arrive."""
        await self.until(lambda: self._linked)
        return await self.recovers()

    async def recovers(self) -> Report | Statement:
        """Show numbers until one arrives: what was damaged before may cost a few.

        Raises:
            AssertionError: none does.
        """
        for _ in range(RECOVERY_TRIES_MAX):
            number = self.fresh()
            self.show(number)
            try:
                async with asyncio.timeout(RECOVERY_S):
                    return await self.arrival(number)
            except TimeoutError:
                continue
        raise AssertionError(f"nothing arrives any more: {self.exhibit.driver}")

    @property
    def linked(self) -> bool:
        """Whether there is a link."""
        return self._linked

    # The peer's owner

    def up(self) -> None:
        """There is a link."""
        self.ups += 1
        self._linked = True
        self._outbox.clear()
        self._say(self.device.opened())

    def down(self) -> None:
        """There is none."""
        self._linked = False
        self._outbox.clear()

    def received(self, data: bytes) -> None:
        """The driver said something."""
        self.heard_bytes += len(data)
        self._say(self.device.receive(data))

    # How things move

    def _say(self, frames: Sequence[bytes]) -> None:
        if frames and self._linked:
            self._outbox.extend(self.tamper(frames))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self._linked:
                self._say(self.device.tick())

    async def _move(self) -> None:
        while True:
            while self._outbox:
                chunk = self._outbox.popleft()
                if chunk is None:
                    self.peer.cut()
                else:
                    self.peer.send(chunk)
                    await self.peer.drain()
                await asyncio.sleep(self.pace_s)
            await asyncio.sleep(TICK_S / 10)

    def _on_fault(self, _loop: object, context: dict[str, Any]) -> None:
        # What a connection that is cut in its handshake makes our own end of it say.
        if not isinstance(context.get("exception"), OSError):
            self._faults.found.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _ports(self) -> Ports:
        files = self._certificates.gateway
        server, dtls = tls.server_context(files), tls.dtls_server_context(files)
        client = tls.client_context(files)
        return Ports(
            self.admission,
            self.sink,
            self.counters,
            self.clock,
            self.aside,
            FakeState(),
            FakeCommands(),
            server_tls=lambda: server,
            server_dtls=lambda: dtls,
            client_tls=lambda: client,
        )
