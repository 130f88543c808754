"""Drivers for pumps on serial lines, with simulated pumps on ptys."""

import asyncio
import random
from contextlib import asynccontextmanager

from drivers.alaris.config import AlarisConfig
from drivers.alaris.config import PumpPort as AlarisPort
from drivers.alaris.driver import FACTORY as ALARIS
from drivers.base.lines import LineDriver
from drivers.fresenius.config import FreseniusConfig
from drivers.fresenius.config import PumpPort as FreseniusPort
from drivers.fresenius.driver import FACTORY as FRESENIUS
from firmware_sim.alaris.pump import AlarisPump
from firmware_sim.fresenius.pumps import Pump, PumpLine
from firmware_sim.ticking import TickingLine
from gateway.clock import SystemClock
from gateway.domain import terms
from gateway.domain.records import AlarmSnapshot, DeviceState, DeviceStatus, Gap, Report
from tests.integration.serial_bed import LIMITS, WaitingSink, ports

WAIT_S = 120.0
STOP_S_MAX = 40.0
"""In it the goodbyes are said."""


class Speaker:
    """A pump of which a line can be made."""

    def __init__(self, pump):
        self._pump = pump
        self._heard = asyncio.Event()

    def receive(self, data):
        self._heard.set()
        return self._pump.receive(data)

    async def until(self, condition):
        """Wait until what it has heard is as it should be."""
        while not condition():
            self._heard.clear()
            await self._heard.wait()

    def tick(self, monotonic_s):
        return self._pump.tick(monotonic_s) if isinstance(self._pump, PumpLine) else []


@asynccontextmanager
async def read(factory, config, path, pump, known):
    """A driver that reads pumps on a pty: its sink, the line, the driver, its ports, the pumps."""
    speaker = Speaker(pump)
    line = TickingLine(path, speaker, SystemClock().monotonic)
    sink = WaitingSink()
    given = ports(sink, known)
    driver = LineDriver(factory.protocol, config, given, random.Random(1), LIMITS)
    line.start()
    async with asyncio.timeout(WAIT_S):
        await driver.start()
        try:
            yield sink, line, driver, given, speaker
        finally:
            await driver.stop(STOP_S_MAX)
            line.close()


def of(sink, device_id, kind=Report):
    return [record for record in sink.of(kind) if record.device_id == device_id]


def rate(report):
    return dict(zip(report.codes, report.values, strict=True))[terms.FLOW_RATE]


async def test_an_alaris_pump(tmp_path):
    pump = AlarisPump()
    pump.shown.alarm = "AL_OCCLU"
    port = AlarisPort(device_id="p1", port=str(tmp_path / "p1"), poll_s=0.5)
    config = AlarisConfig(pumps=(port,))
    async with read(ALARIS, config, tmp_path / "p1", pump, ("p1",)) as (sink, line, *_):
        await sink.until(lambda s: len(s.of(Report)) >= 2)
        assert rate(sink.of(Report)[0]) == 3.5
        alarms = [a.condition for snapshot in sink.of(AlarmSnapshot) for a in snapshot.alarms]
        assert set(alarms) == {"occlusion"}
        line.end.pull_cable()
        await sink.until(lambda s: s.of(DeviceStatus)[-1].state is DeviceState.OFFLINE)
        line.end.plug_in()
        await sink.until(lambda s: s.of(Gap))
    assert pump.told == []
    assert set(pump.asked) == {"INF", "INF_VTBI", "ALARM", "SYRINGE_STATUS"}


async def test_the_pumps_of_a_base_are_devices_of_their_own(tmp_path):
    line_of = PumpLine({1: Pump(rate_ml_h=1.0), 2: Pump(rate_ml_h=2.0), 3: Pump()})
    config = FreseniusConfig(
        pumps=tuple(
            FreseniusPort(device_id=f"p{n}", port=str(tmp_path / "base"), module=n, poll_s=0.5)
            for n in (1, 2, 3)
        )
    )
    how = (FRESENIUS, config, tmp_path / "base", line_of, ("p1", "p2"))  # p3 is not admitted
    async with read(*how) as (sink, line, driver, given, speaker):
        await sink.until(lambda s: len(of(s, "p1")) >= 2 and len(of(s, "p2")) >= 2)
        assert {rate(report) for report in of(sink, "p1")} == {1.0}
        assert {rate(report) for report in of(sink, "p2")} == {2.0}
        assert of(sink, "p1")[0].provenance.attested_by == f"{tmp_path / 'base'}#1"
        assert not of(sink, "p3")
        assert 3 not in {frame.address for frame in line_of.heard}

        # One is revoked: it is not asked any more, and the other's dialogue goes on.
        (session,) = [each for each, who in given.admission.live.items() if who.device_id == "p1"]
        del given.admission.devices["p1"]
        session.kill("revoked")
        assert of(sink, "p1", DeviceStatus)[-1].state is DeviceState.OFFLINE
        count = len(of(sink, "p2"))
        await sink.until(lambda s: len(of(s, "p2")) >= count + 1)  # what was on the line is over
        asked = len(line_of.heard)
        await sink.until(lambda s: len(of(s, "p2")) >= count + 4)
        assert {frame.address for frame in line_of.heard[asked:]} == {2}
        assert [status.state for status in of(sink, "p2", DeviceStatus)] == [DeviceState.ONLINE]

        # The cable: it is lost for the other one, too.
        line.end.pull_cable()
        await sink.until(lambda s: of(s, "p2", DeviceStatus)[-1].state is DeviceState.OFFLINE)
        line_of.switch_on()
        line.end.plug_in()
        await sink.until(lambda s: of(s, "p2", Gap))

        # A configuration without it keeps the line for who is left.
        rest = FreseniusConfig(pumps=config.pumps[1:])
        count = len(of(sink, "p2"))
        assert await driver.reconfigure(rest)
        await sink.until(lambda s: len(of(s, "p2")) >= count + 2)
        await driver.stop(STOP_S_MAX)
        goodbyes = [(2, "FC"), (0, "FC")]
        await speaker.until(lambda: [frame[:2] for frame in line_of.heard[-2:]] == goodbyes)
    assert line_of.told == []
