"""The ward's ventilator: what it is given, the driver reads, once each."""

import asyncio
import random

from drivers.base.lines import LineDriver
from drivers.bedside.codec import Vitals, encode_json
from drivers.medibus.config import MedibusConfig, MedibusPort
from drivers.medibus.driver import FACTORY
from firmware_sim.link import Outcome
from firmware_sim.medibus.link import VentilatorLink
from gateway.clock import SystemClock
from gateway.domain import terms
from gateway.domain.records import AlarmSnapshot, Report
from tests.integration.serial_bed import LIMITS, WaitingSink, ports


def message(n, etco2):
    return encode_json(Vitals(v=1, boot="b", n=n, t=0, rr=14.0 + n, etco2=etco2))


async def test_what_the_ward_sends_is_read_and_its_device_alarms(tmp_path):
    link, sink = VentilatorLink(tmp_path / "v1", SystemClock(), 1.0), WaitingSink()
    port = MedibusPort(device_id="v1", port=str(tmp_path / "v1"), poll_s=1.0)
    config = MedibusConfig(devices=(port,))
    driver = LineDriver(FACTORY.protocol, config, ports(sink, ("v1",)), random.Random(1), LIMITS)
    async with asyncio.timeout(60):
        await driver.start()
        await link.connect()
        for n, etco2 in ((1, 38.0), (2, 62.0)):
            assert await link.send("vitals", message(n, etco2), "") is Outcome.UNCONFIRMED
        assert await link.send("vitals", b"\xffnoise\r", "") is Outcome.UNCONFIRMED
        rate = terms.code("MDC_VENT_RESP_RATE")
        await sink.until(lambda s: {15.0, 16.0} <= set(rates(s, rate)))
        await sink.until(lambda s: any(snapshot.alarms for snapshot in s.of(AlarmSnapshot)))
        await driver.stop(1.0)
        await link.close()


def rates(sink, code):
    return [r.values[r.codes.index(code)] for r in sink.of(Report) if code in r.codes]
