"""A device and the driver talk without a line: what is asked when, and what comes of it."""

import asyncio
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base.dialogue import Malformed, Missed, Moment, Offline, Online, Said
from drivers.base.lines import LineDriver
from drivers.medibus import requests
from drivers.medibus.codec import Code, Command, Decoder, Realtime, Response, encode
from drivers.medibus.config import MedibusConfig, MedibusPort
from drivers.medibus.dialogue import OUTPUT_MAX, dialogues
from drivers.medibus.driver import FACTORY
from firmware_sim.medibus.device import MedibusDevice, value_of
from firmware_sim.medibus.line import SerialMedibus
from gateway.clock import SystemClock
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import (
    AlarmSnapshot,
    Attestation,
    DeviceState,
    DeviceStatus,
    Gap,
    Mark,
    Provenance,
    Report,
)
from tests.fakes import FakeClock
from tests.integration.serial_bed import LIMITS, WaitingSink, ports

PRESSURE = terms.code("MDC_PRESS_AWAY")


class Bed:
    """A dialogue, a device, and the time."""

    def __init__(self, **options):
        self.clock = FakeClock()
        self.device = MedibusDevice(self.clock)
        bound = MedibusPort(device_id="d1", port="/dev/x", **options)
        provenance = Provenance("medibus", Attestation.PORT, "/dev/x")
        self.dialogue = dialogues(bound, provenance, random.Random(1))(Device("d1"))
        self.sent, self.events = [], []

    def now(self):
        return Moment(self.clock.monotonic(), self.clock.now_us())

    def take(self, events):
        self.events += events
        said, self.dialogue.output[:] = list(self.dialogue.output), []
        self.sent += said
        for each in said:
            answer = self.device.receive(each)
            if answer:
                self.hear(answer)

    def hear(self, data):
        self.take(self.dialogue.receive(data, self.now()))

    def begin(self):
        self.take(self.dialogue.begin(self.now()))

    def run(self, seconds):
        for _ in range(round(seconds / 0.16)):
            self.clock.advance(0.16)
            records = self.device.sample(10)
            if records:
                self.hear(records)
            deadline = self.dialogue.deadline()
            if deadline is not None and deadline <= self.clock.monotonic():
                self.take(self.dialogue.tick(self.now()))

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def records(self, kind):
        return [r for said in self.of(Said) for r in said.records if isinstance(r, kind)]

    def commands(self):
        """What was sent as commands."""
        found = (each for said in self.sent for each in Decoder().feed(said))
        return [each.code for each in found if isinstance(each, Command)]


def test_the_conversation_begins_as_the_protocol_wants():
    bed = Bed()
    bed.begin()
    assert bed.commands()[:5] == [
        Code.INITIALISE,
        Code.IDENTIFY,
        Code.CURVES,
        Code.SEND_CURVES,
        Code.DATA_1,
    ]
    assert set(bed.commands()) == {
        Code.INITIALISE,
        Code.IDENTIFY,
        Code.CURVES,
        Code.SEND_CURVES,
        *requests.POLLS,
    }
    assert bytes.fromhex("d0c1cfc0c0") in bed.sent  # the four curves, switched on
    assert bed.of(Online) == [Online()]
    assert {r.kind for r in bed.records(Report)} == {"ventilation", "settings"}
    assert len(bed.records(AlarmSnapshot)) == 1
    assert not bed.of(Malformed)


def test_it_polls_in_rounds_and_keeps_the_device_awake():
    bed = Bed(poll_s=5.0, curves=False)
    bed.begin()
    bed.sent.clear()
    bed.run(40)
    asked = bed.commands()
    for code in requests.CYCLE:
        assert asked.count(code) in (7, 8)
    assert set(requests.SELDOM) <= set(asked)
    assert Code.NO_OPERATION in asked
    assert not bed.of(Offline)


def test_curves_come_in_blocks_that_follow_on():
    bed = Bed()
    bed.begin()
    bed.run(10)
    waves = [w for r in bed.records(Report) for w in r.waveforms if w.code == PRESSURE]
    assert len(waves) >= 8
    assert {len(wave.samples) for wave in waves} == {62}
    assert all(wave.missing_before == 0 for wave in waves)
    begins = [wave.start_us for wave in waves]
    assert begins == sorted(begins)
    # Ten samples come at once: better than that nobody knows when one was taken.
    assert abs(begins[-1] - begins[0] - (len(begins) - 1) * 62 * 16_000) <= 160_000
    first = waves[0].samples[0] * waves[0].scale + waves[0].offset
    assert abs(first - value_of(0x00, 0.0) * 1.01972) < 0.1
    reports = [r for r in bed.records(Report) if r.waveforms]
    assert {r.kind for r in reports} == {"waves"}
    assert {w.code for r in reports for w in r.waveforms} == {
        PRESSURE,
        terms.code("MDC_FLOW_AWAY"),
        terms.code("MDC_VENT_VOL_TIDAL"),
        terms.code("MDC_AWAY_CO2"),
    }


def test_curves_go_on_while_messages_stand_between_their_bytes():
    bed = Bed()
    bed.begin()
    curves = bed.device.sample(125)
    message = encode(Response(Code.NO_OPERATION, b""))
    parts = [curves[at : at + 3] for at in range(0, len(curves), 3)]
    mixed = b"".join(
        part + message[at % len(message) : at % len(message) + 1] for at, part in enumerate(parts)
    )
    bed.events.clear()
    bed.hear(mixed)
    waves = [w for r in bed.records(Report) for w in r.waveforms if w.code == PRESSURE]
    assert [len(wave.samples) for wave in waves] == [62, 62]


def test_a_damaged_record_is_a_missing_sample():
    bed = Bed()
    bed.begin()
    records = [bed.device.sample(1) for _ in range(70)]
    records[20] = records[20][:3]
    bed.hear(b"".join(records))
    (wave,) = [w for r in bed.records(Report) for w in r.waveforms if w.code == PRESSURE]
    missing = [m.first for m in wave.marks if m.mark is Mark.MISSING]
    assert missing == [20]
    assert [m.reason for m in bed.of(Malformed)] == ["curves"]


def test_a_device_without_curves_or_a_second_code_page():
    bed = Bed()
    bed.device.curves = ()
    bed.device.unknown = frozenset((Code.DATA_2, Code.ALARMS_2, Code.DATE_TIME, Code.TEXTS))
    bed.begin()
    bed.run(20)
    assert len(bed.records(AlarmSnapshot)) >= 3
    assert not bed.of(Malformed)
    assert Code.SEND_CURVES not in bed.commands()


def test_what_an_old_device_never_answers_is_passed_over():
    bed = Bed(curves=False)
    bed.begin()
    bed.events.clear()
    bed.device.deaf_to = frozenset((Code.ALARMS_2,))
    bed.run(30)
    assert Missed("unanswered") in bed.of(Missed)
    assert bed.records(AlarmSnapshot)
    assert not bed.of(Offline)


def test_silence_ends_the_conversation_and_a_new_one_begins():
    bed = Bed()
    bed.begin()
    bed.device.silent = True
    bed.run(15)
    assert bed.of(Offline) == [Offline("silent")]
    bed.device.silent = False
    bed.run(5)
    assert bed.of(Online) == [Online(), Online()]
    bed.run(5)
    assert bed.records(Report)[-1].waveforms


def test_a_device_that_was_switched_on_again_is_begun_with_anew():
    bed = Bed()
    bed.begin()
    bed.sent.clear()
    bed.hear(bed.device.begin())
    assert bed.of(Offline) == [Offline("restarted")]
    assert len(bed.of(Online)) == 2
    assert encode(Response(Code.INITIALISE, b"")) in bed.sent
    assert requests.own_identity() in bed.sent
    assert Code.SEND_CURVES in bed.commands()


def test_the_devices_own_commands_are_answered():
    bed = Bed()
    bed.begin()
    for code, follows in (
        (Code.NO_OPERATION, None),
        (Code.TIME_CHANGED, Code.DATE_TIME),
        (Code.CURVES_CHANGED, Code.CURVES),
        (0x7E, None),
    ):
        bed.sent.clear()
        bed.hear(encode(Command(code, b"")))
        assert encode(Response(code, b"")) in bed.sent
        assert follows is None or follows in bed.commands()
    bed.sent.clear()
    bed.hear(b"\x1b000\r")
    assert bed.sent == [requests.corrupt()]


def test_a_device_that_says_stop_is_left_alone_for_a_while():
    bed = Bed()
    bed.begin()
    bed.sent.clear()
    bed.hear(encode(Command(Code.STOP, b"")))
    assert bed.sent == [encode(Response(Code.STOP, b""))]
    assert bed.of(Offline) == [Offline("stopped")]
    bed.run(4)
    assert len(bed.of(Online)) == 2


def test_a_corrupt_question_is_asked_once_more():
    bed = Bed(curves=False)
    bed.begin()
    bed.sent.clear()
    bed.clock.advance(5)
    bed.events += bed.dialogue.tick(bed.now())
    question = bed.dialogue.output[:]
    bed.dialogue.output.clear()
    bed.events += bed.dialogue.receive(requests.corrupt(), bed.now())
    assert bed.dialogue.output == question


def test_nothing_is_sent_while_the_device_wants_nothing():
    bed = Bed()
    bed.begin()
    bed.sent.clear()
    bed.hear(b"\x13")
    for _ in range(3 * OUTPUT_MAX):
        bed.hear(encode(Command(Code.NO_OPERATION, b"")))
    assert bed.sent == []
    bed.hear(b"\x11")
    assert 0 < len(bed.sent) <= OUTPUT_MAX + 16


def test_a_suspension_that_was_noise_ends_by_itself():
    bed = Bed(curves=False)
    bed.begin()
    bed.hear(b"\x13")
    bed.sent.clear()
    bed.run(2.5)
    assert bed.sent == []
    bed.run(6)
    assert Code.DATA_1 in bed.commands()
    assert not bed.of(Offline)


def test_goodbye():
    bed = Bed()
    bed.begin()
    bed.sent.clear()
    bed.take(bed.dialogue.leave(bed.now()))
    assert bed.sent == [requests.stop()]
    assert bed.dialogue.left


READING = {
    Code.INITIALISE,
    Code.IDENTIFY,
    Code.NO_OPERATION,
    Code.STOP,
    Code.CURVES,
    Code.SEND_CURVES,
    *requests.POLLS,
}


@settings(max_examples=30)
@given(
    st.lists(
        st.one_of(
            st.binary(min_size=1, max_size=200),
            st.builds(Command, st.integers(0x20, 0x7E), st.just(b"00")).map(encode),
            st.builds(Response, st.sampled_from(list(Code)), st.just(b"00")).map(encode),
            st.integers(0, 20),
        ),
        max_size=30,
    )
)
def test_nothing_but_what_asks_is_ever_sent(steps):
    bed = Bed()
    bed.begin()
    for step in steps:
        if isinstance(step, bytes):
            bed.hear(step)
        else:
            bed.run(step / 2)
    for said in bed.sent:
        for found in Decoder().feed(said):
            if isinstance(found, Realtime):
                assert found.data[:2] == b"\xd0\xc1"
                assert len(found.data) == 5
            elif isinstance(found, Command):
                assert found.code in READING
                assert found.code == Code.SEND_CURVES or not found.argument
            else:
                assert isinstance(found, Response)
                assert found.body in (b"", requests.OWN_ID)


def test_no_function_takes_a_command():
    for code in {*Code} - requests.POLLS:
        with pytest.raises(ValueError):
            requests.poll(code)


@settings(max_examples=8)
@given(st.lists(st.binary(min_size=1, max_size=500), max_size=20))
def test_whatever_came_the_conversation_goes_on(chunks):
    bed = Bed()
    bed.begin()
    for chunk in chunks:
        bed.hear(chunk)
    bed.hear(b"\x11\r")
    bed.run(30)
    assert isinstance((bed.of(Online) + bed.of(Offline))[0], Online)
    bed.events.clear()
    bed.run(10)
    assert bed.records(Report)


@pytest.mark.parametrize(
    "wrong",
    [{"poll_s": 0.5}, {"poll_s": 9}, {"parity": "mark"}, {"time_zone": "Moon"}, {"device_id": ""}],
)
def test_a_configuration_that_cannot_be_is_refused(wrong):
    good = {"device_id": "d1", "port": "/dev/x"}
    assert msgspec.convert(good, MedibusPort).settings().parity == "even"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(good | wrong, MedibusPort)


async def test_over_a_line_with_a_cable_that_is_pulled(tmp_path):
    device = SerialMedibus(tmp_path / "d1", SystemClock())
    sink = WaitingSink()
    port = MedibusPort(device_id="d1", port=device.end.port, poll_s=1.0)
    config = MedibusConfig(devices=(port,))
    driver = LineDriver(FACTORY.protocol, config, ports(sink, ("d1",)), random.Random(1), LIMITS)
    device.device.alarm(31, 0x9A, "DISCONNECT")
    device.start()
    async with asyncio.timeout(60):
        await driver.start()
        await sink.until(lambda s: any(r.waveforms for r in s.of(Report)))
        await sink.until(lambda s: s.of(AlarmSnapshot))
        snapshot = sink.of(AlarmSnapshot)[0]
        assert [alarm.condition for alarm in snapshot.alarms] == ["ventilator_disconnected"]
        device.end.pull_cable()
        await sink.until(lambda s: s.of(DeviceStatus)[-1].state is DeviceState.OFFLINE)
        device.end.plug_in()
        await sink.until(lambda s: s.of(Gap))
        await driver.stop(1.0)
    device.close()
