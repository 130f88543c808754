"""Lines of port 2 -> waveforms, one breath a block where that is short enough."""

import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st

from drivers.base.dialogue import Malformed, Moment, Offline, Online, Said
from drivers.base.lines import LineDriver
from drivers.puritan_bennett.codec import BreathEnd, BreathStart, Sample, encode_wave_line
from drivers.puritan_bennett.config import WavesConfig, WavesPort
from drivers.puritan_bennett.curves import FLOW, PRESSURE, dialogues
from drivers.puritan_bennett.driver import WAVES_FACTORY
from drivers.puritan_bennett.waves import BLOCK_SAMPLES_MAX, Block, Breaths
from firmware_sim.puritan_bennett.line import SerialCurves
from firmware_sim.puritan_bennett.ventilator import Curves
from gateway.domain.devices import Device
from gateway.domain.records import Attestation, DeviceState, DeviceStatus, Mark, Provenance, Report
from tests.fakes import FakeClock
from tests.integration.serial_bed import LIMITS, WaitingSink, ports

SECOND = 1_000_000


class Bed:
    """A dialogue that is told lines, some at a time."""

    def __init__(self):
        self.clock = FakeClock()
        bound = WavesPort(device_id="v1", port="/dev/x", silence_s=5)
        provenance = Provenance("puritan_bennett_waves", Attestation.PORT, "/dev/x")
        self.dialogue = dialogues(bound, provenance, random.Random(1))(Device("v1"))
        self.events = []

    def now(self):
        return Moment(self.clock.monotonic(), self.clock.now_us())

    def hear(self, data, seconds=0.0):
        self.clock.advance(seconds)
        self.events += self.dialogue.receive(data, self.now())

    def listen(self, curves, seconds):
        for _ in range(int(seconds * 5)):
            self.hear(b"".join(curves.say(10)), 0.2)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def curve(self, code):
        return [
            wave
            for said in self.of(Said)
            for report in said.records
            for wave in report.waveforms
            if wave.code == code
        ]


def test_each_breath_is_a_block_of_both_curves():
    bed = Bed()
    bed.listen(Curves(period_samples=150, skip=37), 13)
    flow, pressure = bed.curve(FLOW), bed.curve(PRESSURE)
    assert [len(wave.samples) for wave in flow] == [113, 150, 150, 150]
    assert [wave.start_us for wave in flow] == [wave.start_us for wave in pressure]
    begins = [wave.start_us for wave in flow]
    assert begins[1] - begins[0] == 113 * 20_000
    assert begins[2] - begins[1] == 150 * 20_000
    assert flow[1].samples[25] * flow[1].scale == Curves.sample(25 / 150).flow
    assert pressure[1].samples[25] * pressure[1].scale == Curves.sample(25 / 150).pressure
    assert bed.of(Online) == [Online("waves_connected")]
    assert not bed.of(Malformed)
    assert bed.dialogue.output == []


def test_a_breath_without_end_is_ended_by_the_next_one():
    bed, curves = Bed(), Curves(period_samples=100)
    curves.lose_ends = True
    bed.listen(curves, 7)
    assert [len(wave.samples) for wave in bed.curve(FLOW)] == [100, 100, 100]


def test_a_long_breath_comes_in_blocks():
    bed = Bed()
    bed.listen(Curves(period_samples=600), 12.2)
    assert [len(wave.samples) for wave in bed.curve(FLOW)] == [250, 250, 100]


def test_a_damaged_line_is_a_missing_sample():
    bed = Bed()
    lines = [encode_wave_line(Sample(n / 100, 5.0)) for n in range(50)]
    lines[20] = b"0.2\x7f, 5.00\n"
    bed.hear(b"BS, S:7,\n" + b"".join(lines) + b"BE\n", 1.0)
    (wave,) = bed.curve(FLOW)
    assert len(wave.samples) == 50
    assert [(m.first, m.count, m.mark) for m in wave.marks] == [(20, 1, Mark.MISSING)]
    assert wave.samples[19:22] == (19, 19, 21)
    assert [damage.reason for damage in bed.of(Malformed)] == ["wave_line"]


def test_a_pause_says_how_many_samples_are_missing():
    bed, curves = Bed(), Curves(period_samples=100)
    bed.listen(curves, 4)
    bed.clock.advance(4.0)
    bed.listen(curves, 4)
    missing = [wave.missing_before for wave in bed.curve(PRESSURE)]
    assert missing[0] == 0
    assert sum(missing) == 200


def test_silence_and_its_end_and_a_link_that_goes_away():
    bed, curves = Bed(), Curves(period_samples=500)
    bed.listen(curves, 1)
    bed.clock.advance(5.1)
    bed.events += bed.dialogue.tick(bed.now())
    assert bed.of(Offline) == [Offline("waves_silent")]
    bed.events += bed.dialogue.link_down(bed.now())
    assert [len(wave.samples) for wave in bed.curve(FLOW)] == [50]


LINES = st.one_of(
    st.builds(BreathStart, st.integers(0, 10**9)),
    st.builds(Sample, st.integers(-999, 999), st.integers(-999, 999)),
    st.just(BreathEnd()),
    st.none(),
)


@given(st.lists(LINES, max_size=1000))
def test_no_sample_is_lost_and_no_block_is_too_long(lines):
    breaths = Breaths()
    blocks: list[Block] = []
    for line in lines:
        blocks += breaths.damaged() if line is None else breaths.feed(line)
        assert all(len(block.flow) <= BLOCK_SAMPLES_MAX for block in blocks)
    blocks += breaths.flush()
    filled = {id(block): set(block.missing) for block in blocks}
    said = [
        (flow / 100, pressure / 100)
        for block in blocks
        for at, (flow, pressure) in enumerate(zip(block.flow, block.pressure, strict=True))
        if at not in filled[id(block)]
    ]
    assert said == [tuple(line) for line in lines if isinstance(line, Sample)]


@given(st.lists(st.binary(min_size=1, max_size=400), max_size=30))
def test_any_bytes_are_survived(chunks):
    bed = Bed()
    for chunk in chunks:
        bed.hear(chunk, 0.1)
    bed.events.clear()
    bed.listen(Curves(period_samples=100), 5)
    assert bed.curve(FLOW)


async def test_curves_over_a_line(tmp_path):
    device = SerialCurves(tmp_path / "v1")
    sink = WaitingSink()
    config = WavesConfig(
        ventilators=(WavesPort(device_id="v1", port=device.end.port, flow_control="none"),)
    )
    given = ports(sink, ("v1",))
    driver = LineDriver(WAVES_FACTORY.protocol, config, given, random.Random(1), LIMITS)
    device.start()
    async with asyncio.timeout(60):
        await driver.start()
        await sink.until(lambda s: s.of(Report))
        assert {wave.code for wave in sink.of(Report)[0].waveforms} == {FLOW, PRESSURE}
        device.end.pull_cable()
        await sink.until(lambda s: s.of(DeviceStatus)[-1].state is DeviceState.OFFLINE)
        await driver.stop(1.0)
    device.close()
