"""An outlet is told what is released to it, and the ledger knows it first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.labels import LEVELS, DataClass, Label, Lane, ReleaseRow, Treatment, Zone
from gateway.domain.records import Alarm, AlarmPriority
from gateway.notification.config import Outlet, WatchOutlet
from gateway.notification.releasing import Releases
from gateway.notification.story import Committed
from gateway.uplink.ledger import Ledger
from gateway.uplink.uplink import Policy
from gateway.uplink.writer import LedgerWriter
from gateway.wire.records import encode
from tests.fakes import FakeClock, FakeCounters
from tests.unit.notification.manager import Audit, alarm

OUTLETS = (
    WatchOutlet(name="screen", zone=Zone.WARD),
    WatchOutlet(name="hook", zone=Zone.PARTNER),
)


class Head:
    """A journal of which nothing is asked but how far it is."""

    def last_seq(self, _lane: Lane) -> int:
        return 40


def row(treatment: Treatment) -> ReleaseRow:
    return {Label(c, level): treatment for c in DataClass for level in LEVELS}


def committed(seq: int = 41, under: str = "") -> Committed:
    told = alarm(f"a{seq}", AlarmPriority.HIGH)
    return Committed(told, DataClass.HEALTH_STATUS, 3, under, 5, seq, encode(told))


class Desk:
    def __init__(self, path: Path) -> None:
        self.ledger = Ledger.open(path, FakeClock())
        self.writer = LedgerWriter(self.ledger, FakeCounters())
        self.audit = Audit()
        self.releases = Releases(self.ledger, self.writer, self.audit)  # type: ignore[arg-type]

    def follow(self, outlets: tuple[Outlet, ...] = OUTLETS) -> None:
        self.releases.follow(outlets, Path.read_bytes, Head())  # type: ignore[arg-type]

    def policy(self, held: bool = False, **rows: ReleaseRow) -> str:
        version = f"v{len(rows)}-{sorted(rows)}-{[set(r.values()) for r in rows.values()]}"[:60]
        self.ledger.remember(version, rows)
        self.releases.set_policy(Policy(version, rows), held)
        return version

    async def told(self, name: str, what: Committed | None = None) -> Alarm | None:
        return await self.releases.release(name, what or committed())

    def entries(self) -> list[Any]:
        return list(self.ledger.totals())


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path / "ledger.sqlite")
    made.follow()
    yield made
    await made.writer.close()
    made.ledger.close()


async def test_without_a_policy_the_ward_is_told_and_nobody_else(desk):
    assert await desk.told("screen") == committed().alarm
    assert await desk.told("hook") is None
    assert desk.entries() == [("screen", "pass", 1)]
    ((event, fields),) = desk.audit.entries
    assert (event, fields["number"]) == ("policy", 0)
    assert fields["version"].startswith("ward-")
    assert fields["table"] == desk.ledger.policy(fields["version"]).digest()


async def test_a_policy_that_knows_the_ward_counts(desk):
    desk.policy(screen=row(Treatment.WITHHOLD), hook=row(Treatment.MASK))
    assert await desk.told("screen") is None
    masked = await desk.told("hook")
    assert (masked.device_id, masked.alarm_id, masked.bed) == ("", "", "")
    assert masked.condition == "hr_high"
    assert desk.entries() == [("hook", "mask", 1), ("screen", "withhold", 1)]


async def test_a_policy_that_does_not_know_an_outlet_leaves_the_ward_told(desk):
    desk.policy(core=row(Treatment.PASS))
    assert await desk.told("screen") is not None
    assert await desk.told("hook") is None


async def test_the_stricter_of_then_and_now_counts(desk):
    then = desk.policy(screen=row(Treatment.PASS), hook=row(Treatment.WITHHOLD))
    desk.policy(screen=row(Treatment.PASS), hook=row(Treatment.MASK))
    assert await desk.told("hook", committed(under=then)) is None
    assert await desk.told("screen", committed(under=then)) is not None


async def test_while_everything_is_held_the_ward_is_told_by_the_same_rules(desk):
    desk.policy(held=True, screen=row(Treatment.MASK), hook=row(Treatment.PASS))
    assert (await desk.told("screen")).device_id == ""
    assert await desk.told("hook") is None


@pytest.mark.parametrize("treatment", [Treatment.AGGREGATE, Treatment.PSEUDONYMISE], ids=str)
async def test_what_can_not_be_done_to_one_alarm_without_a_key_is_withheld(desk, treatment):
    desk.policy(screen=row(Treatment.PASS), hook=row(treatment))
    assert await desk.told("hook") is None
    assert desk.entries() == [("hook", "withhold", 1)]


async def test_with_a_key_it_has_the_outlets_own_names(desk, tmp_path):
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    desk.follow((WatchOutlet(name="hook", zone=Zone.PARTNER, pseudonym_key=key),))
    desk.policy(hook=row(Treatment.PSEUDONYMISE))
    told = await desk.told("hook")
    again = await desk.told("hook", committed(42))
    assert told.device_id == again.device_id != "monitor-1"
    assert told.alarm_id != again.alarm_id


async def test_telling_it_again_is_no_new_release_also_after_a_restart(tmp_path):
    path = tmp_path / "ledger.sqlite"
    for _ in range(2):
        desk = Desk(path)
        desk.follow()
        for _ in range(3):
            assert await desk.told("screen") is not None
        assert desk.entries() == [("screen", "pass", 1)]
        await desk.writer.close()
        desk.ledger.close()


async def test_what_is_told_no_more_is_forgotten(desk):
    for seq in (41, 42, 43):
        await desk.told("screen", committed(seq))
    desk.releases.settle(5, 42)
    await desk.told("screen", committed(44))  # the next commit settles
    left = [each.last for each in desk.ledger.unsettled("screen", Lane.ALARMS)]
    assert left == [43, 44]
