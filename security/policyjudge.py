"""What a policy means for a gateway's destinations, and what it lets out beyond another.

The fleet judges before it signs, a gateway before it obeys, both with these functions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from gateway.domain.errors import RefusalReason, RefusedError
from gateway.domain.labels import DestinationInfo
from security.policy import (
    Change,
    Invariant,
    PolicyTable,
    Proof,
    default_invariants,
    read_invariants,
    verified_policy,
    widenings,
)
from security.policy.compile import VERSION_CHARS
from security.policybundle import Bundle

_NOTHING = PolicyTable("", {}, {}, {}, {})


class Judged(NamedTuple):
    """A policy, compiled and proved for some destinations."""

    table: PolicyTable
    destinations: tuple[DestinationInfo, ...]
    """Those that it says something about."""
    proof: Proof


def judge(
    bundle: Bundle, own: Sequence[DestinationInfo], local: Sequence[Invariant] = ()
) -> Judged:
    """Compile a policy and prove its invariants, for the destinations that it was signed for.

    Takes a second, or a few.

    Args:
        bundle: the policy.
        own: the gateway's destinations.
        local: invariants that must hold besides the bundle's.

    Raises:
        PolicyError: it is refused; the message has the rule, or the counter-example.
        RefusedError: ``untrusted``: it is another tenant's.
    """
    if bundle.tenant and any(each.tenant != bundle.tenant for each in own):
        raise RefusedError(RefusalReason.UNTRUSTED, f"the policy is tenant {bundle.tenant}'s")
    invariants = (*stated_invariants(bundle), *local)
    proved = bundle.proved_for(own)
    table, proof = verified_policy(bundle.policy, bundle.destinations or proved, invariants)
    table = _without(table, {each.name for each in own if each not in proved})
    return Judged(table, tuple(proved), proof)


def stated_invariants(bundle: Bundle) -> tuple[Invariant, ...]:
    """What must hold of a policy: what was signed with it, or, where nothing was, what is shipped.

    Raises:
        PolicyError: it can't be read.
    """
    stated = bundle.invariants.encode() if bundle.invariants.strip() else default_invariants()
    return read_invariants(stated)


def widened(before: Judged | None, after: Judged) -> list[Change]:
    """What ``after`` lets out that ``before`` did not, or not in that shape.

    A destination is the same only if all of its words are: under another zone, it is new.
    """
    old = _NOTHING
    if before is not None:
        others = {each.name for each in after.destinations if each not in before.destinations}
        old = _without(before.table, others)
    names = {each.name for each in after.destinations}
    return [change for change in widenings(old, after.table) if change.destination in names]


def words_of(change: Change) -> str:
    """A change in one line."""
    label, before, after = change.label, change.before, change.after
    return (
        f"{change.destination}: {label.data_class.name.lower()} level {label.level}:"
        f" {before.name.lower()} -> {after.name.lower()}"
    )


def _without(table: PolicyTable, names: set[str]) -> PolicyTable:
    """The table without what it says of some destinations: nothing leaves for them."""
    if names.isdisjoint(table.rows):
        return table
    # Equal versions are equal tables, also in the ledger.
    left = sorted(set(table.rows) - names)
    version = hashlib.sha256(" ".join((table.version, *left)).encode()).hexdigest()
    return table._replace(
        version=version[:VERSION_CHARS],
        rows={name: table.rows[name] for name in left},
        decisions={key: each for key, each in table.decisions.items() if key[0] in left},
        destinations={name: table.destinations[name] for name in left},
    )
