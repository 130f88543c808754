"""What one table releases and another does not.

Rule: a change is a widening unless the new treatment reveals nothing that the old one did not
(:data:`gateway.domain.labels.AS_STRICT`). So where neither is the stricter, something leaves that
did not leave before, and it counts as one. A destination that only one table has gets nothing from
the other.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from gateway.domain.labels import AS_STRICT, Label, Treatment
from security.policy.compile import LABELS, PolicyTable


class Kind(StrEnum):
    """What a change does to what leaves."""

    WIDENING = "widening"
    NARROWING = "narrowing"
    INCOMPARABLE = "incomparable"
    """Some of it is shown that was hidden, and some hidden that was shown."""


class Change(NamedTuple):
    """One destination, class and level that two tables treat differently."""

    destination: str
    label: Label
    before: Treatment
    after: Treatment
    kind: Kind
    rules_before: tuple[str, ...]
    rules_after: tuple[str, ...]
    """The rules that decide, by ``@id``."""

    @property
    def reveals_more(self) -> bool:
        """Whether anything leaves that did not before."""
        return self.kind is not Kind.NARROWING


def differences(old: PolicyTable, new: PolicyTable) -> list[Change]:
    """Every change, by destination, class and level."""
    found = []
    for name in dict.fromkeys((*old.rows, *new.rows)):
        for label in LABELS:
            before, rules_before = _of(old, name, label)
            after, rules_after = _of(new, name, label)
            if before is not after:
                kind = _kind(before, after)
                found.append(Change(name, label, before, after, kind, rules_before, rules_after))
    return found


def widenings(old: PolicyTable, new: PolicyTable) -> list[Change]:
    """The changes by which something leaves that did not before: what needs approval."""
    return [change for change in differences(old, new) if change.reveals_more]


def _of(table: PolicyTable, name: str, label: Label) -> tuple[Treatment, tuple[str, ...]]:
    decision = table.decisions.get((name, label))
    return (Treatment.WITHHOLD, ()) if decision is None else (decision.treatment, decision.policies)


def _kind(before: Treatment, after: Treatment) -> Kind:
    if after in AS_STRICT[before]:
        return Kind.NARROWING
    return Kind.WIDENING if before in AS_STRICT[after] else Kind.INCOMPARABLE
