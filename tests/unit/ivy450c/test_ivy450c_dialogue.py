"""What the driver makes of a simulated monitor: begin, damage, silence."""

import random

import pytest

from drivers.base.dialogue import Malformed, Moment, Offline, Online, Said
from drivers.ivy450c.config import Ivy450cConfig, MonitorPort
from drivers.ivy450c.driver import dialogues
from firmware_sim.ivy450c.monitor import Monitor, Screen
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import AlarmSnapshot, Attestation, Provenance, Report

VALUES = {
    terms.HEART_RATE: 72.0,
    terms.SPO2: 97.0,
    terms.PULSE_RATE: 73.0,
    terms.TEMPERATURE: 36.8,
    terms.code("MDC_PRESS_BLD_SYS"): 121.0,
    terms.code("MDC_PRESS_BLD_DIA"): 77.0,
    terms.code("MDC_PRESS_BLD_MEAN"): 92.0,
}


def dialogue(**settings):
    bound = MonitorPort(device_id="m1", port="/dev/ttyS0", **settings)
    provenance = Provenance("ivy450c", Attestation.PORT, bound.port)
    return dialogues(bound, provenance, random.Random(1))(Device("m1"))


def moment(second):
    return Moment(50.0 + second, 1_800_000_000_000_000 + round(second * 1e6))


def test_what_the_monitor_shows_arrives():
    monitor, subject = Monitor(lambda: Screen(VALUES, {"HR": "HR LOW"})), dialogue()
    (data,) = monitor.tick(10.0)
    assert monitor.tick(10.5) == []
    assert len(monitor.tick(11.0)) == 1
    online, said = subject.receive(data, moment(0))
    assert online == Online()
    numbers, curves, alarms = said.records
    assert dict(zip(numbers.codes, numbers.values, strict=True)) == VALUES
    assert curves.waveforms[-1].samples[0] in range(77, 122)
    assert isinstance(alarms, AlarmSnapshot)
    assert [alarm.text for alarm in alarms.alarms] == ["HR LOW"]
    assert subject.output == []


def test_the_rest_of_a_message_at_the_beginning_is_no_damage_but_noise_is():
    monitor, subject = Monitor(lambda: Screen(VALUES)), dialogue()
    data = monitor.message()
    found = list(subject.receive(data[300:], moment(0)))
    found += subject.receive(monitor.message(), moment(1))
    assert [type(event) for event in found] == [Online, Said]
    found = list(subject.receive(b"noise", moment(1.5)))
    assert found == [Malformed("noise", b"noise")]
    subject = dialogue()  # of a port at the wrong speed
    babble = [e for i in range(3) for e in subject.receive(b"\x00" * 900, moment(i))]
    assert [event.reason for event in babble] == ["noise", "noise"]


def test_a_damaged_message_leaves_a_gap_in_the_curves():
    monitor, subject = Monitor(lambda: Screen(VALUES)), dialogue()
    list(subject.receive(monitor.message(), moment(0)))
    broken = bytearray(monitor.message())
    broken[4] = 0
    assert [type(e) for e in subject.receive(bytes(broken), moment(1))] == [Malformed]
    (said,) = subject.receive(monitor.message(), moment(2))
    waves = [w for r in said.records if isinstance(r, Report) for w in r.waveforms]
    assert {w.missing_before / w.sample_rate_hz for w in waves} == {1.0}


def test_silence_and_return():
    monitor, subject = Monitor(lambda: Screen(VALUES)), dialogue(silence_s=5.0)
    assert subject.deadline() is None
    list(subject.receive(monitor.message(), moment(0)))
    assert subject.deadline() == moment(5).monotonic_s
    subject.excuse(moment(3))
    assert list(subject.tick(moment(5))) == []
    assert list(subject.tick(moment(8))) == [Offline("silent")]
    assert subject.deadline() is None
    assert next(iter(subject.receive(monitor.message(), moment(60)))) == Online()


@pytest.mark.parametrize(
    "settings",
    [
        {"silence_s": 1.0},
        {"p1": "ABP", "p2": "ABP"},
        {"device_id": ""},
        {"port": "ttyS0"},
    ],
)
def test_a_configuration_that_cannot_be(settings):
    with pytest.raises(ValueError, match=r"must|can't"):
        MonitorPort(**{"device_id": "m1", "port": "/dev/ttyS0", **settings})


def test_no_port_twice():
    port = MonitorPort(device_id="m1", port="socket://10.0.0.1:4001")
    assert Ivy450cConfig(monitors=(port,)).dials == ("10.0.0.1:4001",)
    with pytest.raises(ValueError, match="twice"):
        Ivy450cConfig(monitors=(port, port))
