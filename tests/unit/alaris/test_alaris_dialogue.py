"""A pump and the driver talk without a line: what is asked when, and what comes of it."""

import random

import pytest

from drivers.alaris.codec import Query
from drivers.alaris.config import AlarisConfig, PumpPort
from drivers.alaris.dialogue import dialogues
from drivers.alaris.polling import ANSWER_S, SELDOM_ROUNDS, TRIES_MAX
from drivers.base.dialogue import Malformed, Missed, Moment, Offline, Online, Said
from firmware_sim.alaris.pump import AlarisPump
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import AlarmSnapshot, Attestation, Provenance, Report
from tests.fakes import FakeClock

STEP_S = 0.125


class Bed:
    """A dialogue, a pump, and the time."""

    def __init__(self, pump=None, **options):
        self.clock = FakeClock()
        self.pump = pump or AlarisPump()
        bound = PumpPort(device_id="p1", port="/dev/x", **options)
        provenance = Provenance("alaris", Attestation.PORT, "/dev/x")
        self.dialogue = dialogues(bound, provenance, random.Random(1))(Device("p1"))
        self.sent, self.events = [], []

    def now(self):
        return Moment(self.clock.monotonic(), self.clock.now_us())

    def take(self, events):
        self.events += events
        said, self.dialogue.output[:] = list(self.dialogue.output), []
        self.sent += said
        for each in said:
            for answer in self.pump.receive(each):
                self.hear(answer)

    def hear(self, data):
        self.take(self.dialogue.receive(data, self.now()))

    def begin(self):
        self.take(self.dialogue.begin(self.now()))

    def run(self, seconds):
        for _ in range(round(seconds / STEP_S)):
            self.clock.advance(STEP_S)
            deadline = self.dialogue.deadline()
            if deadline is not None and deadline <= self.clock.monotonic():
                self.take(self.dialogue.tick(self.now()))

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def records(self, kind):
        return [r for said in self.of(Said) for r in said.records if isinstance(r, kind)]


def test_a_round_asks_for_everything_one_at_a_time():
    bed = Bed()
    bed.begin()
    assert bed.pump.asked == ["INF_VTBI", "SYRINGE_STATUS", "INF", "ALARM"]
    assert bed.of(Online) == [Online()]
    (report,) = bed.records(Report)
    assert terms.VOLUME_TO_BE_INFUSED in report.codes
    assert len(bed.records(AlarmSnapshot)) == 2
    assert not bed.of(Malformed) + bed.of(Missed)


def test_rounds_come_in_their_period_and_the_syringe_seldom():
    bed = Bed(poll_s=2.0)
    bed.begin()
    bed.run(2 * 2 * SELDOM_ROUNDS + 1)
    assert bed.pump.asked.count("INF") == 2 * SELDOM_ROUNDS + 1
    assert bed.pump.asked.count("SYRINGE_STATUS") == 3
    assert len(bed.records(Report)) == 2 * SELDOM_ROUNDS + 1


def test_what_is_not_answered_is_asked_again_and_passed_over():
    bed = Bed(AlarisPump(unknown=frozenset(("INF_VTBI", "ALARM"))))
    bed.begin()
    bed.run(TRIES_MAX * ANSWER_S * 2 + 0.2)
    assert bed.pump.asked[:4] == ["INF_VTBI", "INF_VTBI", "SYRINGE_STATUS", "INF"]
    assert bed.of(Missed)[:2] == [Missed("unanswered")] * 2
    (report,) = bed.records(Report)
    assert terms.VOLUME_TO_BE_INFUSED not in report.codes
    assert not bed.of(Offline)


def test_a_pump_that_says_nothing_is_offline_and_comes_back():
    bed = Bed(silence_s=10.0)
    bed.begin()
    bed.pump.silent = True
    bed.run(12)
    assert bed.of(Offline) == [Offline("silent")]
    bed.pump.silent = False
    bed.run(5)
    assert bed.of(Online) == [Online(), Online()]


def test_an_alarm_that_was_there_before_the_silence_is_not_shown_after_it():
    bed = Bed(silence_s=10.0)
    bed.pump.shown.alarm = "AL_OCCLU"
    bed.begin()
    assert bed.records(AlarmSnapshot)[-1].alarms
    bed.pump.silent = True
    bed.run(12)
    bed.pump.silent = False
    bed.pump.shown.alarm = "AL_NOALM"
    count = len(bed.records(AlarmSnapshot))
    bed.run(5)
    assert all(not snapshot.alarms for snapshot in bed.records(AlarmSnapshot)[count:])


def test_while_we_do_not_listen_its_silence_means_nothing():
    bed = Bed(silence_s=10.0)
    bed.begin()
    bed.pump.silent = True
    for _ in range(5):
        bed.run(4)
        bed.dialogue.excuse(bed.now())
    assert not bed.of(Offline)


def test_a_late_answer_is_not_taken_for_the_next_ones():
    bed = Bed()
    bed.begin()
    count = len(bed.records(Report))
    bed.hear(bed.pump.status())
    assert bed.of(Missed) == [Missed("unasked")]
    assert len(bed.records(Report)) == count


def test_a_pump_that_was_exchanged_is_not_taken_for_the_one_before():
    bed = Bed(serial_number="8002-51733")
    bed.pump.shown.alarm = "AL_OCCLU"
    bed.begin()
    bed.run(10)
    assert not bed.of(Said) + bed.of(Online)
    assert Missed("other_serial_number") in bed.events
    bed.pump.serial = "8002-51733"
    bed.run(4)
    assert bed.records(Report)
    assert bed.records(AlarmSnapshot)[-1].alarms
    count = len(bed.of(Said))
    bed.pump.serial = "8002-51740"
    bed.run(10)
    assert len(bed.of(Said)) - count <= 1  # the volume of the round in which it was exchanged


def test_damage_is_kept_for_the_engineer_and_the_question_stays():
    bed = Bed(AlarisPump(silent=True))
    bed.begin()
    bed.hear(b"!INF_VTBI^ACTIV^11.000^ml^STOP|0000\r")
    assert bed.of(Malformed) == [Malformed("crc", b"!INF_VTBI^ACTIV^11.000^ml^STOP|0000")]
    bed.hear(b"!INF_VTBI|8456\r")  # an echo of our own: it has no fields
    assert bed.of(Malformed)[-1].reason == "reply_fields"
    assert bed.sent == [Query.VOLUME_TO_BE_INFUSED.value]


@pytest.mark.parametrize(
    "options",
    [{"poll_s": 0.1}, {"silence_s": 1.0}, {"poll_s": 30.0}, {"port": "COM1"}, {"device_id": ""}],
)
def test_configurations_that_cannot_be(options):
    with pytest.raises(ValueError):
        PumpPort(**{"device_id": "p1", "port": "/dev/x", **options})


def test_one_pump_one_port():
    one = PumpPort(device_id="p1", port="/dev/x")
    with pytest.raises(ValueError, match="'/dev/x' is configured twice"):
        AlarisConfig(pumps=(one, PumpPort(device_id="p2", port="/dev/x")))
    config = AlarisConfig(pumps=(one, PumpPort(device_id="p2", port="socket://10.0.0.1:4001")))
    assert config.dials == ("10.0.0.1:4001",)
    assert one.settings().baud_rate == 38400
