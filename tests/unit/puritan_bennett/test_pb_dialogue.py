"""What is asked when, and what comes of the answers; ventilator and driver talk without a line."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base.dialogue import Malformed, Missed, Moment, Offline, Online, Said
from drivers.puritan_bennett.config import VentilatorPort
from drivers.puritan_bennett.dialogue import dialogues
from drivers.puritan_bennett.polling import ANSWER_S, TRIES_MAX
from firmware_sim.puritan_bennett.ventilator import Ventilator
from gateway.domain.devices import Device
from gateway.domain.records import AlarmSnapshot, Attestation, Provenance, Report
from tests.fakes import FakeClock

REQUESTS = {b"RSET\r", b"SNDA\r", b"SNDF\r"}


class Bed:
    """A dialogue, a ventilator, and the time."""

    def __init__(self, **settings):
        self.clock = FakeClock()
        self.ventilator = Ventilator(self.clock)
        bound = VentilatorPort(device_id="v1", port="/dev/x", **settings)
        provenance = Provenance("puritan_bennett", Attestation.PORT, "/dev/x")
        self.dialogue = dialogues(bound, provenance, random.Random(1))(Device("v1"))
        self.sent, self.events = [], []

    def now(self):
        return Moment(self.clock.monotonic(), self.clock.now_us())

    def take(self, events):
        self.events += events
        said, self.dialogue.output[:] = list(self.dialogue.output), []
        self.sent += said
        for each in said:
            answer = self.ventilator.receive(each)
            if answer:
                self.take(self.dialogue.receive(answer, self.now()))

    def begin(self):
        self.take(self.dialogue.begin(self.now()))

    def run(self, seconds):
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.take(self.dialogue.tick(self.now()))

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def test_it_asks_and_reports_and_asks_again():
    bed = Bed(poll_s=5)
    bed.begin()
    assert bed.sent == [b"RSET\r", b"SNDF\r"]
    bed.run(20)
    assert bed.sent[2:] == [b"SNDF\r"] * 4
    assert bed.of(Online) == [Online()]
    assert len(bed.of(Said)) == 5
    assert any(isinstance(r, AlarmSnapshot) for r in bed.of(Said)[0].records)
    assert not bed.of(Malformed)


def test_a_ventilator_that_knows_the_basic_report_alone():
    bed = Bed(poll_s=5)
    bed.ventilator.knows_full = False
    bed.begin()
    bed.run(ANSWER_S * TRIES_MAX + 1)
    assert len(bed.of(Said)) == 1
    bed.run(10)
    assert bed.sent[-2:] == [b"SNDA\r"] * 2


def test_silence_is_told_and_ends():
    bed = Bed(poll_s=5, silence_s=10)
    bed.begin()
    bed.ventilator.silent = True
    bed.run(30)
    assert bed.of(Offline) == [Offline("silent")]
    bed.ventilator.silent = False
    bed.run(30)
    assert bed.of(Online) == [Online(), Online()]


def test_what_was_not_listened_to_is_no_silence():
    bed = Bed(poll_s=5, silence_s=10)
    bed.begin()
    bed.ventilator.silent = True
    for _ in range(5):
        bed.run(4)
        bed.dialogue.excuse(bed.now())
    assert not bed.of(Offline)


def test_damage_is_told_with_its_bytes_and_costs_one_reply():
    bed = Bed(poll_s=5)
    bed.begin()
    line = bed.ventilator.reply("MISCF").replace(b"SIMV", b"SI\xffV")
    bed.take(bed.dialogue.receive(line, bed.now()))
    (damage,) = bed.of(Malformed)
    assert damage.reason == "character"
    assert damage.sample == line[:-1]
    bed.run(5)
    assert len(bed.of(Said)) == 2


def test_unknown_words_are_counted():
    bed = Bed()
    bed.ventilator.fields["MISCF"][9] = "NEWMODE"
    bed.begin()
    assert bed.of(Missed) == [Missed("unknown_word", 1)]


@given(st.lists(st.one_of(st.binary(max_size=300), st.integers(0, 40)), max_size=40))
def test_nothing_but_the_three_requests_is_ever_sent(steps):
    bed = Bed(poll_s=2)
    bed.begin()
    for step in steps:
        if isinstance(step, bytes):
            bed.take(bed.dialogue.receive(step, bed.now()) if step else ())
        else:
            bed.run(step)
    assert set(bed.sent) <= REQUESTS
    # Whatever it was told, it is understood again at the next reply.
    bed.events.clear()
    bed.take(bed.dialogue.receive(b"\r" + bed.ventilator.reply("MISCF"), bed.now()))
    assert any(isinstance(r, Report) for said in bed.of(Said) for r in said.records)


@pytest.mark.parametrize(
    "wrong",
    [
        {"poll_s": 1},
        {"poll_s": 61},
        {"silence_s": 1},
        {"time_zone": "Mars/Olympus"},
        {"flow_control": "maybe"},
        {"baud_rate": 0},
        {"device_id": ""},
        {"port": "COM1"},
    ],
)
def test_a_configuration_that_cannot_be_is_refused(wrong):
    good = {"device_id": "v1", "port": "/dev/x"}
    msgspec.convert(good, VentilatorPort)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(good | wrong, VentilatorPort)
