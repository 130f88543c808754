"""From the journal to the disks of a core and of a vendor, over gRPC with mutual TLS.

The receivers are processes of their own, and one is killed in the middle.
"""

import asyncio
import contextlib
import signal
import sqlite3
import sys
import time
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from functools import partial
from itertools import cycle
from pathlib import Path

import pytest
from msgspec import structs

from demo.plan import free_ports
from gateway.clock import SystemClock
from gateway.dial import route
from gateway.domain import records as r
from gateway.domain import terms
from gateway.domain.labels import DataClass, DestinationInfo, Label, Lane, Treatment, Zone
from gateway.journal.config import JournalConfig
from gateway.journal.journal import Journal
from gateway.journal.types import Labelled, LaneGroup
from gateway.uplink.config import DestinationConfig
from gateway.uplink.ledger import Ledger
from gateway.uplink.link import TELEMETRY_BEHIND_RECORDS, WAVES_YIELD_S
from gateway.uplink.uplink import Policy, Uplink, open_surroundings
from gateway.wire.records import encode
from security import pki
from security.names import Role
from security.pki import Subject, Validity
from security.policy import compile_policy
from security.pseudonyms import Pseudonyms
from security.sealing import KeyRing, Sealer
from security.tls import grpc_channel_credentials
from tests.fakes import FakeCounters
from tests.identifiers import KINDS, leaks
from tests.ingest import CODES, NOW_US, PROVENANCE, VITALS, alarm, report

ROOT = Path(__file__).parents[2]
TRUST_DOMAIN = "ward.test"
THERAPY = Label(DataClass.MEDICAL_APPLICATION, 4)
DRIP = "drip-that-stays-here"
SECRET = b"k" * 32
PATIENCE_S = 120
WINDOW = 3
YEAR_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000

POLICY = """
@id("inside") permit (principal, action == Action::"pass", resource)
when { principal.zone == Zone::"campus" };
@id("vendor") permit (principal, action == Action::"pseudonymise", resource)
when { principal.zone == Zone::"partner" && resource.class == DataClass::"health_status" };
"""
INFOS = [
    DestinationInfo("core", Zone.CAMPUS, "care", "hospital"),
    DestinationInfo("vendor", Zone.PARTNER, "maintenance", "maker"),
]


class Receiver:
    """A core as a process; keeps its port over restarts."""

    def __init__(self, name, folder, files):
        self.folder = folder / f"receiver-{name}"
        self.folder.mkdir()
        self.database = self.folder / "store.db"
        self.announce = self.folder / "announce.json"
        self._files = files
        (self.port,) = free_ports(1)
        self._process = None

    async def start(self):
        self.announce.unlink(missing_ok=True)
        config = self.folder / "core.toml"
        config.write_text(
            f'listen = "127.0.0.1:{self.port}"\ndatabase = "store.db"\n'
            'announce = "announce.json"\n[tls]\n'
            f'certificate = "{self._files.cert}"\nkey = "{self._files.key}"\n'
            f'client_ca = "{self._files.trust}"\ntrust_domain = "{TRUST_DOMAIN}"\n'
        )
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "core", "run", "--config", str(config), cwd=ROOT
        )
        await until(lambda: self.announce.exists() or self._process.returncode is not None)
        assert self._process.returncode is None

    async def end(self, how=signal.SIGTERM):
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(how)
            await self._process.wait()

    def rows(self, sql):
        with closing(sqlite3.connect(self.database)) as db:
            return db.execute(sql).fetchall()

    def bytes(self):
        """Everything that the store has on disk, its log included."""
        return b"".join(path.read_bytes() for path in self.folder.glob("store.db*"))


async def until(condition):
    """Wait for what another process or task does."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # it happens in another process
            await asyncio.sleep(0.02)


class ShiftedClock(SystemClock):
    """The machine's clock, some seconds ahead."""

    shift_s = 0

    def now_us(self):
        return super().now_us() + self.shift_s * 1_000_000


class Gateway:
    """The journal and the uplink of a gateway, without the devices' side."""

    def __init__(self, folder, files, receivers):
        self.folder = folder
        self.counters = FakeCounters()
        self.troubles = []
        self._clock = ShiftedClock()
        self._files = files
        self._receivers = receivers
        self._sealer = Sealer(KeyRing.generate())
        self._sent = 0

    def open(self):
        config = JournalConfig()
        self.journal = Journal.open(
            self.folder / "journal", config, self._sealer, self._clock, self.counters
        )
        self.journal.set_destinations(list(self._receivers))
        self.ledger = Ledger.open(self.folder / "ledger.db", self._clock)
        around = open_surroundings(
            gateway_id="gw-1",
            software_version="test",
            journal=self.journal,
            ledger=self.ledger,
            seal=self._sealer,
            counters=self.counters,
            clock=self._clock,
            on_trouble=self.troubles.append,
        )
        configs = [
            DestinationConfig(
                name=info.name,
                zone=info.zone,
                purpose=info.purpose,
                tenant=info.tenant,
                address=f"localhost:{self._receivers[info.name].port}",
                pseudonym_key=Path("key"),
                batch_records=50,
                window=WINDOW,
                backoff_s_min=0.02,
                backoff_s_max=0.2,
            )
            for info in INFOS
            if info.name in self._receivers
        ]
        self.uplink = Uplink(
            configs,
            lambda _: partial(grpc_channel_credentials, self._files),
            lambda _: SECRET,
            around,
            lambda each: partial(route, each.receiver, self._files),
        )
        table = compile_policy(POLICY, INFOS)
        self.policy = Policy(table.version, table.rows)

    async def close(self):
        await self.uplink.stop()
        self.ledger_totals = list(self.ledger.totals())
        self.ledger.close()
        self.journal.close()

    def say(self, reports=10):
        """Commit one group: reports of a monitor, and one of a drip whose bag has a name."""
        first, self._sent = self._sent + 1, self._sent + reports
        items = [Labelled(VITALS, encode(report(n)), CODES) for n in range(first, self._sent + 1)]
        drip = r.Report(
            device_id=DRIP,
            kind="drip",
            provenance=r.Provenance("mqtt", r.Attestation.CERTIFICATE),
            received_us=self._clock.now_us(),
            message_id=f"77aa:{first}",
            texts=(r.Text(terms.DRUG_NAME, "saline-that-stays-here"),),
        )
        items.insert(1, Labelled(THERAPY, encode(drip), (terms.DRUG_NAME,)))
        alarms = [Labelled(VITALS, encode(alarm(first)), (terms.HEART_RATE,))]
        version = self.policy.version
        self.journal.append(
            [
                LaneGroup(Lane.ALARMS, alarms, (), version),
                LaneGroup(Lane.TELEMETRY, items, (), version),
            ]
        )
        self.journal.notify()

    def wave(self, groups):
        """Commit groups of waveforms, of 100 KB each."""
        for n in range(groups):
            noise = tuple(8192 + (n * 7919 + k * k * 104_729) % 8000 for k in range(1000))
            blocks = tuple(r.Waveform(terms.SPO2, k, 500.0, 1.0, 0.0, noise) for k in range(50))
            held = r.Report("monitor-1", "vitals", PROVENANCE, n, waveforms=blocks)
            items = [Labelled(THERAPY, encode(held), (terms.SPO2,))]
            self.journal.append([LaneGroup(Lane.WAVES, items, (), self.policy.version)])
        self.journal.notify()

    def delivered(self, name):
        cursors = self.journal.cursors
        return all(cursors.get(name, lane) == self.journal.last_seq(lane) for lane in Lane)

    def lags(self):
        return [lag for each in self.uplink.standing() for lag in each.lag.values()]

    @property
    def said(self):
        return self._sent


@asynccontextmanager
async def ward(tmp_path, names=("core", "vendor")):
    now = datetime.now(UTC)
    authority = pki.create_issuing(pki.create_root(TRUST_DOMAIN, now), now)

    def issue(role, name):
        subject = Subject(role, name, ("localhost",) if role is not Role.DEVICE else ())
        return pki.make_identity(
            authority, subject, tmp_path / f"pki-{name}", Validity.days(now, 2)
        )[0]

    receivers = {name: Receiver(name, tmp_path, issue(Role.SERVICE, name)) for name in names}
    gateway = Gateway(tmp_path, issue(Role.GATEWAY, "gw-1"), receivers)
    try:
        for receiver in receivers.values():
            await receiver.start()
        yield gateway, receivers
    finally:
        for receiver in receivers.values():
            await receiver.end()


async def test_waveforms_that_wait_let_everything_else_go_first(tmp_path):
    async with ward(tmp_path) as (gateway, receivers):
        gateway.open()
        core, vendor = receivers["core"], receivers["vendor"]
        gateway.uplink.set_policy(gateway.policy)
        await gateway.uplink.start()
        gateway.say()
        await until(lambda: gateway.delivered("core") and gateway.delivered("vendor"))
        await core.end(signal.SIGKILL)
        gateway.wave(80)
        for _ in range(300):
            gateway.say()
        back_us = time.time_ns() // 1000
        await core.start()
        await until(lambda: gateway.delivered("core") and gateway.delivered("vendor"))
        last = gateway.journal.last_seq(Lane.TELEMETRY)
        ((near_us,),) = core.rows(
            f"SELECT min(stored_us) FROM report WHERE seq > {last - TELEMETRY_BEHIND_RECORDS}"
        )
        waves = [at for (at,) in core.rows("SELECT stored_us FROM waves")]
        stored = core.rows(f"SELECT min(stored_us) FROM report WHERE stored_us > {back_us}")
        first_us = min(stored[0][0], *waves)
        await gateway.close()
        assert len(heart_rates(core)) == gateway.said
        assert core.rows("SELECT count(*) FROM waveforms") == [(80 * 50,)]
        assert vendor.rows("SELECT count(*) FROM waves") == [(0,)]
        counts = {(name, word): n for name, word, n in gateway.ledger_totals}
        assert counts["vendor", "withhold"] >= 80
        # While numbers were far behind a batch of waveforms (ten groups) left per pause at most:
        # on a quick machine none or one does, on any less than the link would have borne. A core
        # that is held up before it stores anything is sent a window's meanwhile.
        batches = 1 + WINDOW + (near_us - first_us) / 1e6 / WAVES_YIELD_S
        assert sum(at < near_us for at in waves) <= 10 * batches


def heart_rates(receiver):
    sql = f"SELECT value FROM readings WHERE code = {terms.HEART_RATE} ORDER BY epoch, seq"
    return [value for (value,) in receiver.rows(sql)]


async def test_a_killed_core_gets_everything_once_and_the_vendor_only_what_is_released(tmp_path):
    async with ward(tmp_path) as (gateway, receivers):
        gateway.open()
        core, vendor = receivers["core"], receivers["vendor"]
        gateway.uplink.set_policy(gateway.policy)
        await gateway.uplink.start()
        for step in range(60):
            gateway.say()
            if step in (20, 40):
                # The vendor's batches go on meanwhile; the core's are in flight.
                await core.end(signal.SIGKILL)
                gateway.say()
                await core.start()
            await asyncio.sleep(0)
        await until(lambda: gateway.delivered("core") and gateway.delivered("vendor"))
        await gateway.close()
        said = list(range(1, gateway.said + 1))
        assert heart_rates(core) == said
        assert core.rows(f"SELECT count(*) FROM reports WHERE device_id = '{DRIP}'") == [(62,)]
        assert core.rows("SELECT count(*), count(DISTINCT alarm_id) FROM alarms") == [(62, 62)]
        for receiver in (core, vendor):
            assert receiver.rows("SELECT count(*) FROM gaps") == [(0,)]
            assert receiver.rows(
                "SELECT lane, count(*), min(first_seq), max(last_seq) FROM coverage GROUP BY lane"
            ) == [("alarms", 1, 1, 62), ("telemetry", 1, 1, 62 * 11)]
        assert heart_rates(vendor) == said
        pseudonym = Pseudonyms(SECRET, "vendor", "").name("monitor-1")
        assert vendor.rows("SELECT DISTINCT device_id FROM reports") == [(pseudonym,)]
        assert vendor.rows("SELECT DISTINCT treatment FROM reports") == [("pseudonymise",)]
        # An alarm still points to the report that caused it, under the report's new name.
        assert vendor.rows(
            "SELECT count(*) FROM alarms JOIN reports USING (device_id, message_id)"
        ) == [(62,)]
        held = vendor.bytes()
        assert pseudonym.encode() in held
        for secret in (DRIP, "monitor-1", "saline-that", "bed-7", "5f3a:", "alarm-1"):
            assert secret.encode() not in held
            assert secret.encode() in core.bytes()
        assert not gateway.troubles


async def test_the_ledger_says_what_left_and_what_did_not(tmp_path):
    async with ward(tmp_path) as (gateway, receivers):
        gateway.open()
        gateway.uplink.set_policy(gateway.policy)
        await gateway.uplink.start()
        for _ in range(5):
            gateway.say()
        await receivers["vendor"].end(signal.SIGKILL)
        gateway.say()
        await receivers["vendor"].start()
        await until(lambda: gateway.delivered("core") and gateway.delivered("vendor"))
        totals = list(gateway.ledger.totals())
        await gateway.close()
        assert totals == [
            ("core", "pass", 6 * 12),
            ("vendor", "pseudonymise", 6 * 11),
            ("vendor", "withhold", 6),
        ]
        counted = {
            (key[1], key[3]): n
            for key, n in gateway.counters.counts.items()
            if key[0] == "released" and key[2] == "telemetry"
        }
        assert counted == {
            ("core", "passed"): 66,
            ("vendor", "pseudonymised"): 60,
            ("vendor", "withheld"): 6,
        }


def identifying(identifiers, n):
    """One report and one alarm of a device, with an identifier in every field."""
    text = cycle(identifiers)
    source = r.Provenance(next(text), r.Attestation.PORT, next(text))
    cause = r.Report(
        f"{next(text)} {n}",
        next(text),
        source,
        NOW_US + n,
        (terms.HEART_RATE,),
        (60.0 + n % 100,),
        device_us=NOW_US + n,
        message_id=f"{next(text)} {n}",
        bed=next(text),
        ward=next(text),
        enumerations=(r.Enumeration(terms.CLAMP, 0, next(text)),),
        texts=(r.Text(terms.DRUG_NAME, next(text)),),
        waveforms=(r.Waveform(terms.HEART_RATE, NOW_US + n, 250.0, 0.1, 0.0, (1, 2)),),
    )
    found = alarm(n, cause.device_id, source)
    names = ("alarm_id", "condition", "text", "bed", "message_id")
    return cause, structs.replace(found, **{name: f"{next(text)} {n}" for name in names})


async def test_no_identifier_of_any_kind_is_in_a_vendors_store_however_it_is_treated(tmp_path):
    identifiers = [f"{kind} of Zwiebelmeier-4711" for kind in KINDS]
    codes = (terms.HEART_RATE, terms.CLAMP, terms.DRUG_NAME)
    treatments = (
        Treatment.PSEUDONYMISE,
        Treatment.GENERALISE,
        Treatment.AGGREGATE,  # its window is closed by what follows
        Treatment.MASK,
        Treatment.WITHHOLD,
    )
    async with ward(tmp_path) as (gateway, receivers):
        gateway.open()
        await gateway.uplink.start()
        for turn, treatment in enumerate(treatments):
            rows = {"core": {VITALS: Treatment.PASS}, "vendor": {VITALS: treatment}}
            gateway.uplink.set_policy(Policy(treatment.name, rows))
            made = [
                identifying(identifiers[n:] + identifiers[:n], 100 * turn + n) for n in range(12)
            ]
            telemetry = [Labelled(VITALS, encode(each), codes) for each, _ in made]
            alarms = [Labelled(VITALS, encode(each), codes[:1]) for _, each in made]
            groups = ((Lane.ALARMS, alarms), (Lane.TELEMETRY, telemetry))
            gateway.journal.append(
                [LaneGroup(lane, items, (), treatment.name) for lane, items in groups]
            )
            gateway.journal.notify()
            await until(lambda: all(not lag for lag in gateway.lags()))
        counts = {(name, word): n for name, word, n in gateway.ledger.totals()}
        await gateway.close()
        core, vendor = receivers["core"], receivers["vendor"]
        assert counts["core", "pass"] == 5 * 24
        assert [counts["vendor", word] for word in ("pseudonymise", "generalise", "mask")] == [
            24
        ] * 3
        assert counts["vendor", "aggregate"] == 12  # the alarms' conditions are no words
        found = vendor.rows("SELECT treatment, count(*) FROM reports GROUP BY 1 ORDER BY 1")
        assert found == [("generalise", 12), ("mask", 12), ("pseudonymise", 12)]
        assert vendor.rows('SELECT devices, "values", mean FROM statistics') == [(12, 12, 65.5)]
        held, plain = vendor.bytes(), core.bytes()
        assert not leaks(held, identifiers)
        assert all(each.encode() in plain for each in identifiers)
        years = vendor.rows(
            "SELECT DISTINCT received_us, device_us FROM reports WHERE treatment = 'generalise'"
        )
        assert years == [(YEAR_US, YEAR_US)]


async def test_without_a_policy_nothing_leaves_and_collecting_goes_on(tmp_path):
    async with ward(tmp_path, names=("core",)) as (gateway, receivers):
        gateway.open()
        await gateway.uplink.start()
        gateway.say()
        assert gateway.counters.gauges["policy_loaded",] == 0
        gateway.uplink.set_policy(gateway.policy)
        await until(lambda: gateway.delivered("core"))
        assert gateway.counters.gauges["policy_loaded",] == 1
        gateway.uplink.set_policy(None)
        gateway.say()
        await until(lambda: ("send_failures", "core", "no_policy") in gateway.counters.counts)
        assert gateway.journal.last_seq(Lane.TELEMETRY) == 22
        assert heart_rates(receivers["core"]) == list(range(1, 11))
        gateway.uplink.set_policy(gateway.policy)
        await until(lambda: gateway.delivered("core"))
        assert heart_rates(receivers["core"]) == list(range(1, 21))
        await gateway.close()


async def test_a_restarted_gateway_goes_on_where_the_core_is(tmp_path):
    async with ward(tmp_path, names=("core",)) as (gateway, receivers):
        for _ in range(3):
            gateway.open()
            gateway.uplink.set_policy(gateway.policy)
            await gateway.uplink.start()
            gateway.say()
            gateway.say()
            await until(lambda: gateway.delivered("core"))
            gateway.say()
            await gateway.close()
        gateway.open()
        gateway.uplink.set_policy(gateway.policy)
        await gateway.uplink.start()
        await until(lambda: gateway.delivered("core"))
        await gateway.close()
        assert heart_rates(receivers["core"]) == list(range(1, 91))
        assert receivers["core"].rows("SELECT count(*) FROM gaps") == [(0,)]
        assert receivers["core"].rows("SELECT count(DISTINCT epoch) FROM reports") == [(3,)]
        assert not gateway.troubles


async def test_a_stricter_policy_applies_to_what_was_collected_before(tmp_path):
    async with ward(tmp_path, names=("core",)) as (gateway, receivers):
        gateway.open()
        await gateway.uplink.start()
        gateway.uplink.set_policy(gateway.policy)
        await until(lambda: gateway.uplink.standing()[0].connected)
        core = receivers["core"]
        await core.end(signal.SIGKILL)
        gateway.say()
        strict = {
            "core": dict.fromkeys(gateway.policy.rows["core"], Treatment.WITHHOLD)
            | {VITALS: Treatment.MASK}
        }
        lax, gateway.policy = gateway.policy, Policy("strict", strict)
        gateway.uplink.set_policy(gateway.policy)
        gateway.say()
        # Back to the lax one: what was collected under the strict one stays masked.
        gateway.uplink.set_policy(lax)
        await core.start()
        await until(lambda: gateway.delivered("core"))
        await gateway.close()
        assert core.rows(
            "SELECT treatment, device_id, count(*) FROM reports GROUP BY 1, 2 ORDER BY 1"
        ) == [("mask", "", 10), ("pass", DRIP, 1), ("pass", "monitor-1", 10)]


async def test_a_destination_that_is_down_harms_no_other(tmp_path):
    async with ward(tmp_path) as (gateway, receivers):
        gateway.open()
        await receivers["vendor"].end(signal.SIGKILL)
        gateway.uplink.set_policy(gateway.policy)
        await gateway.uplink.start()
        for _ in range(20):
            gateway.say()
        await until(lambda: gateway.delivered("core"))
        standing = {each.name: each for each in gateway.uplink.standing()}
        assert not standing["vendor"].connected
        assert standing["vendor"].lag[Lane.TELEMETRY] == 220
        assert standing["core"].lag == dict.fromkeys(Lane, 0)
        assert len(heart_rates(receivers["core"])) == 200
        await gateway.close()


async def test_a_restored_disk_is_noticed_and_nothing_new_is_lost(tmp_path):
    async with ward(tmp_path, names=("core",)) as (gateway, receivers):
        gateway.open()
        gateway.uplink.set_policy(gateway.policy)
        await gateway.uplink.start()
        gateway.say()
        await until(lambda: gateway.delivered("core"))
        await gateway.close()
        copies = {
            path: path.read_bytes()
            for path in tmp_path.rglob("*")
            if path.is_file() and ("journal" in str(path) or "ledger" in path.name)
        }
        gateway.open()
        gateway.uplink.set_policy(gateway.policy)
        await gateway.uplink.start()
        gateway.say()
        await until(lambda: gateway.delivered("core"))
        await gateway.close()
        for path in (*(tmp_path / "journal").rglob("*"), *tmp_path.glob("ledger*")):
            if path.is_file() and path not in copies:
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
        for path, content in copies.items():
            path.write_bytes(content)
        gateway._clock.shift_s = 60  # restoring a disk takes longer than an epoch's second
        gateway.open()
        gateway.uplink.set_policy(gateway.policy)
        await gateway.uplink.start()
        gateway.say()
        await until(lambda: gateway.delivered("core"))
        await gateway.close()
        assert heart_rates(receivers["core"]) == list(range(1, 31))
        kinds = {(str(each.kind), each.lane) for each in gateway.troubles}
        assert kinds == {("receiver_ahead", lane) for lane in (Lane.ALARMS, Lane.TELEMETRY)}


pytestmark = pytest.mark.timeout(PATIENCE_S * 4)
