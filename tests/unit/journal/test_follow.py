"""Limits that change while the journal is open apply from the next group on."""

from __future__ import annotations

import pytest

from gateway.domain.errors import JournalFullError
from gateway.domain.labels import Lane
from gateway.journal.config import JournalConfig
from tests.fakes import FakeClock
from tests.unit.journal.helpers import group, open_journal, read_all, texts_of

A, T = Lane.ALARMS, Lane.TELEMETRY


def limits(**given) -> JournalConfig:
    return JournalConfig(**{"ballast_bytes": 0, "alarm_reserve_bytes": 4096, **given})


def test_a_lower_limit_refuses_new_telemetry_and_deletes_nothing(tmp_path):
    journal = open_journal(tmp_path)
    journal.append([group(T, ["x" * 5000])])
    journal.follow(limits(limit_bytes=8192))
    with pytest.raises(JournalFullError):
        journal.append([group(T, ["refused"])])
    journal.append([group(A, ["alarms have their reserve"])])
    journal.follow(limits(limit_bytes=1 << 20))
    journal.append([group(T, ["again"])])
    assert list(texts_of(read_all(journal, T)).values()) == ["x" * 5000, "again"]
    journal.close()


def test_drop_oldest_can_be_chosen_while_it_is_full(tmp_path):
    journal = open_journal(tmp_path, segment_bytes=4096, limit_bytes=1 << 20, alarm_reserve_bytes=0)
    for text in "ab":
        journal.append([group(T, [text + "x" * 3900])])
    full = {"segment_bytes": 4096, "limit_bytes": journal.bytes + 100, "alarm_reserve_bytes": 0}
    journal.follow(limits(**full))
    with pytest.raises(JournalFullError):
        journal.append([group(T, ["c" * 3900])])
    journal.follow(limits(**full, drop_oldest=True))
    journal.append([group(T, ["c" * 3900])])
    assert [gap.reason for gap in journal.discovered_gaps()] == ["dropped_oldest"]
    journal.close()


def test_the_ballast_grows_and_shrinks_with_the_next_upkeep(tmp_path):
    clock = FakeClock()
    journal = open_journal(tmp_path, clock=clock, ballast_bytes=1 << 20)
    for size in (3 << 20, 2 << 20, 0):
        journal.follow(limits(ballast_bytes=size))
        clock.advance(10)
        journal.maintain()
        assert (tmp_path / "reserve").stat().st_size == size
    journal.close()
