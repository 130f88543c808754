"""What of a group leaves, and what the ledger hears of it."""

import pytest

from gateway.domain.labels import DataClass, Label, Lane, Treatment
from gateway.journal.types import EncodedSection, Lost, StoredGroup
from gateway.uplink.release import NO_POLICY, EntryKey, Release, cut
from protos.wardgate.v1 import ingest_pb2 as pb
from security.pseudonyms import Pseudonyms
from tests.ingest import EPOCH, NOW_US, VITALS, report, section

NOTES = Label(DataClass.MEDICAL_APPLICATION, 4)
PASS, PSEUDONYMISE, MASK, WITHHOLD = (
    Treatment.PASS,
    Treatment.PSEUDONYMISE,
    Treatment.MASK,
    Treatment.WITHHOLD,
)
NAMES = Pseudonyms(b"k" * 32, "core", "")


def group(first, vitals=2, notes=1, policy="now", epoch=EPOCH, lost=()):
    sections = []
    seq = first
    for label, count in ((VITALS, vitals), (NOTES, notes)):
        if count:
            records = [report(n) for n in range(seq, seq + count)]
            body = section(seq, records, label=label)
            sections.append(EncodedSection(label.data_class, label.level, count, body))
            seq += count
    return StoredGroup(first, seq - 1, policy, tuple(sections), tuple(lost), epoch, NOW_US + first)


def release(row, tables=None, names=NAMES):
    return Release("core", "now", row, (tables or {}).get, names)


def parsed(batch):
    return pb.StreamRequest.FromString(batch.request).batch


def test_what_passes_leaves_byte_by_byte():
    groups = [group(1), group(4)]
    batch = release({VITALS: PASS, NOTES: PASS}).batch(Lane.TELEMETRY, groups)
    for stored in groups:
        for each in stored.sections:
            assert each.body in batch.request
    message = parsed(batch)
    assert (message.first_seq, message.last_seq, message.withheld) == (1, 6, 0)
    assert (message.lane, message.epoch) == (pb.LANE_TELEMETRY, EPOCH)
    assert batch.committed_us == NOW_US + 1


def test_what_can_not_be_read_to_be_treated_is_withheld_and_named():
    broken = EncodedSection(*NOTES, 3, b"\xff not a section")
    stored = StoredGroup(1, 3, "now", (broken,), (), EPOCH, NOW_US)
    batch = release({NOTES: MASK}).batch(Lane.TELEMETRY, [stored])
    assert (batch.counts, batch.untreatable) == ({WITHHOLD: 3}, {NOTES: 3})
    assert release({NOTES: WITHHOLD}).batch(Lane.TELEMETRY, [stored]).untreatable == {}


def test_withheld_records_are_counted_and_nothing_of_them_is_there():
    batch = release({VITALS: PASS, NOTES: WITHHOLD}).batch(Lane.TELEMETRY, [group(1), group(4)])
    message = parsed(batch)
    assert message.withheld == 2
    assert [each.level for each in message.sections] == [3, 3]
    assert batch.counts == {PASS: 4, WITHHOLD: 2}
    assert b"5f3a:3" not in batch.request
    assert b"5f3a:1" in batch.request


def test_a_label_that_the_row_does_not_know_is_withheld():
    batch = release({VITALS: PASS}).batch(Lane.TELEMETRY, [group(1)])
    assert batch.counts == {PASS: 2, WITHHOLD: 1}


def test_the_ledger_hears_of_records_and_bytes_by_label_treatment_and_collection():
    first, second = group(1, policy="then"), group(4)
    row = {VITALS: PASS, NOTES: WITHHOLD}
    batch = release(row, {"then": {"core": {VITALS: MASK, NOTES: PASS}}}).batch(
        Lane.TELEMETRY, [first, second]
    )
    entries = dict(batch.entries)
    assert entries.pop(EntryKey(VITALS, PASS, "now")) == (2, len(second.sections[0].body))
    assert entries.pop(EntryKey(NOTES, WITHHOLD, "now")) == (1, 0)
    assert entries.pop(EntryKey(NOTES, WITHHOLD, "then")) == (1, 0)
    ((key, (records, size)),) = entries.items()
    assert (key, records) == (EntryKey(VITALS, MASK, "then"), 2)
    assert 0 < size < len(first.sections[0].body)


@pytest.mark.parametrize("then", [PASS, PSEUDONYMISE, MASK, WITHHOLD])
@pytest.mark.parametrize("now", [PASS, PSEUDONYMISE, MASK, WITHHOLD])
def test_the_stricter_of_then_and_now_applies(then, now):
    tables = {"then": {"core": {VITALS: then}}}
    batch = release({VITALS: now}, tables).batch(Lane.TELEMETRY, [group(1, notes=0, policy="then")])
    assert batch.counts == {max(then, now): 2}  # of these four the numbers rise with strictness


def test_where_neither_is_stricter_nothing_leaves():
    tables = {"then": {"core": {VITALS: Treatment.GENERALISE}}}
    stored = [group(1, notes=0, policy="then")]
    batch = release({VITALS: PSEUDONYMISE}, tables).batch(Lane.TELEMETRY, stored)
    assert batch.counts == {WITHHOLD: 2}


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"then": {}},
        {"then": {"vendor": {VITALS: PASS}}},
        {"then": {"core": {}}},
        {"then": {"core": {NOTES: PASS}}},
    ],
)
def test_what_the_table_of_its_collection_does_not_know_is_withheld(tables):
    batch = release({VITALS: PASS}, tables).batch(
        Lane.TELEMETRY, [group(1, notes=0, policy="then")]
    )
    assert batch.counts == {WITHHOLD: 2}


def test_what_was_collected_without_a_policy_is_judged_by_the_present_one():
    stored = group(1, notes=0, policy=NO_POLICY)
    assert release({VITALS: PASS}).batch(Lane.TELEMETRY, [stored]).counts == {PASS: 2}


def test_a_promise_to_pseudonymise_without_the_key_becomes_silence():
    tables = {"then": {"core": {VITALS: PSEUDONYMISE}}}
    batch = release({VITALS: PASS}, tables, names=None).batch(
        Lane.TELEMETRY, [group(1, notes=0, policy="then")]
    )
    assert batch.counts == {WITHHOLD: 2}


@pytest.mark.parametrize(
    ("row", "names", "why"),
    [
        ({VITALS: PSEUDONYMISE}, None, "pseudonym_key"),
        ({VITALS: Treatment.GENERALISE}, None, "generalises"),
    ],
)
def test_a_row_that_can_not_be_kept_is_refused(row, names, why):
    with pytest.raises(ValueError, match=why):
        release(row, names=names)


def test_a_section_that_can_not_be_treated_is_withheld():
    stored = group(1, notes=0)
    broken = stored._replace(sections=(stored.sections[0]._replace(body=b"\xff\xff"),))
    batch = release({VITALS: MASK}).batch(Lane.TELEMETRY, [broken])
    assert batch.counts == {WITHHOLD: 2}
    assert parsed(batch).withheld == 2


def test_lost_ranges_are_told():
    lost = StoredGroup(4, 9, "", (), (Lost(4, 9, "journal_damaged"),), EPOCH)
    message = parsed(release({VITALS: PASS, NOTES: PASS}).batch(Lane.TELEMETRY, [group(1), lost]))
    assert [(each.first_seq, each.last_seq, each.reason) for each in message.lost] == [
        (4, 9, "journal_damaged")
    ]
    assert (message.last_seq, message.withheld) == (9, 0)


def spans(groups):
    return [(each.first_seq, each.last_seq) for each in groups]


def test_a_batch_is_cut_at_its_limits_and_has_one_group_at_least():
    groups = [group(1), group(4), group(7)]
    size = sum(len(each.body) for each in groups[0].sections)
    assert spans(cut(groups, 6, 1 << 20)) == [(1, 3), (4, 6)]
    assert spans(cut(groups, 100, int(2.5 * size))) == [(1, 3), (4, 6)]
    assert spans(cut(groups, 1, 1)) == [(1, 3)]
    assert spans(cut(groups, 100, 1 << 20)) == [(1, 3), (4, 6), (7, 9)]


def test_a_batch_ends_with_its_epoch_and_where_it_ended_before():
    groups = [group(1), group(4), group(7, epoch=EPOCH + 1)]
    assert spans(cut(groups, 100, 1 << 20)) == [(1, 3), (4, 6)]
    assert spans(cut(groups, 100, 1 << 20, end=3)) == [(1, 3)]
    # One that straddles the end is sent whole: it was never sent like that.
    assert spans(cut(groups, 100, 1 << 20, end=2)) == [(1, 3)]
