"""A device in quarantine is collected, and nothing of it reaches anybody: journal, uplink, core."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from msgspec import structs

from gateway.domain import records as r
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.labels import HELD, Lane
from gateway.domain.network import Attachment, parse_binding
from gateway.domain.ports import Outcome, Submission
from gateway.journal.committer import Committer
from gateway.journal.config import CommitterConfig
from gateway.network.config import Answer, SimConfig
from gateway.network.holds import Holds
from gateway.network.watch import Around, SimWatch
from gateway.notices import Notices
from gateway.pipeline.config import PipelineConfig
from gateway.pipeline.intake import Intake
from gateway.pipeline.label import Labels
from gateway.uplink.ledger_reading import open_ledger
from gateway.uplink.uplink import Policy
from security.audit import AuditLog, load_or_create_key
from security.identity import IdentityConfig, IdentityService
from security.policy import compile_policy
from tests.fakes import FakeClock, FakeCounters
from tests.ingest import alarm
from tests.integration.test_uplink import INFOS, TRUST_DOMAIN, until, ward

EVERYTHING = '@id("all") permit (principal, action, resource);'
"""Passes every class and level to every destination: nothing but the quarantine is in the way."""
SIM = "imsi-001010000000001"
HELD_ONE, FREE_ONE = "pump-held", "pump-free"
HERE = r.Provenance("mqtt", r.Attestation.CERTIFICATE)
BLOCK = r.Waveform(terms.SPO2, 0, 500.0, 1.0, 0.0, (8192,) * 10)


def everything_that(device, n):
    """One of each sort of record that a device's driver submits."""
    fields: Any = {"device_id": device, "provenance": HERE, "received_us": n}
    codes: Any = {
        "codes": (terms.HEART_RATE,),
        "values": (70.0,),
    }
    text = r.Text(terms.DRUG_NAME, f"word-of-{device}")
    return [
        r.Report(kind="vitals", message_id=f"{device}:{n}:a", **fields, **codes),
        r.Report(kind="vitals", message_id=f"{device}:{n}:b", **fields, **codes, texts=(text,)),
        r.Report(kind="vitals", message_id=f"{device}:{n}:c", **fields, waveforms=(BLOCK,)),
        r.DeviceStatus(
            kind="pump",
            state=r.DeviceState.ONLINE,
            reason="connected",
            detail=f"word-of-{device}",
            **fields,
        ),
        structs.replace(alarm(n), device_id=device, alarm_id=f"{device}-{n}"),
        r.Gap(reason="silence", device_id=device, reports=1),
    ]


async def test_nothing_of_it_is_released_while_it_is_collected(tmp_path):
    async with ward(tmp_path) as (gateway, receivers):
        gateway.open()
        table = compile_policy(EVERYTHING, INFOS)
        gateway.uplink.set_policy(Policy(table.version, table.rows))
        await gateway.uplink.start()
        clock, counters, holds = FakeClock(), FakeCounters(), Holds()
        committer = Committer(
            gateway.journal, asyncio.get_running_loop(), counters, CommitterConfig()
        )
        committer.policy_version = table.version
        labels = Labels(own_id="gw-1", held=holds.devices)
        intake = Intake(PipelineConfig(), committer, clock, counters, os.urandom, labels)
        await committer.start()
        audit = AuditLog(tmp_path / "audit", load_or_create_key(tmp_path / "audit.key"), clock)
        identity = IdentityService(IdentityConfig(TRUST_DOMAIN), clock, counters, audit)
        notices = Notices("gw-1", intake, clock)
        watch = SimWatch(
            SimConfig(sim_moved=Answer.QUARANTINE),
            Around(identity, holds, intake, notices, audit, clock, counters),
        )
        identity.on_directory = watch.directory
        bound = Device(HELD_ONE, network=parse_binding(SIM))
        identity.apply_directory([bound, Device(FREE_ONE)])
        outcomes: list[Outcome] = []

        def say(device, n):
            intake.submit(Submission(everything_that(device, n), outcomes.append))

        watch.told(Attachment(clock.now_us(), device_id=HELD_ONE, supi="imsi-001010000000009"))
        for n in range(20):
            say(HELD_ONE, n)
            say(FREE_ONE, n)
        await until(lambda: len(outcomes) == 40)
        await until(lambda: gateway.delivered("core") and gateway.delivered("vendor"))
        assert set(outcomes) == {Outcome.COMMITTED}
        for receiver in receivers.values():
            held = receiver.bytes()
            for own in (f"sim_moved-{HELD_ONE}", f"{HELD_ONE}: its SIM"):
                assert own.encode() in held
                held = held.replace(own.encode(), b"")
            assert HELD_ONE.encode() not in held
            assert f"word-of-{FREE_ONE}".encode() in held
            assert receiver.rows("SELECT count(*) FROM reports") == [(2 * 20,)]
            assert receiver.rows("SELECT count(*) FROM waves") == [(20,)]
            # The gateway's own word on it is no word of the device's.
            assert receiver.rows(
                "SELECT device_id, count(*) FROM alarms GROUP BY device_id ORDER BY device_id"
            ) == [("gw-1", 1), (FREE_ONE, 20)]
            coverage = "SELECT lane, min(first_seq), max(last_seq) FROM coverage GROUP BY lane"
            lasts = {word: last for word, _, last in receiver.rows(coverage)}
            assert lasts["telemetry"] == gateway.journal.last_seq(Lane.TELEMETRY)
        with open_ledger(tmp_path / "ledger.db") as ledger:
            traffic = ledger.traffic(0)
        for name in receivers:
            withheld = [
                each
                for (destination, label), each in traffic.items()
                if destination == name and label.level == HELD
            ]
            assert sum(each.records for each in withheld) == 6 * 20
            assert sum(each.bytes for each in withheld) == 0

        watch.told(Attachment(clock.now_us(), device_id=HELD_ONE, supi=SIM))
        say(HELD_ONE, 100)
        await until(lambda: len(outcomes) == 41)
        await until(lambda: gateway.delivered("core") and gateway.delivered("vendor"))
        for receiver in receivers.values():
            found = receiver.rows(
                f"SELECT message_id FROM reports WHERE device_id = '{HELD_ONE}' ORDER BY 1"
            )
            assert found == [(f"{HELD_ONE}:100:{part}",) for part in "ab"]
        await committer.stop()
        await gateway.close()
        audit.close()
