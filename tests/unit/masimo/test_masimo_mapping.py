"""Readings become records; online and silent."""

import math
import random
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from drivers.base.dialogue import Malformed, Missed, Moment, Offline, Online, Said
from drivers.masimo import codec
from drivers.masimo.codec import Exceptions
from drivers.masimo.config import MasimoConfig, OximeterPort
from drivers.masimo.driver import dialogues
from drivers.masimo.mapping import Mapper
from firmware_sim.masimo.oximeter import Oximeter, Screen, radical7
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    Attestation,
    Provenance,
    Quality,
    Report,
    TimeQuality,
)
from tests.unit.masimo.test_masimo_codec import RAD8, RAD8_SENSOR_OFF, RADICAL7

PROVENANCE = Provenance("masimo", Attestation.PORT, "/dev/ttyS0")


def mapper(zone=UTC, **how):
    return Mapper(Device("m1", bed="3"), PROVENANCE, zone, **how)


def moment(second=0.0):
    return Moment(1000.0 + second, 1_800_000_000_000_000 + round(second * 1e6))


def said(line, to=None):
    """Code -> (value, quality), the report if there is one, and the alarms."""
    *reports, snapshot = (to or mapper()).records(codec.decode(line), moment())
    report = reports[0] if reports else None
    numbers = {}
    if isinstance(report, Report):
        qualities = report.qualities or (Quality.VALID,) * len(report.codes)
        numbers = dict(zip(report.codes, zip(report.values, qualities, strict=True), strict=True))
    return numbers, report, {alarm.condition: alarm for alarm in snapshot.alarms}


def line(fields):
    return b"02/22/16 22:47:45 " + fields


def test_a_good_line():
    numbers, report, alarms = said(RAD8)
    assert numbers == {
        terms.SPO2: (98.0, Quality.VALID),
        terms.PULSE_RATE: (97.0, Quality.VALID),
        terms.PERFUSION_INDEX: (3.6, Quality.VALID),
    }
    assert datetime.fromtimestamp(report.device_us / 1e6, UTC) == datetime(
        2016, 2, 22, 22, 47, 45, tzinfo=UTC
    )
    assert (report.time_quality, report.bed) == (TimeQuality.GOOD, "3")
    assert alarms == {}


def test_the_clock_is_the_wards():
    _, report, _ = said(RAD8, mapper(ZoneInfo("Europe/Paris")))
    assert datetime.fromtimestamp(report.device_us / 1e6, UTC).hour == 21
    _, report, _ = said(RAD8.replace(b"02/22", b"02/31"))
    assert (report.device_us, report.time_quality) == (0, TimeQuality.NONE)


def test_a_sensor_that_is_off_makes_what_is_shown_invalid():
    numbers, _, alarms = said(RAD8_SENSOR_OFF)
    assert numbers[terms.SPO2] == (98.0, Quality.INVALID)
    assert alarms["sensor_off"].priority is AlarmPriority.MEDIUM
    assert alarms["low_perfusion"].priority is AlarmPriority.LOW
    assert {alarm.kind for alarm in alarms.values()} == {AlarmKind.TECHNICAL}


@pytest.mark.parametrize(
    ("bits", "quality"),
    [
        (0x001, Quality.INVALID),
        (0x002, Quality.INVALID),
        (0x004, Quality.QUESTIONABLE),
        (0x008, Quality.QUESTIONABLE),
        (0x010, Quality.QUESTIONABLE),
        (0x020, Quality.INVALID),
        (0x040, Quality.QUESTIONABLE),
        (0x080, Quality.INVALID),
        (0x100, Quality.VALID),
        (0x400, Quality.QUESTIONABLE),
        (0x424, Quality.INVALID),
    ],
)
def test_exceptions_decide_the_quality(bits, quality):
    numbers, _, _ = said(line(b"SPO2=098%% BPM=097 EXC=%06X" % bits))
    assert {told for _, told in numbers.values()} == {quality}


def test_what_went_is_unavailable_and_what_never_was_is_nothing():
    subject = mapper()
    assert said(line(b"SPO2=---% BPM=--- EXC=000008"), subject)[0] == {}
    said(RADICAL7, subject)
    numbers, _, _ = said(line(b"SPO2=---% BPM=--- PI=--.-- SPHB=--.- EXC=000808"), subject)
    assert set(numbers) == {terms.SPO2, terms.PULSE_RATE, terms.PERFUSION_INDEX}
    assert all(math.isnan(v) and q is Quality.UNAVAILABLE for v, q in numbers.values())


def test_further_parameters():
    shown = {
        terms.SPO2: 97.0,
        terms.PULSE_RATE: 61.0,
        terms.code("WARDGATE_SPCO"): 4.0,
        terms.code("WARDGATE_SPMET"): 0.9,
        terms.code("WARDGATE_SPHB"): 12.1,
        terms.code("WARDGATE_PVI"): 14.0,
    }
    written = radical7(Screen(shown), datetime(2026, 1, 2, 3, 4, 5))  # noqa: DTZ001
    numbers, _, _ = said(written.strip())
    assert {code: value for code, (value, _) in numbers.items()} == shown
    numbers, _, _ = said(line(b"SPO2=097% BPM=061 SPHB=121 EXC=000800"), mapper(sphb_unit="g/L"))
    assert numbers[terms.code("WARDGATE_SPHB")] == (12.1, Quality.VALID)


def test_what_is_no_number_is_invalid():
    subject = mapper()
    numbers, _, _ = said(line(b"SPO2=0A8% BPM=097 EXC=000800"), subject)
    value, quality = numbers[terms.SPO2]
    assert math.isnan(value)
    assert quality is Quality.INVALID
    assert subject.unmapped == 1


def test_limit_alarms_and_one_that_nobody_knows():
    def conditions(alarm):
        return set(said(line(b"SPO2=098%% BPM=097 ALARM=%04X EXC=000800" % alarm))[2])

    assert conditions(0x12) == {"spo2_low"}
    assert conditions(0x18) == {"pulse_low"}
    assert conditions(0x05) == {"spo2_high", "pulse_high"}
    assert conditions(0x30) == set()  # sounding, muted: of the exceptions, which say what
    assert conditions(0x40) == {"alarm"}
    (alarm,) = said(line(b"SPO2=085% BPM=097 ALARM=0012 EXC=000800"))[2].values()
    assert (alarm.priority, alarm.kind) == (AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL)


def dialogue(**settings):
    bound = OximeterPort(device_id="m1", port="/dev/ttyS0", **settings)
    return dialogues(bound, PROVENANCE, random.Random(1))(Device("m1"))


def test_a_simulated_oximeter_is_read():
    shown = Screen({terms.SPO2: 97.0, terms.PULSE_RATE: 61.0}, Exceptions.SET)
    oximeter = Oximeter(lambda: shown, lambda: datetime.now(UTC))
    subject = dialogue()
    assert list(subject.receive(b"00\r\n", moment())) == []  # the rest of a line
    (data,) = oximeter.tick(5.0)
    online, said = subject.receive(data, moment())
    assert online == Online()
    assert isinstance(said, Said)
    assert oximeter.tick(5.5) == []
    found = list(subject.receive(b"noise\r\n", moment(1)))
    assert found == [Malformed("head", b"noise")]
    found = list(subject.receive(line(b"SPO2=0A8% BPM=097 EXC=000800\r\n"), moment(2)))
    assert found[-1] == Missed("unknown_value", 1)
    assert list(subject.tick(moment(8))) == [Offline("silent")]
    assert subject.output == []


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"silence_s": 1.0}, "silence_s"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"port": "ttyS0"}, "port"),
    ],
)
def test_a_configuration_that_cannot_be(settings, what):
    with pytest.raises(ValueError, match=what):
        OximeterPort(**{"device_id": "m1", "port": "/dev/ttyS0", **settings})


def test_no_port_twice():
    port = OximeterPort(device_id="m1", port="socket://10.0.0.1:4001")
    assert MasimoConfig(oximeters=(port,)).dials == ("10.0.0.1:4001",)
    with pytest.raises(ValueError, match="twice"):
        MasimoConfig(oximeters=(port, port))
