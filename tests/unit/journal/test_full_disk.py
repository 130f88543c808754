"""No space and I/O errors at every operation: refused, nothing half kept, no hands needed."""

import errno
import itertools

import pytest

from gateway.domain.errors import JournalFailedError, JournalFullError
from gateway.domain.labels import Lane
from gateway.journal.ballast import STEP_BYTES
from tests.fakes import FakeClock
from tests.unit.journal.helpers import group, lost_of, open_journal, read_all, texts_of
from tests.unit.journal.sim import SimFiles

A, T = Lane.ALARMS, Lane.TELEMETRY
APPEND_CALLS = 12
"""More than any append makes, the roll to a new segment included."""


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("persistent", [False, True])
def test_an_error_of_any_call_of_an_append(tmp_path, code, persistent):
    files = SimFiles()
    journal = open_journal(tmp_path, files=files, segment_bytes=4096)
    expected: dict[int, str] = {}
    seen: set[str] = set()
    for n, rolls in itertools.product(range(APPEND_CALLS), (False, True)):
        text = f"{n}" + "x" * (3900 if rolls else 1)
        at = files.count + 1 + n

        def fail(call, _, count, at=at):
            if count < at or (count > at and not persistent):
                return None
            seen.add(call)
            return code

        files.fail = fail
        error = JournalFailedError if code == errno.EIO else JournalFullError
        before = journal.last_seq(T)
        try:
            journal.append([group(T, [text])])
            expected[before + 1] = text
        except error:
            assert journal.last_seq(T) == before
        files.fail = lambda *_: None
        assert texts_of(read_all(journal, T)) == expected
        # It goes on by itself.
        journal.append([group(T, [f"after {n}"])])
        expected[journal.last_seq(T)] = f"after {n}"
    assert {"pwrite", "fdatasync", "create", "sync_directory"} <= seen
    journal.close()
    journal = open_journal(tmp_path, files=files, segment_bytes=4096)
    groups = read_all(journal, T)
    assert texts_of(groups) == expected
    assert lost_of(groups) == []
    assert journal.discovered_gaps() == []
    journal.close()


def test_after_a_failed_sync_the_segment_is_left_and_its_frame_never_counts(tmp_path):
    files = SimFiles()
    journal = open_journal(tmp_path, files=files)
    journal.append([group(T, ["first"])])
    files.fail = lambda call, *_: errno.EIO if call in ("fdatasync", "truncate") else None
    with pytest.raises(JournalFailedError):
        journal.append([group(T, ["never acknowledged"])])
    files.fail = lambda *_: None
    journal.append([group(T, ["second"])])
    segments = [n for n in files.names(f"{tmp_path}/telemetry") if n.endswith(".seg")]
    assert len(segments) == 2
    journal._store.close()
    journal._lock.close()
    files.killed()
    journal = open_journal(tmp_path, files=files)
    assert texts_of(read_all(journal, T)) == {1: "first", 2: "second"}
    journal.close()


def test_alarms_flow_on_a_disk_that_others_filled(tmp_path):
    clock, files = FakeClock(), SimFiles()
    ballast = 3 * STEP_BYTES
    files.capacity = ballast + 100_000
    journal = open_journal(tmp_path, files=files, clock=clock, ballast_bytes=ballast)
    with pytest.raises(JournalFullError):
        fill(journal, T, 10_000)
    stored = texts_of(read_all(journal, T))
    for _ in range(50):
        journal.append([group(A, ["a" * 40_000])])
        with pytest.raises(JournalFullError):
            fill(journal, T, 50_000)
    with pytest.raises(JournalFullError):
        fill(journal, A, 40_000)
    held = journal.last_seq(A)
    assert held >= 70

    def upkeep():
        clock.advance(60)
        journal.maintain()

    upkeep()
    files.capacity += 10 * STEP_BYTES
    upkeep()
    assert len(files.get(f"{tmp_path}/reserve")) == ballast
    journal.append([group(T, ["again"]), group(A, ["again"])])
    journal.close()
    journal = open_journal(tmp_path, files=files, ballast_bytes=ballast)
    assert len(texts_of(read_all(journal, A))) == held + 1
    assert list(texts_of(read_all(journal, T)).values())[: len(stored)] == list(stored.values())
    assert journal.discovered_gaps() == []
    journal.close()


def fill(journal, lane, size):
    for _ in range(1000):
        journal.append([group(lane, ["x" * size])])


def test_it_opens_on_a_full_disk(tmp_path):
    files = SimFiles()
    journal = open_journal(tmp_path, files=files)
    journal.append([group(T, ["x"])])
    journal.close()
    files.capacity = 0
    journal = open_journal(tmp_path, files=files, ballast_bytes=STEP_BYTES)
    assert texts_of(read_all(journal, T)) == {1: "x"}
    with pytest.raises(JournalFullError):
        journal.append([group(T, ["y"])])
    files.capacity = 1 << 30
    journal.append([group(T, ["y"])])
    assert texts_of(read_all(journal, T)) == {1: "x", 2: "y"}
    journal.close()


def test_what_carries_alarms_on_may_borrow_from_their_reserve(tmp_path):
    clock, files = FakeClock(), SimFiles()
    journal = open_journal(tmp_path, files=files, clock=clock, ballast_bytes=2 * STEP_BYTES)
    assert journal.lend_reserve()
    assert len(files.get(f"{tmp_path}/reserve")) == STEP_BYTES
    with pytest.raises(JournalFullError):
        journal.append([group(T, ["not while it is lent"])])
    journal.append([group(A, ["goes on"])])
    assert journal.lend_reserve()
    assert not journal.lend_reserve()
    clock.advance(60)
    journal.maintain()
    assert len(files.get(f"{tmp_path}/reserve")) == 2 * STEP_BYTES
    journal.append([group(T, ["again"])])
    journal.close()
