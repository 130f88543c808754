"""Checking a release report against the audit log; the ledger may be gone.

Rules:

1. The log's key signed the report, and the log still has the state whose head the report carries,
   so it is the log that it was made from, and nothing before has changed.
2. The log's own account of the same days is the report's, row by row.
3. Each policy that the report explains itself by is the one that the log says was in force. One
   that was in force before the log's oldest entry can't be checked; it is named.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.releasereport.making import chosen
from gateway.releasereport.report import Report, rows
from gateway.uplink.agreement import Account, account
from security.audit import AuditBrokenError
from security.audit.checking import Walk
from security.audit.form import Anchor


class Checked(NamedTuple):
    """What was found in order."""

    rows: int
    records: int
    """That left; not those withheld."""
    withheld: int
    policies: int
    unchecked: tuple[str, ...]
    """Versions of policies that the log has no word of any more."""


def check(
    report: Report, log: Path, keys: Iterable[Ed25519PublicKey], anchors: Iterable[Anchor] = ()
) -> Checked:
    """Check a report against its log.

    Args:
        report: as read.
        log: the audit log's directory.
        keys: the keys that may have signed log and report.
        anchors: states of the log that were kept elsewhere.

    Raises:
        AuditBrokenError: with what does not hold.
        OSError: the log can't be read.
    """
    keys = tuple(keys)
    if not any(report.is_signed_by(key) for key in keys):
        raise AuditBrokenError("the report's signature is not the log's key's")
    if not any(report.head.is_signed_by(key) for key in keys):
        raise AuditBrokenError("the report's head of the log is not signed by the log's key")
    walk = Walk(keys, (*anchors, report.head))
    found = account(walk, log, report.period)
    whole = walk.verified()
    if (whole.name, whole.log) != (report.head.name, report.head.log):
        raise AuditBrokenError(f"the report was made from another log, {report.head.name}")
    if whole.name != report.gateway or found.until_us != report.until_us:
        raise AuditBrokenError("the report says another gateway or time than the log")
    if found.told_at > report.head.size:
        raise AuditBrokenError("the report's head does not cover its last release period")
    unchecked = _policies(report, found)
    if report.days[0] < found.complete_from:
        raise AuditBrokenError(f"the log no longer has all of {report.first_day}")
    kept = {each.version: each for each in report.policies}
    try:
        told = rows(chosen(found.total, report.days, report.destinations), kept)
    except KeyError as error:
        raise AuditBrokenError(f"the report does not explain policy {error}") from error
    if told != report.rows:
        differing = min({*told} ^ {*report.rows}, default=told[0] if told else report.rows[0])
        raise AuditBrokenError(
            f"{differing.destination}, {differing.data_class} {differing.level},"
            f" {differing.treatment}: the report says something else than the log"
        )
    left = sum(row.records for row in told if row.treatment != "withhold")
    withheld = sum(row.records for row in told) - left
    return Checked(len(told), left, withheld, len(kept) - len(unchecked), unchecked)


def _policies(report: Report, found: Account) -> tuple[str, ...]:
    unchecked = []
    for kept in report.policies:
        digest = found.policies.get(kept.version)
        if digest is None:
            unchecked.append(kept.version)
        elif digest != kept.digest():
            raise AuditBrokenError(f"policy {kept.version} in the report is not what was in force")
    return tuple(unchecked)
