"""Torn and flipped bytes at every position: detected, the rest recovered, the loss exact."""

import pytest

from gateway.domain.labels import Lane
from gateway.journal.frame import Stamp, encode_frame
from gateway.journal.lane import LaneLog
from gateway.journal.segment import HEADER_BYTES
from gateway.journal.types import Lost
from tests.unit.journal.sim import SimFiles

DIRECTORY = "/j/telemetry"
LOG_ID = bytes(range(16))
SIZES = (3, 1, 2, 4, 1)
"""Records of each group."""
BIG = 1 << 40


def new_lane(files, epoch=7, known=()):
    lane = LaneLog(files, DIRECTORY, Lane.TELEMETRY, 1 << 20)
    fresh = lane.settle(LOG_ID, epoch, [], known, 4096, 1)
    return lane, fresh


def append(lane, records, commit, epoch=7, segment_bytes=BIG):
    stamp = Stamp(Lane.TELEMETRY, epoch, commit, lane.last_seq + 1, records, commit, "policy")
    lane.write(
        encode_frame(stamp, "k", bytes([commit]) * (20 + 5 * records)), stamp, "k", segment_bytes
    )
    return stamp


def contents(lane):
    """(stamps of everything readable, lost ranges), checking contiguous coverage."""
    seq, stamps, lost = lane.first_seq, [], []
    while seq <= lane.last_seq:
        hole = lane.lost_at(seq)
        if hole is not None:
            lost.append(Lost(seq, hole.last, hole.reason))
            seq = hole.last + 1
            continue
        frames, fresh = lane.read(seq, 1000, BIG)
        assert frames or fresh
        for frame in frames:
            stamp = frame.header.stamp
            assert stamp.first_seq == seq
            assert frame.sealed == bytes([stamp.commit]) * (20 + 5 * stamp.records)
            stamps.append(stamp)
            seq = stamp.last_seq + 1
    return stamps, lost


def written():
    """A disk with one segment of five groups; its path; where each group begins and ends."""
    files = SimFiles()
    lane, _ = new_lane(files)
    stamps, spans = [], []
    for n, records in enumerate(SIZES):
        start = lane.segments[-1].end if lane.segments else HEADER_BYTES
        stamps.append(append(lane, records, n + 1))
        spans.append((start, lane.segments[-1].end))
    path = lane.segments[0].path
    lane.close()
    files.killed()
    return files, path, stamps, spans


FILES, PATH, STAMPS, SPANS = written()
LENGTH = SPANS[-1][1]


def damaged_copies(files):
    return [name for name in files.names(f"{DIRECTORY}/quarantine") if name.endswith(".bad")]


@pytest.mark.parametrize("bit", [0x01, 0x80, 0xFF])
def test_a_flip_of_every_byte_loses_exactly_one_group(bit):
    for at in range(LENGTH):
        files = FILES.copy()
        data = bytearray(files.get(PATH))
        data[at] ^= bit
        files.put(PATH, bytes(data))
        lane, fresh = new_lane(files, 8)
        hit = [s for s, (a, b) in zip(STAMPS, SPANS, strict=True) if a <= at < b]
        expected = [Lost(s.first_seq, s.last_seq, "journal_damaged") for s in hit]
        assert contents(lane) == ([s for s in STAMPS if s not in hit], expected), at
        assert fresh == expected
        assert len(damaged_copies(files)) == 1
        # The log goes on behind everything that was ever given out.
        assert append(lane, 1, 100, 8).first_seq == STAMPS[-1].last_seq + 1
        lane.close()
        # Opened again, the same is known and nothing is new.
        lane, fresh = new_lane(files, 9, expected)
        assert fresh == []
        assert contents(lane)[1] == expected
        assert len(damaged_copies(files)) == 1
        assert [lane.epoch_of(n) for n in (STAMPS[-1].last_seq, lane.last_seq)] == [7, 8]


@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_last_frame_torn_at_every_byte(acknowledged):
    """The high-water mark tells an acknowledged group that is gone from one that never was."""
    start, end = SPANS[-1]
    before = SimFiles()
    lane, _ = new_lane(before)
    for n, records in enumerate(SIZES[:-1]):
        append(lane, records, n + 1)
    lane.close()
    mark = FILES.get(f"{DIRECTORY}/high-water") if acknowledged else None
    for size in range(start, end):
        files = before.copy()
        files.put(PATH, FILES.get(PATH)[:size])
        if mark:
            files.put(f"{DIRECTORY}/high-water", mark)
        lane, fresh = new_lane(files, 8)
        last = STAMPS[-1]
        reason = "journal_tail_lost" if size == start else "journal_damaged"
        expected = [Lost(last.first_seq, last.last_seq, reason)] if acknowledged else []
        assert contents(lane) == (STAMPS[:-1], expected), size
        assert fresh == expected
        assert append(lane, 1, 100, 8).first_seq == last.first_seq + (
            last.records if acknowledged else 0
        )


def test_zeros_at_the_end_of_the_last_segment_are_no_frames():
    files = FILES.copy()
    files.put(PATH, FILES.get(PATH) + bytes(5000))
    lane, fresh = new_lane(files, 8)
    assert contents(lane) == (STAMPS, [])
    assert fresh == []


def test_a_whole_segment_that_is_gone_is_a_lost_range():
    files = SimFiles()
    lane, _ = new_lane(files)
    stamps = [append(lane, 2, n, segment_bytes=1) for n in range(1, 5)]
    assert len(lane.segments) == 4
    gone = lane.segments[1].path
    lane.close()
    files.unlink(gone)
    lane, fresh = new_lane(files, 8)
    assert fresh == [Lost(3, 4, "journal_tail_lost")]
    assert contents(lane) == ([stamps[0], *stamps[2:]], fresh)


@pytest.mark.parametrize("slots", [(0,), (1,), (0, 1)])
def test_a_damaged_high_water_mark_loses_no_record(slots):
    files = FILES.copy()
    path = f"{DIRECTORY}/high-water"
    data = bytearray(files.get(path))
    for slot in slots:
        data[slot * 4096 + 40] ^= 1
    files.put(path, bytes(data))
    lane, fresh = new_lane(files, 8)
    assert contents(lane) == (STAMPS, [])
    assert fresh == []


def test_a_flip_after_opening_is_found_by_reading():
    for at in range(HEADER_BYTES, LENGTH):
        files = FILES.copy()
        lane, _ = new_lane(files, 8)
        files.names_live[PATH].live[at] ^= 0x10
        hit = next(s for s, (a, b) in zip(STAMPS, SPANS, strict=True) if a <= at < b)
        expected = [Lost(hit.first_seq, hit.last_seq, "journal_damaged")]
        assert contents(lane) == ([s for s in STAMPS if s is not hit], expected)
        assert len(damaged_copies(files)) == 1


def test_sectors_that_the_disk_refuses_are_damage_and_not_the_end():
    files = FILES.copy()
    real = files.pread
    lane, _ = new_lane(files, 8)
    for n in range(10, 60):
        append(lane, 20, n, 8)
    path = lane.segments[-1].path
    stamps, _ = contents(lane)
    lane.close()

    def broken(fd, size, offset):
        if files.fds[fd][0] == path and offset <= 4096 < offset + size:
            raise OSError(5, "EIO")
        return real(fd, size, offset)

    files.pread = broken
    lane, fresh = new_lane(files, 9)
    got, lost = contents(lane)
    assert lost == fresh
    missing = [s for s in stamps if s not in got]
    assert 0 < len(missing) < 50
    assert sum(s.records for s in missing) == sum(b - a + 1 for a, b, _ in lost)


def test_old_copies_of_segments_are_ignored():
    files = SimFiles()
    lane, _ = new_lane(files)
    stamps = [append(lane, 2, n, segment_bytes=1) for n in range(1, 5)]
    first = lane.segments[0].path
    lane.close()
    files.put(f"{DIRECTORY}/{99:016x}.seg", files.get(first))
    lane, fresh = new_lane(files, 8)
    assert contents(lane) == (stamps, [])
    assert fresh == []
    assert append(lane, 1, 100, 8).first_seq == 9


def test_damage_that_can_not_be_copied_keeps_its_segment():
    files = FILES.copy()
    data = bytearray(files.get(PATH))
    data[HEADER_BYTES + 3] ^= 1
    files.put(PATH, bytes(data))
    files.fail = lambda call, path, _: 28 if call == "create" and "quarantine" in path else None
    lane, fresh = new_lane(files, 8)
    assert len(fresh) == 1
    append(lane, 1, 100, 8)
    assert lane.delete(lane.covered(lane.last_seq - 1, 50))
    assert PATH in files.names_live
    assert damaged_copies(files) == []
    lane.close()
    files.fail = lambda *_: None
    lane, fresh = new_lane(files, 9)
    assert fresh == []
    assert len(damaged_copies(files)) == 1
