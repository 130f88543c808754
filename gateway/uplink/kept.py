"""What the ledger keeps of a policy, for ever: its table, which rules decided, and for whom.

Once a policy is gone from the configuration, this is what explains what was released under it. The
audit log is told the digest when the policy comes into force, so that who changes what is kept is
found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from gateway.domain.labels import DataClass, DestinationInfo, Label, ReleaseRow, Treatment


class Recipient(msgspec.Struct, frozen=True):
    """Who a destination was, as the policy knew it."""

    zone: str
    purpose: str
    tenant: str


class Why(msgspec.Struct, frozen=True):
    """What explains a table."""

    destinations: dict[str, Recipient] = {}
    rules: dict[str, dict[str, tuple[str, ...]]] = {}
    """Destination -> cell (as in the table) -> the ids of the rules that decided."""


class KeptPolicy(msgspec.Struct, frozen=True):
    """One policy, in the texts that lie in the ledger."""

    version: str
    rows: str
    why: str
    """Empty: it came into force before rules were kept."""

    def digest(self) -> str:
        """SHA-256, in hexadecimal, over all of it."""
        parts = f"{self.version}\n{self.rows}\n{self.why}"
        return hashlib.sha256(b"wardgate kept policy 1\n" + parts.encode()).hexdigest()

    def table(self) -> dict[str, ReleaseRow]:
        """Destination -> label -> treatment."""
        return unpack(self.rows)

    def explanation(self) -> Why:
        """Rules and destinations; nothing where none were kept."""
        return msgspec.json.decode(self.why, type=Why) if self.why else Why()


def pack(rows: Mapping[str, ReleaseRow]) -> str:
    """A policy's table as it is kept."""
    plain = {
        name: {cell(label): int(treatment) for label, treatment in row.items()}
        for name, row in rows.items()
    }
    return msgspec.json.encode(plain).decode()


def unpack(packed: str) -> dict[str, ReleaseRow]:
    """The same again."""
    plain = msgspec.json.decode(packed, type=dict[str, dict[str, int]])
    return {
        name: {_label(each): Treatment(treatment) for each, treatment in row.items()}
        for name, row in plain.items()
    }


def explain(
    destinations: Iterable[DestinationInfo], rules: Mapping[tuple[str, Label], tuple[str, ...]]
) -> str:
    """What is kept beside a table.

    Args:
        destinations: as the policy was compiled for them.
        rules: the rules that decided, by destination and label.
    """
    decided: dict[str, dict[str, tuple[str, ...]]] = {}
    for (name, label), ids in sorted(rules.items()):
        decided.setdefault(name, {})[cell(label)] = ids
    infos = {each.name: Recipient(each.zone, each.purpose, each.tenant) for each in destinations}
    return msgspec.json.encode(Why(infos, decided), order="sorted").decode()


def cell(label: Label) -> str:
    """``4/3``: class and level, as the table names them."""
    return f"{int(label.data_class)}/{label.level}"


def _label(name: str) -> Label:
    data_class, _, level = name.partition("/")
    return Label(DataClass(int(data_class)), int(level))
