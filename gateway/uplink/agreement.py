"""The audit log's account of releases, read back, and whether a ledger says the same.

What :mod:`gateway.uplink.accounts` told the log is added up again here; a ledger that was edited
since says something else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gateway.uplink.accounts import COLUMNS, Key, Period, Sum, Sums, added, held, told
from gateway.uplink.days import DAY_US
from gateway.uplink.kept import KeptPolicy
from security.audit import AuditBrokenError
from security.audit.checking import Step, Walk

POLICY, IN_FORCE = "policy", "in force"
"""The entry, and its result, that tell of a policy which came into force."""


class Account(NamedTuple):
    """Everything that a log tells of releases."""

    total: Sums
    periods: int
    number: int
    """Of the last period."""
    last_id: int
    until_us: int
    """What the log tells reaches to here."""
    complete_from: int
    """The first day, since 1970, of which the log tells all."""
    told_at: int
    """The entry that told the last period."""
    policies: Mapping[str, str]
    """Version of a policy that was in force -> the digest of what the ledger keeps of it."""


def account(walk: Walk, log: Path, until: int | None = None) -> Account:
    """Go through a log, and add up what it tells.

    Args:
        walk: a fresh one; it checks what it goes through.
        log: the log's directory.
        until: the last period that counts; None: the last one there is.

    Raises:
        AuditBrokenError: the log is not in order, tells of no releases, or not so far.
        OSError: it can't be read.
    """
    at = 0
    policies: dict[str, str] = {}

    def steps() -> Iterator[Step]:
        nonlocal at
        for step in walk.through(log):
            at = step.entry.n
            if step.entry.event == POLICY:
                version, digest = _policy(step.body)
                if digest:
                    policies[version] = digest
            yield step

    total: Sums = {}
    first: Period | None = None
    last: Period | None = None
    periods = told_at = 0
    for period in told(steps()):
        if until is not None and period.number > until:
            continue  # to the end all the same: the walk checks the rest
        first, last, periods, told_at = first or period, period, periods + 1, at
        total = added(total, period.sums)
    if first is None or last is None or (until is not None and last.number != until):
        raise AuditBrokenError(f"{log}: it tells of no releases, or not so far")
    complete_from = 0 if first.number == 1 else first.from_us // DAY_US + 1
    return Account(
        total, periods, last.number, last.last_id, last.until_us, complete_from, told_at, policies
    )


def _policy(body: bytes) -> tuple[str, str]:
    """Version and digest that an entry on a policy tells; empty where it tells none."""
    entry = msgspec.json.decode(body, type=dict[str, Any])
    if entry.get("result") != IN_FORCE:
        return "", ""
    return str(entry.get("version", "")), str(entry.get("table", ""))


class Agreement(NamedTuple):
    """What :func:`compare` found in order."""

    periods: int
    until_us: int
    """What the log tells reaches to here."""
    records: int
    """Of the days that could be compared."""
    untold: int
    """Entries of the ledger that the log has not been told of yet."""
    policies: int
    """Tables of policies that the ledger keeps and the log knows."""


def compare(ledger: Path, log: Path) -> Agreement:
    """Whether a ledger says what the audit log was told of it, day by day.

    Days that began before the log's oldest period are left out: it was told of them in part.

    Raises:
        AuditBrokenError: it does not, or the log is not in order; names the day and the row.
        OSError: the log can't be read.
        sqlite3.Error: the ledger can't be read.
    """
    return compare_with(ledger, account(Walk(), log))


def compare_with(ledger: Path, found: Account) -> Agreement:
    """As :func:`compare`, with a log that was gone through already.

    Raises:
        AuditBrokenError, sqlite3.Error: as :func:`compare`.
    """
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        db.execute("BEGIN")  # one state, though the gateway may run
        said = held(db, found.last_id)
        untold = db.execute(
            "SELECT count(*) FROM entries WHERE id > ?", (found.last_id,)
        ).fetchone()[0]
        kept = db.execute("SELECT version, rows, why FROM policies").fetchall()
    records, total = 0, found.total
    for key in sorted({*total, *said}):
        if key[0] < found.complete_from:
            continue
        if total.get(key) != said.get(key):
            raise AuditBrokenError(
                f"{ledger}: {_named(key)}: it says {_said(said.get(key))}, the log was told"
                f" {_said(total.get(key))}"
            )
        records += total[key].records
    return Agreement(found.periods, found.until_us, records, untold, _agreeing(kept, found, ledger))


def _agreeing(kept: Iterable[tuple[str, str, str]], found: Account, ledger: Path) -> int:
    """How many policies are kept as the log was told; what it was not told of does not count."""
    digests = {version: KeptPolicy(version, rows, why).digest() for version, rows, why in kept}
    missing = found.policies.keys() - digests.keys()
    if missing:
        raise AuditBrokenError(f"{ledger}: policy {min(missing)} was in force, and is not kept")
    for version, digest in found.policies.items():
        if digests[version] != digest:
            raise AuditBrokenError(f"{ledger}: policy {version} is not what was in force")
    return len(found.policies)


def _named(key: Key) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(COLUMNS, key, strict=True))


def _said(sums: Sum | None) -> str:
    if sums is None:
        return "nothing"
    return " ".join(f"{name}={value}" for name, value in sums._asdict().items())
