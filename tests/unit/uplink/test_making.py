"""The ledger has each record once, whatever policies come while a window is open."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.labels import DataClass, Label, Lane, Treatment
from gateway.journal.cursors import Cursors
from gateway.journal.types import EncodedSection, StoredGroup
from gateway.uplink.entering import Settled
from gateway.uplink.ledger import Ledger
from gateway.uplink.making import Maker
from gateway.uplink.release import Release, Shape
from gateway.uplink.windows import AggregateConfig
from tests.fakes import FakeClock
from tests.ingest import EPOCH, NOW_US, VITALS, report, section

OTHER = Label(DataClass.MEDICAL_APPLICATION, 2)
LANE = Lane.TELEMETRY
_TREATMENTS = st.sampled_from((Treatment.PASS, Treatment.AGGREGATE, Treatment.WITHHOLD))
_ROWS = st.fixed_dictionaries({VITALS: _TREATMENTS, OTHER: _TREATMENTS})
_ROUNDS = st.lists(
    st.tuples(
        st.sampled_from((1, 20, 70)),  # seconds until something is collected
        st.integers(0, 3),  # batches sent then
        st.none() | _ROWS,  # a policy that comes then
        st.sampled_from((None, None, False, True)),  # a restart, and whether the epoch is another
    ),
    min_size=1,
    max_size=10,
)


class Site:
    """A lane's maker, its journal and ledger, and a receiver that acknowledges everything."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock(NOW_US)
        self.ledger = Ledger.open(folder / "ledger.db", self.clock)
        self.cursors = Cursors()
        self.cursors.set(["core"], dict.fromkeys(Lane, 0))
        self.groups: list[StoredGroup] = []
        self.epoch, self.at_s, self.acked, self.policies = EPOCH, 0, 0, 0
        config = SimpleNamespace(batch_records=8, batch_bytes=1 << 20)
        around = SimpleNamespace(journal=self, writer=SimpleNamespace(ledger=self.ledger))
        self.link: Any = SimpleNamespace(name="core", config=config, around=around)
        self.policy({VITALS: Treatment.AGGREGATE, OTHER: Treatment.PASS})
        self.restart(new_epoch=False)

    def read(self, lane: Lane, after_seq: int, records_max: int, bytes_max: int) -> Any:
        del lane, bytes_max
        return [g for g in self.groups if g.last_seq > after_seq][: max(1, records_max // 4)]

    @property
    def last(self) -> int:
        return self.groups[-1].last_seq if self.groups else 0

    def collect(self, seconds: int) -> None:
        self.at_s += seconds
        seq = self.last + 1
        sections = (
            EncodedSection(
                *VITALS, 3, section(seq, [report(seq + n, f"mon-{n}") for n in range(3)])
            ),
            EncodedSection(*OTHER, 1, section(seq + 3, [report(seq + 3)], label=OTHER)),
        )
        at_us = NOW_US + self.at_s * 1_000_000
        # Collected while there was no policy: the one in force alone decides.
        self.groups.append(StoredGroup(seq, seq + 3, "", sections, (), self.epoch, at_us))

    def policy(self, row: dict[Label, Treatment]) -> None:
        self.policies += 1
        version = f"p{self.policies}"
        self.ledger.remember(version, {"core": row})
        shape = Shape(aggregate=AggregateConfig(window_s=60, devices_min=3))
        self.row = row
        self.release = Release("core", version, row, self.ledger.table, None, shape)

    def restart(self, new_epoch: bool) -> None:
        self.epoch += new_epoch
        self.ledger.start("core", LANE, self.cursors.get("core", LANE) or 0)
        self.maker = Maker(self.link, LANE)
        self.maker.begin(self.ledger.unsettled("core", LANE))
        self.maker.made(self.maker.stand(self.release, self.acked))

    def send(self, batches: int) -> None:
        for _ in range(batches):
            made = self.maker.make(self.release, self.acked, self.maker.take())
            if made is None:
                return
            batch = made.batch
            settled = Settled("core", LANE, batch.epoch, batch.last)
            self.ledger.write([("core", batch)], [settled])
            self.maker.made(made.standpoint)
            self.maker.sent(made)
            self.cursors.advance("core", LANE, batch.hold)
            self.acked = batch.last

    def entered(self) -> int:
        """Records, once nothing is open any more."""
        self.policy(dict.fromkeys((VITALS, OTHER), Treatment.WITHHOLD))
        self.collect(1)
        self.send(len(self.groups) + 1)
        assert self.acked == self.last
        return sum(records for _, _, records in self.ledger.totals())


@given(_ROUNDS)
@settings(max_examples=40, deadline=None)
def test_whatever_comes_each_record_is_entered_once(rounds):
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        with closing(site.ledger):
            for seconds, batches, row, restart in rounds:
                site.collect(seconds)
                site.send(batches)
                if row is not None:
                    # What begins to aggregate is below.
                    went = {label for label, t in site.row.items() if t is not Treatment.AGGREGATE}
                    kept = {
                        label: Treatment.WITHHOLD
                        if label in went and t is Treatment.AGGREGATE
                        else t
                        for label, t in row.items()
                    }
                    site.policy(kept)
                if restart is not None:
                    site.restart(restart)
            assert site.entered() == 4 * len(site.groups)


@pytest.mark.parametrize("before", [Treatment.PASS, Treatment.WITHHOLD])
def test_what_left_before_is_in_no_window_that_was_open_for_another_label(tmp_path, before):
    site = Site(tmp_path)
    with closing(site.ledger):
        site.policy({VITALS: before, OTHER: Treatment.AGGREGATE})
        site.collect(1)
        site.send(1)
        site.policy({VITALS: Treatment.AGGREGATE, OTHER: Treatment.AGGREGATE})
        site.collect(1)
        site.send(1)
        site.collect(70)
        site.send(1)
        assert ("core", "aggregate", 3) in list(site.ledger.totals())
        assert site.entered() == 4 * len(site.groups)
