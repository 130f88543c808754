"""Sensitive columns: sealed per device, erased per device; ids and numbers stay as they are."""

import json
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from core.cli import app
from core.columns import PREFIX, Columns, sealed_words
from core.store import Ack, Offer, Store
from gateway.domain import records as r
from gateway.domain import terms
from gateway.domain.errors import ConfigError, KeyErasedError, KeyMissingError, SealBrokenError
from gateway.domain.labels import Lane
from security.sealing import KeyRing
from tests.ingest import NOW_US, PROVENANCE, alarm, batch

BOTH = frozenset(Lane)
OURS, OTHER = "monitor-1", "monitor-2"


class Site:
    """A store with sealed columns, which can be begun anew."""

    def __init__(self, path):
        self.path = path
        self.ring = path / "ring"
        KeyRing.generate().save(self.ring)
        self.seq = 0
        self.open()

    def columns(self):
        return Columns(self.path / "core.db.keys", lambda: KeyRing.load(self.ring), lambda: NOW_US)

    def open(self):
        self.store = Store.open(self.path / "core.db", lambda: NOW_US, self.columns())

    def close(self):
        self.store.close()

    def take(self, *records, codes=(terms.HEART_RATE, terms.DRUG_NAME), lane=Lane.TELEMETRY):
        self.seq += len(records)
        raw = batch(self.seq - len(records) + 1, records, codes=codes, lane=lane)
        verdicts, _ = self.store.ingest([Offer("gw-1", BOTH, raw)])
        assert isinstance(verdicts[0], Ack), verdicts

    def rows(self, sql, *args):
        with closing(sqlite3.connect(self.path / "core.db")) as db:
            return db.execute(sql, args).fetchall()

    def words(self, device):
        """What everything that is sealed says; None for what was erased."""
        found = []
        with (
            closing(self.columns()) as keys,
            closing(sqlite3.connect(self.path / "core.db")) as db,
        ):
            for table, column, _, stored in sealed_words(db, device):
                assert stored.startswith(PREFIX), (table, column, stored)
                try:
                    found.append(keys.open(device, column, stored))
                except KeyErasedError:
                    found.append(None)
        return found


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


def telling(n, device=OURS):
    """A report with a number and a text."""
    return r.Report(
        device_id=device,
        kind="monitor",
        provenance=PROVENANCE,
        received_us=NOW_US,
        message_id=f"b:{n}",
        bed="3A-07",
        codes=(terms.HEART_RATE,),
        values=(60.0 + n,),
        qualities=(r.Quality.VALID,),
        texts=(r.Text(terms.DRUG_NAME, "saline"),),
    )


def test_words_are_sealed_and_ids_and_numbers_are_not(site):
    site.take(telling(1), telling(2), telling(1, OTHER))
    content = b"".join(path.read_bytes() for path in site.path.glob("core.db*"))
    assert not any(word.encode() in content for word in ("3A-07", "saline"))
    assert site.rows(
        "SELECT device_id, value FROM readings WHERE code = ? ORDER BY 1, 2", terms.HEART_RATE
    ) == [(OURS, 61.0), (OURS, 62.0), (OTHER, 61.0)]
    assert set(site.words(OURS)) >= {"3A-07", "saline"}
    # The same word of the same device looks the same, of another it does not.
    beds = site.rows("SELECT DISTINCT device, bed FROM contexts")
    assert len({bed for _, bed in beds}) == 2


def test_a_report_that_comes_again_after_a_restart_is_the_same_row(site):
    site.take(telling(1))
    contexts = site.rows("SELECT * FROM contexts")
    site.close()
    site.open()
    site.take(telling(1), telling(2))
    assert site.rows("SELECT * FROM contexts") == contexts
    assert site.rows("SELECT count(*) FROM report") == [(2,)]


def test_every_record_that_has_words_is_sealed(site):
    site.take(
        r.InventoryEvent(
            device_id=OURS,
            action=r.InventoryAction.ARRIVED,
            epc="epc-1",
            received_us=NOW_US,
            provenance=PROVENANCE,
            place="ICU store",
            badge="nurse 7",
            badges=("nurse 7", "nurse 8"),
        ),
        r.CabinetEvent(
            device_id=OURS,
            provenance=PROVENANCE,
            received_us=NOW_US,
            kind=r.CabinetEventKind.RECONCILIATION,
            door="back door",
            badges=("nurse 9",),
            reason="one broke",
        ),
        r.InfusionOrder(
            OURS,
            PROVENANCE,
            NOW_US,
            r.InfusionOrderAction.ORDERED,
            "o-1",
            drug="Dopamine",
            route="IV",
            bed="12",
        ),
        r.LinkState(OURS, PROVENANCE, NOW_US, "cell", 0, "001-01-12", ("ward 12",)),
        r.DeviceStatus(
            device_id=OURS,
            kind="monitor",
            received_us=NOW_US,
            state=r.DeviceState.ONLINE,
            reason="",
            provenance=PROVENANCE,
            detail="in room 12",
        ),
        codes=(),
    )
    site.seq = 0
    site.take(alarm(1), lane=Lane.ALARMS)
    stored = [
        *site.rows("SELECT place, badge FROM inventory")[0],
        *site.rows("SELECT detail FROM statuses")[0],
        *(word for word in site.rows("SELECT bed, text FROM alarms")[0] if word),
    ]
    stored += site.rows("SELECT door, reason FROM cabinet_events")[0]
    stored += site.rows("SELECT cell, zones ->> 0 FROM link_states")[0]
    for table in ("inventory", "cabinet_events"):
        stored += [
            word
            for (word,) in site.rows(f"SELECT b.value FROM {table}, json_each({table}.badges) AS b")
        ]
    assert len(stored) >= 8
    assert all(word.startswith(PREFIX) for word in stored)
    assert set(site.words(OURS)) >= {"ICU store", "nurse 7", "nurse 8", "in room 12"}
    assert set(site.words(OURS)) >= {"back door", "nurse 9", "one broke"}
    assert set(site.words(OURS)) >= {"001-01-12", "ward 12"}


def test_an_erased_device_opens_never_again_and_the_others_do(site):
    site.take(telling(1), telling(1, OTHER))
    with (
        closing(sqlite3.connect(site.path / "core.db")) as db,
        closing(sqlite3.connect(site.path / "copy.db")) as copy,
    ):
        db.backup(copy)
    with closing(site.columns()) as beside:
        assert beside.erase(OURS, "dpo", "a request").device == OURS
        assert beside.erase(OURS, "dpo", "a request") is None
    assert set(site.words(OURS)) == {None}
    assert set(site.words(OTHER)) >= {"3A-07", "saline"}
    # The running store goes on with another key, for what is known to it, too.
    site.take(telling(2))
    assert set(site.words(OURS)) >= {None, "3A-07", "saline"}
    # A copy of the database from before is no help.
    with closing(site.columns()) as keys, closing(sqlite3.connect(site.path / "copy.db")) as db:
        for _, column, _, word in sealed_words(db, OURS):
            with pytest.raises(KeyErasedError):
                keys.open(OURS, column, word)
    with closing(sqlite3.connect(site.path / "core.db.keys")) as db:
        assert db.execute("SELECT device, by, reason FROM erased").fetchall() == [
            (OURS, "dpo", "a request")
        ]


def test_the_erased_key_is_not_left_in_the_file(site):
    site.take(telling(1))
    with closing(sqlite3.connect(site.path / "core.db.keys")) as db:
        ((sealed,),) = db.execute("SELECT sealed FROM keys WHERE device = ?", (OURS,)).fetchall()
    assert sealed in (site.path / "core.db.keys").read_bytes()
    with closing(site.columns()) as beside:
        beside.erase(OURS, "dpo", "a request")
    assert not any(sealed in path.read_bytes() for path in site.path.glob("core.db.keys*"))


def test_the_hospitals_key_is_exchanged_while_the_store_runs(site):
    site.take(telling(1))
    old = KeyRing.load(site.ring)
    old.rotated().save(site.ring)
    site.take(telling(1, OTHER))  # a new device is sealed by the new key already
    with closing(site.columns()) as beside:
        assert beside.hospital_keys() == [1, 2]
        assert beside.rewrap() == 2  # the device's, and that of beds
        assert beside.hospital_keys() == [2]
    KeyRing.load(site.ring).without(1).save(site.ring)
    site.take(telling(2), telling(1, "monitor-3"))
    assert set(site.words(OURS)) >= {"3A-07", "saline"}
    old.save(site.ring)
    with pytest.raises(KeyMissingError, match="hospital's key 2"):
        site.columns()


def test_without_its_ring_the_store_takes_nothing_and_loses_nothing(site):
    site.take(telling(1))
    with closing(site.columns()) as beside:
        beside.erase(OTHER, "dpo", "x")
        beside.seal("monitor-9", "bed", "somewhere")
    site.ring.rename(site.path / "away")
    raw = batch(2, [telling(2)], codes=(terms.HEART_RATE, terms.DRUG_NAME))
    ((verdict,), _) = site.store.ingest([Offer("gw-1", BOTH, raw)])
    assert not verdict.permanent
    (site.path / "away").rename(site.ring)
    site.take(telling(2))


def test_what_was_plain_stays_readable(tmp_path):
    with closing(Store.open(tmp_path / "core.db", lambda: NOW_US)) as plain:
        raw = batch(1, [telling(1)], codes=(terms.HEART_RATE, terms.DRUG_NAME))
        plain.ingest([Offer("gw-1", BOTH, raw)])
    site = Site(tmp_path)
    site.seq = 1
    site.take(telling(2))
    beds = site.rows("SELECT DISTINCT bed FROM contexts")
    assert len(beds) == 2
    with closing(site.columns()) as columns:
        assert {columns.open(OURS, "bed", bed) for (bed,) in beds} == {"3A-07"}
    site.close()


@given(st.text(max_size=40), st.text(max_size=20), st.text(max_size=60))
def test_a_word_opens_where_it_belongs_and_nowhere_else(tmp_path_factory, device, column, word):
    path = tmp_path_factory.getbasetemp() / "shared.keys"
    ring = KeyRing({1: b"1" * 32})
    with closing(Columns(path, lambda: ring, lambda: 0)) as columns:
        sealed = columns.seal(device, column, word)
        assert columns.open(device, column, sealed) == word
        if word:
            assert word not in sealed or len(word) < 8
            for where in ((device + "x", column), (device, column + "x")):
                with pytest.raises(SealBrokenError):
                    columns.open(*where, sealed)
            with pytest.raises(SealBrokenError):
                columns.open(device, column, sealed[:-4] + "AAA=")


@pytest.mark.parametrize("word", [f"{PREFIX}x", f"{PREFIX}1:!", f"{PREFIX}", f"{PREFIX}1"])
def test_what_is_no_sealed_word_is_said_so(site, word):
    site.take(telling(1))
    with closing(site.columns()) as columns, pytest.raises(SealBrokenError):
        columns.open(OURS, "bed", word)


def test_the_commands_show_erase_and_rewrap(site):
    site.take(telling(1))
    config = site.path / "core.toml"
    config.write_text(
        'listen = "127.0.0.1:0"\ndatabase = "core.db"\n[store]\nseal_keys = "ring"\n[tls]\n'
        'certificate = "c"\nkey = "k"\nclient_ca = "ca"\ntrust_domain = "t"\n'
    )

    def run(*words):
        return CliRunner().invoke(app, [*words, "--config", str(config)])

    said = run("words", OURS, "--json")
    assert "saline" in {json.loads(line)["word"] for line in said.output.splitlines()}
    assert "saline" in run("tail").output
    assert "nothing was erased" in run("erase", OURS).output
    assert isinstance(run("erase", OURS, "--yes").exception, ConfigError)
    assert "is destroyed" in run("erase", OURS, "--yes", "--reason", "a request").output
    assert "saline" not in run("words", OURS).output
    assert "(erased)" in run("words", OURS).output
    assert "saline" not in run("tail").output
    assert isinstance(run("erase", OURS).exception, ConfigError)
    site.take(telling(2))
    KeyRing.load(site.ring).rotated().save(site.ring)
    assert "hospital's key 2" in run("rewrap").output
