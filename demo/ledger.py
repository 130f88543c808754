"""The gateway's own account of what it released, from its ledger on disk.

``reports`` are device messages: the telemetry lane's records, without the class that the
gateway's own notices (device status, gaps) have.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from demo.plan import CORE
from demo.report import Ledger
from gateway.domain.labels import HELD

LEDGER = "ledger.sqlite"
NOTICES = "health_resources"


def read(gateway_state: Path) -> Ledger:
    """Sum the ledger's entries per destination and treatment."""
    reports: dict[str, dict[str, int]] = {}
    alarms: dict[str, int] = {}
    telemetry: dict[str, int] = {}
    notices = quarantined = breached = 0
    with sqlite3.connect(f"file:{gateway_state / LEDGER}?mode=ro", uri=True) as db:
        for destination, lane, data_class, level, treatment, records in db.execute(
            "SELECT destination, lane, class, level, treatment, sum(records) FROM entries"
            " GROUP BY destination, lane, class, level, treatment"
        ):
            if level == HELD and treatment != "withhold":
                breached += records
            if lane == "alarms":
                if treatment != "withhold":
                    alarms[destination] = alarms.get(destination, 0) + records
                continue
            if lane == "waves":
                continue
            if treatment != "withhold":
                telemetry[destination] = telemetry.get(destination, 0) + records
            if data_class != NOTICES:
                counts = reports.setdefault(destination, {})
                counts[treatment] = counts.get(treatment, 0) + records
                if level == HELD and destination == CORE:
                    quarantined += records
            elif destination == CORE:
                notices += records
        # Settled with the next entries: these are the last that left, or were about to.
        waiting = {
            (destination, lane): records
            for destination, lane, records in db.execute(
                "SELECT destination, lane, sum(last_seq - first_seq + 1) FROM unsettled"
                " GROUP BY destination, lane"
            )
        }
    return Ledger(reports, alarms, telemetry, notices, waiting, quarantined, breached)
