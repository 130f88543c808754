"""What a platform's word is beside a time service's: every state, and against a truth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.records import LeapStatus
from gateway.ownclock.opinion import AGE_US_MAX, Opinion, PlatformTime, Verdict
from gateway.ownclock.reading import NOBODY, Reading

MS = 1000
WALL_US = 1_790_000_000_000_000
NOW_US = 5_000_000_000
CHRONY = Reading("chrony", synchronised=True, error_us=900, stratum=3, leap=LeapStatus.NORMAL)
LOST = Reading("chrony", synchronised=False, frequency_ppb=17)
KERNEL = Reading("kernel", synchronised=True, error_us=400 * MS, leap=LeapStatus.NORMAL)


def judged(own, ahead_us, *, traceable=True, age_us=0, half_us=2 * MS, error_us=5 * MS):
    """By a platform that is ahead of the gateway by so much; None: it has told nothing."""
    opinion = Opinion(error_us)
    if ahead_us is not None:
        moment_us = NOW_US - age_us
        told_ns = (WALL_US + moment_us + ahead_us) * 1000 + 1
        opinion.take(PlatformTime(told_ns, moment_us, half_us, traceable))
    return opinion.judge(own, WALL_US, NOW_US)


@pytest.mark.parametrize("own", [CHRONY, LOST, KERNEL, NOBODY], ids=lambda own: own.source)
@pytest.mark.parametrize(
    "said",
    [{"ahead_us": None}, {"traceable": False}, {"age_us": AGE_US_MAX + 1}],
    ids=["nothing", "nontraceable", "long ago"],
)
def test_what_is_no_opinion_changes_nothing(own, said):
    assert judged(own, **({"ahead_us": 10**7} | said)) == (Verdict.SILENT, own, 0, 0)


@pytest.mark.parametrize(
    ("own", "ahead_us", "verdict", "source"),
    [
        (CHRONY, 0, Verdict.AGREES, "chrony"),
        (CHRONY, 9 * MS, Verdict.AGREES, "chrony"),
        (CHRONY, -9 * MS, Verdict.AGREES, "chrony"),
        (CHRONY, 11 * MS, Verdict.CONTRADICTS, "disputed"),
        (CHRONY, -11 * MS, Verdict.CONTRADICTS, "disputed"),
        (KERNEL, 400 * MS, Verdict.AGREES, "kernel"),
        (KERNEL, 411 * MS, Verdict.CONTRADICTS, "disputed"),
        (LOST, 0, Verdict.VOUCHES, "platform"),
        (LOST, -3600 * 10**6, Verdict.VOUCHES, "platform"),
        (NOBODY, 11 * MS, Verdict.VOUCHES, "platform"),
    ],
)
def test_each_state_beside_a_word_that_counts(own, ahead_us, verdict, source):
    found = judged(own, ahead_us)
    assert (found.verdict, found.reading.source) == (verdict, source)
    assert found.least_us <= ahead_us <= found.most_us
    assert found.reading.synchronised
    if verdict is Verdict.AGREES:
        assert found.reading == own
    else:
        assert abs(ahead_us) <= found.reading.error_us <= abs(ahead_us) + 10 * MS
    if verdict is Verdict.CONTRADICTS:
        # What the time service said stays beside it.
        assert (found.reading.stratum, found.reading.leap) == (own.stratum, own.leap)
    if verdict is Verdict.VOUCHES:
        assert found.reading.offset_us == pytest.approx(-ahead_us, abs=10)
        assert found.reading.leap is LeapStatus.UNSYNCHRONISED
        assert found.reading.frequency_ppb == own.frequency_ppb


@pytest.mark.parametrize(
    ("step_ns", "cut_off_us"), [(1, 0), (1000, 1), (10**6, 1000), (10**9, 10**6)]
)
def test_what_a_platform_cuts_off_counts(step_ns, cut_off_us):
    opinion = Opinion(0)
    for moment_us in (1_000_000, 2_345_678):
        told_ns = (WALL_US + moment_us) * 1000 + 1
        opinion.take(PlatformTime(told_ns - told_ns % step_ns, moment_us, 500, traceable=True))
    found = opinion.judge(NOBODY, WALL_US, 2_345_678)
    assert found.most_us - found.least_us == 2 * (500 + 2 * MS) + cut_off_us
    assert found.least_us <= 0 <= found.most_us


@given(
    own_off_us=st.integers(-(10**7), 10**7),
    slack_us=st.integers(0, 10**5),
    platform_off_us=st.sampled_from([-5 * MS, 5 * MS]) | st.integers(-5 * MS, 5 * MS),
    there_us=st.just(0) | st.integers(0, 2 * 10**6),
    back_us=st.just(0) | st.integers(0, 2 * 10**6),
    cut_ns=st.sampled_from([1, 1000, 10**6, 10**9]),
    age_us=st.sampled_from([0, AGE_US_MAX - MS]) | st.integers(0, AGE_US_MAX - MS),
    drift=st.sampled_from([-1e-4, 1e-4]) | st.floats(-1e-4, 1e-4),
    step_us=st.sampled_from([-2 * MS, 2 * MS]) | st.integers(-(10**7), 10**7),
    served=st.booleans(),
)
def test_two_that_are_right_never_contradict_and_what_is_claimed_holds(
    own_off_us,
    slack_us,
    platform_off_us,
    there_us,
    back_us,
    cut_ns,
    age_us,
    drift,
    step_us,
    served,
):
    """The gateway's clock is off by ``own_off_us`` now, was set since, and drifts."""
    asked_us = NOW_US - age_us
    read_us = asked_us + there_us
    half_us = (there_us + back_us) // 2 + 1
    # Moments are the gateway's; true time went on by a little more or less since.
    true_then_us = WALL_US + NOW_US - own_off_us - round((NOW_US - read_us) * (1 + drift))
    told_ns = (true_then_us + platform_off_us) * 1000
    opinion = Opinion(5 * MS)
    opinion.take(
        PlatformTime(told_ns - told_ns % cut_ns, asked_us + half_us, half_us, traceable=True)
    )
    # Steps of the wall clock are in what is compared now.
    noticed_us = step_us if abs(step_us) > 2 * MS else 0
    off_us = own_off_us + step_us
    error_us = abs(off_us) + slack_us
    own = CHRONY._replace(error_us=error_us) if served else LOST
    found = opinion.judge(own, WALL_US + noticed_us, NOW_US)
    assert found.verdict is (Verdict.AGREES if served else Verdict.VOUCHES)
    assert abs(off_us) <= found.reading.error_us
    assert found.least_us <= -off_us <= found.most_us
