"""The audit log: what was written verifies, what was changed doesn't, a flood stays small."""

import json
import os
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.domain.errors import ConfigError
from security.admissions import DEVICES_MAX
from security.admissions import WINDOW_S as HOUR_S
from security.audit import (
    AuditBrokenError,
    AuditConfig,
    AuditLog,
    Checkpoint,
    load_or_create_key,
    load_public_key,
    verify,
)
from security.audit import log as audit
from security.audit.checking import prove, tree_from
from security.audit.form import CURRENT, TreeHead, key_id
from security.audit.merkle import consistency_holds, inclusion_holds, leaf_hash
from security.audit.writer import FIELD_CHARS_MAX
from security.refusals import SINGLES_PER_WINDOW_MAX, WINDOW_S
from tests.fakes import FakeClock

SAVED = Path(__file__).parent / "saved"
KEY = Ed25519PrivateKey.generate()
PUBLIC = [KEY.public_key()]
DAY_S = 86400.0


@pytest.fixture
def clock():
    return FakeClock()


def entries(directory):
    files = [*sorted(directory.glob("audit.[0-9]*.log")), directory / CURRENT]
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def filled(directory, clock, count=5, config=None):
    log = AuditLog(directory, KEY, clock, config, "gateway/edge-1")
    for number in range(count):
        log.record("policy", version=f"v{number}")
    head = log.checkpoint()
    log.close()
    assert head is not None
    return head


def signed(log):
    head = log.checkpoint()
    assert head is not None
    return head


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
    with pytest.raises(AuditBrokenError, match="which was not given"):
        verify(forged, PUBLIC)
    with pytest.raises(AuditBrokenError, match="kept apart"):
        verify(forged, anchors=[checkpoint])


def test_a_cut_end_shows_against_a_checkpoint_that_was_kept_elsewhere(tmp_path, clock):
    checkpoint = filled(tmp_path, clock)
    verify(tmp_path, PUBLIC, [checkpoint])
    path = tmp_path / CURRENT
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    verify(tmp_path, PUBLIC)
    with pytest.raises(AuditBrokenError, match="ends at 3"):
        verify(tmp_path, PUBLIC, [checkpoint])


def test_the_chain_goes_on_across_restarts_and_rotation(tmp_path, clock):
    config = AuditConfig(file_bytes_max=2000)
    heads = [filled(tmp_path, clock, count=6, config=config) for _ in range(4)]
    assert len(list(tmp_path.glob("audit.[0-9]*.log"))) >= 3
    found = verify(tmp_path, PUBLIC, heads)
    assert (found.first, found.last) == (1, len(entries(tmp_path)))
    assert (found.anchors, found.name) == (4, "gateway/edge-1")
    assert all(path.stat().st_size <= 2000 for path in tmp_path.iterdir())


def test_old_files_go_and_what_remains_verifies(tmp_path, clock):
    config = AuditConfig(file_bytes_max=2000, keep_days=183)
    heads = [filled(tmp_path, clock, count=30, config=config)]
    clock.advance(183 * DAY_S - 60)
    heads.append(filled(tmp_path, clock, count=30, config=config))
    assert verify(tmp_path, PUBLIC, heads).first == 1
    clock.advance(120)
    heads.append(filled(tmp_path, clock, count=30, config=config))
    found = verify(tmp_path, PUBLIC, heads)
    assert 1 < found.first <= heads[1].size
    assert found.anchors == sum(head.size >= found.first - 1 for head in heads)
    dropped = [entry for entry in entries(tmp_path) if entry["event"] == "dropped"]
    assert max(entry["first"] for entry in dropped) == found.first
    assert {entry["early"] for entry in dropped} == {0}
    # Proofs about what is left still hold, against heads that were kept elsewhere.
    for number in (found.first, heads[1].size, heads[2].size):
        told = prove(tmp_path, number, PUBLIC)
        path = [bytes.fromhex(each) for each in told.path]
        leaf = leaf_hash(told.entry.encode())
        assert json.loads(told.entry)["n"] == number
        root = bytes.fromhex(told.head.root)
        assert inclusion_holds(leaf, number - 1, told.head.size, path, root)
    # Whoever deletes a file by hand can't pass it off as a rotation of the middle,
    rotated = sorted(tmp_path.glob("audit.[0-9]*.log"))
    kept = rotated[1].read_bytes()
    rotated[1].unlink()
    with pytest.raises(AuditBrokenError):
        verify(tmp_path, PUBLIC)
    # nor as one of the beginning.
    rotated[1].write_bytes(kept)
    verify(tmp_path, PUBLIC)
    rotated[0].unlink()
    with pytest.raises(AuditBrokenError, match="nothing in it says"):
        verify(tmp_path, PUBLIC)


def test_the_disk_limit_takes_the_oldest_early_and_says_so(tmp_path, clock):
    config = AuditConfig(file_bytes_max=2000, bytes_max=10_000)
    log = AuditLog(tmp_path, KEY, clock, config)
    assert not log.standing().nearly_full
    for number in range(60):
        log.record("policy", version=f"v{number}")
        log.checkpoint()
    standing = log.standing()
    log.close()
    assert standing.dropped_early > 0
    assert standing.nearly_full
    assert standing.bytes == sum(path.stat().st_size for path in tmp_path.iterdir()) <= 10_000
    told = [entry["early"] for entry in entries(tmp_path) if entry["event"] == "dropped"]
    assert any(told)
    assert verify(tmp_path, PUBLIC).first > 1


def test_a_clock_that_does_not_count_lets_nothing_go(tmp_path, clock):
    config = AuditConfig(file_bytes_max=2000)
    filled(tmp_path, clock, count=30, config=config)
    clock.advance(3000 * DAY_S)
    log = AuditLog(tmp_path, KEY, clock, config, time_counts=lambda: False)
    for _ in range(20):
        log.record("policy", version="x")
    log.close()
    assert verify(tmp_path, PUBLIC).first == 1


def test_a_log_that_lacks_its_beginning_shows(tmp_path, clock):
    filled(tmp_path, clock)
    path = tmp_path / CURRENT
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[2:]))
    with pytest.raises(AuditBrokenError, match=r"is gone|does not begin"):
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
    found = verify(tmp_path, PUBLIC)
    assert (found.first, found.last) == (1, len(entries(tmp_path)))


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
    assert len(entries(tmp_path)[1]["device"]) == FIELD_CHARS_MAX
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

        patch.setattr("security.audit.writer.os.write", full)
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


def test_the_public_key_lies_beside_it(tmp_path):
    path = tmp_path / "audit.key"
    made = load_or_create_key(path).public_key()
    for each in (path, tmp_path / "audit.pub"):
        assert load_public_key(each) == made
    (tmp_path / "audit.pub").write_bytes(b"-----BEGIN PUBLIC KEY-----")
    for wrong in (tmp_path / "audit.pub", tmp_path / "none"):
        with pytest.raises(ConfigError):
            load_public_key(wrong)


def test_exceptions_are_told_singly_and_a_flood_is_summed_up(tmp_path, clock):
    log = AuditLog(tmp_path, KEY, clock)
    for number in range(SINGLES_PER_WINDOW_MAX + 50):
        log.exceptional("set_aside", "core", f"{number}", first_seq=number)
    clock.advance(WINDOW_S)
    log.exceptional("set_aside", "core", "later", first_seq=7)
    log.close()
    singles = [entry for entry in entries(tmp_path) if entry["event"] == "set_aside"]
    sums = [entry for entry in entries(tmp_path) if entry["event"] == "exceptions_repeatedly"]
    assert len(singles) == SINGLES_PER_WINDOW_MAX + 1
    assert [(each["destination"], each["times"]) for each in sums] == [("core", 50)]


# -- layout 1 --------------------------------------------------------------------------------------

OLD_KEY = Ed25519PrivateKey.from_private_bytes(b"a saved log of the first layout!")
OLD = {"audit-layout-1": (1, 10), "audit-layout-1-rotated": (40, 59)}


@pytest.mark.parametrize("name", OLD)
def test_a_log_of_the_first_layout_goes_on(tmp_path, clock, name):
    directory = tmp_path / "log"
    shutil.copytree(SAVED / name, directory)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    first, last = OLD[name]
    old_key = [OLD_KEY.public_key()]
    assert (found := verify(directory, old_key)).last == last
    assert found.first == first
    heads = []
    for turn in range(3):
        log = AuditLog(directory, OLD_KEY, clock, name="gateway/edge-1")
        log.record("policy", version=f"new {turn}")
        heads.append(signed(log))
        log.close()
    found = verify(directory, old_key, heads)
    assert (found.first, found.last) == (first, len(entries(directory)) + first - 1)
    assert entries(directory)[last - first + 1]["event"] == "converted"
    kept = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert set(before.values()) < set(kept.values())  # under another name, and not a byte changed
    # What was written before the change is proven like everything else.
    told = prove(directory, first + 2, old_key)
    path = [bytes.fromhex(each) for each in told.path]
    leaf = leaf_hash(told.entry.encode())
    assert inclusion_holds(leaf, first + 1, told.head.size, path, bytes.fromhex(told.head.root))
    # And what was kept of it elsewhere still convicts who changed it.
    for path in directory.iterdir():
        content = path.read_bytes()
        if b'"chain"' in content:
            path.write_bytes(content.replace(b"in force", b"in farce", 1))
            with pytest.raises(AuditBrokenError):
                verify(directory, old_key)
            path.write_bytes(content)


def test_a_state_of_the_first_layout_that_was_kept_elsewhere_counts(tmp_path, clock):
    directory = tmp_path / "log"
    shutil.copytree(SAVED / "audit-layout-1", directory)
    lines = (directory / CURRENT).read_bytes().splitlines()
    chain = bytes.fromhex(json.loads(lines[8])["chain"])
    AuditLog(directory, OLD_KEY, clock).close()
    assert verify(directory, None, [Checkpoint(9, chain, b"")]).anchors == 1
    with pytest.raises(AuditBrokenError, match="kept apart"):
        verify(directory, None, [Checkpoint(9, bytes(32), b"")])


def test_a_crash_while_it_is_converted_is_continued(tmp_path, clock):
    directory = tmp_path / "log"
    shutil.copytree(SAVED / "audit-layout-1", directory)
    (directory / CURRENT).rename(directory / "audit.000000000001.log")
    (directory / CURRENT).touch()
    AuditLog(directory, OLD_KEY, clock).close()
    assert verify(directory, [OLD_KEY.public_key()]).first == 1


# -- heads and proofs ------------------------------------------------------------------------------


def test_any_byte_of_any_file_that_is_changed_shows(tmp_path, clock):
    """Also of files that were rotated, and of those of layout 1 before them."""
    directory = tmp_path / "log"
    shutil.copytree(SAVED / "audit-layout-1", directory)
    config = AuditConfig(file_bytes_max=1500)
    for _ in range(2):
        log = AuditLog(directory, OLD_KEY, clock, config)
        log.record("policy", version="new")
        log.checkpoint()
        log.close()
    keys = [OLD_KEY.public_key()]
    assert len(list(directory.iterdir())) >= 3
    verify(directory, keys)
    for path in directory.iterdir():
        good = path.read_bytes()
        for position in range(len(good)):
            broken = bytearray(good)
            broken[position] ^= 1 << position % 8
            path.write_bytes(broken)
            with pytest.raises(AuditBrokenError):
                verify(directory, keys)
        path.write_bytes(good)


def test_consistency_is_proven_from_any_state_that_was_kept(tmp_path, clock):
    log = AuditLog(tmp_path, KEY, clock, AuditConfig(file_bytes_max=2000))
    heads = []
    for number in range(30):
        log.record("policy", version=f"v{number}")
        heads.append(signed(log))
    assert len(list(tmp_path.iterdir())) > 3
    last = heads[-1]
    for head in heads:
        proof = log.consistency(head.size, last.size)
        roots = bytes.fromhex(head.root), bytes.fromhex(last.root)
        assert consistency_holds(head.size, last.size, *roots, proof)
        assert tree_from(tmp_path, head.size).root(head.size) == roots[0]
    for wrong in ((0, 5), (5, 4), (5, 10_000)):
        with pytest.raises((AuditBrokenError, ValueError)):
            log.consistency(*wrong)
    log.close()


def test_a_head_is_what_was_signed(clock):
    head = TreeHead("gateway/edge-1", "ab", 7, "00" * 32, 5, "").signed(KEY)
    assert not head.is_signed_by(KEY.public_key())  # it names no key
    head = TreeHead("gateway/edge-1", "ab", 7, "00" * 32, 5, key_id(PUBLIC[0])).signed(KEY)
    assert head.is_signed_by(PUBLIC[0])
    for other in (
        {"name": "gateway/edge-2"},
        {"log": "ac"},
        {"size": 8},
        {"root": "01" * 32},
        {"us": 6},
        {"signature": "00"},
        {"signature": "no"},
    ):
        changed = TreeHead(**{**{f: getattr(head, f) for f in head.__struct_fields__}, **other})
        assert not changed.is_signed_by(PUBLIC[0])


def test_a_disk_that_is_full_at_a_rotation_leaves_a_log_that_verifies(tmp_path, clock, monkeypatch):
    log = AuditLog(tmp_path, KEY, clock, AuditConfig(file_bytes_max=1500))
    real = os.write

    def full_when_empty(descriptor, data):
        if os.fstat(descriptor).st_size == 0:
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr("security.audit.writer.os.write", full_when_empty)
        for _ in range(20):
            log.record("policy", version="x")
    log.record("policy", version="y")
    assert log.standing().lost > 0
    log.close()
    assert verify(tmp_path, PUBLIC).last == len(entries(tmp_path))


# -- admissions ------------------------------------------------------------------------------------


def test_admissions_are_told_once_and_then_summed_up(tmp_path, clock):
    log = AuditLog(tmp_path, KEY, clock)
    for _ in range(100):
        log.admitted("mon-1", "mqtt", "10.0.0.1:55")
        log.left("mon-1", "mqtt")
    log.admitted("mon-2", "coaps", "[::1]:7")
    log.checkpoint()
    clock.advance(HOUR_S)
    log.checkpoint()
    log.left("mon-2", "coaps")
    log.close()
    told = [entry for entry in entries(tmp_path) if entry["event"] in ("admitted", "sessions")]
    facts = [{k: v for k, v in each.items() if k not in ("n", "us", "leaf")} for each in told]
    assert facts == [
        {"event": "admitted", "device": "mon-1", "transport": "mqtt", "peer": "10.0.0.1"},
        {"event": "admitted", "device": "mon-2", "transport": "coaps", "peer": "[::1]"},
        {"event": "sessions", "device": "mon-1", "transport": "mqtt", "opened": 100, "closed": 100},
        {"event": "sessions", "device": "mon-2", "transport": "coaps", "opened": 0, "closed": 1},
    ]


def test_a_flood_of_devices_stays_small(tmp_path, clock):
    log = AuditLog(tmp_path, KEY, clock)
    for number in range(DEVICES_MAX + 500):
        log.admitted(f"mon-{number}", "mqtt", "10.0.0.1:55")
    log.close()
    events = [entry["event"] for entry in entries(tmp_path)]
    assert events.count("admitted") == DEVICES_MAX
    assert [e["opened"] for e in entries(tmp_path) if e["event"] == "sessions"] == [500]


@pytest.mark.parametrize("name", ["n", "us"])
def test_no_field_takes_the_place_of_an_entrys_own(tmp_path, clock, name):
    log = AuditLog(tmp_path, KEY, clock, None, "gateway/edge-1")
    with pytest.raises(ValueError, match="an audit entry's own"):
        log.record("policy", **{name: 7})
    log.record("policy", version="1")
    log.close()
    numbers = [entry["n"] for entry in entries(tmp_path)]
    assert numbers == list(range(1, len(numbers) + 1))
