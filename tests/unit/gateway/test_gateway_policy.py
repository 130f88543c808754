"""``wardgate policy`` as its users run it, on a gateway's files while another process has them."""

import contextlib
import io
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import msgspec
import pytest

from gateway.clock import SystemClock
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.labels import HELD, DataClass, DestinationInfo, Label, Lane, Treatment, Zone
from gateway.domain.records import Attestation, Gap, Provenance, Report, Text
from gateway.fleetlink import DIRECTORY_FILE, Directory
from gateway.journal import looking
from gateway.journal.config import JournalConfig
from gateway.journal.journal import Journal
from gateway.journal.looking import Looker
from gateway.journal.types import Labelled, LaneGroup
from gateway.uplink.entering import Rejected
from gateway.uplink.ledger import Ledger, LedgerError
from gateway.uplink.ledger_reading import open_ledger
from gateway.uplink.release import NO_POLICY, Release
from gateway.wire.records import encode
from security.pki import create_issuing, create_root, to_pem
from security.policy import compile_policy, default_policy
from security.policybundle import Bundle, sign_bundle
from security.pseudonyms import Pseudonyms
from security.sealing import KeyRing, Sealer
from tests.fakes import FakeCounters
from wardgate.main import run

CORE = DestinationInfo("core", Zone.CAMPUS, "care", "hospital")
VENDOR = DestinationInfo("vendor", Zone.PARTNER, "maintenance", "hospital")
VITALS = Label(DataClass.HEALTH_STATUS, 3)
NOTES = Label(DataClass.MEDICAL_APPLICATION, 4)
THERE = Provenance("mqtt", Attestation.CERTIFICATE)
YESTERDAY = datetime.now(UTC) - timedelta(days=1)
SECRETS = ("icu-7", "5f3a", "Bed-9", "Propofol", "71.25")

CONFIG = """
[gateway]
name = "gw-1"
state_dir = "state"
seal_keys = "seal.keys"
[tls]
cert = "cert.pem"
key = "key.pem"
trust = "ca.pem"
[identity]
trust_domain = "hospital.example"
[policy]
file = "policy.signed"
[classification]
file = "classification.toml"
[drivers]
[[destinations]]
name = "core"
zone = "campus"
purpose = "care"
tenant = "hospital"
address = "core.example:1"
[[destinations]]
name = "vendor"
zone = "partner"
purpose = "maintenance"
tenant = "hospital"
address = "vendor.example:1"
"""


class Site:
    """A gateway's files, with its journal and ledger open."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "gateway.toml"
        self.state = directory / "state"
        self.state.mkdir()
        self.config.write_text(CONFIG)
        (directory / "release.cedar").write_text(default_policy())
        issuing = create_issuing(create_root("hospital.example", YESTERDAY), YESTERDAY)
        (directory / "ca.pem").write_bytes(to_pem(issuing.root))
        now_us = SystemClock().now_us()
        bundle = Bundle(3, now_us, default_policy(), "", issuing.trust_domain)
        (directory / "policy.signed").write_bytes(sign_bundle(issuing, bundle))
        (directory / "classification.toml").write_text(
            "[metrics]\nMDC_ATTR_VAL_BATT_CHARGE = { level = 1 }\n"
            '[wards]\n"psych" = { level = 5 }\n'
        )
        devices = (Device("icu-7", "monitor", "icu"),)
        (self.state / DIRECTORY_FILE).write_bytes(msgspec.json.encode(Directory(1, devices)))
        ring = KeyRing.generate()
        ring.save(directory / "seal.keys")
        clock = SystemClock()
        self.sealer = Sealer(ring)
        self.journal = Journal.open(
            self.state / "journal", JournalConfig(), self.sealer, clock, FakeCounters()
        )
        self.ledger = Ledger.open(self.state / "ledger.sqlite", clock)
        self.table = compile_policy(default_policy(), [CORE, VENDOR])
        self.earlier = compile_policy(
            '@id("old") permit (principal, action == Action::"mask", resource);', [VENDOR]
        )
        for table in (self.table, self.earlier):
            self.ledger.remember(table.version, table.rows)

    def collect(self, *records, label, under):
        """Journal records; their sequence numbers."""
        items = [Labelled(label, encode(each), getattr(each, "codes", ())) for each in records]
        [seqs] = self.journal.append([LaneGroup(Lane.TELEMETRY, items, (), under)])
        return range(seqs.first, seqs.last + 1)

    def release(self, destination, seqs):
        """Enter a batch into the ledger as the forwarder does."""
        groups = self.journal.read(Lane.TELEMETRY, seqs.start - 1, len(seqs), 1 << 20)
        rows = self.table.rows[destination]
        names = Pseudonyms(b"k" * 32, destination, "")
        release = Release(destination, self.table.version, rows, self.ledger.table, names)
        batch = release.batch(Lane.TELEMETRY, groups)
        self.ledger.start(destination, Lane.TELEMETRY, 0)
        self.ledger.write([(destination, batch)])
        return batch


def report(number, **given):
    return Report(
        device_id="icu-7",
        kind="vitals",
        provenance=THERE,
        received_us=1,
        codes=(terms.HEART_RATE, terms.BATTERY),
        values=(71.25, 50.0),
        message_id=f"5f3a:{number}",
        bed="Bed-9",
        **given,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    found = Site(tmp_path_factory.mktemp("site"))
    under = found.table.version
    text = (Text(terms.DRUG_NAME, "Propofol"),)
    now = found.collect(report(1), report(2), label=VITALS, under=under)
    found.collect(report(3, texts=text), label=NOTES, under=under)
    found.collect(report(4), label=VITALS, under=found.earlier.version)
    found.collect(report(5), label=VITALS, under="")
    found.collect(report(6), label=VITALS, under="0123456789abcdef")
    found.collect(Gap("link_lost", "icu-7"), label=Label(DataClass.HEALTH_RESOURCES, 3), under="")
    found.release("vendor", range(now.start, 4))
    yield found
    found.journal.close()
    found.ledger.close()


def ran(site, *arguments, config=True):
    """Exit code, what is on standard output, and what on standard error."""
    words = ["wardgate", "policy", *map(str, arguments)]
    words += ["--config", str(site.config)] if config else []
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", words),
        contextlib.chdir(site.directory),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        run()
    return ended.value.code, out.getvalue(), err.getvalue()


def explained(site, *arguments):
    code, out, err = ran(site, "explain", *arguments)
    assert (code, err) == (0, "")
    assert not any(secret in out for secret in SECRETS), out
    return out


def test_check_says_what_was_proved(site):
    command = [sys.executable, "-m", "wardgate", "policy", "check", "--config", str(site.config)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert f"policy 3, {site.table.version} is in order, for 2 destinations" in done.stdout
    assert "4 invariants hold in all of" in done.stdout


def test_a_label_is_explained_in_words(site):
    out = explained(site, "health_status", "3", "vendor")
    assert "leaves under pseudonyms" in out
    assert 'Rule that permits this: partner-maintenance ("A maker of devices' in out
    out = explained(site, "health_status", "4", "vendor", "--json")
    assert json.loads(out)["rules"] == ["identifying-stays-inside"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["explain"], "give CLASS LEVEL DEST, or one of"),
        (["explain", "health_status", "3", "nobody"], "no destination 'nobody'"),
        (["explain", "health", "3", "core"], "no class 'health'"),
        (["explain", "health_status", "6", "core"], "no level 6"),
        (["explain", "--record", "telemetry"], "is no LANE:SEQ"),
        (["explain", "--record", "telemetry:999"], "has no record telemetry:999"),
        (["explain", "--message-id", "nosuch"], "no such record in the newest"),
        (["explain", "--record", "telemetry:1", "--device", "x"], "--record names one record"),
        (["prove", "nosuch.cedar"], "nosuch.cedar: No such file"),
        (["diff", "release.cedar", "gateway.toml"], "gateway.toml: "),
        (["diff", "release.cedar", "release.cedar", "--ledger", "no"], "no: there is no ledger"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(site, arguments, words):
    code, out, err = ran(site, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_record_that_left_is_told_from_label_to_ledger(site):
    out = explained(site, "--record", "telemetry:2", "--dest", "vendor")
    assert "Report telemetry:2 of epoch" in out
    assert "What gives it this label: the metric MDC_ECG_HEART_RATE.\n" in out
    assert f"collected under this policy, {site.table.version}" in out
    assert "The ledger says that it left (pseudonymised) between" in out
    assert "among 1..3" in out
    assert "has not acknowledged it yet" in out


def test_a_record_that_was_withheld(site):
    out = explained(site, "--message-id", "5f3a:3", "--device", "icu-7", "--dest", "vendor")
    assert "What gives it this label: free text (MDC_DRUG_NAME_LABEL); the metric" in out
    assert "The ledger says that it was withheld between" in out


def test_a_record_of_a_device_in_quarantine(tmp_path):
    site = Site(tmp_path)
    label = Label(DataClass.HEALTH_STATUS, HELD)
    seqs = site.collect(report(1), label=label, under=site.table.version)
    site.release("core", seqs)
    site.journal.close()
    site.ledger.close()
    for destination in ("core", "vendor"):
        out = explained(site, "--device", "icu-7", "--dest", destination)
        assert "health status data of level 6 (held back" in out
        assert "it leaves for nobody, whatever a policy says" in out
    out = explained(site, "--device", "icu-7", "--dest", "core")
    assert "The ledger says that it was withheld between" in out
    told = json.loads(explained(site, "--device", "icu-7", "--dest", "core", "--json"))
    assert told[0]["treatment"] == "withhold"


def test_the_stricter_of_then_and_now(site):
    out = explained(site, "--record", "telemetry:4", "--dest", "vendor")
    assert f"It was collected under policy {site.earlier.version}, by which it leaves with" in out
    assert "The stricter of then and now applies: it leaves without names" in out
    assert "The ledger has no entry of it: it has not left." in out
    # The earlier table had no core.
    out = explained(site, "--record", "telemetry:4", "--dest", "core")
    assert "which had no such destination: it is withheld" in out
    assert "The ledger knows no such destination" in out


def test_what_was_collected_without_a_policy_and_under_one_that_is_gone(site):
    out = explained(site, "--record", "telemetry:5", "--dest", "vendor")
    assert "collected while no policy was in force: the one now decides alone" in out
    assert "The stricter of then and now" not in out
    out = explained(site, "--record", "telemetry:6", "--dest", "vendor")
    assert "policy 0123456789abcdef, which is not known here any more: it is withheld" in out


def test_the_newest_record_of_a_device_for_every_destination_as_json(site):
    told = json.loads(explained(site, "--device", "icu-7", "--json"))
    assert [each["destination"] for each in told] == ["core", "vendor"]
    assert {(each["kind"], each["seq"]) for each in told} == {("Gap", 7)}
    assert [each["at_collection"] for each in told] == [None, None]


def test_prove_shows_a_counter_example_and_an_exit_code(site):
    wide = site.directory / "wide.cedar"
    wide.write_text('@id("all") permit (principal, action == Action::"pass", resource);')
    code, out, _ = ran(site, "prove", wide)
    assert code == 1
    assert "BROKEN  identifying-stays-on-campus is broken in" in out
    assert "for vendor (zone partner, purpose maintenance, tenant hospital) leaves unchanged" in out
    assert ran(site, "prove")[0] == 0
    assert ran(site, "prove", "policy.signed")[0] == 0
    own = site.directory / "own.toml"
    own.write_text('[[invariant]]\nid = "none"\nwords = "Nothing."\nat_most = "withhold"\n')
    code, out, _ = ran(site, "prove", "--invariants", own, "--json")
    [found] = json.loads(out)["invariants"]
    assert code == 1
    assert found["counter_example"]["destination"] == "core"
    assert found["broken"] > 0


def test_prove_needs_no_gateway(site):
    text = '@id("a") permit (principal == Destination::"far", action == Action::"pass", resource);'
    (site.directory / "fleet.cedar").write_text(text)
    code, out, _ = ran(site, "prove", "fleet.cedar", config=False)
    assert code == 1
    assert "for far (zone" in out


def test_diff_counts_the_traffic_of_late(site):
    new = site.directory / "new.cedar"
    before, name, after = default_policy().partition('@id("partner-maintenance")')
    new.write_text(before + name + after.replace('"pseudonymise"', '"mask"', 1))
    old = site.directory / "release.cedar"
    code, out, _ = ran(site, "diff", old, new)
    assert code == 0
    row = next(line for line in out.splitlines() if "health_status" in line and " 3 " in line)
    assert row.split() == [
        *("narrowing", "vendor", "health_status", "3", "pseudonymise", "mask"),
        *("2", "records", "partner-maintenance"),
    ]
    code, out, _ = ran(site, "diff", new, old, "--json", "--hours", "0.5")
    told = json.loads(out)
    assert (code, told["widens"]) == (3, True)
    assert {change["kind"] for change in told["changes"]} == {"widening"}
    counted = [c for c in told["changes"] if (c["class"], c["level"]) == ("health_status", 3)]
    assert [change["records"] for change in counted] == [2]
    code, out, _ = ran(site, "diff", new, old, "--everywhere", config=False)
    assert code == 3
    assert "any other destination (zone partner, purpose maintenance, any other tenant)" in out
    assert "narrowing" not in out
    code, out, _ = ran(site, "diff", old, old)
    assert (code, out) == (0, "the same leaves under both\n")
    code, out, _ = ran(site, "diff", old, "policy.signed")  # as it is in force
    assert (code, out) == (0, "the same leaves under both\n")


def test_classification_lists_what_was_edited_and_where(site):
    code, out, _ = ran(site, "classification")
    assert code == 0
    rows = {line[9:].split("  ")[0]: line for line in out.splitlines()}
    assert rows["MDC_ATTR_VAL_BATT_CHARGE"].endswith("line 2, LOWERED from health_resources 2")
    assert rows["MDC_TEMP"].endswith("default")
    assert rows["psych"].endswith("line 4")
    assert "2 edited, 1 of them lowered: MDC_ATTR_VAL_BATT_CHARGE" in out
    assert "the registry told this gateway of no device in the ward 'psych'" in out
    told = json.loads(ran(site, "classification", "--json")[1])
    assert [row["name"] for row in told["labels"] if row["lowered"]] == ["MDC_ATTR_VAL_BATT_CHARGE"]


# What is read beside a gateway that runs


def test_looking_changes_no_file_and_takes_no_lock(site):
    files = sorted(path for path in (site.state / "journal").rglob("*") if path.is_file())
    before = [(path, path.stat().st_mtime_ns, path.read_bytes()) for path in files]
    looker = Looker(site.state / "journal", site.sealer)
    found = looker.at(Lane.TELEMETRY, 1)
    assert found is not None
    assert (found.seq, found.label, found.record) == (1, VITALS, report(1))
    assert looker.at(Lane.TELEMETRY, 0) is None
    assert looker.at(Lane.ALARMS, 1) is None
    assert [(path, path.stat().st_mtime_ns, path.read_bytes()) for path in files] == before


def test_a_frame_that_is_half_written_hides_no_other(site, tmp_path):
    copy = tmp_path / "telemetry"
    copy.mkdir()
    (tmp_path / "alarms").mkdir()
    [segment] = (site.state / "journal" / "telemetry").glob("*.seg")
    content = segment.read_bytes().rstrip(b"\0")
    (copy / segment.name).write_bytes(content[:-20])
    looker = Looker(tmp_path, site.sealer)
    assert looker.at(Lane.TELEMETRY, 7) is None
    assert looker.at(Lane.TELEMETRY, 6) is not None
    newest = looker.newest(lambda record: True)
    assert newest is not None
    assert newest.seq == 6


def test_a_search_ends_at_its_limit(site, monkeypatch):
    monkeypatch.setattr(looking, "SEARCH_BYTES_MAX", 10)
    assert Looker(site.state / "journal", site.sealer).newest(lambda record: True) is None


def test_the_ledger_is_not_written(site):
    with open_ledger(site.state / "ledger.sqlite") as reader:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._db.execute("DELETE FROM entries")
        assert reader.table("nosuch") is None
        assert reader.traffic(0)["vendor", VITALS].records == 2
        assert not reader.traffic(SystemClock().now_us() + 60_000_000)


def test_a_batch_that_was_refused_for_good_and_an_old_entry(tmp_path):
    site = Site(tmp_path)
    with closing(site.journal), closing(site.ledger):
        seqs = site.collect(report(1), label=VITALS, under=site.table.version)
        batch = site.release("vendor", seqs)
        site.ledger.write([], rejected=[Rejected("vendor", batch, "permanent", None, None)])
        later = site.collect(report(2), label=VITALS, under=NO_POLICY)
        site.release("vendor", later)  # the last entry stays
        now_us = SystemClock().now_us()
        site.ledger.told(site.ledger.end_period(now_us))
        assert site.ledger.compact(SystemClock().now_us() + 1) == 1
        with open_ledger(site.state / "ledger.sqlite") as reader:
            place = ("vendor", Lane.TELEMETRY, batch.epoch, batch.first, VITALS)
            standing = reader.standing(*place)
        assert standing.rejected == "permanent"
        assert [entry.by_day for entry in standing.entries] == [True]
        assert standing.entries[0].treatment is Treatment.PSEUDONYMISE


def test_a_ledger_of_another_version_is_not_guessed_at(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(LedgerError, match="schema 99"), open_ledger(path):
        pass
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(LedgerError), open_ledger(path):
        pass
