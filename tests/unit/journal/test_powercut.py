"""The power goes at any operation, in any state of the page cache: the promises hold.

A random run appends, reads, checkpoints, retains; operations fail as a disk fails; then the
process is killed or the power is cut, any subset of what was not synced survives, and the
journal is opened again. After each opening:

1. everything that was acknowledged is there, under its epoch and number;
2. everything that was ever readable is still readable, and the same: a destination may have
   it, and a repetition from the device may have been acknowledged on the strength of it;
3. nothing is reported as lost, and coverage is contiguous;
4. a group's state is there if and only if its records are.
"""

import errno
import itertools
import random
import sqlite3

import pytest

from gateway.domain.errors import JournalFailedError, JournalFullError
from gateway.domain.labels import Lane
from tests.fakes import FakeClock
from tests.unit.journal.helpers import group, lost_of, open_journal, read_all, texts_of
from tests.unit.journal.sim import SimFiles

LANES = (Lane.ALARMS, Lane.TELEMETRY)


class Killed(BaseException):
    """The process ends here."""


class World:
    """A journal on a simulated disk, and what must be true of it."""

    def __init__(
        self,
        path,
        seed: int,
        *,
        faults: bool = False,
        retention: bool = False,
        rollback: bool = False,
    ) -> None:
        self.rng = random.Random(seed)
        self.files = SimFiles()
        self.path = path
        self.clock = FakeClock()
        self.faults = faults
        self.retention = retention
        self.rollback = rollback
        self.old_stores: list[bytes] = []
        self.acknowledged: dict[tuple[Lane, int], tuple[int, str]] = {}
        self.seen: dict[tuple[Lane, int], tuple[int, str]] = {}
        self.floor = dict.fromkeys(LANES, 0)
        self.acknowledged_states: set[str] = set()
        self.names = itertools.count()
        self.open()

    def open(self) -> None:
        self.files.fail = lambda *_: None
        while self.rng.random() < 0.4:
            # The process is killed, or the power goes, in the middle of opening.
            if self.died(self._open):
                self.files.fail = lambda *_: None
                self.files.crash(self.rng) if self.rng.random() < 0.5 else self.files.killed()
            else:
                return
        self._open()

    def died(self, what) -> bool:
        """Do ``what``, and end in the middle of it at one of the next calls."""
        at = self.files.count + self.rng.randint(1, 12)
        fail = self.files.fail

        def kill(call, path, count):
            if count >= at:
                raise Killed
            return fail(call, path, count)

        self.files.fail = kill
        try:
            what()
        except Killed:
            return True
        finally:
            self.files.fail = fail
        return False

    def _open(self) -> None:
        self.clock.advance(self.rng.choice([0, 0.5, 100]))
        self.journal = open_journal(
            self.path,
            files=self.files,
            clock=self.clock,
            segment_bytes=4096,
            cache_bytes=self.rng.choice([0, 2000, 1 << 20]),
        )
        if self.retention:
            self.journal.set_destinations(["core"])
        if self.faults:
            share = self.rng.choice([0, 0.02, 0.2])
            # Reads of a file that was just written do not fail in this model.
            self.files.fail = lambda call, *_: (
                self.rng.choice([errno.ENOSPC, errno.EIO, errno.EDQUOT])
                if call != "pread" and self.rng.random() < share
                else None
            )

    def append(self) -> None:
        lane = self.rng.choice(LANES)
        name = f"g{next(self.names)}"
        count = self.rng.choice([0, 1, 1, 2, 5])
        size = self.rng.choice([1, 30, 1500])
        texts = [f"{name}/{i}/" + "x" * size for i in range(count)]
        try:
            (seqs,) = self.journal.append([group(lane, texts, [("groups", name, b"")])])
        except (JournalFullError, JournalFailedError):
            return
        for seq, text in zip(range(seqs.first, seqs.last + 1), texts, strict=True):
            self.acknowledged[lane, seq] = (self.journal.epoch, text)
        self.acknowledged_states.add(name)

    def read(self) -> None:
        """Everything that can be read now is what it always was."""
        lost = []
        for lane in LANES:
            groups = read_all(self.journal, lane, self.floor[lane])
            lost += lost_of(groups)
            epochs = {seq: g.epoch for g in groups for seq in range(g.first_seq, g.last_seq + 1)}
            for seq, text in texts_of(groups).items():
                assert self.journal.epoch_of(lane, seq) == epochs[seq]
                known = self.seen.setdefault((lane, seq), (epochs[seq], text))
                assert known == (epochs[seq], text)
        assert lost == []

    def check(self) -> None:
        self.read()
        for where, what in self.acknowledged.items():
            if where[1] > self.floor[where[0]]:
                assert self.seen[where] == what
        for lane in LANES:
            there = texts_of(read_all(self.journal, lane, self.floor[lane]))
            for (of_lane, seq), (_, text) in self.seen.items():
                if of_lane is lane and seq > self.floor[lane]:
                    assert there[seq] == text
            states = self.journal.state.items("groups")
            for text in there.values():
                assert text.split("/")[0] in states
            if self.retention:
                # Nothing was deleted that a destination, as it is known now, has not yet.
                cursor = self.journal.cursors.get("core", lane)
                assert cursor is not None
                assert lost_of(read_all(self.journal, lane, cursor)) == []
        assert self.acknowledged_states <= set(self.journal.state.items("groups"))
        assert self.journal.discovered_gaps() == []
        assert not self.journal.state_incomplete

    def step(self) -> None:
        what = self.rng.random()
        if what < 0.75:
            self.append()
        elif what < 0.85:
            self.read()
        else:
            if self.retention:
                lane = self.rng.choice(LANES)
                seq = self.rng.randint(self.floor[lane], self.journal.last_seq(lane))
                self.floor[lane] = seq
                self.journal.cursors.advance("core", lane, seq)
            self.clock.advance(self.rng.choice([0.1, 3]))
            self.journal.maintain()
            if self.rollback:
                self.keep_store()

    def keep_store(self) -> None:
        """Copy the SQLite file as it is now, as a backup would."""
        copy = self.path / "copy.sqlite"
        copy.unlink(missing_ok=True)
        source = sqlite3.connect(self.path / "state.sqlite")
        target = sqlite3.connect(copy)
        source.backup(target)
        source.close()
        target.close()
        self.old_stores.append(copy.read_bytes())

    def roll_back(self) -> None:
        """Put an old SQLite file in place, or none."""
        for name in ("state.sqlite", "state.sqlite-wal", "state.sqlite-shm"):
            (self.path / name).unlink(missing_ok=True)
        if self.old_stores and self.rng.random() < 0.7:
            (self.path / "state.sqlite").write_bytes(self.rng.choice(self.old_stores))

    def stop(self) -> None:
        how = self.rng.choice(["close", "kill", "power", "power", "kill then power"])
        if self.rng.random() < 0.6:
            while not self.died(self.append):
                pass
            how = how if how != "close" else "kill"
        if how == "close":
            self.journal.close()
            self.files.killed()
            return
        self.journal._store.close()
        self.journal._lock.close()
        if how == "power":
            self.files.crash(self.rng)
        else:
            self.files.killed()
        if how == "kill then power":
            # Opened, read and relied upon in between; then the page cache goes.
            self.open()
            self.read()
            self.journal._store.close()
            self.journal._lock.close()
            self.files.crash(self.rng)
        if self.rollback and self.rng.random() < 0.5:
            self.roll_back()


def run(path, seed, rounds, **kinds):
    world = World(path, seed, **kinds)
    for _ in range(rounds):
        for _ in range(world.rng.randint(0, 25)):
            world.step()
        world.stop()
        world.open()
        world.check()
    world.journal.close()


@pytest.mark.parametrize("seed", range(12))
def test_power_cuts(tmp_path, seed):
    run(tmp_path, seed, 5)


@pytest.mark.parametrize("seed", range(16))
def test_power_cuts_of_a_failing_disk(tmp_path, seed):
    run(tmp_path, 1000 + seed, 5, faults=True)


@pytest.mark.parametrize("seed", range(16))
def test_power_cuts_with_retention_on_a_failing_disk(tmp_path, seed):
    run(tmp_path, 2000 + seed, 5, faults=True, retention=True)


@pytest.mark.parametrize("seed", range(8))
def test_power_cuts_with_an_old_or_missing_store(tmp_path, seed):
    run(tmp_path, 3000 + seed, 5, faults=True, rollback=True)
