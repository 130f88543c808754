"""Signed policies, what gateways say of theirs, and which each is to have; in the fleet's store.

Rules:

* Numbers only grow, those included that the fleet's host signs and those that gateways report: a
  gateway refuses an older one.
* A policy and all of its bundles are written in one transaction, whole.
* The newest POLICIES_KEPT are kept, and those of before that a gateway has in force or is to have,
  or that the last rollout brings; a bundle holds the text once more for each gateway.

On the store's thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from fleet.store import NotKnownError, PreconditionError, Store
from gateway.domain.labels import DestinationInfo, Zone
from protos.wardgate.v1 import fleet_pb2 as pb
from security.policybundle import NUMBER_MAX

COUNTER: Final = "policies"
AHEAD_MAX: Final = 1_000_000
"""So far ahead of the store a gateway may be, since the store was restored from a backup; what says
more is no gateway of ours, and must not use up the numbers."""
POLICIES_KEPT: Final = 100
"""A text has some kB, so that a hundred of a thousand gateways' are some hundred MB. Who signed an
older one is in the audit log."""
ROLLOUTS_KEPT: Final = 100
EVERY: Final = ""
"""The gateway of a bundle that is every gateway's."""


class PolicyRow(NamedTuple):
    """A signed policy."""

    number: int
    text: str
    invariants: str
    signed_us: int
    proposed_by: str
    approved_by: str


class BundleRow(NamedTuple):
    """What one gateway gets of it."""

    number: int
    gateway: str
    compared_with: int
    destinations: tuple[DestinationInfo, ...] | None
    widened: tuple[str, ...]
    issued_us: int
    signer: str
    bundle: bytes

    @property
    def age_order(self) -> tuple[int, int]:
        return self.number, self.issued_us

    def proved_otherwise(self, own: Sequence[DestinationInfo]) -> bool:
        """Whether it says nothing of some of a gateway's destinations."""
        return self.destinations is not None and not set(own) <= set(self.destinations)


class GatewayPolicyRow(NamedTuple):
    """A gateway, as far as policies go."""

    gateway: str
    wanted: int
    facts: pb.PolicyFacts


class PolicyStore:
    """Over the fleet's store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._db = store.db

    def last_number(self) -> int:
        """The greatest number that was given here."""
        return self.store.number(COUNTER)

    def next_number(self) -> int:
        """Greater than any that was given here, or that a gateway has in force."""
        last = self.last_number()
        theirs = (row.facts.number for row in self.gateways())
        return max((last, *(each for each in theirs if each <= last + AHEAD_MAX))) + 1

    def put(
        self,
        policy: PolicyRow,
        bundles: Iterable[BundleRow],
        within: Callable[[], None] | None = None,
    ) -> None:
        """Note a policy under a new number; ``within`` is called in the transaction.

        Raises:
            PreconditionError: the number is not greater than all before.
        """
        with self.store.transaction():
            if not self.last_number() < policy.number <= NUMBER_MAX:
                raise PreconditionError(
                    f"{policy.number} is not greater than policy {self.last_number()}"
                )
            self._db.execute(
                "INSERT INTO numbers VALUES (?, ?) ON CONFLICT (name) DO UPDATE"
                " SET value = excluded.value",
                (COUNTER, policy.number),
            )
            self._db.execute("INSERT INTO policies VALUES (?,?,?,?,?,?)", policy)
            for row in bundles:
                self.put_bundle(row)
            self._prune()
            if within is not None:
                within()

    def _prune(self) -> None:
        """Forget what is old and nobody has, within the caller's transaction."""
        needed = {number for row in self.gateways() for number in (row.wanted, row.facts.number)}
        rollouts = self._db.execute(
            "SELECT rollout_id, number FROM policy_rollouts ORDER BY rollout_id DESC LIMIT ?",
            (ROLLOUTS_KEPT,),
        ).fetchall()
        needed |= {number for _, number in rollouts[:1]}
        old = [
            (number,)
            for (number,) in self._db.execute(
                "SELECT number FROM policies ORDER BY number DESC LIMIT -1 OFFSET ?",
                (POLICIES_KEPT,),
            )
            if number not in needed
        ]
        if rollouts:
            self._db.execute("DELETE FROM policy_rollouts WHERE rollout_id < ?", rollouts[-1][:1])
        for table in ("policy_rollouts", "policy_bundles", "policies"):
            self._db.executemany(f"DELETE FROM {table} WHERE number=?", old)  # noqa: S608  # constants

    def put_bundle(self, row: BundleRow) -> None:
        """Insert or replace a gateway's bundle: the same, signed anew."""
        with self.store.transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO policy_bundles VALUES (?,?,?,?,?,?,?,?)",
                (
                    *row[:3],
                    json.dumps(row.destinations),
                    json.dumps(row.widened),
                    *row[5:],
                ),
            )

    def policies(self) -> list[PolicyRow]:
        """Every policy, newest first."""
        rows = self._db.execute("SELECT * FROM policies ORDER BY number DESC")
        return [PolicyRow(*row) for row in rows]

    def policy(self, number: int) -> PolicyRow:
        """One policy.

        Raises:
            NotKnownError: there is none of this number.
        """
        row = self._db.execute("SELECT * FROM policies WHERE number=?", (number,)).fetchone()
        if row is None:
            raise NotKnownError(f"no policy {number} was signed here")
        return PolicyRow(*row)

    def bundles(self, number: int) -> list[BundleRow]:
        """The bundles of a policy, by gateway."""
        rows = self._db.execute(
            "SELECT * FROM policy_bundles WHERE number=? ORDER BY gateway", (number,)
        )
        return [_bundle(row) for row in rows]

    def bundle(self, number: int, gateway: str) -> BundleRow | None:
        """A gateway's bundle of a policy, or every gateway's."""
        row = self._db.execute(
            "SELECT * FROM policy_bundles WHERE number=? AND gateway IN (?, '')"
            " ORDER BY gateway DESC LIMIT 1",
            (number, gateway),
        ).fetchone()
        return _bundle(row) if row else None

    def gateways(self) -> list[GatewayPolicyRow]:
        """Every gateway that has said something, or is to have a policy."""
        rows = self._db.execute("SELECT * FROM policy_gateways ORDER BY gateway")
        return [
            GatewayPolicyRow(gateway, wanted, pb.PolicyFacts.FromString(facts))
            for gateway, wanted, facts in rows
        ]

    def put_facts(self, gateway: str, facts: pb.PolicyFacts) -> None:
        """Keep what a gateway says."""
        with self.store.transaction():
            self._db.execute(
                "INSERT INTO policy_gateways (gateway, facts) VALUES (?,?)"
                " ON CONFLICT (gateway) DO UPDATE SET facts = excluded.facts",
                (gateway, facts.SerializeToString()),
            )

    def want(self, gateways: Iterable[str], number: int) -> None:
        """Have gateways get a policy; within a transaction, or as one."""
        with self.store.transaction():
            self._db.executemany(
                "INSERT INTO policy_gateways (gateway, wanted) VALUES (?,?)"
                " ON CONFLICT (gateway) DO UPDATE SET wanted = excluded.wanted",
                ((gateway, number) for gateway in gateways),
            )


def info_of(message: pb.PolicyDestination) -> DestinationInfo:
    """A gateway's word of a destination.

    Raises:
        ValueError: no such zone.
    """
    return DestinationInfo(message.name, Zone(message.zone), message.purpose, message.tenant)


def _bundle(row: tuple[int, str, int, str, str, int, str, bytes]) -> BundleRow:
    listed: Sequence[Sequence[str]] | None = json.loads(row[3])
    destinations = (
        None
        if listed is None
        else tuple(DestinationInfo(name, Zone(zone), *rest) for name, zone, *rest in listed)
    )
    return BundleRow(*row[:3], destinations, tuple(json.loads(row[4])), *row[5:])
