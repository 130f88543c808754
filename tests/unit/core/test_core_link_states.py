"""How the radio was when a report was measured, as the store answers it."""

import sqlite3
from contextlib import closing

import msgspec
import pytest

from core import schema
from core.store import Ack, Offer, Store
from gateway.domain import records as r
from gateway.domain.labels import Lane
from tests.ingest import NOW_US, batch, report

SOURCE = r.Provenance("mec", r.Attestation.GATEWAY)
KNOWN = "link_us, link_cause, cell, zones, rsrp_dbm, rsrq_db, sinr_db"
NEVER = (None,) * 7


class Core:
    def __init__(self, path):
        self.path = path
        self.store = Store.open(path, lambda: NOW_US)
        self.seq = {}

    def take(self, *records, gateway="gw-1"):
        first = self.seq.get(gateway, 0) + 1
        self.seq[gateway] = first + len(records) - 1
        (verdict,), _ = self.store.ingest([Offer(gateway, frozenset(Lane), batch(first, records))])
        assert isinstance(verdict, Ack), verdict

    def ask(self, sql):
        with closing(sqlite3.connect(self.path)) as db:
            return db.execute(sql).fetchall()

    def links(self):
        """What each report is told, by its heart rate's number."""
        told = self.ask(f"SELECT message_id, {KNOWN} FROM report_links ORDER BY report")
        return {name.partition(":")[2]: found for name, *found in told}


@pytest.fixture
def core(tmp_path):
    found = Core(tmp_path / "core.db")
    yield found
    found.store.close()


def link(at, cause="cell", cell="", zones=(), *levels, device="monitor-1"):
    levels = (*levels, None, None, None)[:3]
    return r.LinkState(device, SOURCE, NOW_US + at, cause, 7, cell, zones, *levels)


def measured(n, at, device="monitor-1"):
    """A report that was measured at a time, whenever it came."""
    return msgspec.structs.replace(report(n, device), measured_us=NOW_US + at)


def test_a_report_is_told_the_last_that_was_known_when_it_was_measured(core):
    core.take(
        measured(1, 9),
        link(10, "cell", "a", ("z-1", "z-2"), -90.0, -11.0, 12.5),
        measured(2, 10),
        link(20, "quality", "a", (), -115.0),
        measured(3, 25),
        link(30, "session_ended"),
        measured(4, 31),
        measured(5, 29),  # late: it was measured before
        measured(6, 15, "monitor-2"),
    )
    first = [NOW_US + 10, "cell", "a", '["z-1","z-2"]', -90.0, -11.0, 12.5]
    bad = [NOW_US + 20, "quality", "a", None, -115.0, None, None]
    assert core.links() == {
        "1": [*NEVER],
        "2": first,
        "3": bad,
        "4": [NOW_US + 30, "session_ended", None, None, None, None, None],
        "5": bad,
        "6": [*NEVER],
    }
    assert core.ask("SELECT DISTINCT gateway, network_us, driver FROM link_states") == [
        (1, 7, "mec")
    ]


def test_of_several_at_once_the_last_counts_and_a_report_without_an_estimate_has_its_receipt(core):
    core.take(link(1, "cell", "a"), link(1, "cell", "b"), report(1))
    assert core.links()["1"][2] == "b"


def test_another_gateways_word_is_none(core):
    core.take(link(1, "cell", "a"), gateway="gw-2")
    core.take(measured(1, 9))
    assert core.links() == {"1": [*NEVER]}


def test_the_way_to_a_link_is_by_its_index_and_sorts_nothing(core):
    core.take(*(link(n, "cell", f"c{n}") for n in range(50)), *(measured(n, n) for n in range(50)))
    for where in ("", " WHERE report = 7", " WHERE at_us > 5 AND device_id = 'monitor-1'"):
        plan = core.ask(f"EXPLAIN QUERY PLAN SELECT * FROM report_links{where}")
        words = [str(row[3]) for row in plan]
        way = (
            "SEARCH told USING COVERING INDEX link_state_at (gateway=? AND device_id=? AND at_us<?)"
        )
        assert way in words, words
        assert not any("TEMP B-TREE" in each or "SCAN told" in each for each in words), words
        assert "SEARCH link USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN" in words, words
    assert [found[2] for found in core.links().values()] == [f"c{n}" for n in range(50)]


def test_a_store_of_the_tenth_schema_takes_links_when_it_was_carried_over(tmp_path, monkeypatch):
    real, path = schema.steps(), tmp_path / "core.db"
    monkeypatch.setattr(schema, "steps", lambda: [each for each in real if each[0] <= 10])
    core = Core(path)
    core.take(measured(1, 5))
    core.store.close()
    assert core.ask("PRAGMA user_version") == [(10,)]
    before = core.ask("SELECT * FROM times")
    monkeypatch.setattr(schema, "steps", lambda: real)
    core.store = Store.open(path, lambda: NOW_US)
    assert core.ask("SELECT * FROM times") == before
    core.take(link(4, "cell", "a"))
    assert core.links()["1"][:3] == [NOW_US + 4, "cell", "a"]
    assert core.ask("PRAGMA integrity_check") == [("ok",)]
    core.store.close()
