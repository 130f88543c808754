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
from security.policy.compile import LABELS, Decision, PolicyTable


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
            nothing = Decision(name, label, Treatment.WITHHOLD, ())
            before = old.decisions.get((name, label), nothing)
            after = new.decisions.get((name, label), nothing)
            change = changed(name, before, after)
            if change is not None:
                found.append(change)
    return found


def widenings(old: PolicyTable, new: PolicyTable) -> list[Change]:
    """The changes by which something leaves that did not before: what needs approval."""
    return [change for change in differences(old, new) if change.reveals_more]


def changed(destination: str, before: Decision, after: Decision) -> Change | None:
    """The change from one decision to another; None where they treat the data alike."""
    if before.treatment is after.treatment:
        return None
    return Change(
        destination,
        before.label,
        before.treatment,
        after.treatment,
        _kind(before.treatment, after.treatment),
        before.policies,
        after.policies,
    )


def _kind(before: Treatment, after: Treatment) -> Kind:
    if after in AS_STRICT[before]:
        return Kind.NARROWING
    return Kind.WIDENING if before in AS_STRICT[after] else Kind.INCOMPARABLE
