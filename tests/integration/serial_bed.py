"""A simulated monitor, a driver, and a sink that can be waited for."""

import asyncio
import random

from drivers.base.lines import LineDriver
from drivers.intellivue.config import IntellivueConfig, MonitorPort
from drivers.intellivue.driver import FACTORY as INTELLIVUE
from drivers.transport.serial import SerialLimits
from firmware_sim.intellivue.line import MonitorLine, SerialMonitor
from firmware_sim.intellivue.monitor import Monitor, SentReply
from firmware_sim.intellivue.screen import Screen, ShownAlarm
from gateway.clock import SystemClock
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.ports import Outcome, Ports
from gateway.domain.records import AlarmKind, AlarmPriority, Report
from tests.fakes import FakeAdmission, FakeAside, FakeCommands, FakeCounters, FakeSink, FakeState

LIMITS = SerialLimits(rest_min_s=0.05, rest_max_s=0.2)
VALUES = {
    terms.HEART_RATE: 72.0,
    terms.SPO2: 97.5,
    terms.RESP_RATE: 16.0,
    terms.ABP_SYS: 121.0,
    terms.ABP_DIA: 77.0,
    terms.ABP_MEAN: 92.0,
    terms.NIBP_SYS: 118.0,
    terms.NIBP_DIA: 74.0,
    terms.NIBP_MEAN: 89.0,
    terms.TEMPERATURE: 36.8,
    terms.PULSE_RATE: 72.0,
    terms.ETCO2: 38.0,
}
CUFF = {terms.NIBP_SYS, terms.NIBP_DIA, terms.NIBP_MEAN}
HR_HIGH = ShownAlarm(
    terms.HEART_RATE, 40, AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL, "*** HR 150 > 120"
)
LEADS_OFF = ShownAlarm(
    terms.HEART_RATE, 274, AlarmPriority.LOW, AlarmKind.TECHNICAL, "ECG LEADS OFF"
)


class WaitingSink(FakeSink):
    """Wakes who waits for records."""

    def __init__(self, automatic=Outcome.COMMITTED):
        super().__init__(automatic)
        self._news = asyncio.Event()

    def submit(self, submission):
        super().submit(submission)
        self._news.set()

    def of(self, kind):
        return [record for record in self.records if isinstance(record, kind)]

    async def until(self, condition):
        while not condition(self):
            self._news.clear()
            await self._news.wait()


def ports(sink, known=("m1",), state=None):
    devices = {name: Device(name, "monitor", "icu", "7") for name in known}
    return Ports(
        FakeAdmission(devices),
        sink,
        FakeCounters(),
        SystemClock(),
        FakeAside(),
        FakeState(state),
        FakeCommands(),
        server_tls=lambda: None,
        server_dtls=lambda: None,
        client_tls=lambda: None,
    )


def driver(port, given, **settings):
    config = IntellivueConfig(monitors=(MonitorPort(device_id="m1", port=port, **settings),))
    return LineDriver(INTELLIVUE.protocol, config, given, random.Random(1), LIMITS)


class Bed:
    """A monitor on a pty, what it shows, and what it says it sent."""

    def __init__(self, directory):
        self.screen = Screen(VALUES)
        self.sent: list[SentReply] = []
        self.monitor = SerialMonitor(
            directory / "m1", lambda: self.screen, SystemClock(), self.sent.append
        )
        self.monitor.monitor.reply_every_s = 0.1

    @property
    def port(self):
        return self.monitor.port


def periodic(sink):
    return [r for r in sink.of(Report) if terms.HEART_RATE in r.codes]


class SocketBed:
    """A monitor behind a TCP port, as a terminal server without RFC 2217 shows it."""

    def __init__(self):
        self.connections = 0
        self._writers = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = f"socket://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self.hang_up()
        await self._server.wait_closed()

    def hang_up(self):
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _serve(self, reader, writer):
        self.connections += 1
        self._writers.append(writer)
        monitor = Monitor(lambda: Screen(VALUES), SystemClock())
        monitor.reply_every_s = 0.1
        line = MonitorLine(monitor, writer.write)
        while not writer.is_closing():
            try:
                async with asyncio.timeout(0.05):
                    data = await reader.read(4096)
            except TimeoutError:
                line.tick()
                continue
            if not data:
                break
            line.feed(data)
        writer.close()
