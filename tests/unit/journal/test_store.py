"""The SQLite file is missing, damaged, or of a newer release."""

import sqlite3

import pytest

from gateway.domain.errors import ConfigError
from gateway.domain.labels import Lane
from tests.fakes import FakeClock
from tests.unit.journal.helpers import group, open_journal, read_all, texts_of

A, T = Lane.ALARMS, Lane.TELEMETRY


def used(path):
    journal = open_journal(path)
    journal.set_destinations(["core"])
    journal.append([group(T, ["x", "y"], [("s", "a", b"1")]), group(A, ["z"], [("s", "b", b"2")])])
    journal.cursors.advance("core", T, 1)
    journal.close()


def assert_begun_anew(path):
    journal = open_journal(path)
    assert journal.cursors_lost
    assert not journal.state_incomplete
    assert journal.state.items("s") == {"a": b"1", "b": b"2"}
    assert texts_of(read_all(journal, T)) == {1: "x", 2: "y"}
    # Nobody knows any more what the core has: it is offered everything again.
    journal.set_destinations(["core"])
    assert journal.cursors.get("core", T) == 0
    journal.append([group(T, ["w"])])
    journal.set_destinations(["core", "new"])
    assert journal.cursors.get("new", T) == 3
    journal.close()
    journal = open_journal(path)
    assert not journal.cursors_lost
    journal.close()


def test_a_missing_store_is_begun_anew(tmp_path):
    used(tmp_path)
    (tmp_path / "state.sqlite").unlink()
    assert_begun_anew(tmp_path)


@pytest.mark.parametrize("where", ["all", "header", "pages", "truncated"])
def test_a_damaged_store_is_kept_beside_and_begun_anew(tmp_path, where):
    used(tmp_path)
    path = tmp_path / "state.sqlite"
    data = bytearray(path.read_bytes())
    if where == "all":
        data = bytearray(b"not a database" * 1000)
    elif where == "header":
        data[0] ^= 1
    elif where == "pages":
        data[4096:] = b"\xff" * (len(data) - 4096)
    else:
        del data[5000:]
    path.write_bytes(data)
    assert_begun_anew(tmp_path)
    (kept,) = tmp_path.glob("state.sqlite.damaged-*")
    assert kept.read_bytes() == data


def test_a_store_of_a_newer_release_is_not_touched(tmp_path):
    used(tmp_path)
    db = sqlite3.connect(tmp_path / "state.sqlite")
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(ConfigError, match="newer release"):
        open_journal(tmp_path)
    assert list(tmp_path.glob("*damaged*")) == []


def test_state_that_reaches_back_further_than_the_log_is_told(tmp_path):
    clock = FakeClock()
    used(tmp_path)
    old = (tmp_path / "state.sqlite").read_bytes()
    journal = open_journal(tmp_path, clock=clock, segment_bytes=4096)
    for n in range(10):
        journal.append([group(T, ["x" * 2000], [("s", str(n), b"")])])
    journal.cursors.advance("core", T, journal.last_seq(T))
    clock.advance(60)
    journal.maintain()
    assert journal.first_seq(T) > 5
    journal.close()
    (tmp_path / "state.sqlite").write_bytes(old)
    journal = open_journal(tmp_path)
    assert journal.state_incomplete
    journal.close()
    journal = open_journal(tmp_path)
    assert not journal.state_incomplete
    journal.close()


def test_a_cursor_ahead_of_a_restored_log_leaves_no_number_to_be_given_twice(tmp_path):
    used(tmp_path)
    db = sqlite3.connect(tmp_path / "state.sqlite")
    db.execute("UPDATE cursor SET seq = 10 WHERE lane = 2")
    db.commit()
    db.close()
    journal = open_journal(tmp_path)
    (seqs,) = journal.append([group(T, ["new"])])
    assert seqs.first == 11
    (gap,) = journal.discovered_gaps()
    assert (gap.first_seq, gap.last_seq, gap.reason) == (3, 10, "journal_tail_lost")
    journal.close()
