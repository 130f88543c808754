"""The fleet's policies over a real store and a fake clock, with gateways that judge for real."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from fleet.approvals import Approvals
from fleet.health import HealthConfig
from fleet.metrics import METRICS
from fleet.monitor import Monitor
from fleet.operators import OperatorRow, OperatorStore
from fleet.policies import Policies
from fleet.policy_draft import judged
from fleet.policy_store import PolicyStore
from fleet.roles import OperatorRole
from fleet.rollouts import Order, Rollouts
from fleet.store import CredentialRow, Store
from gateway.domain.errors import WardgateError
from gateway.domain.labels import DestinationInfo, Zone
from gateway.telemetry import Telemetry
from protos.wardgate.v1 import fleet_pb2 as pb
from security.names import Role
from security.policybundle import read_bundle, schema_sha256
from tests.fakes import FakeClock
from tests.unit.fleet.test_fleet_approvals import Log

CORE = DestinationInfo("core", Zone.CAMPUS, "care", "ward")
VENDOR = DestinationInfo("vendor", Zone.PARTNER, "maintenance", "ward")
NOTHING = '@id("nothing") forbid (principal, action, resource);'
_NEAR = (
    '@id("near") permit (principal, action == Action::"pass", resource) when {{'
    ' (principal.zone == Zone::"campus" || principal.zone == Zone::"partner")'
    " && resource.level <= {} }};"
)
LOW, MORE = _NEAR.format(1), _NEAR.format(2)
INVARIANTS = """
[[invariant]]
id = "campus"
words = "What identifies a person stays on campus."
level_min = 4
zone_not = "campus"
at_most = "withhold"
"""
DPO, OFFICER = OperatorRole.DPO, OperatorRole.SECURITY_OFFICER
SECOND_US = 1_000_000


class FakeSite:
    def __init__(self, authority):
        self.list_signer = authority


class FakeRegistry:
    """Of a registry, what policies use."""

    def __init__(self, authority):
        self.site = FakeSite(authority)
        self.trust_domain = authority.trust_domain
        self.devices: dict[str, Any] = {}
        self.revoked_devices: frozenset[str] = frozenset()
        self.pool = ThreadPoolExecutor(1)

    def run(self, call, *args):
        return asyncio.get_running_loop().run_in_executor(self.pool, call, *args)


class Edge:
    """A gateway: obeys what it is told, if it can, and reports."""

    def __init__(self, name, destinations=(CORE, VENDOR)):
        self.name = name
        self.destinations = destinations
        self.facts = pb.PolicyFacts(schema_sha256=schema_sha256())
        self.attached = True
        self.mute = False
        """It takes nothing."""
        self.needs_key = False
        """It refuses, as if a pseudonym key were missing."""
        self.started_us = 7
        self.told: list[object] = []

    def take(self, wanted, root, domain):
        facts = self.facts
        del facts.destinations[:]
        facts.destinations.extend(pb.PolicyDestination(**d._asdict()) for d in self.destinations)
        told = (wanted.row.age_order, wanted.attempt) if wanted else None
        if self.mute or wanted is None or told in self.told:
            return
        self.told.append(told)
        if wanted.row.age_order <= (facts.number, facts.issued_us):
            return
        try:
            found = read_bundle(wanted.row.bundle, (root,), domain, self.name)
            bundle, own = found.bundle, tuple(sorted(self.destinations))
            judged(bundle.policy, bundle.invariants, bundle.destinations, own)
            if self.needs_key:
                raise WardgateError("there is no pseudonym_key")
        except WardgateError as error:
            facts.refused_number, facts.refused_reason = wanted.row.number, str(error)
            facts.refusals += 1
            return
        facts.number, facts.issued_us = found.bundle.age_order
        facts.substance = found.bundle.substance


class Scene:
    """Everything that policies need; made again over the same store, it is the next process."""

    def __init__(self, path, authority, clock=None, edges=()):
        self.path, self.authority, self.clock = path, authority, clock or FakeClock()
        self.edges = {edge.name: edge for edge in edges}
        self.audit = cast(Any, Log())
        self.registry = cast(Any, FakeRegistry(authority))
        self.store = Store.open(path, self.clock.now_us)
        self.operators = OperatorStore(self.store)
        self.telemetry = Telemetry(METRICS, prefix="wardgate_fleet")
        health = HealthConfig()
        self.monitor = Monitor(self.registry, health, self.clock, self.telemetry)
        self.approvals = Approvals(self.store, self.operators, self.registry, 24, self.audit)
        self.policies = Policies(
            PolicyStore(self.store), self.registry, self.approvals, self.clock, self.audit
        )
        self.rollouts = Rollouts(
            self.policies, self.registry, self.monitor, self.clock, self.telemetry, self.audit
        )

    def again(self):
        """The process was killed, and another has the store."""
        self.registry.pool.shutdown()
        self.store.close()
        return Scene(self.path, self.authority, self.clock, self.edges.values())

    def operator(self, name, *roles):
        now_us = self.clock.now_us()
        serial = len(self.operators.rows()) + 1
        credential = CredentialRow(serial, Role.OPERATOR, name, now_us, now_us + 10**15)
        self.operators.add(OperatorRow(name, frozenset(roles), now_us, ""), credential)

    async def hear(self, seconds=2.0):
        """Time goes on, and those that are attached are told and report."""
        self.clock.advance(seconds)
        await self.policies.tick()
        for edge in self.edges.values():
            state = self.monitor.gateways.get(edge.name)
            if not edge.attached:
                if state is not None:
                    state.attached = False
                continue
            if state is None or not state.attached:
                self.monitor.attached(edge.name, "1")
            edge.take(
                self.policies.wanted(edge.name), self.authority.root, self.authority.trust_domain
            )
            facts = pb.GatewayFacts(started_us=edge.started_us, policy=edge.facts)
            self.monitor.report(
                edge.name, pb.HealthReport(sent_us=self.clock.now_us(), gateway=facts)
            )
            await self.policies.heard(edge.name, edge.facts)

    async def turn(self, times=1, seconds=2.0):
        """The keeper's turn, so often; returns where the rollout is."""
        for _ in range(times):
            await self.hear(seconds)
            await self.rollouts.tick()
        return await self.rollouts.last()

    async def signed(self, text, *gateways, by="ann", second="ben"):
        """Propose, and approve what waits; the number."""
        await self.hear()
        _, row, waiting = await self.policies.propose(text, INVARIANTS, gateways, by)
        if waiting is not None:
            done = await self.approvals.approve(waiting.approval_id, waiting.digest, second)
            assert done.state == "executed", done
            return self.policies.kept.last_number()
        assert row is not None
        return row.number

    def order(self, number, *wishes, soak_s=10.0, wait_s=60.0, manual=False):
        return Order(number, wishes, soak_s, wait_s, manual)
