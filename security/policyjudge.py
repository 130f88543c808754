"""What a policy means for a gateway's destinations, and what it lets out beyond another.

The fleet judges before it signs, a gateway before it obeys, both with these functions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway.domain.errors import RefusalReason, RefusedError
from gateway.domain.labels import AS_STRICT, DestinationInfo, Label, Treatment
from security.policy import LABELS, VERSION_CHARS, PolicyError, PolicyTable, compile_policy
from security.policybundle import Bundle


class Widened(NamedTuple):
    """One kind of data that would leave as it did not before."""

    destination: str
    label: Label
    before: Treatment
    after: Treatment

    def __str__(self) -> str:
        return (
            f"{self.destination}: {self.label.data_class.name.lower()} level {self.label.level}:"
            f" {self.before.name.lower()} -> {self.after.name.lower()}"
        )


class Judged(NamedTuple):
    """A policy, compiled and proved for some destinations."""

    table: PolicyTable
    destinations: tuple[DestinationInfo, ...]
    """Those that it says something about."""


def judge(bundle: Bundle, own: Sequence[DestinationInfo]) -> Judged:
    """Compile a policy and prove its invariants, for the destinations that it was signed for.

    Raises:
        PolicyError: it is refused; the message has the rule, or the counter-example.
        RefusedError: ``untrusted``: it is another tenant's.
    """
    if bundle.tenant and any(each.tenant != bundle.tenant for each in own):
        raise RefusedError(RefusalReason.UNTRUSTED, f"the policy is tenant {bundle.tenant}'s")
    proved = bundle.proved_for(own)
    table = compile_policy(bundle.policy, bundle.destinations or proved)
    _prove(bundle.invariants, table)
    return Judged(_without(table, {each.name for each in own if each not in proved}), tuple(proved))


def widened(before: Judged | None, after: Judged) -> Iterator[Widened]:
    """What ``after`` lets out that ``before`` did not, or not in that shape.

    A destination is the same only if all of its words are: under another zone, it is new.
    """
    same = frozenset(before.destinations if before else ())
    for destination in after.destinations:
        for label in LABELS:
            was = Treatment.WITHHOLD
            if before is not None and destination in same:
                was = before.table.rows[destination.name][label]
            now = after.table.rows[destination.name][label]
            if now not in AS_STRICT[was]:
                yield Widened(destination.name, label, was, now)


def _prove(invariants: str, table: PolicyTable) -> None:
    del table
    if invariants.strip():
        raise PolicyError("this version can't prove invariants")


def _without(table: PolicyTable, names: set[str]) -> PolicyTable:
    """The table without what it says of some destinations: nothing leaves for them."""
    if names.isdisjoint(table.rows):
        return table
    # Equal versions are equal tables, also in the ledger.
    left = sorted(set(table.rows) - names)
    version = hashlib.sha256(" ".join((table.version, *left)).encode()).hexdigest()
    return PolicyTable(
        version[:VERSION_CHARS],
        {name: table.rows[name] for name in left},
        {key: each for key, each in table.decisions.items() if key[0] in left},
    )
