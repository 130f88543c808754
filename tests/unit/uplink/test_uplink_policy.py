"""Destinations as configured, and policies as they are put in force."""

import asyncio
import random
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from gateway.domain.errors import ConfigError
from gateway.domain.labels import Lane, Treatment, Zone
from gateway.uplink.config import DestinationConfig, LedgerConfig
from gateway.uplink.ledger import Ledger, LedgerError
from gateway.uplink.release import EntryKey, Released
from gateway.uplink.uplink import Policy, Uplink, open_surroundings
from tests.fakes import FakeClock, FakeCounters
from tests.ingest import VITALS
from tests.unit.uplink.test_lane import MemoryJournal, Sealed

TABLE: dict[str, object] = {
    "name": "core",
    "zone": "campus",
    "purpose": "care",
    "tenant": "hospital",
    "address": "core.hospital.example:7443",
}


def config(**changes):
    return msgspec.convert(TABLE | changes, DestinationConfig, strict=True)


def test_a_destination_tells_the_policy_what_it_is():
    assert config().info == ("core", Zone.CAMPUS, "care", "hospital")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"address": "core.hospital.example"}, "host:port"),
        ({"address": ":7443"}, "host:port"),
        ({"address": "core:0"}, "host:port"),
        ({"backoff_s_min": 5, "backoff_s_max": 1}, "backoff_s_max"),
        ({"cert": Path("c.pem")}, "cert and key"),
    ],
)
def test_a_destination_that_can_not_work_is_refused(changes, why):
    with pytest.raises((ConfigError, msgspec.ValidationError), match=why):
        config(**changes)


@pytest.mark.parametrize(
    "changes",
    [{"name": "Core"}, {"name": ""}, {"zone": "moon"}, {"window": 0}, {"speed": 1}],
)
def test_values_outside_their_range_and_unknown_keys_are_refused(changes):
    with pytest.raises(msgspec.ValidationError):
        config(**changes)


@pytest.fixture
def ledger(tmp_path):
    with closing(Ledger.open(tmp_path / "ledger.db", FakeClock())) as opened:
        yield opened


@pytest.fixture
def counters():
    return FakeCounters()


def uplink(ledger, counters, *destinations, secret=b"k" * 32, clock=None):
    around = open_surroundings(
        gateway_id="gw-1",
        software_version="test",
        journal=MemoryJournal(),
        ledger=ledger,
        seal=Sealed(),
        counters=counters,
        clock=clock or FakeClock(),
        on_trouble=lambda _: None,
        rng=random.Random(1),
    )

    def nothing_connects(*_):
        raise AssertionError("nothing connects here")

    def no_way(_):
        return nothing_connects

    return Uplink(destinations, no_way, lambda _: secret, around, no_way)


def test_two_destinations_of_one_name_are_refused(ledger, counters):
    with pytest.raises(ConfigError, match="two of this name"):
        uplink(ledger, counters, config(), config())


def test_a_short_pseudonym_key_is_refused(ledger, counters):
    with pytest.raises(ConfigError, match="pseudonym_key"):
        uplink(ledger, counters, config(pseudonym_key=Path("key")), secret=b"short")


def test_the_gauge_says_whether_a_policy_is_in_force(ledger, counters):
    made = uplink(ledger, counters, config())
    made.set_policy(Policy("v1", {"core": {VITALS: Treatment.PASS}}))
    assert counters.gauges["policy_loaded",] == 1
    made.set_policy(None)
    assert counters.gauges["policy_loaded",] == 0


def test_a_policy_that_needs_a_key_is_refused_and_the_one_in_force_stays(ledger, counters):
    made = uplink(ledger, counters, config())
    made.set_policy(Policy("v1", {"core": {VITALS: Treatment.PASS}}))
    with pytest.raises(ConfigError, match="pseudonym_key"):
        made.set_policy(Policy("v2", {"core": {VITALS: Treatment.PSEUDONYMISE}}))
    assert counters.gauges["policy_loaded",] == 1
    assert made._links["core"].release is not None
    assert made._links["core"].release.version == "v1"
    assert ledger.table("v2") is None


def test_a_policy_is_in_force_only_when_its_table_is_kept(ledger, counters):
    made = uplink(ledger, counters, config())
    ledger._db.execute("PRAGMA query_only=1")
    with pytest.raises(LedgerError):
        made.set_policy(Policy("v1", {"core": {VITALS: Treatment.PASS}}))
    assert made._links["core"].release is None


def test_a_destination_that_the_policy_does_not_know_gets_nothing(ledger, counters):
    made = uplink(ledger, counters, config())
    made.set_policy(Policy("v1", {}))
    release = made._links["core"].release
    assert release is not None
    journal = MemoryJournal()
    journal.say()
    batch = release.batch(Lane.TELEMETRY, journal.groups)
    assert batch.counts == {Treatment.WITHHOLD: 2}


def test_where_a_destination_stands(ledger, counters):
    made = uplink(ledger, counters, config())
    made._links["core"].around.journal.say(3)
    (standing,) = made.standing()
    assert (standing.name, standing.connected) == ("core", False)
    assert standing.lag[Lane.TELEMETRY] == 6
    assert counters.gauges["lag_records", "core", "telemetry"] == 6
    assert counters.gauges["connected", "core"] == 0


async def test_old_entries_of_the_ledger_are_added_up_while_it_runs(ledger, counters, monkeypatch):
    monkeypatch.setattr("gateway.uplink.uplink.COMPACT_PAUSE_S", 0.0)
    monkeypatch.setattr("gateway.uplink.days.SLICE_ROWS", 1)
    clock = FakeClock()
    for n in range(1, 4):
        entry = EntryKey(VITALS, Treatment.PASS, f"v{n}")
        ledger.write(
            [("core", Released(Lane.TELEMETRY, 1, n, n, b"", "v1", {entry: (1, 9)}, 0, n, {}))]
        )
    made = uplink(ledger, counters, clock=clock)
    made.set_ledger(LedgerConfig(detail_days=2.0))
    ledger.told(ledger.end_period(clock.now_us()))
    clock.advance(2 * 86_400 - 1)
    assert await compacted(made, ledger) == 3
    clock.advance(2)
    assert await compacted(made, ledger) == 1  # the newest stays
    assert list(ledger.totals()) == [("core", "pass", 3)]
    await made._around.writer.close()


async def compacted(made, ledger):
    """Entries that are left when the uplink has nothing more to add up."""
    idle = asyncio.Event()
    compact = ledger.compact

    def watched(before_us):
        gone = compact(before_us)
        if not gone:
            loop.call_soon_threadsafe(idle.set)
        return gone

    loop = asyncio.get_running_loop()
    ledger.compact = watched
    task = asyncio.create_task(made._compact())
    await idle.wait()
    task.cancel()
    ledger.compact = compact
    return ledger._db.execute("SELECT count(*) FROM entries").fetchone()[0]
