"""Heads of the gateways' audit logs: kept, compared, and never replaced.

Rules:

1. A head counts when it is signed by the key that comes with it, names the gateway that the
   stream's certificate names, and brings the proof (RFC 9162, 2.1.4) that it continues the newest
   head that was accepted of the same log. The first one of a gateway is believed.
2. What contradicts an accepted head is kept beside it as evidence: a smaller size, the same size
   with another root, a longer log without a valid proof. It never becomes the one to continue.
3. Another log of the same gateway (its disk is new, or somebody began anew), or another key that
   continues the same log, is accepted and told: both can be honest, and somebody has to know.
4. Heads of the last day are all kept, older ones by the hour; evidence is never deleted.

Works on the store's connection, in the store's thread.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from gateway.domain.errors import MalformedError
from gateway.wire.heads import from_message
from protos.wardgate.v1 import ingest_pb2 as pb
from security.audit import TreeHead
from security.audit.merkle import consistency_holds

log = logging.getLogger(__name__)

DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000
EVIDENCE_MAX = 1000
"""Of one gateway: contradictions, other logs and other keys; beyond it they are only counted."""


class Verdict(StrEnum):
    """What the core makes of a head."""

    ACCEPTED = "accepted"
    KNOWN = "known"
    """It was accepted before."""
    OTHER_LOG = "other_log"
    OTHER_KEY = "other_key"
    SMALLER = "smaller"
    FORKED = "forked"
    """The same size as an accepted one, and another root."""
    INCONSISTENT = "inconsistent"
    UNPROVEN = "unproven"
    """It brings no proof from the newest that was accepted."""
    MALFORMED = "malformed"
    """Not a head, not signed, or another gateway's."""


ACCEPTED = (Verdict.ACCEPTED, Verdict.OTHER_LOG, Verdict.OTHER_KEY)
QUIET = (Verdict.ACCEPTED, Verdict.KNOWN)
"""The other ones somebody must hear of."""


class KeptHead(NamedTuple):
    """A row."""

    head: TreeHead
    public_key: bytes
    received_us: int
    accepted: bool
    verdict: str


_COLUMNS = "log, size, root, signed_us, key, signature, public_key, received_us, accepted, verdict"


def newest(db: sqlite3.Connection, gateway: str, of_log: str | None = None) -> KeptHead | None:
    """The head that the next one must continue; of any of the gateway's logs by default.

    Raises:
        sqlite3.Error: the store can't be read.
    """
    which = "gateway = ? AND accepted = 1" + (" AND log = ?" if of_log is not None else "")
    arguments = (gateway,) if of_log is None else (gateway, of_log)
    row = db.execute(
        f"SELECT {_COLUMNS} FROM audit_heads WHERE {which} ORDER BY id DESC LIMIT 1",  # noqa: S608  # constants
        arguments,
    ).fetchone()
    return _kept(gateway, row) if row else None


def kept(db: sqlite3.Connection, gateway: str) -> list[KeptHead]:
    """Everything that is kept of a gateway, in the order of arrival.

    Raises:
        sqlite3.Error: the store can't be read.
    """
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM audit_heads WHERE gateway = ? ORDER BY id",  # noqa: S608  # constants
        (gateway,),
    )
    return [_kept(gateway, row) for row in rows]


def gateways(db: sqlite3.Connection) -> list[str]:
    """Whose heads are kept."""
    rows = db.execute("SELECT DISTINCT gateway FROM audit_heads ORDER BY gateway")
    return [name for (name,) in rows]


def take(db: sqlite3.Connection, gateway: str, message: pb.AuditHead, now_us: int) -> Verdict:
    """Judge a head and keep it, durably.

    Raises:
        sqlite3.Error: it was not kept.
    """
    try:
        head = from_message(message)
    except MalformedError as error:
        log.error("gateway %s: a head of its audit log is refused: %s", gateway, error)  # noqa: TRY400  # the reason is told
        return Verdict.MALFORMED
    if head.name != name_of(gateway):
        log.error("gateway %s: it sent a head of %r", gateway, head.name)
        return Verdict.MALFORMED
    verdict = _judge(db, gateway, head, message)
    if verdict not in QUIET:
        log.error(
            "gateway %s: its audit log %s, size %d: %s", gateway, head.log, head.size, verdict
        )
    if verdict is Verdict.ACCEPTED or (verdict is not Verdict.KNOWN and _has_room(db, gateway)):
        accepted = int(verdict in ACCEPTED)
        last = newest(db, gateway)
        if last is not None and last.received_us // HOUR_US != now_us // HOUR_US:
            thin(db, gateway, now_us)
        db.execute(
            f"INSERT INTO audit_heads (gateway, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608  # constants
            (
                gateway,
                head.log,
                head.size,
                head.root,
                head.us,
                head.key,
                head.signature,
                message.public_key,
                now_us,
                accepted,
                verdict,
            ),
        )
    return verdict


def name_of(gateway: str) -> str:
    """As its log's heads name it."""
    return f"gateway/{gateway}"


def _judge(db: sqlite3.Connection, gateway: str, head: TreeHead, message: pb.AuditHead) -> Verdict:
    last = newest(db, gateway, head.log)
    if last is None:
        return Verdict.ACCEPTED if newest(db, gateway) is None else Verdict.OTHER_LOG
    same = _roots(db, gateway, head)
    if same:
        return Verdict.KNOWN if same == {head.root} else Verdict.FORKED
    if head.size <= last.head.size:
        return Verdict.SMALLER
    if message.since != last.head.size:
        return Verdict.UNPROVEN
    if not _continues(last.head, head, message.consistency):
        return Verdict.INCONSISTENT
    return Verdict.ACCEPTED if last.head.key == head.key else Verdict.OTHER_KEY


def _continues(older: TreeHead, newer: TreeHead, proof: Sequence[bytes]) -> bool:
    roots = bytes.fromhex(older.root), bytes.fromhex(newer.root)
    return consistency_holds(older.size, newer.size, *roots, list(proof))


def _roots(db: sqlite3.Connection, gateway: str, head: TreeHead) -> set[str]:
    """The roots that were accepted for the same size of the same log; one at most."""
    rows = db.execute(
        "SELECT root FROM audit_heads WHERE gateway = ? AND log = ? AND accepted = 1 AND size = ?",
        (gateway, head.log, head.size),
    )
    return {root for (root,) in rows}


def _has_room(db: sqlite3.Connection, gateway: str) -> bool:
    (count,) = db.execute(
        "SELECT count(*) FROM audit_heads WHERE gateway = ? AND verdict <> ?",
        (gateway, Verdict.ACCEPTED),
    ).fetchone()
    return bool(count < EVIDENCE_MAX)


def thin(db: sqlite3.Connection, gateway: str, now_us: int) -> int:
    """Of a gateway's heads older than a day keep the last one of each hour; how many went.

    Raises:
        sqlite3.Error: nothing changed.
    """
    return db.execute(
        "DELETE FROM audit_heads WHERE gateway = ? AND verdict = ? AND received_us < ?"
        " AND id NOT IN (SELECT max(id) FROM audit_heads WHERE gateway = ? AND accepted = 1"
        "  GROUP BY log, received_us / ?)",
        (gateway, Verdict.ACCEPTED, now_us - DAY_US, gateway, HOUR_US),
    ).rowcount


def _kept(gateway: str, row: Sequence[object]) -> KeptHead:
    log_id, size, root, signed_us, key, signature, public_key, received_us, accepted, verdict = row
    head = TreeHead(
        name_of(gateway),
        str(log_id),
        _int(size),
        str(root),
        _int(signed_us),
        str(key),
        str(signature),
    )
    raw = public_key if isinstance(public_key, bytes) else b""
    return KeptHead(head, raw, _int(received_us), bool(accepted), str(verdict))


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
