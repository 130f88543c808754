"""The journal with the gateway's own sealer: rotation, a missing key, a tampered frame."""

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from zlib import crc32

import pytest

from gateway.domain.errors import ConfigError, KeyMissingError, SealBrokenError
from gateway.domain.labels import Lane
from gateway.journal.segment import HEADER_BYTES
from security.sealing import KeyRing, Sealer
from tests.unit.journal.helpers import group, open_journal, read_all, texts_of

T = Lane.TELEMETRY


def test_rotation_while_open_and_across_restarts(tmp_path):
    first = KeyRing({1: b"1" * 32})
    both = KeyRing({1: b"1" * 32, 2: b"2" * 32})
    sealer = Sealer(first)
    journal = open_journal(tmp_path, sealer=sealer, cache_bytes=0)
    journal.append([group(T, ["secret one"])])
    sealer.use(both)
    journal.append([group(T, ["secret two"], [("space", "key", b"secret state")])])
    expected = {1: "secret one", 2: "secret two"}
    assert texts_of(read_all(journal, T)) == expected
    data = b"".join(p.read_bytes() for p in (tmp_path / "telemetry").glob("*.seg"))
    assert b"secret" not in data
    journal.close()
    with pytest.raises(KeyMissingError, match="2"):
        open_journal(tmp_path, sealer=Sealer(first))
    with pytest.raises(SealBrokenError, match="1"):
        open_journal(tmp_path, sealer=Sealer(KeyRing({1: b"x" * 32, 2: b"2" * 32})))
    journal = open_journal(tmp_path, sealer=Sealer(both))
    assert texts_of(read_all(journal, T)) == expected
    assert journal.discovered_gaps() == []
    assert list((tmp_path / "telemetry" / "quarantine").iterdir()) == []
    journal.close()


def test_state_is_sealed_and_follows_a_rotation(tmp_path):
    first, second = {1: b"1" * 32}, {2: b"2" * 32}
    journal = open_journal(tmp_path, sealer=Sealer(KeyRing(first)))
    journal.set_destinations(["core"])
    journal.append([group(T, ["x"], [("s", "a", b"secret"), ("s", "b", b"secret")])])
    journal.close()
    assert b"secret" not in (tmp_path / "state.sqlite").read_bytes()
    with pytest.raises(KeyMissingError):
        open_journal(tmp_path, sealer=Sealer(KeyRing(second)))
    with pytest.raises(SealBrokenError):
        open_journal(tmp_path, sealer=Sealer(KeyRing({1: b"x" * 32})))
    assert list(tmp_path.glob("*damaged*")) == []
    # Opened once with both, nothing but the log needs the old key any more.
    journal = open_journal(tmp_path, sealer=Sealer(KeyRing(first | second)))
    journal.close()
    db = sqlite3.connect(tmp_path / "state.sqlite")
    assert db.execute("SELECT DISTINCT key_id FROM state").fetchall() == [("2",)]
    db.execute("UPDATE state SET sealed = randomblob(60) WHERE id = 1")
    db.commit()
    db.close()
    # A row that does not open while others do is damage: the log has the state.
    journal = open_journal(tmp_path, sealer=Sealer(KeyRing(first | second)))
    assert journal.cursors_lost
    assert journal.state.items("s") == {"a": b"secret", "b": b"secret"}
    journal.close()


def test_a_row_that_was_moved_does_not_open(tmp_path):
    sealer = Sealer(KeyRing({1: b"1" * 32}))
    journal = open_journal(tmp_path, sealer=sealer)
    values = {"a": b"1", "b": b"2", "c": b"3"}
    journal.append([group(T, ["x"], [("s", *item) for item in values.items()])])
    journal.close()
    db = sqlite3.connect(tmp_path / "state.sqlite")
    db.execute("UPDATE state SET sealed = (SELECT sealed FROM state WHERE id = 2) WHERE id = 1")
    db.commit()
    db.close()
    journal = open_journal(tmp_path, sealer=sealer)
    assert journal.cursors_lost
    assert journal.state.items("s") == values
    journal.close()


def test_a_key_that_is_taken_away_stops_reading_and_damages_nothing(tmp_path):
    sealer = Sealer(KeyRing({1: b"1" * 32}))
    journal = open_journal(tmp_path, sealer=sealer, cache_bytes=0)
    journal.append([group(T, ["x"])])
    sealer.use(KeyRing({2: b"2" * 32}))
    with pytest.raises(KeyMissingError):
        journal.read(T, 0, 10, 1000)
    assert journal.discovered_gaps() == []
    sealer.use(KeyRing({1: b"1" * 32, 2: b"2" * 32}))
    assert texts_of(read_all(journal, T)) == {1: "x"}
    journal.close()


def test_a_frame_with_a_good_checksum_and_a_broken_seal_is_damage(tmp_path):
    """Someone changed a byte and mended the checksum: the seal tells."""
    sealer = Sealer(KeyRing({1: b"1" * 32}))
    journal = open_journal(tmp_path, sealer=sealer)
    for text in "abc":
        journal.append([group(T, [text])])
    journal.close()
    (path,) = (tmp_path / "telemetry").glob("*.seg")
    data = bytearray(path.read_bytes())
    second = data.index(b"WGF1", HEADER_BYTES + 4)
    tamper(data, second)
    path.write_bytes(data)
    for _ in range(2):
        journal = open_journal(tmp_path, sealer=sealer)
        groups = read_all(journal, T)
        assert texts_of(groups) == {1: "a", 3: "c"}
        assert [tuple(x) for g in groups for x in g.lost] == [(2, 2, "journal_damaged")]
        (gap,) = journal.discovered_gaps()
        assert (gap.first_seq, gap.last_seq, gap.epoch) == (2, 2, journal.epoch_of(T, 2))
        assert len(list((tmp_path / "telemetry" / "quarantine").iterdir())) == 1
        journal.close()


def tamper(data: bytearray, at: int) -> None:
    """Change a frame's sealed body and mend both checksums."""
    size = int.from_bytes(data[at + 10 : at + 12], "little")
    body = int.from_bytes(data[at + 12 : at + 16], "little")
    data[at + size + body - 1] ^= 1
    data[at + 16 : at + 20] = crc32(data[at + size : at + size + body]).to_bytes(4, "little")
    data[at + 4 : at + 8] = crc32(data[at + 8 : at + size]).to_bytes(4, "little")


def test_parts_of_two_journals_are_not_mixed(tmp_path):
    for name in ("one", "two"):
        journal = open_journal(tmp_path / name)
        journal.append([group(T, [name])])
        journal.close()
    shutil.copy(
        tmp_path / "one/telemetry/0000000000000001.seg",
        tmp_path / "two/telemetry/0000000000000009.seg",
    )
    with pytest.raises(ConfigError, match="two different journals"):
        open_journal(tmp_path / "two")
    (tmp_path / "two/telemetry/0000000000000009.seg").unlink()
    shutil.copy(tmp_path / "one/state.sqlite", tmp_path / "two/state.sqlite")
    with pytest.raises(ConfigError, match="another journal"):
        open_journal(tmp_path / "two")


def test_threads_that_seal_at_once_never_share_a_nonce():
    sealer = Sealer(KeyRing({1: b"1" * 32}))
    with ThreadPoolExecutor(4) as threads:
        pieces = list(threads.map(lambda _: sealer.seal(b"x", b"")[1][:24], range(2000)))
    assert len(set(pieces)) == 2000
