"""Any sequence of operations does what a dictionary would."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from gateway.domain.errors import JournalFullError
from gateway.domain.labels import Lane
from gateway.journal.config import WAVES_BYTES_MIN
from tests.fakes import FakeClock, FakeCounters
from tests.unit.journal.helpers import RESOURCE, VITAL, group, open_journal, read_all, texts_of
from tests.unit.journal.sim import SimFiles

LIMIT, RESERVE, SEGMENT = 120_000, 20_000, 4096
WAVES = WAVES_BYTES_MIN
FRAME_MORE, RECORD_MORE = 2000, 80
"""A frame takes at most so much more than its texts, and each of its records so much."""
NAMES = ("core", "vendor")
lanes = st.sampled_from(Lane)


class JournalModel(RuleBasedStateMachine):
    @initialize(drop=st.booleans(), cache=st.sampled_from([0, 3000, 1 << 20]))
    def begin(self, drop, cache):
        self.directory = Path(tempfile.mkdtemp())
        self.files = SimFiles()
        self.clock = FakeClock()
        self.config = {
            "limit_bytes": LIMIT,
            "alarm_reserve_bytes": RESERVE,
            "segment_bytes": SEGMENT,
            "waves_bytes": WAVES,
            "drop_oldest": drop,
            "cache_bytes": cache,
        }
        self.records: dict[Lane, dict[int, tuple[int, str]]] = {lane: {} for lane in Lane}
        self.state: dict[str, bytes] = {}
        self.cursors: dict[tuple[str, Lane], int] = {}
        self.holds: dict[Lane, int] = {}
        self.low = dict.fromkeys(Lane, 0)
        """The furthest that every destination ever was: what is behind it may be deleted."""
        self.epochs: list[int] = []
        self.n = 0
        self.open()

    def open(self):
        self.journal = open_journal(
            self.directory,
            files=self.files,
            clock=self.clock,
            counters=FakeCounters(),
            **self.config,
        )
        self.epochs.append(self.journal.epoch)
        for lane, seq in self.holds.items():
            self.journal.hold("h", lane, seq)

    @rule(
        lane=lanes,
        count=st.integers(0, 6),
        size=st.sampled_from([1, 50, 900]),
        keys=st.lists(st.sampled_from("abc"), max_size=2),
        label=st.sampled_from([VITAL, RESOURCE]),
    )
    def append(self, lane, count, size, keys, label):
        self.put(lane, count, size, keys, label)

    @rule(lane=lanes, groups=st.integers(2, 8))
    def fill(self, lane, groups):
        for _ in range(groups):
            self.put(lane, 2, 7000, [], VITAL)

    def put(self, lane, count, size, keys, label):
        self.n += 1
        texts = [f"{self.n}/{i}" + "x" * size for i in range(count)]
        value = None if self.n % 3 == 0 else str(self.n).encode()
        deltas = [("s", key, value) for key in keys]
        before = self.sizes()
        most = FRAME_MORE + count * (size + RECORD_MORE)
        try:
            (seqs,) = self.journal.append([group(lane, texts, deltas, label=label)])
        except JournalFullError:
            fixed = sum(n for each, n in before.items() if not self.yields(each, lane))
            assert fixed + most > LIMIT - self.reserved(lane)
            return
        finally:
            self.look_at_drops(lane, before, most)
        assert self.journal.bytes <= LIMIT - self.reserved(lane) + FRAME_MORE
        assert seqs.first == max(self.records[lane], default=0) + 1
        for seq, text in zip(range(seqs.first, seqs.last + 1), texts, strict=True):
            self.records[lane][seq] = (self.journal.epoch, text)
        for key in keys:
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value

    def sizes(self):
        return {lane: self.journal.bytes_of(lane) for lane in Lane}

    def reserved(self, lane):
        return 0 if lane is Lane.ALARMS else RESERVE

    def yields(self, lane, to):
        """Whether the oldest of a lane may be dropped for a group of another, or of its own."""
        return lane is Lane.WAVES or (
            lane is Lane.TELEMETRY and to is not Lane.WAVES and self.config["drop_oldest"]
        )

    def look_at_drops(self, lane, before, most):
        after = self.sizes()
        short = sum(before.values()) + most > LIMIT - RESERVE
        over = lane is Lane.WAVES and before[Lane.WAVES] + most > WAVES
        for each in Lane:
            if after[each] < before[each]:
                assert self.yields(each, lane)
                assert short or (over and each is Lane.WAVES)
        if after[Lane.TELEMETRY] < before[Lane.TELEMETRY]:
            assert after[Lane.WAVES] == 0  # they go first

    def may_be_dropped(self, lane):
        return any(self.yields(lane, to) for to in Lane)

    @rule(name=st.sampled_from(NAMES), lane=lanes, share=st.floats(0, 1))
    def advance(self, name, lane, share):
        if (name, lane) in self.cursors:
            seq = round(share * self.journal.last_seq(lane))
            self.journal.cursors.advance(name, lane, seq)
            self.cursors[name, lane] = max(self.cursors[name, lane], seq)

    @rule(names=st.lists(st.sampled_from(NAMES), unique=True))
    def destinations(self, names):
        self.journal.set_destinations(names)
        self.cursors = {
            (name, lane): self.cursors.get((name, lane), self.journal.last_seq(lane))
            for name in names
            for lane in Lane
        }

    @rule(lane=lanes, share=st.floats(0, 1))
    def hold(self, lane, share):
        self.holds[lane] = round(share * self.journal.last_seq(lane))
        self.journal.hold("h", lane, self.holds[lane])

    @rule()
    def maintain(self):
        self.clock.advance(10)
        self.journal.maintain()

    @rule(clean=st.booleans())
    def reopen(self, clean):
        if clean:
            self.journal.close()
        else:
            self.journal._store.close()
            self.journal._lock.close()
            self.files.killed()
            # The cursors may be those of the last checkpoint.
        self.open()
        for (name, lane), seq in self.cursors.items():
            stored = self.journal.cursors.get(name, lane)
            assert stored is not None
            assert stored == seq if clean else stored <= seq
            self.cursors[name, lane] = stored

    @precondition(lambda self: self.journal.discovered_gaps())
    @rule()
    def record_gaps(self):
        gaps = self.journal.discovered_gaps()
        assert {gap.reason for gap in gaps} == {"dropped_oldest"}
        assert all(self.may_be_dropped(Lane(gap.lane)) for gap in gaps)
        self.journal.gaps_recorded(gaps)
        assert self.journal.discovered_gaps() == []

    @invariant()
    def what_is_read_is_what_was_written(self):
        for lane in Lane:
            groups = read_all(self.journal, lane, 0, records_max=5)
            found = texts_of(groups)
            lost = {
                seq: reason
                for g in groups
                for first, last, reason in g.lost
                for seq in range(first, last + 1)
            }
            records = self.records[lane]
            assert set(found) | set(lost) == set(records)
            for g in groups:
                for seq in range(g.first_seq, g.last_seq + 1):
                    assert g.epoch == self.journal.epoch_of(lane, seq) == records[seq][0]
            assert all(records[seq][1] == text for seq, text in found.items())
            low = min((s for (_, of), s in self.cursors.items() if of is lane), default=0)
            low = self.low[lane] = max(low, self.low[lane])
            for seq, reason in lost.items():
                if reason == "not_retained":
                    assert seq <= low
                else:
                    assert reason == "dropped_oldest"
                    assert self.may_be_dropped(lane)

    @invariant()
    def the_rest_holds(self):
        assert self.journal.bytes <= LIMIT + FRAME_MORE
        assert self.journal.bytes_of(Lane.WAVES) <= WAVES + FRAME_MORE
        assert self.journal.state.items("s") == self.state
        assert self.epochs == sorted(set(self.epochs))
        for (name, lane), seq in self.cursors.items():
            assert self.journal.cursors.get(name, lane) == seq

    def teardown(self):
        if hasattr(self, "journal"):
            self.journal.close()
            shutil.rmtree(self.directory)


TestJournalModel = JournalModel.TestCase
TestJournalModel.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
