"""Monitors on a network, over real sockets: waves, losses, repetition, disorder, restarts."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest

from demo.plan import free_ports
from drivers.intellivue.config import IntellivueLanConfig, MonitorAddress
from drivers.intellivue.lan import IntellivueLanDriver
from firmware_sim.intellivue.lan import LanMonitor
from firmware_sim.intellivue.screen import Screen
from gateway.clock import SystemClock
from gateway.domain import terms
from gateway.domain.errors import ConfigError
from gateway.domain.records import Attestation, DeviceStatus, Report
from tests.integration.serial_bed import VALUES, WaitingSink, periodic, ports

PATIENCE_S = 30


class Ward:
    """Some monitors, a driver, and what it submitted."""

    def __init__(self, monitors, sink, given, driver):
        self.monitors = monitors
        self.sink = sink
        self.given = given
        self.driver = driver

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE_S):
            await self.sink.until(condition)

    def reports(self, device):
        return [r for r in periodic(self.sink) if r.device_id == device]

    def blocks(self, device, code):
        return [
            w
            for r in self.sink.of(Report)
            if r.device_id == device
            for w in r.waveforms
            if w.code == code
        ]

    def states(self, device):
        statuses = self.sink.of(DeviceStatus)
        return [s.reason for s in statuses if s.device_id == device]


async def bound_elsewhere():
    return await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )


@asynccontextmanager
async def ward(count=1, indicated=True, **settings):
    (port,) = free_ports(1)
    place = ("127.0.0.1", port)
    monitors = {
        f"m{n}": LanMonitor(
            (f"127.0.0.{n}", 0), lambda: Screen(VALUES), SystemClock(), place if indicated else None
        )
        for n in range(1, count + 1)
    }
    for each in monitors.values():
        each.monitor.reply_every_s = 0.1
        await each.start()
    config = IntellivueLanConfig(
        monitors=tuple(
            MonitorAddress(
                device_id=name,
                address=f"{each.address[0]}:{each.address[1]}",
                waves=True,
                **settings,
            )
            for name, each in monitors.items()
        ),
        listen=(f"127.0.0.1:{place[1]}",),
    )
    sink = WaitingSink()
    given = ports(sink, monitors)
    driver = IntellivueLanDriver(config, given, random.Random(1))
    await driver.start()
    try:
        yield Ward(monitors, sink, given, driver)
    finally:
        await driver.stop(1.0)
        for each in monitors.values():
            each.close()


LEAD_II, PLETH = 131330, terms.code("MDC_PULS_OXIM_PLETH")


async def test_two_monitors_numbers_and_waves_with_the_address_for_a_witness():
    async with ward(2) as w:
        await w.until(
            lambda _: all(
                len(w.reports(m)) >= 3 and len(w.blocks(m, code)) >= 3
                for m in w.monitors
                for code in (LEAD_II, PLETH)
            )
        )
        report = w.reports("m2")[0]
        values = dict(zip(report.codes, report.values, strict=True))
        assert values[terms.HEART_RATE] == VALUES[terms.HEART_RATE]
        assert report.provenance.attestation is Attestation.ADDRESS
        host, port = w.monitors["m2"].address
        assert report.provenance.attested_by == f"udp://{host}:{port}"
        shown = [b for m in w.monitors for b in w.blocks(m, LEAD_II)]
        assert {len(b.samples) for b in shown} == {128}
        assert {b.sample_rate_hz for b in shown} == {500.0}
        assert not any(b.missing_before for b in shown)
        # A beat's R wave stands out by some millivolts.
        assert max(s * b.scale + b.offset for b in shown for s in b.samples) > 4


async def test_what_the_network_loses_repeats_and_swaps():
    async with ward(indicated=False) as w:
        monitor = w.monitors["m1"]
        await w.until(lambda _: len(w.blocks("m1", PLETH)) >= 2)
        monitor.lose_every, monitor.repeat_every, monitor.swap_every = 7, 3, 5
        await w.until(lambda _: any(b.missing_before for b in w.blocks("m1", PLETH)))
        await w.until(lambda _: len(w.blocks("m1", PLETH)) >= 20)
        found = w.blocks("m1", PLETH)
        starts = [b.start_us for b in found]
        assert len(starts) == len(set(starts))
        reports = w.reports("m1")
        times = [r.device_us for r in reports]
        assert len(times) == len(set(times))
        assert w.states("m1") == ["connected"]


async def test_a_monitor_that_restarts_is_found_again_with_a_gap():
    async with ward(silence_s=3.0) as w:
        monitor = w.monitors["m1"]
        await w.until(lambda _: w.reports("m1"))
        before = len(w.reports("m1"))
        monitor.monitor.restart()
        await w.until(lambda _: "silent" in w.states("m1"))
        await w.until(lambda _: len(w.reports("m1")) > before)
        states = w.states("m1")
        silences = states.count("silent")  # one, if nobody was kept waiting for seconds
        assert states == ["connected", *["silent", "connected"] * silences]
        gaps = [r for r in w.sink.records if type(r).__name__ == "Gap"]
        assert [(g.reason, g.device_id) for g in gaps] == [("silent", "m1")] * silences


async def test_who_is_not_the_configured_monitor_is_not_read():
    async with ward(system_id="0009fb00ffff") as w:
        aside = w.given.aside
        async with asyncio.timeout(PATIENCE_S):
            while not aside.kept:  # noqa: ASYNC110  # it happens in a callback
                await asyncio.sleep(0.02)
        assert {kept[2] for kept in aside.kept} == {"other_monitor"}
        assert w.sink.records == []


async def test_a_stranger_that_announces_itself_is_told_of_once_and_never_spoken_to():
    async with ward() as w:
        stranger = LanMonitor(
            ("127.0.0.9", 0),
            lambda: Screen(VALUES),
            SystemClock(),
            next(iter(w.driver.addresses().values())),
        )
        await stranger.start()
        async with asyncio.timeout(PATIENCE_S):
            while not w.given.admission.refusals:  # noqa: ASYNC110  # it happens in a callback
                await asyncio.sleep(0.02)
        stranger._indicate_due = 0.0
        await w.until(lambda _: len(w.reports("m1")) >= 3)
        assert w.given.admission.refusals == [("unknown_device", "lan", "")]
        assert stranger._client is None
        stranger.close()


async def test_others_datagrams_do_not_get_in():
    async with ward() as w:
        await w.until(lambda _: w.reports("m1"))
        place = w.driver._places[w.driver._config.monitors[0]]
        ours = place.link._transport.get_extra_info("sockname")[:2]
        transport, _ = await bound_elsewhere()
        for _ in range(50):
            transport.sendto(b"\x19forged abort", ours)
        transport.close()
        before = len(w.reports("m1"))
        await w.until(lambda _: len(w.reports("m1")) > before + 2)
        assert w.states("m1") == ["connected"]
        assert w.given.aside.kept == []


async def test_monitors_come_and_go_by_configuration_and_the_others_stay():
    async with ward(2) as w:
        await w.until(lambda _: w.reports("m1") and w.reports("m2"))
        both = w.driver._config
        alone = IntellivueLanConfig(monitors=both.monitors[:1], listen=both.listen)
        assert await w.driver.reconfigure(alone)
        assert w.states("m2")[-1] == "stopped"
        before = len(w.reports("m1"))
        await w.until(lambda _: len(w.reports("m1")) > before)
        assert await w.driver.reconfigure(both)
        await w.until(lambda _: w.states("m2")[-1] == "connected")
        assert w.states("m1") == ["connected"]


async def test_a_port_that_is_taken_is_said():
    async with ward() as w:
        again = IntellivueLanConfig(
            monitors=(),
            listen=tuple(f"{h}:{p}" for h, p in w.driver.addresses().values()),
        )
        with pytest.raises(ConfigError, match="listen"):
            await IntellivueLanDriver(again, w.given, random.Random(1)).start()


@pytest.mark.parametrize("address", ["monitor.local", "10.0.0.1:0", "10.0.0.1:x", "", "10.0.0"])
def test_an_address_is_a_literal_one(address):
    with pytest.raises(ValueError, match=r"address|port"):
        MonitorAddress(device_id="m1", address=address)
