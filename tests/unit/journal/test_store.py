"""The SQLite file is missing, damaged, or of a newer release."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from gateway.domain.errors import ConfigError
from gateway.domain.labels import Lane
from tests.fakes import FakeClock
from tests.unit.journal.helpers import RingSealer, group, open_journal, read_all, texts_of

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


def test_the_names_of_all_directories_are_synced_at_every_start(tmp_path, monkeypatch):
    """Also when they exist: the start that made them may have been killed before it synced."""
    place = tmp_path / "state" / "journal"
    synced, fsync = [], os.fsync

    def watched(fd):
        synced.append(Path(f"/proc/self/fd/{fd}").readlink())
        fsync(fd)

    monkeypatch.setattr(os, "fsync", watched)
    for _ in range(2):
        synced.clear()
        open_journal(place).close()
        assert {place, place.parent, place / "alarms", place / "telemetry"} <= set(synced)


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


def everything(path) -> bytes:
    return b"".join(file.read_bytes() for file in path.rglob("*") if file.is_file())


def assert_private(path) -> None:
    assert b"monitor-7" not in everything(path)
    for file in path.rglob("*"):
        assert not stat.S_IMODE(file.stat().st_mode) & 0o077, file


def test_no_file_shows_a_name_of_the_state_or_lets_others_read(tmp_path):
    journal = open_journal(tmp_path / "j")
    journal.append([group(T, ["x"], [("alarm", "monitor-7|high", b"1"), ("s", "b", b"2")])])
    journal.maintain()
    assert_private(tmp_path / "j")
    journal.close()
    assert_private(tmp_path / "j")


def test_a_value_is_replaced_and_removed_where_it_is(tmp_path):
    for value in (b"1", b"2", None, b"3", b"4"):
        journal = open_journal(tmp_path)
        journal.append([group(T, ["x"], [("s", "a", value), ("s", "b", value)])])
        journal.close()
        journal = open_journal(tmp_path)
        assert journal.state.items("s") == ({} if value is None else {"a": value, "b": value})
        journal.close()
        with closing(sqlite3.connect(tmp_path / "state.sqlite")) as db:
            (rows,) = db.execute("SELECT count(*) FROM state").fetchone()
        assert rows == (0 if value is None else 2)


def to_version_1(path) -> None:
    """Make of a store what the first release wrote: names in the clear, readable by others."""
    sealer = RingSealer()
    with closing(sqlite3.connect(path)) as db:
        (log_id,) = db.execute("SELECT log_id FROM journal").fetchone()
        rows = db.execute("SELECT id, key_id, sealed FROM state").fetchall()
        db.execute("DROP TABLE state")
        db.execute("CREATE TABLE state (space TEXT, key TEXT, key_id TEXT, sealed BLOB)")
        for row, key_id, sealed in rows:
            plain = sealer.open(key_id, sealed, b"state\0" + log_id + row.to_bytes(8, "big"))
            space, key, value = msgspec.msgpack.decode(plain)
            aad = b"\0".join((b"state", log_id, space.encode(), key.encode()))
            db.execute(
                "INSERT INTO state VALUES (?, ?, ?, ?)", (space, key, *sealer.seal(value, aad))
            )
        db.execute("PRAGMA user_version=1")
        db.commit()
    path.chmod(0o644)


def test_a_store_of_version_1_is_converted_and_its_names_are_gone(tmp_path):
    journal = open_journal(tmp_path)
    journal.set_destinations(["core"])
    values = {f"monitor-{n}": bytes(n) for n in range(300)}
    journal.append([group(T, ["x"], [("s", *item) for item in values.items()])])
    journal.cursors.advance("core", T, 1)
    journal.close()
    to_version_1(tmp_path / "state.sqlite")
    assert b"monitor-299" in everything(tmp_path)
    for _ in range(2):
        journal = open_journal(tmp_path)
        assert not journal.cursors_lost
        assert journal.state.items("s") == values
        assert journal.cursors.get("core", T) == 1
        assert b"monitor-" not in everything(tmp_path)
        journal.close()
        assert stat.S_IMODE((tmp_path / "state.sqlite").stat().st_mode) == 0o600
    assert list(tmp_path.glob("*damaged*")) == []
