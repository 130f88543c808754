"""Statistics of windows: what they say, of whom, and that a restart makes the same ones again."""

import math
import sqlite3
import statistics
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain import records as r
from gateway.domain import terms
from gateway.domain.labels import DataClass, Label, Lane, Treatment
from gateway.journal.types import EncodedSection, Lost, StoredGroup
from gateway.uplink import ledger_file
from gateway.uplink import windows as windows_module
from gateway.uplink.release import EntryKey, Release, Shape
from gateway.uplink.standing import Spell, Stretch, note, spells, stand
from gateway.uplink.windows import AggregateConfig
from protos.wardgate.v1 import ingest_pb2 as pb
from tests import ingest
from tests.ingest import EPOCH, NOW_US, VITALS, section

WINDOW_S = 60
WINDOW_US = WINDOW_S * 1_000_000
CONFIG = AggregateConfig(window_s=WINDOW_S, devices_min=3)
THERAPY = Label(DataClass.MEDICAL_APPLICATION, 3)
AGGREGATE, PASS, WITHHOLD = Treatment.AGGREGATE, Treatment.PASS, Treatment.WITHHOLD


def reading(value, device, quality=(), kind="vitals"):
    return r.Report(device, kind, ingest.PROVENANCE, NOW_US, (terms.HEART_RATE,), (value,), quality)


def group(first, records, at_s=0.0, label=VITALS, **changes):
    body = section(first, records, (terms.HEART_RATE,), label)
    found = StoredGroup(
        first,
        first + len(records) - 1,
        "now",
        (EncodedSection(label.data_class, label.level, len(records), body),),
        (),
        EPOCH,
        NOW_US + int(at_s * 1e6),
    )
    return found._replace(**changes)


def release(row=None, tables=None, config=CONFIG):
    row = {VITALS: AGGREGATE} if row is None else row
    return Release("core", "now", row, (tables or {}).get, None, Shape(aggregate=config))


def closed_by_next(records, config=CONFIG, row=None):
    """One window of these records, and the batch that closes it."""
    made = release(row, config=config)
    behind = group(1 + len(records), [reading(1.0, "late")], WINDOW_S)
    return made.batch(Lane.TELEMETRY, [group(1, records), behind])


def told(batch):
    """The aggregates of a batch."""
    message = pb.StreamRequest.FromString(batch.request).batch
    return [
        record.aggregate
        for each in message.sections
        if each.treatment == pb.TREATMENT_AGGREGATE
        for record in each.records
    ]


def test_a_window_says_mean_deviation_devices_and_values_and_nothing_of_one_patient():
    values = [61.0, 62.5, 70.0, 180.0]
    batch = closed_by_next([reading(v, f"mon-{n % 3}") for n, v in enumerate(values)])
    (found,) = told(batch)
    begin = NOW_US - NOW_US % WINDOW_US
    assert (found.from_us, found.to_us) == (begin, begin + WINDOW_US)
    assert (found.epoch, found.first_seq, found.last_seq) == (EPOCH, 1, 4)
    assert (found.devices_min, found.records) == (3, 4)
    (each,) = found.statistics
    assert (each.kind, each.code, each.devices, each.values) == ("vitals", terms.HEART_RATE, 3, 4)
    assert each.mean == pytest.approx(statistics.fmean(values), rel=1e-3)
    assert each.standard_deviation == pytest.approx(statistics.pstdev(values), rel=1e-3)
    assert b"mon-" not in batch.request
    (named,) = pb.StreamRequest.FromString(batch.request).batch.sections[0].metrics
    assert (named.code, named.unit) == (terms.HEART_RATE, "/min")


def test_the_batch_counts_what_went_in_as_withheld_and_the_ledger_as_aggregated():
    batch = closed_by_next([reading(60.0, f"mon-{n}") for n in range(3)])
    message = pb.StreamRequest.FromString(batch.request).batch
    assert (message.first_seq, message.last_seq, message.withheld) == (1, 4, 4)
    key = EntryKey(VITALS, AGGREGATE, "now")
    (section_,) = message.sections
    assert dict(batch.entries) == {key: (3, section_.ByteSize())}
    assert dict(batch.spans) == {key: (1, 4)}
    assert batch.hold == 3  # the window that group 4 began


@pytest.mark.parametrize(
    "devices",
    [
        ["mon-1"] * 9,
        ["mon-1", "mon-2"] * 5,
        ["mon-1"] * 9 + ["mon-2", "mon-3", "mon-4"],  # three quarters are one patient's
    ],
)
def test_too_few_devices_or_one_that_gave_most_and_nothing_leaves(devices):
    batch = closed_by_next([reading(60.0, device) for device in devices])
    assert told(batch) == []
    assert dict(batch.entries) == {EntryKey(VITALS, WITHHOLD, "now"): (len(devices), 0)}


def test_only_valid_values_count():
    records = [reading(60.0, f"mon-{n}") for n in range(3)]
    records += [reading(900.0, "mon-1", (r.Quality.INVALID,)), reading(math.nan, "mon-2")]
    batch = closed_by_next(records)
    ((each,),) = [found.statistics for found in told(batch)]
    assert (each.values, each.mean, each.standard_deviation) == (3, 60.0, 0.0)
    assert batch.counts == {AGGREGATE: 3, WITHHOLD: 2}


def test_kinds_of_devices_are_apart():
    records = [reading(60.0, f"mon-{n}") for n in range(3)]
    records += [reading(99.0, f"drip-{n}", kind="drip") for n in range(2)]
    ((each,),) = [found.statistics for found in told(closed_by_next(records))]
    assert (each.kind, each.values) == ("vitals", 3)


def test_a_kind_that_is_no_word_is_not_told():
    records = [reading(60.0, f"mon-{n}", kind="John Smith 12.5.1961") for n in range(3)]
    ((each,),) = [found.statistics for found in told(closed_by_next(records))]
    assert each.kind == ""


def test_alarms_are_counted_where_they_begin():
    alarms = [ingest.alarm(n, f"mon-{n}") for n in range(3)]
    ends = [
        r.Alarm(**{f: getattr(a, f) for f in a.__struct_fields__} | {"phase": r.AlarmPhase.END})
        for a in alarms
    ]
    (found,) = told(closed_by_next(alarms + ends))
    (count,) = found.alarm_counts
    assert (count.condition, count.priority, count.devices, count.alarms) == ("hr_high", 3, 3, 3)
    assert found.records == 3


def test_what_passes_leaves_at_once_while_a_window_is_open():
    one, two = [reading(60.0, "mon-1")], [reading(61.0, "mon-2")]
    made = release({VITALS: AGGREGATE, THERAPY: PASS})
    groups = [group(1, one), group(2, two, 1, THERAPY), group(3, one, 2)]
    batch = made.batch(Lane.TELEMETRY, groups)
    assert groups[1].sections[0].body in batch.request
    assert (batch.last, batch.hold, batch.counts) == (3, 0, {PASS: 1})


@pytest.mark.parametrize(
    ("change", "closes"),
    [
        ({"committed_us": NOW_US + WINDOW_US}, True),
        ({"committed_us": NOW_US - 5 * WINDOW_US}, False),  # a clock that was set back
        ({"policy_version": "then"}, True),
        ({"epoch": EPOCH + 1}, True),
        ({}, False),
    ],
)
def test_what_closes_a_window(change, closes):
    records = [reading(60.0, f"mon-{n}") for n in range(3)]
    made = release(tables={"then": {"core": {VITALS: AGGREGATE}}})
    windows = made.windows(0)
    made.batch(Lane.TELEMETRY, [group(1, records)], windows)
    batch = made.batch(Lane.TELEMETRY, [group(4, records, **change)], windows)
    assert bool(told(batch)) is closes
    assert batch.hold == (3 if closes else 0)


def test_a_lost_range_closes_nothing_and_is_in_no_statistic():
    records = [reading(60.0, f"mon-{n}") for n in range(3)]
    made, lost = release(), Lost(4, 9, "journal_damaged")
    gone = StoredGroup(4, 9, "", (), (lost,), EPOCH)
    groups = [group(1, records), gone, group(10, records, 1), group(13, records, WINDOW_S)]
    (found,) = told(made.batch(Lane.TELEMETRY, groups))
    assert (found.first_seq, found.last_seq, found.records) == (1, 12, 6)


def test_a_policy_that_passes_now_does_not_loosen_what_was_collected_for_statistics():
    records = [reading(60.0, f"mon-{n}") for n in range(3)]
    made = release({VITALS: PASS}, {"then": {"core": {VITALS: AGGREGATE}}})
    before = group(1, records, policy_version="then")
    batch = made.batch(Lane.TELEMETRY, [before, group(4, records, 1)])
    assert batch.counts == {AGGREGATE: 3, PASS: 3}
    assert before.sections[0].body not in batch.request


def test_a_section_that_can_not_be_read_is_withheld():
    broken = group(1, [reading(60.0, "mon-1")])
    broken = broken._replace(sections=(broken.sections[0]._replace(body=b"\xff\xff"),))
    batch = release().batch(Lane.TELEMETRY, [broken])
    assert batch.counts == {WITHHOLD: 1}
    assert batch.untreatable == {VITALS: 1}


@pytest.mark.parametrize(("limit", "n"), [("CELLS_MAX", 0), ("PAIRS_MAX", 2)])
def test_a_cell_that_has_no_room_is_withheld(monkeypatch, limit, n):
    monkeypatch.setattr(windows_module, limit, n)
    batch = closed_by_next([reading(60.0, f"mon-{n}") for n in range(3)])
    assert told(batch) == []
    assert batch.counts == {WITHHOLD: 3}


def test_a_combination_too_many_counts_as_having_left(monkeypatch):
    monkeypatch.setattr(windows_module, "KINDS_MAX", 0)
    batch = closed_by_next([reading(60.0, f"mon-{n}") for n in range(3)])
    assert batch.counts == {AGGREGATE: 3}


def test_the_window_at_an_unknown_beginning_is_withheld_and_the_next_is_not():
    records = [reading(60.0, f"mon-{n}") for n in range(3)]
    made = release()
    windows = made.windows(0, known=False)
    first = made.batch(Lane.TELEMETRY, [group(1, records), group(4, records, WINDOW_S)], windows)
    second = made.batch(Lane.TELEMETRY, [group(7, records, 2 * WINDOW_S)], windows)
    assert (told(first), first.counts) == ([], {WITHHOLD: 3})
    assert [found.first_seq for found in told(second)] == [4]


class Journal:
    """Groups in memory."""

    def __init__(self, groups):
        self.groups = groups

    def read(self, lane, after_seq, records_max, bytes_max):
        del lane, records_max, bytes_max
        return [g for g in self.groups if g.last_seq > after_seq][:5]


@st.composite
def lanes(draw):
    """Groups of one lane: clocks that jump, epochs and policies that change, losses."""
    seq, at_s, epoch, policy, groups = 1, 0.0, EPOCH, "now", []
    for _ in range(draw(st.integers(3, 25))):
        at_s += draw(st.sampled_from((0.5, 5.0, 30.0, 90.0, -70.0)))
        epoch += draw(st.sampled_from((0, 0, 0, 0, 0, 0, 1)))
        policy = draw(st.sampled_from((policy, policy, policy, "now", "then")))
        count = draw(st.integers(1, 4))
        if draw(st.integers(0, 9)) == 0:
            lost = Lost(seq, seq + count - 1, "journal_damaged")
            groups.append(StoredGroup(lost.first, lost.last, "", (), (lost,), epoch))
        else:
            devices = draw(st.lists(st.integers(1, 5), min_size=count, max_size=count))
            records = [reading(float(seq + n), f"mon-{d}") for n, d in enumerate(devices)]
            label = draw(st.sampled_from((VITALS, VITALS, THERAPY)))
            groups.append(group(seq, records, at_s, label, policy_version=policy, epoch=epoch))
        seq += count
    return groups


def sent(made, journal, windows, after, size):
    """The next batch, as the lane makes it; None at the end."""
    groups = [g for g in journal.groups if g.last_seq > after][:size]
    same = [g for g in groups if g.epoch == groups[0].epoch]
    return made.batch(Lane.TELEMETRY, same, windows) if groups else None


@given(lanes(), st.data())
@settings(max_examples=150, deadline=None)
def test_restarts_neither_lose_nor_repeat_nor_change_a_window(groups, data):
    tables = {"then": {"core": {VITALS: AGGREGATE, THERAPY: AGGREGATE}}}
    row = {VITALS: AGGREGATE, THERAPY: AGGREGATE}
    journal: Any = Journal(groups)
    made = release(row, tables, AggregateConfig(WINDOW_S, 3))
    straight, windows, after = [], made.windows(0), 0
    while (batch := sent(made, journal, windows, after, 3)) is not None:
        straight += [each.SerializeToString() for each in told(batch)]
        after = batch.last

    cursor = acked = 0
    held: list[bytes] = []
    seen: dict[tuple[int, int], bytes] = {}
    for _ in range(60):
        # A start: nothing but the cursor and the journal.
        stretch = Stretch(cursor, acked, known=True)
        windows = stand(made, stretch, [], journal, Lane.TELEMETRY).windows
        after, flying = acked, []
        for _ in range(data.draw(st.integers(0, 4))):
            batch = sent(made, journal, windows, after, 3)
            if batch is None:
                break
            # The ledger makes the lane repeat the boundaries, and the bytes must be the same.
            assert seen.setdefault((batch.first, batch.last), batch.request) == batch.request
            flying.append(batch)
            after = batch.last
        arrived = data.draw(st.integers(0, len(flying)))
        for batch in flying[:arrived]:
            held += [each.SerializeToString() for each in told(batch)]
            acked = batch.last
        for batch in flying[: data.draw(st.integers(0, arrived))]:
            assert cursor <= batch.hold <= batch.last
            cursor = batch.hold
        if acked == groups[-1].last_seq:
            break
    assert held == straight[: len(held)]
    if acked == groups[-1].last_seq:
        assert held == straight
    ranges = [pb.Aggregate.FromString(each) for each in straight]
    for one, two in pairwise(ranges):
        assert (one.epoch, one.last_seq) < (two.epoch, two.first_seq) or (
            (one.epoch, one.first_seq, one.last_seq) == (two.epoch, two.first_seq, two.last_seq)
        )


POLICIES = {
    "now": {VITALS: AGGREGATE, THERAPY: PASS},
    "more": {VITALS: AGGREGATE, THERAPY: AGGREGATE},
    "less": {VITALS: WITHHOLD, THERAPY: AGGREGATE},
    "none": {VITALS: PASS, THERAPY: WITHHOLD},
}


@given(lanes(), st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_changes_while_windows_are_open_each_record_is_entered_once(groups, data):
    """Policies and windows' lengths, with and without a restart, at any moment."""
    tables = {version: {"core": row} for version, row in POLICIES.items()}
    groups = [g._replace(policy_version=g.policy_version and "more") for g in groups]
    journal: Any = Journal(groups)
    ledger = sqlite3.connect(":memory:", isolation_level=None)
    ledger_file.prepare(ledger)
    version, window_s = "now", WINDOW_S
    windows, after, hold, entered = None, 0, 0, 0
    while True:
        if data.draw(st.integers(0, 3)) == 0:
            version = data.draw(st.sampled_from(sorted(POLICIES)))
            window_s = data.draw(st.sampled_from((WINDOW_S, WINDOW_S, 20)))
            windows = None
        if data.draw(st.integers(0, 3)) == 0:
            windows = None
        config = AggregateConfig(window_s, 3)
        shape = Shape(aggregate=config)
        made = Release("core", version, POLICIES[version], tables.get, None, shape)
        if windows is None:
            kept = spells(ledger, "core", "telemetry")
            stretch = Stretch(hold, after, known=True)
            windows = stand(made, stretch, kept, journal, Lane.TELEMETRY).windows
        batch = sent(made, journal, windows, after, data.draw(st.integers(1, 3)))
        if batch is None:
            break
        note(ledger, "core", "telemetry", Spell(batch.first - 1, version, batch.window_s))
        entered += sum(batch.counts.values())
        assert after - hold >= 0
        after, hold = batch.last, batch.hold
    held = windows.held
    records = sum(section_.records for each in groups for section_ in each.sections)
    ledger.close()
    assert entered + held == records
