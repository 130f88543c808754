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
from tests.fakes import FakeClock, FakeCounters
from tests.unit.journal.helpers import RESOURCE, VITAL, group, open_journal, read_all, texts_of
from tests.unit.journal.sim import SimFiles

LIMIT, RESERVE, SEGMENT = 60_000, 20_000, 4096
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
        self.n += 1
        texts = [f"{self.n}/{i}" + "x" * size for i in range(count)]
        value = None if self.n % 3 == 0 else str(self.n).encode()
        deltas = [("s", key, value) for key in keys]
        try:
            (seqs,) = self.journal.append([group(lane, texts, deltas, label=label)])
        except JournalFullError:
            room = LIMIT - (0 if lane is Lane.ALARMS else RESERVE)
            assert self.journal.bytes + 2000 + count * (size + 80) > room
            assert lane is Lane.ALARMS or not self.config["drop_oldest"] or self.alarms_fill()
            return
        assert seqs.first == max(self.records[lane], default=0) + 1
        for seq, text in zip(range(seqs.first, seqs.last + 1), texts, strict=True):
            self.records[lane][seq] = (self.journal.epoch, text)
        for key in keys:
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value

    def alarms_fill(self):
        return self.journal.bytes_of(Lane.ALARMS) > LIMIT - RESERVE - 2 * SEGMENT - 6000

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
        assert {(gap.reason, gap.lane) for gap in gaps} == {("dropped_oldest", Lane.TELEMETRY)}
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
                assert reason in {"not_retained", "dropped_oldest"}
                if reason == "not_retained":
                    assert seq <= low

    @invariant()
    def the_rest_holds(self):
        assert self.journal.bytes <= LIMIT + SEGMENT
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
