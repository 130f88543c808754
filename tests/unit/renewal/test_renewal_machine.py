"""When to renew, and every state over every input."""

import random
from datetime import UTC, datetime

import pytest

from security import pki
from security.names import Role
from security.pki import Subject, Validity
from security.renewal import (
    REST_ENDED_S,
    REST_MAX_S,
    TABLE,
    WAITS,
    Effect,
    Input,
    Life,
    Now,
    Renewal,
    RenewalTable,
    State,
)

DAY = 86_400.0
TABLE_DEFAULT = RenewalTable()
LIFE = Life(0.0, 90 * DAY, 0.5)


def machine(life=LIFE, at=0.0, draw=0.5, **words):
    return Renewal(life, RenewalTable(), Now(at, 0.0), lambda: draw, **words)


def waits(made):
    assert made.state in WAITS
    return made.state


def asked(made, now):
    """Bring it to a request."""
    assert made.tick(now) is Effect.REQUEST
    return made


def test_every_state_knows_every_input():
    assert set(TABLE) == {(state, given) for state in State for given in Input}


def test_whatever_waits_is_ended_by_time_and_whatever_asks_by_an_answer():
    time = {Input.DUE, Input.LOOK, Input.RESTED}
    for state in State:
        moves = {given for given in Input if TABLE[state, given][1] is not state}
        assert moves
        assert moves <= time if state in WAITS else not moves & time
    for (state, given), (effect, after) in TABLE.items():
        if effect is not Effect.NOTHING:
            assert after not in WAITS, f"{state} {given}: nobody would take the answer"
        elif after is not state:
            assert after in WAITS, f"{state} {given}: nobody would give an answer"
        assert after is State.SWAPPING if effect is Effect.SWAP else True


def test_only_a_probed_candidate_is_put_in_force():
    into = {
        (state, given) for (state, given), (effect, _) in TABLE.items() if effect is Effect.SWAP
    }
    assert into == {(State.PROBING, Input.PROBED)}


def test_due_with_a_third_left_or_a_little_before():
    assert Life(0.0, 90 * DAY, 0.0).due == pytest.approx(60 * DAY)
    assert Life(0.0, 90 * DAY, 1.0).due == pytest.approx(51 * DAY)


def test_the_moment_is_the_certificates_own():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    authority = pki.create_issuing(pki.create_root("ward.example", now), now)
    lives = []
    for _ in range(8):
        issued = pki.issue(
            authority, Subject(Role.DEVICE, "p"), pki.new_key().public_key(), Validity.days(now, 9)
        )
        life = Life.of(issued.certificate)
        assert life == Life.of(issued.certificate)
        assert (life.begin, life.length) == (now.timestamp(), 9 * DAY)
        lives.append(life)
    assert len({life.due for life in lives}) == 8
    assert all(5.1 * DAY <= life.due - life.begin <= 6 * DAY for life in lives)


def test_a_renewal_that_goes_well():
    made = machine()
    now = Now(LIFE.due, 10.0)
    made.feed(Input.PROBED, now)  # late words change nothing
    assert made.state is State.IDLE
    assert machine().tick(Now(LIFE.due - 1, 0.0)) is Effect.NOTHING
    asked(made, now)
    assert made.tick(now) is Effect.NOTHING
    assert made.feed(Input.GRANTED, now) is Effect.PROBE
    assert made.feed(Input.PROBED, now) is Effect.SWAP
    new = Life(LIFE.due, LIFE.due + 90 * DAY, 0.1)
    made.adopt(new, now)
    assert made.feed(Input.SWAPPED, now) is Effect.NOTHING
    assert made.state is State.IDLE
    assert not made.due(now)
    assert not made.clock_ahead


def rests(made, now, count):
    """The rests after so many failures, each waited for."""
    found = []
    for _ in range(count):
        made.feed(Input.FAILED, now)
        found.append(made.until_s(now))
        now = Now(now.wall + found[-1], now.monotonic + found[-1])
        assert made.tick(now) is Effect.REQUEST
    return found, now


def test_rests_double_up_to_a_bound():
    made = asked(machine(draw=0.999999), Now(LIFE.due, 0.0))
    found, now = rests(made, Now(LIFE.due, 0.0), 14)
    assert found[:4] == pytest.approx([30, 60, 120, 240], rel=1e-3)
    assert max(found) == pytest.approx(REST_MAX_S, rel=1e-3)
    assert now.wall < LIFE.end


def test_it_hurries_as_the_end_nears_and_goes_on_after_it():
    left = 60.0
    now = Now(LIFE.end - left, 0.0)
    made = machine(at=now.wall, draw=0.999999)
    asked(made, now)
    found, now = rests(made, now, 4)
    assert max(found) <= left / 8
    assert made.troubled(now)
    late = Now(LIFE.end + 5 * DAY, 0.0)
    made = machine(at=late.wall, draw=0.999999)
    asked(made, late)
    found, _ = rests(made, late, 12)
    assert found[-1] == pytest.approx(REST_ENDED_S, rel=1e-3)


def test_two_that_fail_together_come_again_apart():
    found = set()
    for seed in range(20):
        made = Renewal(LIFE, RenewalTable(), Now(LIFE.due, 0.0), random.Random(seed).random)
        asked(made, Now(LIFE.due, 0.0))
        made.feed(Input.FAILED, Now(LIFE.due, 0.0))
        found.add(made.until_s(Now(LIFE.due, 0.0)))
    assert len(found) == 20
    assert all(15 <= each <= 30 for each in found)


def test_a_candidate_outlives_an_outage_and_not_a_refusal():
    now = Now(LIFE.due, 0.0)
    made = asked(machine(), now)
    made.feed(Input.GRANTED, now)
    assert made.feed(Input.FAILED, now) is Effect.NOTHING
    assert waits(made) is State.HOLDING
    later = Now(now.wall + 60, 60.0)
    assert made.tick(later) is Effect.PROBE
    assert made.feed(Input.REFUSED, later) is Effect.DISCARD
    assert made.feed(Input.DISCARDED, later) is Effect.NOTHING
    assert waits(made) is State.RESTING
    assert made.troubled(later)


def test_a_candidate_found_at_the_start_is_probed_first():
    made = machine(candidate=True)
    assert made.tick(Now(0.0, 0.0)) is Effect.PROBE


def test_a_swap_that_the_disk_refuses_is_tried_again():
    now = Now(LIFE.due, 0.0)
    made = asked(machine(), now)
    made.feed(Input.GRANTED, now)
    made.feed(Input.PROBED, now)
    made.feed(Input.FAILED, now)
    assert made.state is State.HOLDING


def test_pending_waits_as_long_as_it_is_told_within_bounds():
    now = Now(LIFE.due, 0.0)
    made = asked(machine(), now)
    made.feed(Input.PENDING, now, 300.0)
    assert made.until_s(now) == 300.0
    assert not made.troubled(now)
    made = asked(machine(), now)
    made.feed(Input.PENDING, now, 1e9)
    assert made.until_s(now) == REST_MAX_S


def test_it_looks_now_and_then_and_renews_when_the_issuer_changes():
    made = machine()
    first = made.until_s(Now(0.0, 0.0))
    assert first <= 300
    now = Now(first, first)
    assert made.tick(now) is Effect.LOOK
    assert made.feed(Input.SAME, now) is Effect.NOTHING
    again = made.until_s(now)
    assert TABLE_DEFAULT.look_s / 2 <= again <= TABLE_DEFAULT.look_s
    now = Now(first + again, first + again)
    assert made.tick(now) is Effect.LOOK
    assert made.feed(Input.CHANGED, now) is Effect.REQUEST


def test_a_look_that_fails_is_no_trouble_and_is_repeated_soon():
    made = machine()
    now = Now(300.0, 300.0)
    assert made.tick(now) is Effect.LOOK
    made.feed(Input.FAILED, now)
    assert made.state is State.IDLE
    assert not made.troubled(now)
    assert made.until_s(now) <= TABLE_DEFAULT.rest_s


def test_a_clock_ahead_renews_once_and_not_in_a_storm():
    wrong = Now(LIFE.begin + 3650 * DAY, 0.0)
    made = asked(machine(), wrong)
    made.feed(Input.GRANTED, wrong)
    made.feed(Input.PROBED, wrong)
    new = Life(LIFE.begin + 10, LIFE.begin + 10 + 90 * DAY, 0.0)
    made.adopt(new, wrong)
    made.feed(Input.SWAPPED, wrong)
    assert made.clock_ahead
    assert not made.due(Now(wrong.wall + 59 * DAY, 59 * DAY))
    assert made.due(Now(wrong.wall + 60 * DAY, 60 * DAY))
    # Once it is put right, the wall clock counts again.
    assert not made.due(Now(new.begin + 59 * DAY, 60 * DAY))
    assert not made.clock_ahead
    assert made.due(Now(new.due, 60 * DAY))
