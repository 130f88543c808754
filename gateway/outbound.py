"""The only exit, put together: ledger, policy, and a forwarder per destination.

Without a policy that can be verified nothing leaves, and collecting goes on. A changed policy
applies without touching the streams; changed destinations end the streams and begin new ones
from the same cursors and ledger, so that nothing is lost or released twice. A policy is kept on
disk before it is in force (:mod:`gateway.policies` says which).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from gateway.accounting import Accounting
from gateway.config import GatewayConfig
from gateway.dial import Dial, route
from gateway.domain.errors import WardgateError
from gateway.domain.ports import Clock
from gateway.journal.committer import Committer
from gateway.journal.journal import Journal
from gateway.notices import MISDIRECTED, Notices
from gateway.policies import Chosen, Policies
from gateway.telemetry import Telemetry
from gateway.uplink import kept
from gateway.uplink.agreement import CHANGED, IN_FORCE, POLICY
from gateway.uplink.config import DestinationConfig
from gateway.uplink.ledger import Ledger
from gateway.uplink.ports import Credentials, Trouble, TroubleKind
from gateway.uplink.uplink import Policy, Standing, Uplink, open_surroundings
from protos.wardgate.v1 import fleet_pb2 as pb
from security.audit import AuditLog
from security.files import read_secret
from security.policybundle import schema_sha256
from security.scopes import ScopeSealer
from security.tls import grpc_channel_credentials

log = logging.getLogger(__name__)

_MISDIRECTIONS = {
    TroubleKind.ADDRESS_REFUSED: "its name leads outside its networks; not dialled",
    TroubleKind.PIN_REFUSED: "who answers has not the pinned key; nothing was sent",
}


TellPolicy = Callable[[Policy | None, bool], None]
"""Told the policy in force, and whether everything is held."""


class Change(NamedTuple):
    """What is ready to be put in force."""

    config: GatewayConfig
    chosen: Chosen | None
    """None: there is no policy yet, and nothing leaves."""
    uplink: Uplink
    """The present one when the destinations are the same."""


class Outbound:
    """What leaves the gateway; made once, and changed while it runs."""

    def __init__(  # noqa: PLR0913  # the parts that meet at the exit
        self,
        config: GatewayConfig,
        *,
        ledger_path: Path,
        journal: Journal,
        committer: Committer,
        sealer: ScopeSealer,
        clock: Clock,
        telemetry: Telemetry,
        audit: AuditLog,
        notices: Notices,
        policies: Policies,
    ) -> None:
        """Open the ledger.

        Raises:
            LedgerError: it can't be opened.
            ConfigError: a destination can't be used.
        """
        self._journal = journal
        self._committer = committer
        self._sealer = sealer
        self._clock = clock
        self._telemetry = telemetry
        self._audit = audit
        self._notices = notices
        self.policies = policies
        self._ledger = Ledger.open(ledger_path, clock, journal.lend_reserve)
        self.accounting = Accounting(
            self._ledger, audit, clock, config.gateway.state_dir / "audit", self._on_ledger_changed
        )
        self._config = config
        self._holds: set[str] = set()
        self._tell: TellPolicy = _nobody
        self._uplink = self._make(config)

    def hold(self, reason: str) -> None:
        """Let nothing leave, whatever the policy says, until the same reason is freed; idempotent.

        Before the start, too: then nothing leaves from the start.
        """
        if reason not in self._holds:
            self._holds.add(reason)
            self._telemetry.set("held", 1.0, reason)
            self._audit.record("held", reason=reason)
            log.warning("nothing leaves: %s", reason)
            self._uplink.set_policy(None)
            self._telemetry.set("policy_loaded", float(self.policies.in_force is not None))
            self._tell_other(self.policies.in_force)

    def free(self, reason: str) -> None:
        """The reason is gone; idempotent. What the policy releases leaves once none is left."""
        if reason in self._holds:
            self._holds.discard(reason)
            self._telemetry.set("held", 0.0, reason)
            self._audit.record("freed", reason=reason)
            log.warning("no longer held: %s", reason)
            chosen = self.policies.in_force
            if not self._holds and chosen is not None:
                self._uplink.set_policy(_policy(chosen))
            self._tell_other(chosen)

    @property
    def ledger(self) -> Ledger:
        """What left, and where else it is written before something leaves."""
        return self._ledger

    def tell_policy(self, tell: TellPolicy) -> None:
        """Tell another part that releases, now and on each change, of the policy in force.

        And whether nothing may leave whatever it says.
        """
        self._tell = tell
        self._tell_other(self.policies.in_force)

    def _tell_other(self, chosen: Chosen | None) -> None:
        self._tell(None if chosen is None else _policy(chosen), bool(self._holds))

    async def start(self) -> None:
        """Put the policy in force, if there is one that can be verified, and begin to forward."""
        await self.accounting.begin()  # what the last run released, under its policy
        await self._first_policy()
        await self._forward()

    async def _first_policy(self) -> None:
        try:
            chosen = await asyncio.to_thread(
                self.policies.first,
                self._config,
                lambda one: self._uplink.check_policy(_policy(one)),
            )
            if chosen is None:
                self._without_policy("none has been brought here")
            else:
                await self._keep(chosen)
                self._apply(self._uplink, chosen)
        except (WardgateError, OSError) as error:
            self._without_policy(self.policies.refuse(0, error))

    async def signers_changed(self) -> None:
        """Another revocation list is in force: a policy whose signer it calls void must go.

        Another that is here and is right takes its place, as at a start. What is collected without
        one is labelled with the last, so that it is released by no laxer one.
        """
        try:
            self.policies.check_signer()
        except WardgateError:
            self._uplink.set_policy(None)
            self._tell_other(None)
            self.policies.withdrawn()
            await self.accounting.settle()
            await self._first_policy()

    def standing(self) -> list[Standing]:
        """Where every destination stands."""
        return self._uplink.standing()

    async def stop(self) -> None:
        """End the streams and close the ledger."""
        await self._uplink.stop()
        await self.accounting.settle(final=True)
        self._ledger.close()

    def rejected_key_ids(self) -> set[str]:
        """The keys of which bodies of rejected batches are in the ledger; blocks."""
        return self._ledger.rejected_key_ids()

    async def _forward(self) -> None:
        self._journal.set_destinations([each.name for each in self._config.destinations])
        await self._uplink.start()

    async def prepare(self, config: GatewayConfig) -> Change:
        """Compile the policy and make what changed destinations need; nothing is applied.

        Raises:
            WardgateError: the policy or a destination can't be used.
        """
        chosen = await asyncio.to_thread(self.policies.chosen, config)
        same = config.destinations == self._config.destinations
        uplink = self._uplink if same else self._make(config)
        if chosen is not None:
            uplink.check_policy(_policy(chosen))
        return Change(config, chosen, uplink)

    async def commit(self, change: Change) -> None:
        """Put a prepared change in force.

        Raises:
            LedgerError, OSError: the disk refuses; the policy and the destinations before stay in
                force.
        """
        await self.accounting.settle()
        before = self._uplink
        if change.chosen is not None:
            await self._keep(change.chosen)
            self._apply(change.uplink, change.chosen)
        self._config = change.config
        change.uplink.set_ledger(change.config.ledger)
        if change.uplink is not before:
            await before.stop()
            self._uplink = change.uplink
            try:
                await self._forward()
            except sqlite3.Error as error:
                # In memory they are set; the journal's next checkpoint writes them.
                log.error("the destinations' cursors can't be written yet: %s", error)  # noqa: TRY400  # the cause is told
                await self._uplink.start()

    def _make(self, config: GatewayConfig) -> Uplink:
        uplink = Uplink(
            config.destinations,
            self._credentials,
            read_secret,
            open_surroundings(
                gateway_id=config.gateway.name,
                software_version=version("wardgate"),
                journal=self._journal,
                ledger=self._ledger,
                seal=self._sealer,
                counters=self._telemetry,
                clock=self._clock,
                on_trouble=self._on_trouble,
                on_reached=self._on_reached,
                audit=self._audit,
                on_exception=self._on_exception,
            ),
            self._dial,
        )
        uplink.set_ledger(config.ledger)
        return uplink

    async def offered(self, number: int, encoded: bytes) -> str:
        """Put a policy in force that the fleet has sent; returns why not, or nothing.

        The one in force stays when this one is not right.
        """
        try:
            chosen = await asyncio.to_thread(self.policies.offered, encoded, self._config)
            if chosen is not None:
                self._uplink.check_policy(_policy(chosen))
                await self.accounting.settle()
                await self._keep(chosen)
                self._apply(self._uplink, chosen)
        except (WardgateError, OSError) as error:
            reason = self.policies.refuse(number, error)
            log.error("policy %d is refused, what was in force stays: %s", number, reason)  # noqa: TRY400  # the cause is told
            self._audit.record("policy", result="refused", number=number, reason=reason)
            return reason
        return ""

    def policy_facts(self) -> pb.PolicyFacts:
        """For the fleet: which policy is in force, for which destinations, and what it does."""
        policies, tally = self.policies, self._ledger.tally
        facts = pb.PolicyFacts(
            refused_number=policies.refused.number,
            refused_reason=policies.refused.reason,
            refusals=policies.refusals,
            schema_sha256=schema_sha256(),
            released=tally.left,
            withheld=tally.withheld,
            destinations=[
                pb.PolicyDestination(**each._asdict()) for each in self._config.receivers
            ],
        )
        chosen = policies.in_force
        if chosen is not None:
            facts.number, facts.issued_us = chosen.found.bundle.age_order
            facts.substance = chosen.found.bundle.substance
            facts.table_version = chosen.table.version
            facts.unproved.extend(chosen.unproved)
        return facts

    async def _keep(self, chosen: Chosen) -> None:
        present = self.policies.in_force
        if present is None or present.found.encoded != chosen.found.encoded:
            await asyncio.to_thread(self.policies.keep, chosen)

    def _apply(self, uplink: Uplink, chosen: Chosen) -> None:
        uplink.set_policy(_policy(chosen))
        if self._holds:
            uplink.set_policy(None)
        self._tell_other(chosen)
        self.policies.applied(chosen)
        bundle, version = chosen.found.bundle, chosen.table.version
        # Only what is in the ledger may be named as the policy at collection.
        self._committer.policy_version = version
        log.info("policy %d is in force, version %s", bundle.number, version)
        if chosen.unproved:
            unproved = ", ".join(chosen.unproved)
            log.warning(
                "policy %d says nothing of, and nothing leaves for: %s", bundle.number, unproved
            )
        self._audit.record(
            POLICY,
            result=IN_FORCE,
            number=bundle.number,
            version=version,
            table=self._ledger.policy(version).digest(),
            substance=bundle.substance,
            unproved=" ".join(chosen.unproved),
        )
        self._notices.condition("policy_missing", "", active=False)

    def _without_policy(self, reason: str) -> None:
        log.error("no policy is in force, nothing leaves: %s", reason)
        self._audit.record("policy", result="refused", reason=reason)
        self._notices.condition(
            "policy_missing", "No policy is in force: nothing leaves", active=True
        )

    def _credentials(self, destination: DestinationConfig) -> Credentials:
        return partial(grpc_channel_credentials, destination.files(self._config.tls.files))

    def _dial(self, destination: DestinationConfig) -> Dial:
        return partial(route, destination.receiver, destination.files(self._config.tls.files))

    def _on_ledger_changed(self) -> None:
        self._notices.occurrence(CHANGED, "The ledger of releases was changed by another hand")

    def _on_reached(self, destination: str) -> None:
        self._notices.condition(MISDIRECTED, "", active=False, about=destination)

    def _on_exception(
        self, event: str, destination: str, where: str, fields: dict[str, str | int]
    ) -> None:
        self._audit.exceptional(event, destination, where, **fields)

    def _on_trouble(self, trouble: Trouble) -> None:
        if trouble.kind in _MISDIRECTIONS:
            words = _MISDIRECTIONS[trouble.kind]
            self._audit.record(
                MISDIRECTED,
                reason=trouble.kind,
                destination=trouble.destination,
                lane=trouble.lane.name.lower(),
                detail=trouble.detail,
            )
            log.warning("destination %s: %s: %s", trouble.destination, words, trouble.detail)
            text = f"{trouble.destination}: {words}"
            self._notices.condition(MISDIRECTED, text, active=True, about=trouble.destination)
            return
        self._audit.record(
            "uplink_trouble",
            kind=trouble.kind,
            destination=trouble.destination,
            lane=trouble.lane.name.lower(),
            epoch=trouble.epoch,
            seq=trouble.seq,
        )
        words = trouble.kind.replace("_", " ")
        self._notices.occurrence(trouble.kind, f"{trouble.destination}: {words}")


def _nobody(_policy: Policy | None, _held: bool) -> None:
    """No other part releases."""


def _policy(chosen: Chosen) -> Policy:
    table = chosen.table
    rules = {place: decision.policies for place, decision in table.decisions.items()}
    why = kept.explain(table.destinations.values(), rules)
    return Policy(table.version, table.rows, why)
