"""What changes the gateway while it runs: the fleet's word, and its own file on SIGHUP.

The fleet's last word on devices is applied before any device is admitted; its link runs beside
everything else. A wish for another configuration, and a SIGHUP, that come before the gateway is
ready are remembered and count then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from functools import partial
from importlib.metadata import version
from typing import NamedTuple

from gateway import changes, desired
from gateway.carried import revocation_book
from gateway.commands import Commands
from gateway.config import FleetTable, GatewayConfig, Source, build
from gateway.desired import Desired
from gateway.domain.errors import WardgateError
from gateway.domain.ports import Clock, Counters
from gateway.fleetlink import FleetLink, FleetLinkConfig
from gateway.fleetreport import SeenDevice
from gateway.notices import MISDIRECTED, Notices
from gateway.outbound import Outbound
from gateway.policies import Brought
from gateway.reload import InForce, Parts, Reloader, Verdict
from protos.wardgate.v1 import fleet_pb2 as pb
from security.audit import AuditLog, TreeHead
from security.identity import IdentityService
from security.revocations import RevocationList
from security.revocations_in_force import RevocationsInForce

log = logging.getLogger(__name__)


class Surroundings(NamedTuple):
    """What the control plane acts upon."""

    identity: IdentityService
    audit: AuditLog
    notices: Notices
    seen: Callable[[], Iterable[SeenDevice]]
    commands: Commands
    clock: Clock
    counters: Counters
    outbound: Outbound


def first_in_force(source: Source) -> tuple[InForce, Verdict | None]:
    """What to start with: the file, and what the fleet wanted last, if that still fits.

    Raises:
        ConfigError: the file is wrong.
    """
    config = build(source)
    kept = desired.load(config.gateway.state_dir)
    try:
        return InForce(source, kept, desired.effective(source, kept)), None
    except WardgateError as error:
        log.error("starting without what the fleet wants: %s", error)  # noqa: TRY400  # the cause is told
        return InForce(source, desired.NOTHING, config), Verdict(kept.version, str(error))


class Control:
    """The fleet's link, if there is one, and the reloads."""

    def __init__(self, in_force: InForce, refused: Verdict | None) -> None:
        self._first = in_force
        self._refused = refused
        self._reloader: Reloader | None = None
        self._hung_up = False
        self._wish: Desired | None = None
        self._policy: Brought | None = None
        self._signers_changed = False
        self.link: FleetLink | None = None
        self.revocations: RevocationsInForce | None = None
        self._rereading: asyncio.Task[None] | None = None
        self.on_hangup: Callable[[], None] = lambda: None
        """What else SIGHUP is to reach."""

    @property
    def in_force(self) -> InForce:
        """What the gateway runs by."""
        return self._first if self._reloader is None else self._reloader.in_force

    def attach(self, fleet: FleetTable, around: Surroundings) -> FleetLink:
        """Apply the fleet's last word; the link is returned to be run.

        Call :meth:`apply_revocations` before.
        """
        config, revocations = self.in_force.config, self._in_force()
        link = FleetLink(
            link_config(config, fleet),
            config.tls.files,
            around.identity,
            revocations,
            around.seen,
            around.clock,
            around.counters,
        )
        link.load()
        link.commands.use(around.commands)
        link.reporter.last_head = partial(_head_of, around.audit)
        link.reporter.configuration = self.facts
        link.configuration_version = lambda: self.in_force.desired.version
        link.on_configuration = self._fleet_wants
        link.reporter.policy = around.outbound.policy_facts
        link.policy_age = lambda: around.outbound.policies.age_order
        link.on_policy = self._fleet_brings

        def on_stale(stale: bool) -> None:
            """Whom the fleet has revoked lately is not known here: an alarm until it is again."""
            around.notices.condition(
                "revocations_stale",
                "The list of revoked certificates is stale",
                active=stale,
            )

        revocations.on_stale = on_stale

        def on_misdirected(reason: str, detail: str) -> None:
            """The fleet's own alarm can't say it: whoever answers there is not the fleet."""
            if reason:
                around.counters.add("misdirected", "fleet", reason)
                around.audit.record(MISDIRECTED, reason=reason, destination="fleet", detail=detail)
            text = "fleet: its name leads elsewhere, or another answers"
            around.notices.condition(MISDIRECTED, text, active=bool(reason), about="fleet")

        link.on_misdirected = on_misdirected
        self.link = link
        return link

    def apply_revocations(
        self, identity: IdentityService, clock: Clock, counters: Counters
    ) -> None:
        """Apply the list of revocations that is on disk, with a fleet or without one."""

        def put_in_force(listed: RevocationList) -> int:
            ended = identity.set_revocations(listed.serials, listed.number)
            if self._reloader is None:
                self._signers_changed = True
            else:
                self._reloader.signers_changed()
            return ended

        book = revocation_book(self.in_force.config, clock)
        self.revocations = RevocationsInForce(book, put_in_force, counters)
        self.revocations.load()
        counters.set("fleet_connected", -1)  # without a link nothing is to be alerted about

    def void_authorities(self) -> AbstractSet[int]:
        """Those that the revocation list in force calls void; among serial numbers."""
        return self._in_force().current.serials

    def _in_force(self) -> RevocationsInForce:
        if self.revocations is None:
            raise RuntimeError("the revocations come first")
        return self.revocations

    def ready(self, parts: Parts, audit: AuditLog) -> Reloader:
        """From now on changes are applied, those first that were asked for meanwhile."""
        reloader = Reloader(self._first, parts, audit, self._decided)
        self._reloader = reloader
        if self._signers_changed:
            reloader.signers_changed()
        if self._hung_up:
            reloader.file_changed()
        if self._wish is not None:
            reloader.fleet_wants(self._wish)
        if self._policy is not None:
            reloader.fleet_brings(self._policy)
        return reloader

    def hung_up(self) -> None:
        """SIGHUP: the file is to be read again, the list of revocations, and what was asked.

        They do not wait for the file, nor for the file to be right.
        """
        self.on_hangup()
        if self.revocations is not None:
            self._rereading = asyncio.create_task(self.revocations.reread())
        if self._reloader is None:
            self._hung_up = True
        else:
            self._reloader.file_changed()

    def follow(self, config: GatewayConfig) -> None:
        """Go on under a changed ``[fleet]``."""
        if self.link is not None and config.fleet is not None:
            self.link.follow(link_config(config, config.fleet))

    def facts(self) -> pb.ConfigurationFacts:
        """For the fleet: what of its wishes is in force."""
        now, refused = self.in_force, self._refused
        return pb.ConfigurationFacts(
            version=now.desired.version,
            file_sha256=changes.digest(now.source.document),
            refused_version=refused.version if refused else 0,
            refused_reason=refused.reason if refused else "",
        )

    def _fleet_wants(self, wish: Desired) -> None:
        log.info("the fleet wants configuration %d", wish.version)
        if self._reloader is None:
            self._wish = wish
        else:
            self._reloader.fleet_wants(wish)

    def _fleet_brings(self, policy: Brought) -> None:
        log.info("the fleet brings policy %d", policy.number)
        if self._reloader is None:
            self._policy = policy
        else:
            self._reloader.fleet_brings(policy)

    def _decided(self, verdict: Verdict | None) -> None:
        if verdict is not None:
            self._refused = verdict if verdict.reason else None
        if self.link is not None:
            self.link.commands.wake()  # the operator waits for the next report


def _head_of(audit: AuditLog) -> tuple[TreeHead, bytes] | None:
    head = audit.durable_head
    return None if head is None else (head, audit.public_key)


def link_config(config: GatewayConfig, fleet: FleetTable) -> FleetLinkConfig:
    """Where the link goes, and where it keeps the fleet's word."""
    return FleetLinkConfig(
        fleet.address,
        config.gateway.state_dir,
        version("wardgate"),
        fleet.server_name,
        fleet.networks,
        fleet.pins,
        fleet.report_interval_s,
    )
