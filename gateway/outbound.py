"""The only exit, put together: ledger, policy, and a forwarder per destination.

Without a policy that can be verified nothing leaves, and collecting goes on. A changed policy
applies without touching the streams; changed destinations end the streams and begin new ones
from the same cursors and ledger, so that nothing is lost or released twice.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
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
from gateway.preflight import compiled_policy
from gateway.telemetry import Telemetry
from gateway.uplink.config import DestinationConfig
from gateway.uplink.ledger import Ledger
from gateway.uplink.ports import Credentials, Trouble, TroubleKind
from gateway.uplink.uplink import Policy, Uplink, open_surroundings
from security.audit import AuditLog
from security.files import read_secret
from security.policy import PolicyTable
from security.sealing import Sealer
from security.tls import grpc_channel_credentials

log = logging.getLogger(__name__)

_MISDIRECTIONS = {
    TroubleKind.ADDRESS_REFUSED: "its name leads outside its networks; not dialled",
    TroubleKind.PIN_REFUSED: "who answers has not the pinned key; nothing was sent",
}


class Change(NamedTuple):
    """What is ready to be put in force."""

    config: GatewayConfig
    table: PolicyTable
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
        sealer: Sealer,
        clock: Clock,
        telemetry: Telemetry,
        audit: AuditLog,
        notices: Notices,
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
        self._ledger = Ledger.open(ledger_path, clock, journal.lend_reserve)
        self.accounting = Accounting(self._ledger, audit, clock)
        self._config = config
        self._uplink = self._make(config)

    async def start(self) -> None:
        """Put the policy in force, if it can be verified, and begin to forward."""
        await self.accounting.settle()  # what the last run released, under its policy
        try:
            self._apply(await asyncio.to_thread(compiled_policy, self._config))
        except WardgateError as error:
            self._without_policy(error)
        await self._forward()

    async def stop(self) -> None:
        """End the streams and close the ledger."""
        await self._uplink.stop()
        await self.accounting.settle()
        self._ledger.close()

    async def _forward(self) -> None:
        self._journal.set_destinations([each.name for each in self._config.destinations])
        await self._uplink.start()

    async def prepare(self, config: GatewayConfig) -> Change:
        """Compile the policy and make what changed destinations need; nothing is applied.

        Raises:
            ConfigError, PolicyError: the policy or a destination can't be used.
        """
        table = await asyncio.to_thread(compiled_policy, config)
        same = config.destinations == self._config.destinations
        uplink = self._uplink if same else self._make(config)
        uplink.check_policy(Policy(table.version, table.rows))
        return Change(config, table, uplink)

    async def commit(self, change: Change) -> None:
        """Put a prepared change in force.

        Raises:
            LedgerError: the disk refuses; the policy and the destinations before stay in force.
        """
        await self.accounting.settle()
        before = self._uplink
        change.uplink.set_policy(Policy(change.table.version, change.table.rows))
        self._in_force(change.table)
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

    def _apply(self, table: PolicyTable) -> None:
        self._uplink.set_policy(Policy(table.version, table.rows))
        self._in_force(table)

    def _in_force(self, table: PolicyTable) -> None:
        # Only what is in the ledger may be named as the policy at collection.
        self._committer.policy_version = table.version
        self._audit.record("policy", result="in force", version=table.version)
        self._notices.condition("policy_missing", "", active=False)

    def _without_policy(self, error: WardgateError) -> None:
        log.error("no policy is in force, nothing leaves: %s", error)
        self._audit.record("policy", result="refused", reason=str(error))
        self._notices.condition(
            "policy_missing", "No policy is in force: nothing leaves", active=True
        )

    def _credentials(self, destination: DestinationConfig) -> Credentials:
        return partial(grpc_channel_credentials, destination.files(self._config.tls.files))

    def _dial(self, destination: DestinationConfig) -> Dial:
        return partial(route, destination.receiver, destination.files(self._config.tls.files))

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
