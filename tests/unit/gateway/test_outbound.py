"""The exit and its policy while the gateway runs, over real files."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from gateway.domain.ports import Clock
from gateway.journal.committer import Committer
from gateway.journal.config import JournalConfig
from gateway.journal.journal import Journal
from gateway.notices import Notices
from gateway.outbound import Outbound
from gateway.telemetry import Telemetry
from security.audit import AuditLog, load_or_create_key
from security.scopes import ScopeSealer
from security.sealing import KeyRing, Sealer
from tests.fakes import FakeClock, FakeCounters
from tests.unit.gateway.test_gateway_policies import STRICT, Edge


class Labels:
    """Of a committer, what the exit tells it."""

    policy_version = ""


class Alarms:
    """Of the notices, which conditions stand."""

    def __init__(self) -> None:
        self.standing: set[str] = set()

    def condition(self, name: str, _text: str, *, active: bool, about: str = "") -> None:
        (self.standing.add if active else self.standing.discard)(f"{name}{about}")


class Exit:
    """An exit over a gateway's files."""

    def __init__(self, edge: Edge) -> None:
        clock: Clock = FakeClock()
        self.edge, config = edge, edge.config
        self.labels, self.alarms = Labels(), Alarms()
        sealer = Sealer(KeyRing.generate())
        self.journal = Journal.open(
            edge.state / "journal", JournalConfig(), sealer, clock, FakeCounters()
        )
        key = load_or_create_key(edge.state / "audit.key")
        self.audit = AuditLog(edge.state / "audit", key, clock)
        self.outbound = Outbound(
            config,
            ledger_path=edge.state / "ledger.sqlite",
            journal=self.journal,
            committer=cast(Committer, self.labels),
            sealer=cast(ScopeSealer, sealer),
            clock=clock,
            telemetry=Telemetry(),
            audit=self.audit,
            notices=cast(Notices, self.alarms),
            policies=edge.start(),
        )

    async def stop(self) -> None:
        await self.outbound.stop()
        self.audit.close()
        self.journal.close()

    def releases(self) -> list[bool]:
        """Of each destination, whether there is anything by which it may be released to."""
        return [link.release is not None for link in self.outbound._uplink._links.values()]

    def told(self, event: str) -> list[dict[str, Any]]:
        lines = (self.edge.state / "audit" / "audit.log").read_text().splitlines()
        return [found for found in map(json.loads, lines) if found["event"] == event]


@pytest.fixture
async def exit_(tmp_path: Any) -> AsyncIterator[Exit]:
    made = Exit(Edge(tmp_path))
    await made.outbound.start()
    yield made
    await made.stop()


async def test_a_policy_whose_signer_becomes_void_is_in_force_no_more_at_once(exit_: Exit) -> None:
    outbound, edge = exit_.outbound, exit_.edge
    version = exit_.labels.policy_version
    assert exit_.releases() == [True]
    await outbound.signers_changed()  # a list that does not concern it
    assert exit_.releases() == [True]
    edge.void = frozenset({edge.policies.newest(edge.config).mark})
    await outbound.signers_changed()
    assert exit_.releases() == [False]
    assert outbound.policies.in_force is None
    assert outbound.policy_facts().number == 0  # so that the fleet sends what it has
    assert "void" in outbound.policies.refused.reason
    assert "void" in exit_.told("policy")[-1]["reason"]
    assert exit_.alarms.standing == {"policy_missing"}
    # What is collected meanwhile may leave by no laxer one than that.
    assert exit_.labels.policy_version == version
    # Signed anew, it is good again.
    edge.void = frozenset()
    assert await outbound.offered(2, edge.box.pki.policy(STRICT, 2)) == ""
    assert exit_.releases() == [True]
    assert exit_.alarms.standing == set()
