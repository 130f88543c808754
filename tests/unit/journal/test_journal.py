"""Append, read, reopen, cursors, limits: the journal on a real file system."""

import pytest

from gateway.domain.errors import (
    ConfigError,
    JournalFullError,
    KeyMissingError,
    SealBrokenError,
)
from gateway.domain.labels import Lane
from gateway.journal.types import SeqRange
from tests.fakes import FakeClock, FakeCounters
from tests.unit.journal.helpers import (
    RESOURCE,
    RingSealer,
    group,
    lost_of,
    open_journal,
    read_all,
    texts_of,
)

T, A = Lane.TELEMETRY, Lane.ALARMS


def fill(journal, lane):
    for _ in range(100):
        journal.append([group(lane, ["x" * 1000])])


def test_what_was_appended_is_read_in_order(tmp_path):
    journal = open_journal(tmp_path)
    assert journal.append([group(A, ["a"]), group(T, ["x", "y"]), group(T, [])]) == [
        SeqRange(1, 1),
        SeqRange(1, 2),
        SeqRange(3, 2),
    ]
    journal.append([group(T, ["z"], policy="p2", label=RESOURCE)])
    for again in (False, True):
        if again:
            journal.close()
            journal = open_journal(tmp_path)
        groups = read_all(journal, T)
        assert texts_of(groups) == {1: "x", 2: "y", 3: "z"}
        assert [g.policy_version for g in groups] == ["p1", "p2"]
        assert texts_of(read_all(journal, A)) == {1: "a"}
        assert lost_of(groups) == []
        assert journal.discovered_gaps() == []
    assert (journal.first_seq(T), journal.last_seq(T)) == (1, 3)
    journal.close()


def test_every_start_is_an_epoch_and_numbers_go_on(tmp_path):
    clock = FakeClock()
    epochs = []
    for n in range(3):
        journal = open_journal(tmp_path, clock=clock)
        epochs.append(journal.epoch)
        assert journal.epoch_of(T, journal.last_seq(T) + 1) == journal.epoch
        assert journal.append([group(T, [str(n)])]) == [SeqRange(n + 1, n + 1)]
        journal.close()
    assert epochs == sorted(set(epochs))
    journal = open_journal(tmp_path, clock=clock)
    assert [journal.epoch_of(T, n) for n in (1, 2, 3)] == epochs
    assert [g.epoch for g in read_all(journal, T)] == epochs
    journal.close()


def test_state_is_committed_with_its_group_and_survives(tmp_path):
    journal = open_journal(tmp_path)
    journal.append([group(A, ["a"], [("alarm", "d1", b"on"), ("alarm", "d2", b"on")])])
    journal.append([group(T, [], [("alarm", "d2", None), ("qos2", "7", b"")])])
    journal.close()
    for _ in range(2):
        journal = open_journal(tmp_path)
        assert journal.state.items("alarm") == {"d1": b"on"}
        assert journal.state.items("qos2") == {"7": b""}
        journal.close()


def test_the_last_delta_of_a_key_wins_across_lanes_when_replayed(tmp_path):
    journal = open_journal(tmp_path)
    for n in range(10):
        journal.append([group((A, T)[n % 2], ["r"], [("s", "k", str(n).encode())])])
    journal._lock.close()  # no checkpoint: as after kill -9
    again = open_journal(tmp_path)
    assert again.state.items("s") == {"k": b"9"}
    again.close()


def test_a_new_destination_starts_at_the_head_and_cursors_only_advance(tmp_path):
    journal = open_journal(tmp_path)
    journal.append([group(T, ["x", "y"])])
    assert journal.cursors.get("core", T) is None
    journal.set_destinations(["core"])
    assert journal.cursors.get("core", T) == 2
    journal.append([group(T, ["z"])])
    journal.cursors.advance("core", T, 3)
    journal.cursors.advance("core", T, 1)
    journal.set_destinations(["core", "vendor"])
    journal.close()
    journal = open_journal(tmp_path)
    assert journal.cursors.get("core", T) == 3
    assert journal.cursors.get("vendor", T) == 3
    with pytest.raises(KeyError):
        journal.cursors.advance("nobody", T, 1)
    journal.close()


def test_segments_are_deleted_when_every_destination_and_hold_is_past_them(tmp_path):
    clock = FakeClock()
    journal = open_journal(tmp_path, segment_bytes=4096, clock=clock)
    journal.set_destinations(["core", "vendor"])
    for n in range(40):
        journal.append([group(T, [f"{n:0500}"])])
    before = journal.bytes_of(T)
    journal.hold("dedup", T, 10)

    def upkeep():
        clock.advance(60)
        journal.maintain()
        return journal.first_seq(T)

    assert upkeep() == 1
    journal.cursors.advance("core", T, 40)
    assert upkeep() == 1
    journal.cursors.advance("vendor", T, 30)
    assert 1 < upkeep() <= 11
    journal.release("dedup")
    assert 20 < upkeep() <= 31
    assert journal.bytes_of(T) < before
    first = journal.first_seq(T)
    journal.close()
    journal = open_journal(tmp_path, segment_bytes=4096, clock=clock)
    assert journal.first_seq(T) == first
    assert journal.discovered_gaps() == []
    assert list(texts_of(read_all(journal, T, 30))) == list(range(31, 41)) or first <= 31
    groups = read_all(journal, T, 0)
    assert lost_of(groups) == [(1, first - 1, "not_retained")]
    journal.close()


def test_telemetry_is_refused_at_the_limit_while_alarms_have_their_reserve(tmp_path):
    counters = FakeCounters()
    journal = open_journal(
        tmp_path, limit_bytes=40_000, alarm_reserve_bytes=10_000, counters=counters
    )
    with pytest.raises(JournalFullError):
        fill(journal, T)
    assert 25_000 < journal.bytes <= 30_000
    journal.append([group(A, ["a" * 1000])])
    last = journal.last_seq(T)
    with pytest.raises(JournalFullError):
        journal.append([group(T, ["x" * 5000])])
    assert journal.last_seq(T) == last
    with pytest.raises(JournalFullError):
        fill(journal, A)
    assert 35_000 < journal.bytes <= 40_000
    assert counters.counts["journal_refused", "telemetry"] == 2
    assert counters.counts["journal_refused", "alarms"] == 1
    journal.close()


def test_the_oldest_is_dropped_if_so_configured_and_the_drop_is_told(tmp_path):
    config = {
        "limit_bytes": 40_000,
        "alarm_reserve_bytes": 10_000,
        "segment_bytes": 8192,
        "drop_oldest": True,
    }
    journal = open_journal(tmp_path, **config)
    journal.set_destinations(["core"])
    for n in range(60):
        journal.append([group(T, [f"{n + 1:01000}"])])
    assert journal.bytes <= 30_000
    assert journal.first_seq(T) == 1
    first = min(texts_of(read_all(journal, T)))
    assert first > 30
    for again in (False, True):
        if again:
            journal.close()
            journal = open_journal(tmp_path, **config)
        groups = read_all(journal, T)
        lost = lost_of(groups)
        assert {reason for _, _, reason in lost} == {"dropped_oldest"}
        assert sum(last - start + 1 for start, last, _ in lost) == first - 1
        assert [int(t) for t in texts_of(groups).values()] == list(range(first, 61))
        gaps = journal.discovered_gaps()
        assert {gap.reason for gap in gaps} == {"dropped_oldest"}
        assert sum(gap.reports for gap in gaps) == first - 1
    journal.gaps_recorded(gaps)
    assert journal.discovered_gaps() == []
    journal.close()
    journal = open_journal(tmp_path, **config)
    assert journal.discovered_gaps() == []
    assert journal.first_seq(T) == 1
    journal.cursors.advance("core", T, 60)
    journal.checkpoint()
    assert journal.first_seq(T) == first
    assert lost_of(read_all(journal, T)) == [(1, first - 1, "not_retained")]
    journal.close()


def test_a_segment_that_somebody_deleted_is_a_lost_range(tmp_path):
    journal = open_journal(tmp_path, segment_bytes=4096, cache_bytes=0)
    for n in range(4):
        journal.append([group(T, [f"{n}" + "x" * 3000])])
    sorted((tmp_path / "telemetry").glob("*.seg"))[1].unlink()
    groups = read_all(journal, T)
    assert list(texts_of(groups)) == [1, 3, 4]
    assert lost_of(groups) == [(2, 2, "journal_missing")]
    assert [(g.first_seq, g.reason) for g in journal.discovered_gaps()] == [(2, "journal_missing")]
    journal.close()


def test_two_processes_can_not_have_it_open(tmp_path):
    journal = open_journal(tmp_path)
    with pytest.raises(ConfigError, match="another process"):
        open_journal(tmp_path)
    journal.close()
    open_journal(tmp_path).close()


def test_keys_rotate_and_a_missing_key_is_no_damage(tmp_path):
    old, new = {"k1": b"1" * 32}, {"k2": b"2" * 32}
    journal = open_journal(tmp_path, sealer=RingSealer(**old))
    journal.append([group(T, ["x"])])
    journal.close()
    journal = open_journal(tmp_path, sealer=RingSealer(**old, **new))
    journal.append([group(T, ["y"])])
    journal.close()
    with pytest.raises(KeyMissingError, match="k1"):
        open_journal(tmp_path, sealer=RingSealer(**new))
    with pytest.raises(SealBrokenError, match="k1"):
        open_journal(tmp_path, sealer=RingSealer(k1=b"3" * 32, **new))
    journal = open_journal(tmp_path, sealer=RingSealer(**old, **new))
    assert texts_of(read_all(journal, T)) == {1: "x", 2: "y"}
    assert journal.discovered_gaps() == []
    assert list((tmp_path / "telemetry" / "quarantine").iterdir()) == []
    journal.close()
