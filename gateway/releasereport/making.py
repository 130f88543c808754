"""Making a release report: from the ledger, and only if the audit log says the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.domain.errors import ConfigError
from gateway.releasereport.report import EPOCH, Report, rows
from gateway.uplink.accounts import COLUMNS, Sums, held
from gateway.uplink.agreement import account, compare_with, place_of
from gateway.uplink.kept import KeptPolicy
from security.audit import AuditBrokenError
from security.audit.checking import Walk

LEDGER, LOG = "ledger.sqlite", "audit"
_DESTINATION = COLUMNS.index("destination")
_POLICIES = (COLUMNS.index("policy"), COLUMNS.index("collected_under"))


def make(
    state: Path,
    first_day: date,
    last_day: date,
    destinations: tuple[str, ...],
    key: Ed25519PrivateKey,
    now_us: int,
    older: Iterable[Ed25519PublicKey] = (),
) -> Report:
    """A signed report of some days of a gateway, which may run.

    Args:
        state: the gateway's state directory.
        first_day: UTC.
        last_day: it is part of the report.
        destinations: only these; empty: all.
        key: the audit log's.
        now_us: wall time.
        older: keys that signed the log before this one.

    Raises:
        ConfigError: the days are none, or the log does not reach back so far.
        AuditBrokenError: log and ledger do not agree, or are not in order.
        OSError, sqlite3.Error: they can't be read.
    """
    if last_day < first_day:
        raise ConfigError(f"{last_day} is before {first_day}")
    walk = Walk((key.public_key(), *older))
    place = place_of(state / LEDGER)
    found = account(walk, state / LOG, place=place)
    walk.verified()
    head = walk.head
    if head is None or head.size < found.told_at:
        raise AuditBrokenError(f"{state / LOG}: the last release period is not signed yet")
    days = range((first_day - EPOCH).days, (last_day - EPOCH).days + 1)
    if days[0] < found.complete_from:
        raise ConfigError(
            f"the log tells all releases from {EPOCH + timedelta(found.complete_from)} on, and"
            f" nothing of {first_day}"
        )
    ledger = state / LEDGER
    compare_with(ledger, found, place)
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        db.execute("BEGIN")
        sums = chosen(held(db, found.last_id), days, destinations)
        policies = {
            kept[0]: KeptPolicy(*kept)
            for kept in db.execute(
                "SELECT version, rows, why FROM policies ORDER BY first_used_us, version"
            )
        }
    used = {key[at] for key in sums for at in _POLICIES}
    named = {version: kept for version, kept in policies.items() if version in used}
    try:
        made = rows(sums, named)
    except KeyError as error:
        raise AuditBrokenError(f"{ledger}: policy {error} is not kept") from error
    report = Report(
        1,
        walk.name,
        first_day.isoformat(),
        last_day.isoformat(),
        tuple(sorted(destinations)),
        found.number,
        found.until_us,
        now_us,
        made,
        tuple(named.values()),
        head,
        "",
    )
    return report.signed(key)


def chosen(sums: Sums, days: range, destinations: tuple[str, ...]) -> Sums:
    """What a report is about."""
    return {
        key: each
        for key, each in sums.items()
        if key[0] in days and (not destinations or key[_DESTINATION] in destinations)
    }
