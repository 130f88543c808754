"""Waveforms in the intake: a lane of their own, a label of their own, last in the queue."""

from gateway.domain import terms
from gateway.domain.labels import DataClass, Label
from gateway.domain.ports import Outcome
from gateway.domain.records import Gap, Mark, Marked, Report, Waveform
from gateway.pipeline.classification import DEFAULTS
from gateway.pipeline.label import Labels
from gateway.wire.records import decode
from tests.unit.pipeline.support import GOOD, Bench, Fate

WAVE = Waveform(
    terms.SPO2,
    1,
    125.0,
    1.0,
    0.0,
    (1, 2, 4, 2),
    missing_before=3,
    marks=(Marked(1, 2, Mark.LEAD_OFF),),
)
WAVES_FULL = Fate(Outcome.COMMITTED, Outcome.COMMITTED, Outcome.FULL)


def test_a_report_of_both_becomes_two_of_one_message():
    bench = Bench()
    bench.submit(bench.vitals(GOOD, waveforms=(WAVE,), message_id="b:1"))
    (numbers,) = bench.committer.reports
    (held,) = bench.committer.waves
    waves = decode(held.encoded)
    assert isinstance(waves, Report)
    assert (numbers.codes, numbers.waveforms) == (tuple(GOOD), ())
    assert (waves.codes, waves.waveforms, waves.message_id) == ((), (WAVE,), "b:1")
    assert (waves.device_id, waves.time_quality) == (numbers.device_id, numbers.time_quality)
    assert held.codes == (terms.SPO2,)
    assert bench.outcomes == [Outcome.COMMITTED]
    assert bench.counters.counts["accepted", "mqtt"] == 1
    assert bench.counters.counts["wave_blocks",] == 1
    assert bench.counters.counts["wave_samples",] == 4


def test_waves_alone_leave_nothing_in_telemetry_and_are_heard():
    bench = Bench()
    bench.submit(bench.vitals({}, waveforms=(WAVE,)))
    assert bench.committer.telemetry == []
    assert len(bench.committer.waves) == 1
    assert bench.intake.seen.of("monitor-1").messages == 1


def test_a_waveform_identifies_unless_the_hospital_says_otherwise():
    bench = Bench()
    bench.submit(bench.vitals({}, waveforms=(WAVE,)))
    bench.intake.classify(Labels(DEFAULTS._replace(waveforms=Label(DataClass.HEALTH_STATUS, 3))))
    bench.submit(bench.vitals({}, waveforms=(WAVE,)))
    assert [item.label.level for item in bench.committer.waves] == [4, 3]
    bench.submit(bench.vitals(GOOD, waveforms=(WAVE,)))
    assert bench.committer.telemetry[-1].label.level == 3


def test_refused_waves_leave_their_numbers_and_their_message_unacknowledged():
    bench = Bench(automatic=WAVES_FULL)
    bench.submit(bench.vitals(GOOD, waveforms=(WAVE,), message_id="b:1"))
    assert bench.outcomes == [Outcome.FULL]
    assert (len(bench.committer.telemetry), bench.committer.waves) == (1, [])
    # It comes again, and this time there is room; the store knows the numbers by their id.
    bench.committer.automatic = Fate(Outcome.COMMITTED, Outcome.COMMITTED)
    bench.submit(bench.vitals(GOOD, waveforms=(WAVE,), message_id="b:1"))
    bench.submit(bench.vitals(GOOD, waveforms=(WAVE,), message_id="b:1"))
    assert bench.outcomes[1:] == [Outcome.COMMITTED, Outcome.COMMITTED]
    assert len(bench.committer.waves) == 1


def test_a_block_that_is_none_stands_as_a_gap():
    bench = Bench()
    bench.submit(bench.vitals(GOOD, waveforms=(WAVE, Waveform(1, 1, 0.0, 1.0, 0.0, (1,)))))
    (gap,) = bench.committer.records
    assert isinstance(gap, Gap)
    assert (gap.reason, bench.committer.waves) == ("unencodable", [])
