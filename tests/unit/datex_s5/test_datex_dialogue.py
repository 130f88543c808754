"""Asking, asking again, and stopping; with a simulated monitor at the other end."""

import random

import pytest

from drivers.base.dialogue import Event, Malformed, Moment, Offline, Online, Said
from drivers.datex_s5 import codec, framing, requests
from drivers.datex_s5.codec import ShownAlarm
from drivers.datex_s5.config import DatexS5Config, MonitorPort
from drivers.datex_s5.driver import dialogues
from drivers.datex_s5.framing import FrameDecoder
from firmware_sim.datex_s5.monitor import Monitor, Screen
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import AlarmSnapshot, Attestation, Provenance, Report

VALUES = {terms.HEART_RATE: 72.0, terms.SPO2: 97.0, terms.ABP_SYS: 121.0}
BEGIN_S = 1000.0


def moment(second):
    return Moment(BEGIN_S + second, 1_800_000_000_000_000 + round(second * 1e6))


class Bed:
    """A monitor, a dialogue, and the second that it is."""

    def __init__(self, **settings):
        self.screen = Screen(VALUES)
        self.monitor = Monitor(lambda: self.screen, lambda: 1_700_000_000)
        bound = MonitorPort(device_id="m1", port="/dev/ttyS0", **settings)
        provenance = Provenance("datex_s5", Attestation.PORT, bound.port)
        self.dialogue = dialogues(bound, provenance, random.Random(1))(Device("m1"))
        self.requests = []
        self.second = 0.0
        self.plugged = True

    def run(self, seconds, events=()):
        """Pass time in halves of a second; everything that happened."""
        found = list(events) + self.exchange()
        for _ in range(round(seconds * 2)):
            self.second += 0.5
            now = moment(self.second)
            if self.plugged:
                for data in self.monitor.tick(now.monotonic_s):
                    found += self.dialogue.receive(data, now)
            deadline = self.dialogue.deadline()
            if deadline is not None and now.monotonic_s >= deadline:
                found += self.dialogue.tick(now)
            found += self.exchange()
        return found

    def exchange(self):
        said = list(self.dialogue.output)
        found: list[Event] = []
        self.dialogue.output.clear()
        for frame in said:
            (request,) = FrameDecoder().feed(frame)
            self.requests.append(request)
            if self.plugged:
                for answer in self.monitor.receive(frame):
                    found += self.dialogue.receive(answer, moment(self.second))
        return found

    def begin(self):
        return self.run(0, self.dialogue.begin(moment(0)))


def reports(events):
    return [r for e in events if isinstance(e, Said) for r in e.records if isinstance(r, Report)]


def snapshots(events):
    return [
        r for e in events if isinstance(e, Said) for r in e.records if isinstance(r, AlarmSnapshot)
    ]


def test_three_flows_are_asked_for_and_come():
    bed = Bed()
    events = bed.begin() + bed.run(20)
    assert bed.requests == [
        requests.numbers(5),
        requests.alarm_status(),
        requests.alarm_changes(),
        requests.curves((1, 4, 8, 9, 15)),
    ]
    assert [e for e in events if isinstance(e, Online)] == [Online()]
    numbers = [r for r in reports(events) if r.codes]
    assert len(numbers) == 4
    assert dict(zip(numbers[0].codes, numbers[0].values, strict=True)) == VALUES
    curves = [w for r in reports(events) for w in r.waveforms if w.sample_rate_hz == 300]
    assert 18 <= len(curves) <= 20
    assert not any(w.missing_before for w in curves)
    assert len(snapshots(events)) == 1


def test_alarms_come_when_they_change():
    bed = Bed()
    bed.begin()
    bed.run(5)
    bed.screen = Screen(VALUES, (ShownAlarm("HR high", 2),))
    (snapshot,) = snapshots(bed.run(3))
    assert [alarm.condition for alarm in snapshot.alarms] == ["hr_high"]
    bed.screen = Screen(VALUES)
    (snapshot,) = snapshots(bed.run(3))
    assert snapshot.alarms == ()


def test_the_alarms_of_the_moment_are_asked_for_once_a_minute():
    bed = Bed(curves=())
    bed.begin()
    bed.run(125)
    asked = [request for request in bed.requests if request == requests.alarm_status()]
    assert len(asked) == 3
    assert bed.requests.count(requests.numbers(5)) == 1


def test_a_monitor_that_was_switched_off_is_asked_again():
    bed = Bed()
    bed.begin()
    bed.run(6)
    bed.monitor.restart()
    bed.requests.clear()
    events = bed.run(30)
    assert requests.numbers(5) in bed.requests
    assert requests.curves((1, 4, 8, 9, 15)) in bed.requests
    assert [r for r in reports(events) if r.codes]
    assert not any(isinstance(e, Offline) for e in events)


def test_silence_is_offline_and_the_asking_goes_on():
    bed = Bed()
    bed.begin()
    bed.run(6)
    bed.plugged = False
    bed.monitor.restart()
    events = bed.run(60)
    assert [e for e in events if isinstance(e, Offline)] == [Offline("silent")]
    asked = len(bed.requests)
    bed.run(60)
    assert 20 <= len(bed.requests) - asked <= 30  # bounded: two flows every 5 s, alarms
    bed.plugged = True
    events = bed.run(12)
    assert [e for e in events if isinstance(e, Online)] == [Online()]


def test_a_pause_of_ours_is_nobodys_silence():
    bed = Bed()
    bed.begin()
    bed.run(6)
    bed.second += 300
    bed.dialogue.excuse(moment(bed.second))
    assert list(bed.dialogue.tick(moment(bed.second))) == []
    assert bed.dialogue.output == []


def test_leaving_stops_every_flow():
    bed = Bed()
    bed.begin()
    bed.run(6)
    bed.requests.clear()
    assert list(bed.dialogue.leave(moment(bed.second))) == []
    bed.exchange()
    assert bed.requests == [requests.numbers(0), requests.no_curves(), requests.no_alarms()]
    assert (bed.monitor.interval_s, bed.monitor.curves, bed.monitor.differences) == (0, (), False)
    assert bed.dialogue.left


def test_damage_is_told_and_leaves_a_gap_in_the_curves():
    bed = Bed()
    bed.begin()
    bed.run(3)
    now = moment(bed.second + 2)
    (damage,) = bed.dialogue.receive(b"\x7ebad\x7e", now)
    assert damage == Malformed("checksum", b"bad")
    (damage,) = bed.dialogue.receive(framing.encode(codec.encode(0, ((1, b""),))), now)
    assert isinstance(damage, Malformed)
    assert damage.reason == "offset"
    bed.second += 2
    (first, *_) = [w for r in reports(bed.run(2)) for w in r.waveforms]
    assert first.missing_before > 0


def test_the_rest_of_a_frame_at_the_beginning_is_no_damage():
    bed = Bed(curves=())
    assert list(bed.dialogue.receive(b"rest\x7e", moment(0))) == []


def test_the_drivers_whole_voice_is_these_requests():
    """Read only: nothing can be sent that is not a request or its end."""
    bed = Bed()
    bed.begin()
    bed.run(130)
    bed.dialogue.leave(moment(bed.second))
    bed.exchange()
    assert {request[16 + 2] for request in bed.requests} == {0}  # the subrecord type of requests
    assert {int.from_bytes(request[14:16], "little") for request in bed.requests} == {0, 1, 4}


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"interval_s": 4}, "interval_s"),
        ({"silence_s": 9.0}, "silence_s"),
        ({"curves": ("ecg9",)}, "ecg9"),
        ({"curves": ("ecg1", "ecg1")}, "each once"),
        ({"curves": ("ecg1", "ecg2", "pleth")}, "700 samples"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"port": "ttyS0"}, "port"),
    ],
)
def test_a_configuration_that_cannot_be(settings, what):
    with pytest.raises(ValueError, match=what):
        MonitorPort(**{"device_id": "m1", "port": "/dev/ttyS0", **settings})


def test_the_line_is_as_the_interface_is_specified():
    settings = MonitorPort(device_id="m1", port="/dev/ttyS0").settings()
    assert (settings.baud_rate, settings.parity, settings.flow_control) == (
        19200,
        "even",
        "rts_cts",
    )
    port = MonitorPort(device_id="m1", port="socket://10.0.0.1:4001")
    assert DatexS5Config(monitors=(port,)).dials == ("10.0.0.1:4001",)
