"""The audit log: what was written verifies, what was changed doesn't, a flood stays small."""

import json
import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.domain.errors import ConfigError
from security import audit
from security.audit import (
    AuditBrokenError,
    AuditConfig,
    AuditLog,
    load_or_create_key,
    verify,
)
from security.audit_chain import CURRENT
from security.refusals import SINGLES_PER_WINDOW_MAX, WINDOW_S
from tests.fakes import FakeClock

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key()


@pytest.fixture
def clock():
    return FakeClock()


def entries(directory):
    files = [*sorted(directory.glob("audit.[0-9]*.log")), directory / CURRENT]
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def filled(directory, clock, count=5, config=None):
    log = AuditLog(directory, KEY, clock, config)
    for number in range(count):
        log.record("policy", version=f"v{number}")
    checkpoint = log.checkpoint()
    log.close()
    return checkpoint


def test_what_was_written_verifies(tmp_path, clock):
    filled(tmp_path, clock)
    found = verify(tmp_path, PUBLIC)
    assert (found.first, found.last, found.unsigned) == (1, len(entries(tmp_path)), 0)
    assert [entry["event"] for entry in entries(tmp_path)] == [
        "opened",
        *["policy"] * 5,
        "checkpoint",
    ]


def test_every_flipped_byte_shows(tmp_path, clock):
    filled(tmp_path, clock, count=2)
    path = tmp_path / CURRENT
    good = path.read_bytes()
    for position in range(len(good)):
        broken = bytearray(good)
        broken[position] ^= 0x01
        path.write_bytes(broken)
        with pytest.raises(AuditBrokenError, match=r"audit\.log:"):
            verify(tmp_path, PUBLIC)


def test_removed_moved_and_repeated_entries_show(tmp_path, clock):
    filled(tmp_path, clock)
    path = tmp_path / CURRENT
    lines = path.read_bytes().splitlines(keepends=True)
    for at in range(len(lines) - 1):
        changes = (
            lines[:at] + lines[at + 1 :],
            [*lines[:at], lines[at], *lines[at:]],
            [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]],
        )
        for changed in changes:
            path.write_bytes(b"".join(changed))
            with pytest.raises(AuditBrokenError):
                verify(tmp_path, PUBLIC)


def test_a_forged_chain_is_betrayed_by_the_checkpoints_signature(tmp_path, clock):
    real, forged = tmp_path / "real", tmp_path / "forged"
    checkpoint = filled(real, clock)
    log = AuditLog(forged, Ed25519PrivateKey.generate(), clock)
    for number in range(5):
        log.record("policy", version=f"forged {number}")
    log.close()
    verify(forged)
    with pytest.raises(AuditBrokenError, match="signature"):
        verify(forged, PUBLIC)
    with pytest.raises(AuditBrokenError, match="kept apart"):
        verify(forged, anchor=checkpoint)


def test_a_cut_end_shows_against_a_checkpoint_that_was_kept_elsewhere(tmp_path, clock):
    checkpoint = filled(tmp_path, clock)
    verify(tmp_path, PUBLIC, checkpoint)
    path = tmp_path / CURRENT
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    verify(tmp_path, PUBLIC)
    with pytest.raises(AuditBrokenError, match="ends at 3"):
        verify(tmp_path, PUBLIC, checkpoint)


def test_the_chain_goes_on_across_restarts_and_rotation(tmp_path, clock):
    config = AuditConfig(file_bytes_max=1000, files_max=64)
    for _ in range(4):
        filled(tmp_path, clock, count=6, config=config)
    assert len(list(tmp_path.glob("audit.[0-9]*.log"))) > 3
    found = verify(tmp_path, PUBLIC)
    assert (found.first, found.last) == (1, len(entries(tmp_path)))
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())


def test_old_files_go_and_what_remains_verifies(tmp_path, clock):
    config = AuditConfig(file_bytes_max=1000, files_max=3)
    filled(tmp_path, clock, count=100, config=config)
    assert len(list(tmp_path.iterdir())) == 3
    found = verify(tmp_path, PUBLIC)
    assert found.first > 1
    assert sum(entry.get("dropped_files", 0) for entry in entries(tmp_path)) >= 1
    # Whoever deletes a file by hand can't pass it off as a rotation of the middle.
    first, *_ = sorted(tmp_path.glob("audit.[0-9]*.log"))[1:]
    first.unlink()
    with pytest.raises(AuditBrokenError):
        verify(tmp_path, PUBLIC)


def test_a_log_that_lacks_its_beginning_shows(tmp_path, clock):
    filled(tmp_path, clock)
    path = tmp_path / CURRENT
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[2:]))
    with pytest.raises(AuditBrokenError, match="is gone"):
        verify(tmp_path, PUBLIC)


def test_a_torn_line_is_cut_and_told(tmp_path, clock):
    filled(tmp_path, clock)
    whole = (tmp_path / CURRENT).read_bytes()
    last = whole[whole[:-1].rfind(b"\n") + 1 :]
    for length in range(1, len(last)):
        (tmp_path / CURRENT).write_bytes(whole[: len(whole) - len(last) + length - 1])
        AuditLog(tmp_path, KEY, clock).close()
        verify(tmp_path, PUBLIC)
        opened = [entry for entry in entries(tmp_path) if entry["event"] == "opened"][-1]
        assert opened["cut_bytes"] == length - 1


def test_a_crash_within_a_rotation_is_continued(tmp_path, clock):
    filled(tmp_path, clock)
    (tmp_path / CURRENT).rename(tmp_path / "audit.000000000001.log")
    (tmp_path / CURRENT).touch()
    filled(tmp_path, clock)
    assert verify(tmp_path, PUBLIC).first == 1


def test_damage_is_kept_and_a_new_chain_begins(tmp_path, clock):
    filled(tmp_path, clock)
    damaged = (tmp_path / CURRENT).read_bytes() + b"nonsense\n"
    (tmp_path / CURRENT).write_bytes(damaged)
    filled(tmp_path, clock)
    verify(tmp_path, PUBLIC)
    first = entries(tmp_path)[0]
    assert first["event"] == "damaged"
    assert (tmp_path / first["kept_in"] / CURRENT).read_bytes() == damaged


def test_a_flood_of_refusals_stays_small_and_is_summed_up(tmp_path, clock):
    log = AuditLog(tmp_path, KEY, clock)
    for number in range(20_000):
        log.refused("untrusted", "mqtt", f"10.0.{number % 250}.{number % 251}:999", "")
        log.refused("revoked", "coaps", "[::1]:7", "one")
    clock.advance(WINDOW_S)
    log.refused("untrusted", "mqtt", "10.1.1.1:5", "")
    log.close()
    written = entries(tmp_path)
    singles = [entry for entry in written if entry["event"] == "refused"]
    sums = [entry for entry in written if entry["event"] == "refused_repeatedly"]
    assert len(singles) == SINGLES_PER_WINDOW_MAX + 1
    assert {entry["reason"] for entry in singles} == {"untrusted", "revoked"}
    assert len(singles) + sum(entry["refusals"] for entry in sums) == 40_001
    assert len(sums) == 2
    verify(tmp_path, PUBLIC)


def test_foreign_words_are_cut_and_escaped(tmp_path, clock):
    log = AuditLog(tmp_path, KEY, clock)
    log.refused("identity_mismatch", "mqtt", "1.2.3.4:5", 'x"\n' * 1000)
    log.close()
    assert len(entries(tmp_path)[1]["device"]) == audit.FIELD_CHARS_MAX
    verify(tmp_path, PUBLIC)


def test_a_full_disk_loses_entries_but_tells_how_many(tmp_path, clock, monkeypatch):
    log = AuditLog(tmp_path, KEY, clock)
    with monkeypatch.context() as patch:
        real = os.write
        torn: list[int] = []

        def full(descriptor, data):
            if not torn:
                torn.append(real(descriptor, data[:10]))
                return 10
            raise OSError(28, "No space left on device")

        patch.setattr("security.audit.os.write", full)
        for _ in range(7):
            log.record("policy", version="x")
    log.record("policy", version="y")
    log.close()
    assert verify(tmp_path, PUBLIC).last == len(entries(tmp_path))
    told = [(entry["event"], entry.get("entries")) for entry in entries(tmp_path)]
    assert told[:3] == [("opened", None), ("lost", 7), ("policy", None)]


def test_checkpoints_come_by_themselves_in_a_long_run(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(audit, "CHECKPOINT_EVERY_ENTRIES", 10)
    log = AuditLog(tmp_path, KEY, clock)
    for _ in range(35):
        log.record("policy", version="x")
    found = verify(tmp_path, PUBLIC)
    assert found.checkpoints == 3
    log.close()


def test_the_key_is_made_once_and_kept_secret(tmp_path):
    path = tmp_path / "audit.key"
    made = load_or_create_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_key(path).public_key() == made.public_key()
    path.write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match="not a PEM"):
        load_or_create_key(path)
