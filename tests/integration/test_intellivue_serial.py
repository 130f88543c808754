"""The driver against the simulated monitor: over a pty, a socket, and a terminal server."""

import asyncio
import math
import random
import shutil

import msgspec
import pytest

from demo.plan import free_ports
from drivers.base import attachment
from drivers.base.lines import LineDriver
from drivers.intellivue.config import IntellivueConfig, MonitorPort
from drivers.intellivue.driver import FACTORY as INTELLIVUE
from firmware_sim.endpoints import Endpoints
from firmware_sim.intellivue.line import SerialMonitor
from firmware_sim.intellivue.link import MonitorLink
from firmware_sim.intellivue.screen import Screen
from firmware_sim.link import Outcome as LinkOutcome
from firmware_sim.links import link_maker
from firmware_sim.log import Log
from firmware_sim.scenario import Scenario, devices
from firmware_sim.ward import Ward
from gateway.clock import SystemClock
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.ports import Outcome
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    AlarmSnapshot,
    Attestation,
    DeviceState,
    DeviceStatus,
    Gap,
    Quality,
    Report,
)
from tests.integration.serial_bed import (
    CUFF,
    HR_HIGH,
    LEADS_OFF,
    LIMITS,
    VALUES,
    Bed,
    SocketBed,
    WaitingSink,
    driver,
    periodic,
    ports,
)


@pytest.fixture
async def bed(tmp_path):
    bed = Bed(tmp_path)
    bed.monitor.start()
    yield bed
    bed.monitor.close()


async def test_numerics_enumerations_and_alarms_arrive(bed):
    bed.screen = Screen(VALUES, (HR_HIGH, LEADS_OFF), rhythm=16402)
    sink = WaitingSink()
    given = ports(sink)
    subject = driver(bed.port, given)
    await subject.start()
    await sink.until(
        lambda s: (
            len(periodic(s)) >= 3
            and s.of(AlarmSnapshot)
            and any(r.enumerations for r in s.of(Report))
        )
    )
    await subject.stop(2.0)

    report = periodic(sink)[0]
    assert dict(zip(report.codes, report.values, strict=True)) == {
        code: value for code, value in VALUES.items() if code not in CUFF
    }
    assert report.qualities == ()
    assert (report.device_id, report.bed, report.message_id) == ("m1", "7", "")
    assert report.provenance.attestation is Attestation.PORT
    assert report.provenance.attested_by == bed.port
    assert abs(report.device_us - report.received_us) < 60_000_000
    cuffs = [r for r in sink.of(Report) if CUFF & set(r.codes)]
    assert [dict(zip(r.codes, r.values, strict=True)) for r in cuffs] == [
        {code: VALUES[code] for code in CUFF}
    ]
    (rhythm,) = next(r for r in sink.of(Report) if r.enumerations).enumerations
    assert (rhythm.code, rhythm.value, rhythm.name) == (184327, 2 << 16 | 16402, "sinus_rhythm")
    high, leads = sink.of(AlarmSnapshot)[0].alarms
    assert (high.condition, high.code, high.priority, high.kind, high.text) == (
        "heart_rate.high",
        196648,
        AlarmPriority.HIGH,
        AlarmKind.PHYSIOLOGICAL,
        "*** HR 150 > 120",
    )
    assert (leads.condition, leads.kind) == ("heart_rate.leads_off", AlarmKind.TECHNICAL)
    assert [s.state for s in sink.of(DeviceStatus)] == [DeviceState.ONLINE, DeviceState.OFFLINE]
    assert not sink.of(Gap)
    assert not given.admission.live
    # Everything that the monitor sent and the driver heard is the same account.
    heard = [tuple(sorted(VALUES))] * len(periodic(sink))
    assert [tuple(sorted(sent.codes)) for sent in bed.sent][: len(heard)] == heard


async def test_measurement_states_become_qualities(bed):
    bed.screen = Screen(
        {terms.HEART_RATE: math.nan, terms.SPO2: 80.0, terms.TEMPERATURE: 37.0},
        states={terms.SPO2: 0x4000, terms.TEMPERATURE: 0x0002},
    )
    sink = WaitingSink()
    subject = driver(bed.port, ports(sink))
    await subject.start()
    await sink.until(periodic)
    await subject.stop(2.0)
    report = periodic(sink)[0]
    assert report.codes == (terms.HEART_RATE, terms.SPO2, terms.TEMPERATURE)
    assert report.qualities == (Quality.UNAVAILABLE, Quality.QUESTIONABLE, Quality.VALID)
    assert math.isnan(report.values[0])


async def test_an_alarm_that_ends_leaves_the_snapshot(bed):
    bed.screen = Screen(VALUES, (HR_HIGH,))
    sink = WaitingSink()
    subject = driver(bed.port, ports(sink))
    await subject.start()
    await sink.until(lambda s: s.of(AlarmSnapshot) and s.of(AlarmSnapshot)[-1].alarms)
    bed.screen = Screen(VALUES)
    await sink.until(lambda s: not s.of(AlarmSnapshot)[-1].alarms)
    await subject.stop(2.0)


async def test_a_pulled_cable_is_a_status_and_a_gap_when_it_is_back(bed):
    sink = WaitingSink()
    given = ports(sink)
    subject = driver(bed.port, given)
    await subject.start()
    await sink.until(lambda s: len(periodic(s)) >= 2)
    bed.monitor.pull_cable()
    await sink.until(lambda s: s.of(DeviceStatus)[-1].state is DeviceState.OFFLINE)
    assert sink.of(DeviceStatus)[-1].reason in ("hung_up", "read_failed")
    assert not given.admission.live
    last_us = max(r.received_us for r in (*sink.of(Report), *sink.of(AlarmSnapshot)))
    bed.monitor.plug_in()
    await sink.until(lambda s: s.of(Gap))
    await subject.stop(2.0)
    (gap,) = sink.of(Gap)
    assert (gap.device_id, gap.from_us) == ("m1", last_us)
    assert gap.to_us > gap.from_us
    following = sink.records[sink.records.index(gap) + 1]
    assert isinstance(following, Report | AlarmSnapshot)
    assert given.counters.counts["link_losses", "intellivue"] == 1


async def test_the_gateways_own_absence_is_a_gap(bed):
    sink = WaitingSink()
    subject = driver(bed.port, ports(sink))
    await subject.start()
    await sink.until(lambda s: len(periodic(s)) >= 2)
    await subject.stop(2.0)
    assert not sink.of(Gap)
    deltas = [delta for submission in sink.submissions for delta in submission.deltas]
    last_us = int.from_bytes(deltas[-1].value or b"", "big")
    assert last_us >= periodic(sink)[-1].received_us

    later = WaitingSink()
    state = {space: {"m1": value} for space, _, value in deltas[-1:]}
    subject = driver(bed.port, ports(later, state=state))
    await subject.start()
    await later.until(periodic)
    await subject.stop(2.0)
    (gap,) = later.of(Gap)
    assert (gap.reason, gap.device_id, gap.from_us) == ("gateway_stopped", "m1", last_us)
    assert later.records.index(gap) < later.records.index(periodic(later)[0])


async def test_garbage_and_lost_bytes_are_counted_and_survived(bed):
    sink = WaitingSink()
    given = ports(sink)
    subject = driver(bed.port, given)
    await subject.start()
    await sink.until(lambda s: len(periodic(s)) >= 2)
    bed.monitor.line.garbage(b"\x00\xffnoise\xc0\x11")
    bed.monitor.line.drop_every = 300
    before = len(periodic(sink))
    await sink.until(lambda s: given.aside.kept and len(periodic(s)) > before)
    bed.monitor.line.drop_every = 0
    before = len(periodic(sink))
    await sink.until(lambda s: len(periodic(s)) >= before + 3)
    await subject.stop(2.0)
    counted = {name[2] for name in given.counters.counts if name[0] == "malformed"}
    assert "noise" in counted
    assert counted <= {
        "noise",
        "truncated",
        "fcs",
        "length",
        "escape",
        "aborted",
        "too_long",
        "incomplete",
        "unknown_metric",
    }
    expected = {code: value for code, value in VALUES.items() if code not in CUFF}
    for report in periodic(sink):
        assert dict(zip(report.codes, report.values, strict=True)) == expected


async def test_silence_ends_the_association_and_begins_another(bed):
    sink = WaitingSink()
    subject = driver(bed.port, ports(sink), silence_s=3.0)
    await subject.start()
    await sink.until(periodic)
    bed.monitor.line.silent = True
    await sink.until(lambda s: s.of(DeviceStatus)[-1].state is DeviceState.OFFLINE)
    assert sink.of(DeviceStatus)[-1].reason == "silent"
    bed.monitor.line.silent = False
    await sink.until(lambda s: s.of(Gap))
    await subject.stop(2.0)
    assert sink.of(Gap)[0].reason == "silent"


async def test_a_busy_monitor_is_asked_again(bed):
    bed.monitor.monitor.busy = True
    sink = WaitingSink()
    subject = driver(bed.port, ports(sink))
    await subject.start()
    refused = asyncio.Event()
    answer = bed.monitor.monitor.receive

    def receive(payload):
        said = answer(payload)
        if said:
            bed.monitor.monitor.busy = False
            refused.set()
        return said

    bed.monitor.monitor.receive = receive
    await refused.wait()
    assert not sink.records
    await sink.until(periodic)
    await subject.stop(2.0)


async def test_single_polls_where_the_monitor_knows_no_extended_ones(bed):
    bed.monitor.monitor.deaf_to_extended_polls = True
    bed.screen = Screen(VALUES, (HR_HIGH,))
    sink = WaitingSink()
    subject = driver(bed.port, ports(sink))
    await subject.start()
    await sink.until(lambda s: len(periodic(s)) >= 2 and s.of(AlarmSnapshot))
    await subject.stop(2.0)


async def test_a_device_that_is_not_admitted_hears_nothing(bed):
    heard: list[bytes] = []
    bed.monitor.line.feed = heard.append
    sink = WaitingSink()
    given = ports(sink, known=())
    asked = asyncio.Event()
    admit = given.admission.admit

    def admitting(credential, session):
        asked.set()
        return admit(credential, session)

    given.admission.admit = admitting
    subject = driver(bed.port, given)
    await subject.start()
    await asked.wait()
    await subject.stop(1.0)
    assert heard == []
    assert not sink.records
    assert given.admission.refusals


async def test_a_device_that_is_admitted_later(bed, monkeypatch):
    monkeypatch.setattr(attachment, "ADMISSION_RETRY_S", 0.05)
    sink = WaitingSink()
    given = ports(sink, known=())
    refused = asyncio.Event()
    refuse = given.admission.refuse

    def refusing(*words):
        refuse(*words)
        refused.set()

    given.admission.refuse = refusing
    subject = driver(bed.port, given)
    await subject.start()
    await refused.wait()
    given.admission.devices["m1"] = Device("m1", "monitor", "icu", "7")
    await sink.until(periodic)
    await subject.stop(2.0)


async def test_a_killed_session_is_dropped_and_asks_for_admission_again(bed):
    sink = WaitingSink()
    given = ports(sink)
    subject = driver(bed.port, given)
    await subject.start()
    await sink.until(periodic)
    (session,) = given.admission.live
    given.admission.devices.clear()
    session.kill("revoked")
    assert not given.admission.live
    assert sink.of(DeviceStatus)[-1].reason == "revoked"
    count = len(sink.records)
    refused = asyncio.Event()
    refuse = given.admission.refuse

    def refusing(*words):
        refuse(*words)
        refused.set()

    given.admission.refuse = refusing
    await refused.wait()
    assert len(sink.records) == count
    await subject.stop(1.0)


async def test_refused_submissions_become_a_gap(bed):
    sink = WaitingSink(automatic=Outcome.FULL)
    given = ports(sink)
    subject = driver(bed.port, given)
    await subject.start()
    await sink.until(lambda s: len(periodic(s)) >= 2)
    sink.automatic = Outcome.COMMITTED
    await sink.until(lambda s: s.of(Gap))
    await subject.stop(2.0)
    (gap,) = sink.of(Gap)
    assert gap.reason == "not_taken"
    assert gap.reports >= 2
    assert given.counters.counts["not_taken", "full"] == gap.reports


async def test_a_journal_that_is_behind_pauses_the_port(bed):
    sink = WaitingSink()
    subject = driver(bed.port, ports(sink))
    await subject.start()
    await sink.until(periodic)
    sink.is_writable = False
    count = len(sink.submissions)
    await sink.until(lambda s: len(s.submissions) == count + 1)
    sent = len(bed.sent)
    more = asyncio.Event()

    def on_sent(reply):
        bed.sent.append(reply)
        more.set()

    bed.monitor.line._on_sent = on_sent
    while len(bed.sent) < sent + 3:
        more.clear()
        await more.wait()
    assert len(sink.submissions) == count + 1
    sink.become_writable()
    await sink.until(lambda s: len(periodic(s)) >= 4)
    await subject.stop(2.0)
    assert not sink.of(Gap)


async def test_over_a_socket_and_its_loss():
    async with SocketBed() as bed:
        sink = WaitingSink()
        subject = driver(bed.port, ports(sink))
        await subject.start()
        await sink.until(lambda s: len(periodic(s)) >= 2)
        bed.hang_up()
        await sink.until(lambda s: s.of(Gap))
        await subject.stop(2.0)
        assert bed.connections == 2


@pytest.mark.skipif(shutil.which("ser2net") is None, reason="needs Debian's ser2net")
async def test_over_rfc2217_through_ser2net(bed, tmp_path):
    (number,) = free_ports(1)
    config = tmp_path / "ser2net.yaml"
    config.write_text(
        "connection: &monitor\n"
        f"  accepter: telnet(rfc2217),tcp,127.0.0.1,{number}\n"
        f"  connector: serialdev,{bed.port},115200n81,local\n"
    )
    server = await asyncio.create_subprocess_exec(
        "ser2net",
        "-n",
        "-d",
        "-c",
        str(config),
        "-P",
        str(tmp_path / "pid"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        sink = WaitingSink()
        # A pty has no modem lines, so ser2net never confirms what it is asked to do with them.
        port = f"rfc2217://127.0.0.1:{number}?ign_set_control"
        subject = driver(port, ports(sink))
        await subject.start()
        await sink.until(lambda s: len(periodic(s)) >= 2)
        await subject.stop(3.0)
        report = periodic(sink)[0]
        assert report.provenance.attested_by == port
        assert dict(zip(report.codes, report.values, strict=True))[terms.SPO2] == 97.5
    finally:
        server.terminate()
        await server.wait()


VITALS = {"v": 1, "boot": "b", "n": 1, "hr": 71.3, "spo2": 96.0, "nibp_sys": 120.0}


async def test_a_wards_device_on_a_serial_line(tmp_path):
    link = MonitorLink("m1", tmp_path / "m1", SystemClock())
    sink = WaitingSink()
    subject = driver(str(tmp_path / "m1"), ports(sink))
    assert await link.send("vitals", msgspec.json.encode(VITALS), "b:1") is LinkOutcome.GIVEN_UP
    await subject.start()
    await link.connect()
    # Each measurement that is sent is one report, with its values.
    rates = [70.0, 71.0, 72.5]
    for number, rate in enumerate(rates):
        payload = msgspec.json.encode({**VITALS, "n": number, "hr": rate})
        assert await link.send("vitals", payload, f"b:{number}") is LinkOutcome.UNCONFIRMED
        await sink.until(lambda s, n=number: len(periodic(s)) > n)
    assert [r.values[r.codes.index(terms.HEART_RATE)] for r in periodic(sink)] == rates
    assert await link.send("vitals", b"\xc0noise", "b:9") is LinkOutcome.UNCONFIRMED
    link.drop()
    await sink.until(lambda s: s.of(DeviceStatus)[-1].state is DeviceState.OFFLINE)
    await sink.until(lambda s: s.of(DeviceStatus)[-1].state is DeviceState.ONLINE)
    await link.polled()
    await link.send("vitals", msgspec.json.encode(VITALS), "b:10")
    await sink.until(lambda s: s.of(Gap))
    await subject.stop(2.0)
    await link.close()
    await link.close()


async def test_the_wards_clock_is_the_monitors(tmp_path):
    link = MonitorLink("m1", tmp_path / "m1", SystemClock())
    sink = WaitingSink()
    subject = driver(str(tmp_path / "m1"), ports(sink))
    late_us = SystemClock().now_us() - 3600 * 1_000_000
    payload = msgspec.json.encode({**VITALS, "t": late_us // 1000})
    await link.send("vitals", payload, "b:1")
    await subject.start()
    await link.connect()
    await link.send("vitals", payload, "b:1")
    await sink.until(periodic)
    assert abs(periodic(sink)[0].device_us - late_us) < 600_000_000
    await subject.stop(2.0)
    await link.close()


async def test_monitors_come_and_go_and_the_others_stay(bed, tmp_path):
    second = SerialMonitor(tmp_path / "m2", lambda: bed.screen, SystemClock(), lambda _sent: None)
    second.monitor.reply_every_s = 0.1
    second.start()
    sink = WaitingSink()
    given = ports(sink, known=("m1", "m2", "m3"))
    subject = driver(bed.port, given)
    await subject.start()
    await sink.until(lambda s: len(periodic(s)) >= 2)
    stays = MonitorPort(device_id="m1", port=bed.port)

    def statuses():
        return [(s.device_id, s.state) for s in sink.of(DeviceStatus)]

    for name in ("m2", "m3"):  # another device behind the same port
        other = MonitorPort(device_id=name, port=second.port)
        assert await subject.reconfigure(IntellivueConfig(monitors=(other, stays)))
        await sink.until(lambda s, name=name: any(r.device_id == name for r in periodic(s)))
        assert given.counters.gauges["sessions", "intellivue"] == 2
    assert await subject.reconfigure(IntellivueConfig(monitors=(stays,)))
    assert statuses() == [
        ("m1", DeviceState.ONLINE),
        ("m2", DeviceState.ONLINE),
        ("m2", DeviceState.OFFLINE),
        ("m3", DeviceState.ONLINE),
        ("m3", DeviceState.OFFLINE),
    ]
    before = len(periodic(sink))
    await sink.until(lambda s: len(periodic(s)) > before)
    await subject.stop(2.0)
    second.close()
    assert not sink.of(Gap)
    assert not await subject.reconfigure(IntellivueConfig(monitors=()))


async def test_a_ward_of_monitors(tmp_path):
    scenario = msgspec.convert(
        {
            "group": [
                {
                    "name": "icu",
                    "kind": "monitor",
                    "transport": "serial",
                    "count": 2,
                    "interval_s": 0.05,
                    "signals": ["hr", "spo2", "abp_sys", "abp_dia", "abp_mean", "etco2"],
                }
            ]
        },
        Scenario,
    )
    names = [device.device_id for device in devices(scenario)]
    lines = {name: str(tmp_path / name) for name in names}
    sink = WaitingSink()
    config = IntellivueConfig(
        monitors=tuple(MonitorPort(device_id=name, port=lines[name]) for name in names)
    )
    given = ports(sink, known=names)
    subject = LineDriver(INTELLIVUE.protocol, config, given, random.Random(1), LIMITS)
    with Log(tmp_path / "log") as log:
        ward = Ward(scenario, link_maker(Endpoints(serial=lines)), log, SystemClock().now_us)
        await subject.start()
        running = asyncio.create_task(ward.run())
        await sink.until(
            lambda s: all(sum(r.device_id == name for r in periodic(s)) >= 3 for name in names)
        )
        assert given.counters.gauges["sessions", "intellivue"] == 2
        ward.stop()
        await running
        await subject.stop(2.0)
    assert given.counters.gauges["sessions", "intellivue"] == 0
    assert {r.device_id for r in periodic(sink)} == set(names)
