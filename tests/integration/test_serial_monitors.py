"""Drivers for monitors on serial lines, with simulated monitors on ptys."""

import asyncio
import random
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from drivers.base.lines import LineDriver
from drivers.datex_s5.codec import ShownAlarm
from drivers.datex_s5.config import DatexS5Config
from drivers.datex_s5.config import MonitorPort as DatexPort
from drivers.datex_s5.driver import FACTORY as DATEX
from drivers.ivy450c.config import Ivy450cConfig
from drivers.ivy450c.config import MonitorPort as IvyPort
from drivers.ivy450c.driver import FACTORY as IVY
from drivers.masimo.config import MasimoConfig, OximeterPort
from drivers.masimo.driver import FACTORY as MASIMO
from firmware_sim.datex_s5.monitor import Monitor as DatexMonitor
from firmware_sim.datex_s5.monitor import Screen as DatexScreen
from firmware_sim.ivy450c.monitor import Monitor as IvyMonitor
from firmware_sim.ivy450c.monitor import Screen as IvyScreen
from firmware_sim.masimo.oximeter import Oximeter
from firmware_sim.masimo.oximeter import Screen as MasimoScreen
from firmware_sim.ticking import TickingLine
from gateway.clock import SystemClock
from gateway.domain import terms
from gateway.domain.records import AlarmSnapshot, DeviceState, DeviceStatus, Gap, Report
from tests.integration.serial_bed import LIMITS, WaitingSink, ports

VALUES = {terms.HEART_RATE: 72.0, terms.SPO2: 97.0, terms.PULSE_RATE: 73.0}
WAIT_S = 120.0
STOP_S_MAX = 40.0
"""In it the goodbyes are said."""


class PoliteMonitor(DatexMonitor):
    """Tells when everything that was asked for has been stopped."""

    def __init__(self, *how):
        super().__init__(*how)
        self.dismissed = asyncio.Event()

    def receive(self, data):
        answers = super().receive(data)
        if not (self.interval_s or self.curves or self.differences):
            self.dismissed.set()
        return answers


@asynccontextmanager
async def read(factory, config, path, speaker):
    """A driver that reads a device on a pty: its sink, and the device's line."""
    line = TickingLine(path, speaker, SystemClock().monotonic)
    sink = WaitingSink()
    driver = LineDriver(factory.protocol, config, ports(sink), random.Random(1), LIMITS)
    line.start()
    async with asyncio.timeout(WAIT_S):
        await driver.start()
        try:
            yield sink, line, driver
        finally:
            await driver.stop(STOP_S_MAX)
            line.close()


def with_numbers(sink):
    return [report for report in sink.of(Report) if terms.SPO2 in report.codes]


def with_curves(sink):
    return [report for report in sink.of(Report) if report.waveforms]


async def test_a_datex_monitor_with_even_parity_its_cable_and_its_goodbye(tmp_path):
    screen = DatexScreen(VALUES, (ShownAlarm("HR high", 2),))
    monitor = PoliteMonitor(lambda: screen, lambda: 1_800_000_000)
    monitor.interval_s_max = 0.2
    config = DatexS5Config(monitors=(DatexPort(device_id="m1", port=str(tmp_path / "m1")),))
    async with read(DATEX, config, tmp_path / "m1", monitor) as (sink, line, driver):
        await sink.until(lambda s: with_numbers(s) and with_curves(s) and s.of(AlarmSnapshot))
        found = dict(zip(with_numbers(sink)[0].codes, with_numbers(sink)[0].values, strict=True))
        assert found == VALUES
        assert [alarm.text for alarm in sink.of(AlarmSnapshot)[0].alarms] == ["HR high"]
        line.end.pull_cable()
        await sink.until(lambda s: s.of(DeviceStatus)[-1].state is DeviceState.OFFLINE)
        monitor.restart()
        line.end.plug_in()
        await sink.until(lambda s: s.of(Gap))
        monitor.dismissed.clear()
        await driver.stop(STOP_S_MAX)
        await monitor.dismissed.wait()


async def test_an_ivy_monitor(tmp_path):
    monitor = IvyMonitor(lambda: IvyScreen(VALUES))
    config = Ivy450cConfig(monitors=(IvyPort(device_id="m1", port=str(tmp_path / "m1")),))
    async with read(IVY, config, tmp_path / "m1", monitor) as (sink, *_):
        await sink.until(lambda s: len(with_numbers(s)) >= 2 and with_curves(s))
    report = with_numbers(sink)[0]
    assert dict(zip(report.codes, report.values, strict=True)) == VALUES
    assert report.provenance.attested_by == str(tmp_path / "m1")


async def test_a_masimo_oximeter(tmp_path):
    oximeter = Oximeter(lambda: MasimoScreen(VALUES), lambda: datetime.now(UTC))
    config = MasimoConfig(oximeters=(OximeterPort(device_id="m1", port=str(tmp_path / "m1")),))
    async with read(MASIMO, config, tmp_path / "m1", oximeter) as (sink, *_):
        await sink.until(lambda s: len(with_numbers(s)) >= 2)
    report = with_numbers(sink)[0]
    assert report.codes == (terms.SPO2, terms.PULSE_RATE)
