"""Waves: what a real monitor sent, and what one can send; marks, gaps, repetition, lateness."""

import random
from datetime import UTC
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.intellivue import messages, requests
from drivers.intellivue.attributes import attribute_list
from drivers.intellivue.clock import MonitorClock
from drivers.intellivue.mapping import Mapper, quality_of
from drivers.intellivue.messages import CreateEvent, ObservedObject, PollReply, PollResult, WaveList
from drivers.intellivue.metrics import wave_label
from drivers.intellivue.nomenclature import Attribute, ObjectClass, State
from drivers.intellivue.session import Session, Times
from drivers.intellivue.waves import Waves
from firmware_sim.intellivue import encode
from firmware_sim.intellivue.curves import CURVES, PACED, PERIOD_TICKS, SATURATED
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError
from gateway.domain.records import Attestation, Mark, Marked, Provenance, Quality, Report, Waveform
from tests.unit.intellivue.capture import MONITOR, datagrams, needs_capture

ECG = CURVES["MDC_ECG_ELEC_POTL_II"]
PLETH = CURVES["MDC_PULS_OXIM_PLETH"]
LEAD_II, ART = 131330, 150036


def observed(handle, attributes):
    data = encode.attribute_list(attributes)
    return ObservedObject(0, handle, attribute_list(data, 0, len(data))[0])


def reply(ticks, *objects):
    return PollReply(4, 1, ticks, None, ObjectClass.WAVE, 0, objects)


def context(curve):
    return observed(curve.handle, encode.wave_context(curve.context))


def array(curve, samples, state=0):
    value = encode.sample_array(curve.context.physio_id, state, samples)
    return observed(curve.handle, {Attribute.SAMPLES: value})


def blocks(waves, ticks, *objects):
    return list(waves.blocks(reply(ticks, *objects), 1_000_000 + ticks * 125))


class Drawn:
    """An ECG that is drawn period by period."""

    def __init__(self):
        self.waves = Waves(quality_of)
        self.ticks = 2**32 - 2 * PERIOD_TICKS

    def at(self, period):
        ticks = (self.ticks + period * PERIOD_TICKS) % 2**32
        samples = ECG.samples(ticks)
        return blocks(self.waves, ticks, context(ECG), array(ECG, samples))


# What a real monitor sent


@needs_capture
@pytest.mark.shared
def test_a_real_monitors_waves_follow_on_in_their_units():
    provenance = Provenance("intellivue", Attestation.PORT, "p")
    mapper = Mapper(Device("m1"), provenance, MonitorClock(UTC))
    found: dict[tuple[int, float], list[Waveform]] = {}
    for datagram in datagrams():
        if datagram.source != MONITOR or datagram.source_port != 24105:
            continue
        message = messages.decode(datagram.payload)
        if isinstance(message, CreateEvent):
            mapper.anchor(message.attributes)
        if isinstance(message, PollResult) and message.reply.object_class == ObjectClass.WAVE:
            for record in mapper.records(message.reply, 0):
                assert isinstance(record, Report)
                for wave in record.waveforms:
                    found.setdefault((wave.code, wave.sample_rate_hz), []).append(wave)
    # Pressure, plethysmogram, respiration; a compound of three leads at 250 Hz; single leads.
    assert {key: len(waves) for key, waves in found.items()}[ART, 125.0] >= 20
    pressure = found[ART, 125.0]
    values = [s * w.scale + w.offset for w in pressure for s in w.samples]
    assert (round(min(values), 1), round(max(values), 1)) == (70.0, 120.2)
    assert {w.quality for waves in found.values() for w in waves} == {Quality.DEMO}
    ecg = found[LEAD_II, 250.0]
    assert len(ecg[0].samples) == 64
    assert ecg[0].scale == pytest.approx(0.005, rel=1e-3)
    assert {code for code, rate in found if rate == 500.0} >= {131329, 131389, 131390}
    pleth = found[terms.code("MDC_PULS_OXIM_PLETH"), 125.0]
    values = [s * w.scale + w.offset for w in pleth for s in w.samples]
    assert 20 < min(values) < max(values) < 80  # per cent of full scale
    for before, after in pairwise(pressure):
        length_us = len(before.samples) / before.sample_rate_hz * 1e6
        assert after.start_us - before.start_us == pytest.approx(length_us, abs=1)
        assert after.missing_before == 0
    assert not any(w.marks for waves in found.values() for w in waves)


@needs_capture
@pytest.mark.shared
def test_the_list_of_waves_is_set_byte_by_byte_as_a_real_monitor_took_it():
    sets = [d.payload for d in datagrams() if d.payload[:4] == messages.DATA]
    taken = [p for p in sets if isinstance(messages.decode(p), WaveList)]
    assert len(taken) == 5
    for payload in taken:
        message = messages.decode(payload)
        assert isinstance(message, WaveList)
        assert requests.prioritise_waves(message.invoke_id, message.labels) == payload
    assert messages.decode(taken[0]).labels == (0x20100, 0x20101, 0x24BB4, 0x24A14, 0x25000)  # type: ignore[union-attr]


# What one can send


def test_samples_come_back_in_the_metrics_unit():
    waves = Waves(quality_of)
    drawn = ECG.samples(0)
    (block,) = blocks(waves, 0, context(ECG), array(ECG, drawn))
    assert (block.code, block.sample_rate_hz, block.samples) == (LEAD_II, 500.0, drawn)
    assert drawn[0] * block.scale + block.offset == pytest.approx((drawn[0] - 8192) * 0.005, 1e-3)
    assert (block.start_us, block.missing_before, block.marks) == (1_000_000, 0, ())
    (block,) = blocks(waves, 0, context(PLETH), array(PLETH, [0, 4095] * 16))
    assert [s * block.scale + block.offset for s in (0, 4095)] == pytest.approx([0, 100])


def test_without_its_context_a_wave_is_left_out_and_counted():
    waves = Waves(quality_of)
    assert blocks(waves, 0, array(ECG, ECG.samples(0))) == []
    assert waves.unclear == 1
    # A context of another size is another wave's, though the handle is the same.
    assert blocks(waves, 0, context(ECG), array(ECG, ECG.samples(0)[:64])) == []
    assert waves.unclear == 2


@pytest.mark.parametrize(
    ("state", "quality"),
    [(0, Quality.VALID), (State.UNAVAILABLE, Quality.UNAVAILABLE), (State.DEMO, Quality.DEMO)],
)
def test_the_state_of_a_block_is_its_quality(state, quality):
    waves = Waves(quality_of)
    (block,) = blocks(waves, 0, context(ECG), array(ECG, ECG.samples(0), state))
    assert block.quality is quality


def test_bits_beyond_the_value_are_marks_and_no_part_of_it():
    waves = Waves(quality_of)
    samples = [8192] * 128
    samples[3] |= PACED
    samples[10] = samples[11] = 0x2000 | SATURATED
    samples[20] |= 0x8000
    samples[30] |= 0x4001
    (block,) = blocks(waves, 0, context(ECG), array(ECG, samples))
    assert block.marks == (
        Marked(3, 1, Mark.PACED),
        Marked(10, 2, Mark.SATURATED),
        Marked(20, 1, Mark.INVALID),
        Marked(30, 1, Mark.DEFIBRILLATED),
    )
    assert max(block.samples) < 1 << 14


def test_what_is_missing_stands_before_the_next_block_also_when_ticks_wrap():
    drawn = Drawn()
    assert [w.missing_before for n in (0, 1, 2, 4, 5) for w in drawn.at(n)] == [0, 0, 0, 128, 0]


def test_a_repeated_block_is_dropped_and_a_late_one_is_not():
    drawn = Drawn()
    assert [len(drawn.at(n)) for n in (0, 0, 1, 3, 2, 2, 3, 4)] == [1, 0, 1, 1, 1, 0, 0, 1]
    assert drawn.waves.repeated == 3
    assert [w.missing_before for n in (8, 5, 7, 6) for w in drawn.at(n)] == [3 * 128, 0, 0, 0]
    assert drawn.at(6) == []


def test_after_a_long_absence_samples_are_counted_anew():
    drawn = Drawn()
    drawn.at(0)
    (block,) = drawn.at(1000)
    assert block.missing_before == 0


@given(st.lists(st.integers(0, 12), max_size=30), st.randoms(use_true_random=False))
def test_whatever_the_network_does_no_sample_is_given_twice(periods, rng):
    drawn = Drawn()
    given_out = [w.start_us for n in periods for w in drawn.at(n)]
    assert len(given_out) == len(set(given_out))
    del rng


@given(st.binary(max_size=60), st.sampled_from(sorted((0x0967, 0x096D, 0x096E, 0x096F, 0x0A16))))
def test_damaged_attributes_give_the_typed_error_or_nothing(data, attribute):
    raw = encode.attribute_list({attribute: data})
    try:
        told, _ = attribute_list(raw, 0, len(raw))
    except MalformedError:
        return
    waves = Waves(quality_of)
    assert blocks(waves, 0, ObservedObject(0, 1, told)) == []


def test_waves_are_asked_for_where_they_are_wanted_and_in_the_order_given():
    labels = tuple(map(wave_label, ("MDC_PULS_OXIM_PLETH", "MDC_IMPED_TTHOR")))
    assert labels == (0x24BB4, 0x25000)
    said = {}
    for name, times in (
        ("none", Times()),
        ("shown", Times(waves=True)),
        ("listed", Times(waves=True, wave_labels=labels)),
    ):
        session = Session(times, random.Random(1))
        session.link_up(0.0)
        session.receive(messages.AssociationAccept(None), 0.0)  # type: ignore[arg-type]
        session.output.clear()
        session.receive(CreateEvent(1, 0, 0, {}), 0.0)
        said[name] = [messages.decode(payload) for payload in session.output]
    classes = {
        name: [m.object_class for m in found if isinstance(m, messages.PollRequest)]
        for name, found in said.items()
    }
    assert ObjectClass.WAVE not in classes["none"]
    assert ObjectClass.WAVE in classes["shown"]
    lists = [m for m in said["listed"] if isinstance(m, WaveList)]
    assert [each.labels for each in lists] == [labels]
    assert not [m for m in said["shown"] if isinstance(m, WaveList)]
    with pytest.raises(ValueError, match="REFID"):
        wave_label("MDC_NO_SUCH_WAVE")
