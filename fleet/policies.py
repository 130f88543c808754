"""Release policies: compared with what is in force at each gateway, and signed.

Rules:

* A policy is judged for the destinations that each gateway says it has, with the functions that the
  gateway itself uses, before anybody signs. A gateway that judges by another schema is no target.
* Each gateway gets a bundle of its own, bound to its name and to those destinations.
* What leaves nothing that did not leave before is signed at once. Anything else takes a second
  person (``widen_policy``), and what is signed is exactly what was shown: when anything that it was
  compared with has changed meanwhile, the approval fails.
* Compared is with the policy in force, and with the one that the gateway is to have; where
  that was not signed here, or its destinations are not the same, as with nothing. Other invariants
  are a widening, too.
* A bundle is signed anew, under its number, when the authority that signed it is on its way out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from fleet.approvals import Approval, Approvals, Kind, Within
from fleet.policy_draft import Draft, target_of
from fleet.policy_store import (
    BundleRow,
    GatewayPolicyRow,
    PolicyRow,
    PolicyStore,
)
from fleet.registry import Registry
from fleet.roles import OperatorRole
from fleet.store import PreconditionError
from gateway.domain.errors import MalformedError
from gateway.domain.ports import Clock
from protos.wardgate.v1 import fleet_pb2 as pb
from security.identity import Auditor
from security.policy import default_invariants
from security.policy.invariants import INVARIANTS_BYTES_MAX
from security.policybundle import (
    NUMBER_MAX,
    Bundle,
    sign_bundle,
)

WIDEN: Final = "widen_policy"
TARGETS_MAX: Final = 10_000
FACTS_BYTES_MAX: Final = 64 * 1024
"""Of what a gateway says of its policy: some hundred destinations."""
DPO: Final = frozenset({OperatorRole.DPO})
SECOND: Final = frozenset({OperatorRole.DPO, OperatorRole.SECURITY_OFFICER})
"""A hospital with one data-protection officer can widen, and never alone."""


log = logging.getLogger(__name__)


class Wanted(NamedTuple):
    """What a gateway is to have."""

    row: BundleRow
    attempt: int
    """Grows when it is to be told once more."""


class Policies:
    """Call :meth:`load` before anything else; :meth:`wanted` is from memory, on the loop."""

    def __init__(
        self,
        kept: PolicyStore,
        registry: Registry,
        approvals: Approvals,
        clock: Clock,
        audit: Auditor,
    ) -> None:
        self.kept = kept
        self._registry = registry
        self._approvals = approvals
        self._clock = clock
        self._audit = audit
        self._wanted: dict[str, Wanted] = {}
        self._facts: dict[str, pb.PolicyFacts] = {}
        self._attempts: dict[str, int] = {}
        self._listeners: list[Callable[[], None]] = []
        self._signing = asyncio.Lock()
        self._seen_version = -1
        self._signer = ""
        approvals.register(WIDEN, Kind(DPO, SECOND, self._execute))

    def listen(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` when some gateway is to have another policy."""
        self._listeners.append(changed)

    async def load(self) -> None:
        """Read who is to have what; signs anew what another authority has signed."""
        rows = await self._registry.run(self._read)
        self._facts = {row.gateway: row.facts for row, _ in rows}
        found = {
            row.gateway: Wanted(bundle, self._attempts.get(row.gateway, 0))
            for row, bundle in rows
            if bundle is not None
        }
        if found != self._wanted:
            self._wanted = found
            for changed in self._listeners:
                changed()

    async def tick(self) -> None:
        """Notice what the fleet's host has signed, and another authority."""
        version = await self._registry.run(self._data_version)
        if (version, self._registry.site.list_signer.id) != (self._seen_version, self._signer):
            self._seen_version, self._signer = version, self._registry.site.list_signer.id
            await self.load()

    def wanted(self, gateway: str) -> Wanted | None:
        """What a gateway is to have; None: nothing was ever said."""
        return self._wanted.get(gateway)

    async def tell_again(self, gateways: Iterable[str]) -> None:
        """Have gateways hear once more of what they are to have."""
        for name in gateways:
            self._attempts[name] = self._attempts.get(name, 0) + 1
        await self.load()

    async def heard(self, gateway: str, facts: pb.PolicyFacts) -> None:
        """Keep what a gateway says, so that it can be a target while it is away."""
        lasting = pb.PolicyFacts()
        lasting.CopyFrom(facts)
        for counts in ("released", "withheld", "refusals"):
            lasting.ClearField(counts)
        if lasting.number > NUMBER_MAX or lasting.ByteSize() > FACTS_BYTES_MAX:
            log.warning("gateway %s says more of its policy than there can be", gateway)
        elif lasting != self._facts.get(gateway):
            self._facts[gateway] = lasting
            await self._registry.run(self.kept.put_facts, gateway, lasting)

    async def propose(
        self, text: str, invariants: str, gateways: Sequence[str], by: str
    ) -> tuple[Draft, PolicyRow | None, Approval | None]:
        """Sign a policy that widens nothing, or have it wait for a second person.

        Raises:
            MalformedError: ``policy``: it is refused; the message has the counter-example.
            PreconditionError: a gateway has not said enough of itself.
            TokenError: the key's token is away.
        """
        draft = await self.draft(text, invariants, gateways)
        self._audit.record(
            "policy_proposed", by=by, widens=draft.widens, gateways=len(draft.targets)
        )
        if draft.widens:
            return draft, None, await self._approvals.request(WIDEN, draft.parameters, by)
        return draft, await self._sign(draft, by, "", None), None

    async def draft(self, text: str, invariants: str, gateways: Sequence[str]) -> Draft:
        """Judge a policy for some gateways, or for all that have said something.

        Raises:
            MalformedError, PreconditionError: as :meth:`propose`.
        """
        invariants = invariants if invariants.strip() else default_invariants().decode()
        if len(invariants.encode()) > INVARIANTS_BYTES_MAX:
            raise MalformedError("policy", "the invariants are too long")
        rows = await self._registry.run(self._chosen, tuple(sorted(set(gateways))))
        targets = []
        for row, before in rows:
            draft = Bundle(1, 0, text, invariants, self._registry.trust_domain)
            targets.append(await asyncio.to_thread(target_of, draft, row, before))
        return Draft(text, invariants, tuple(targets))

    async def still_as_approved(self, number: int, gateways: Sequence[str]) -> None:
        """Refuse to roll out what would by now widen more than was agreed.

        Raises:
            PreconditionError: names the gateway, and what.
        """
        policy = await self._registry.run(self.kept.policy, number)
        agreed = {row.gateway: row for row in await self._registry.run(self.kept.bundles, number)}
        draft = await self.draft(policy.text, policy.invariants, gateways)
        for target in draft.targets:
            if target.compared_with > number:
                raise PreconditionError(
                    f"{target.gateway} has policy {target.compared_with}, and numbers only grow: to"
                    " go back, propose the old text again"
                )
            row = agreed.get(target.gateway)
            if row is None:
                continue  # the host's word, for everybody
            fresh = [words for words in target.widened if words not in row.widened]
            if row.proved_otherwise(target.destinations) or (fresh and policy.proposed_by):
                why = f"it would widen {fresh[0]}" if fresh else "its destinations are others"
                raise PreconditionError(
                    f"policy {number} was signed for what {target.gateway} was before; now {why}:"
                    " propose it again"
                )

    # Execution

    async def _execute(self, parameters: Mapping[str, object], by: str, within: Within) -> None:
        text, invariants = str(parameters["policy"]), str(parameters["invariants"])
        gateways = parameters["gateways"]
        draft = await self.draft(text, invariants, gateways if isinstance(gateways, list) else [])
        if draft.parameters != parameters:
            raise PreconditionError("what it was compared with has changed since: propose it again")
        proposed_by, _, approved_by = by.partition("+")
        await self._sign(draft, proposed_by, approved_by, within)

    async def _sign(
        self, draft: Draft, proposed_by: str, approved_by: str, within: Within | None
    ) -> PolicyRow:
        async with self._signing:
            row = await self._registry.run(self._put, draft, proposed_by, approved_by, within)
        self._audit.record(
            "policy_signed",
            by=f"{proposed_by}+{approved_by}" if approved_by else proposed_by,
            number=row.number,
            gateways=len(draft.targets),
        )
        return row

    # On the store's thread

    def _put(
        self, draft: Draft, proposed_by: str, approved_by: str, within: Within | None
    ) -> PolicyRow:
        now_us = self._clock.now_us()
        policy = PolicyRow(
            self.kept.next_number(), draft.text, draft.invariants, now_us, proposed_by, approved_by
        )
        unsigned = (
            BundleRow(
                policy.number,
                target.gateway,
                target.compared_with,
                target.destinations,
                target.widened,
                now_us,
                "",
                b"",
            )
            for target in draft.targets
        )
        self.kept.put(policy, [self._signed(policy, row) for row in unsigned], within)
        return policy

    def _signed(self, policy: PolicyRow, row: BundleRow) -> BundleRow:
        """A bundle by the authority that all gateways trust for sure."""
        authority = self._registry.site.list_signer
        bundle = Bundle(
            row.number,
            row.issued_us,
            policy.text,
            policy.invariants,
            authority.trust_domain,
            row.gateway,
            destinations=row.destinations,
        )
        return row._replace(signer=authority.id, bundle=sign_bundle(authority, bundle))

    def _read(self) -> list[tuple[GatewayPolicyRow, BundleRow | None]]:
        found = []
        for row in self.kept.gateways():
            bundle = self.kept.bundle(row.wanted, row.gateway) if row.wanted else None
            if bundle is not None and bundle.signer != self._registry.site.list_signer.id:
                policy = self.kept.policy(bundle.number)
                bundle = self._signed(policy, bundle._replace(issued_us=self._clock.now_us()))
                self.kept.put_bundle(bundle)
            found.append((row, bundle))
        return found

    def _data_version(self) -> int:
        """Changes when another process has written."""
        return int(self.kept.store.db.execute("PRAGMA data_version").fetchone()[0])

    def _chosen(
        self, gateways: tuple[str, ...]
    ) -> list[tuple[GatewayPolicyRow, list[Bundle | None]]]:
        known = {row.gateway: row for row in self.kept.gateways() if row.facts.schema_sha256}
        unknown = [name for name in gateways if name not in known]
        if unknown or not known:
            who = ", ".join(unknown[:8]) or "no gateway"
            raise PreconditionError(f"{who} has not said which destinations it has")
        if len(gateways or known) > TARGETS_MAX:
            raise MalformedError("policy", f"more than {TARGETS_MAX} gateways")
        return [(known[name], self._baselines(known[name])) for name in gateways or known]

    def _baselines(self, row: GatewayPolicyRow) -> list[Bundle | None]:
        """What is in force at a gateway, and what it is to have if that is newer."""
        facts = row.facts
        found: list[Bundle | None] = [self._bundle_of(facts.number, row.gateway, facts.substance)]
        if row.wanted > facts.number:
            found.append(self._bundle_of(row.wanted, row.gateway, None))
        return found

    def _bundle_of(self, number: int, gateway: str, substance: str | None) -> Bundle | None:
        """What was signed here under a number, if it is what the gateway has."""
        row = self.kept.bundle(number, gateway) if number else None
        if row is None:
            return None
        policy = self.kept.policy(number)
        bundle = Bundle(
            number,
            row.issued_us,
            policy.text,
            policy.invariants,
            self._registry.trust_domain,
            row.gateway,
            destinations=row.destinations,
        )
        return bundle if substance in {None, bundle.substance} else None
