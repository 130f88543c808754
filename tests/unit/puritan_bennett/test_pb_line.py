"""The driver with a simulated ventilator on a pty."""

import asyncio
import random

from drivers.base.lines import LineDriver
from drivers.puritan_bennett.config import VentilatorPort, VentilatorsConfig
from drivers.puritan_bennett.driver import FACTORY
from firmware_sim.puritan_bennett.line import SerialVentilator
from gateway.clock import SystemClock
from gateway.domain.records import AlarmSnapshot, DeviceState, DeviceStatus, Gap, Report
from tests.integration.serial_bed import LIMITS, WaitingSink, ports


async def test_a_ventilator_is_read_alarms_and_comes_back_after_its_cable(tmp_path):
    device = SerialVentilator(tmp_path / "v1", SystemClock())
    sink = WaitingSink()
    config = VentilatorsConfig(
        ventilators=(VentilatorPort(device_id="v1", port=device.end.port, poll_s=2.0),)
    )
    driver = LineDriver(FACTORY.protocol, config, ports(sink, ("v1",)), random.Random(1), LIMITS)
    device.ventilator.alarm(124)
    device.end.plug_in()
    async with asyncio.timeout(60):
        await driver.start()
        await sink.until(lambda s: s.of(AlarmSnapshot))
        assert [a.condition for a in sink.of(AlarmSnapshot)[0].alarms] == ["circuit.disconnected"]
        kinds = {"ventilation", "settings"}  # an answer that is late is asked for again
        await sink.until(lambda s: {r.kind for r in s.of(Report)} == kinds)
        device.end.pull_cable()
        await sink.until(lambda s: s.of(DeviceStatus)[-1].state is DeviceState.OFFLINE)
        device.end.plug_in()
        await sink.until(lambda s: s.of(Gap))
        await driver.stop(1.0)
    device.end.pull_cable()
