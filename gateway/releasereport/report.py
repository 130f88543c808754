"""The form of a release report.

Rules:

* What is signed is the canonical form: the report's JSON, in the order of the fields below, with an
  empty signature, behind a line that says what it is. A file that holds anything but that JSON with
  its signature and a line feed is refused: no byte of it is free.
* It counts whole days, UTC, by when a release was entered; the last may be told in part
  (``until_us``).
* It carries the head of the audit log that it was made from, and of each policy what the ledger
  keeps: with the log it can be checked without the ledger.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.labels import DataClass, Label, Treatment, Zone
from gateway.uplink.accounts import COLUMNS, Sum, Sums
from gateway.uplink.kept import KeptPolicy, Recipient, cell
from security.audit import AuditBrokenError, TreeHead
from security.audit.form import key_id

_STATEMENT = b"wardgate release report 1\n"
EPOCH = date(1970, 1, 1)
REPORT_BYTES_MAX = 64 << 20
INSIDE = frozenset((Zone.WARD, Zone.CAMPUS))
"""Zones on the campus; to any other, data has left it."""
IDENTIFIES = 4
"""From this level on data identifies a person (GB/T 39725-2020)."""


class Row(msgspec.Struct, frozen=True, rename={"data_class": "class"}, order=True):
    """What left, or was withheld, of one kind for one destination under one policy."""

    destination: str
    data_class: str
    level: int
    treatment: str
    rules: tuple[str, ...]
    """The ids of the rules that decided; empty where none was kept, or none permits."""
    decided: str
    """By which table: ``policy``, ``collection``, or ``both``: the stricter of two that differ."""
    policy: str
    collected_under: str
    entries: int
    records: int
    bytes: int
    first_us: int
    last_us: int


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it."""

    version: int
    gateway: str
    """As the audit log is named."""
    first_day: str
    last_day: str
    destinations: tuple[str, ...]
    """Empty: all."""
    period: int
    """The last release period of the log that counts."""
    until_us: int
    """Releases are told up to here."""
    made_us: int
    rows: tuple[Row, ...]
    policies: tuple[KeptPolicy, ...]
    """Those that the rows name."""
    head: TreeHead
    key: str
    signature: str = ""

    def statement(self) -> bytes:
        """What is signed."""
        return _STATEMENT + msgspec.json.encode(msgspec.structs.replace(self, signature=""))

    def signed(self, key: Ed25519PrivateKey) -> Report:
        """With its signature."""
        named = msgspec.structs.replace(self, key=key_id(key.public_key()))
        return msgspec.structs.replace(named, signature=key.sign(named.statement()).hex())

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        """Whether this key signed it."""
        try:
            key.verify(bytes.fromhex(self.signature), self.statement())
        except (InvalidSignature, ValueError):
            return False
        return self.key == key_id(key)

    def encoded(self) -> bytes:
        """The file."""
        return msgspec.json.encode(self) + b"\n"

    @property
    def days(self) -> range:
        """The days that it is about, since 1970."""
        first, last = date.fromisoformat(self.first_day), date.fromisoformat(self.last_day)
        return range((first - EPOCH).days, (last - EPOCH).days + 1)

    @property
    def complete(self) -> bool:
        """Whether the last day was over, and told, when it was made."""
        return self.until_us >= (self.days[-1] + 1) * 86_400_000_000

    def recipients(self) -> dict[str, Recipient]:
        """Who the destinations were, by the newest policy that names them."""
        found: dict[str, Recipient] = {}
        for policy in self.policies:
            found.update(policy.explanation().destinations)
        return found


class Answer(msgspec.Struct, frozen=True):
    """What of a report the question is about: did identifiable data leave the campus?"""

    outside: tuple[str, ...]
    """Destinations outside the campus, or of which that is not known."""
    identifying: int
    """Records of level 4 or 5 that left it unchanged."""
    changed: dict[str, int]
    """Records of level 4 or 5 that left it treated, by treatment."""
    unchanged: int
    """Records of lower levels that left it unchanged."""
    lower: dict[str, int]
    """Records of lower levels that left it treated, by treatment."""
    withheld: int
    """Records of level 4 or 5 that were withheld from it."""


def answer(report: Report) -> Answer:
    """The sums that answer it."""
    known = report.recipients()
    outside = sorted(
        {row.destination for row in report.rows}
        - {name for name, who in known.items() if who.zone in INSIDE}
    )
    identifying = unchanged = withheld = 0
    changed: dict[str, int] = {}
    lower: dict[str, int] = {}
    for row in report.rows:
        if row.destination not in outside:
            continue
        high = row.level >= IDENTIFIES
        if row.treatment == "withhold":
            withheld += row.records if high else 0
        elif row.treatment != "pass":
            treated = changed if high else lower
            treated[row.treatment] = treated.get(row.treatment, 0) + row.records
        elif high:
            identifying += row.records
        else:
            unchanged += row.records
    return Answer(tuple(outside), identifying, changed, unchanged, lower, withheld)


def rows(sums: Sums, policies: dict[str, KeptPolicy]) -> tuple[Row, ...]:
    """The rows of a report; days, lanes and epochs are added up."""
    found: dict[tuple[str, ...], Sum] = {}
    for key, each in sums.items():
        named = dict(zip(COLUMNS, key, strict=True))
        place = tuple(
            str(named[name])
            for name in ("destination", "class", "level", "treatment", "policy", "collected_under")
        )
        found[place] = found[place].plus(each) if place in found else each
    made = []
    for place, each in found.items():
        destination, data_class, level, treatment, policy, under = place
        label = Label(DataClass[data_class.upper()], int(level))
        decided, rules = _decided(
            destination, label, Treatment[treatment.upper()], policies[policy], policies.get(under)
        )
        row = Row(
            destination,
            data_class,
            int(level),
            treatment,
            rules,
            decided,
            policy,
            under,
            each.entries,
            each.records,
            each.bytes,
            each.first_us,
            each.last_us,
        )
        made.append(row)
    return tuple(sorted(made))


def _decided(
    destination: str, label: Label, treatment: Treatment, now: KeptPolicy, then: KeptPolicy | None
) -> tuple[str, tuple[str, ...]]:
    """Which table gave a treatment, and by which rules."""
    for word, policy in (("policy", now), ("collection", then)):
        if policy is None:
            continue
        if policy.table().get(destination, {}).get(label, Treatment.WITHHOLD) is treatment:
            ids = policy.explanation().rules.get(destination, {}).get(cell(label), ())
            return word, ids
    return "both", ()


def load(content: bytes, where: str) -> Report:
    """Read a report's file.

    Raises:
        AuditBrokenError: it is not, byte by byte, what was written.
    """
    try:
        found = msgspec.json.decode(content, type=Report)
    except UNDECODABLE as error:
        raise AuditBrokenError(f"{where}: no release report: {error}") from error
    if found.encoded() != content or found.version != 1:
        raise AuditBrokenError(f"{where}: not in the form that was written")
    return found


def time(us: int) -> str:
    """A time for people, UTC."""
    return f"{datetime.fromtimestamp(us / 1e6, UTC):%Y-%m-%d %H:%M:%SZ}"
