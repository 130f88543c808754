"""The gateway's notification, put together: the daemon holds one and knows no more of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from gateway.config import GatewayConfig
from gateway.domain.devices import Device
from gateway.domain.errors import WardgateError
from gateway.domain.labels import Lane
from gateway.domain.ports import Clock, Counters, Messenger, Sink
from gateway.journal.journal import Journal
from gateway.local.calls import Service
from gateway.notification.checking import check_outlet
from gateway.notification.config import MqttOutlet, Outlet, WatchOutlet, WebhookOutlet
from gateway.notification.desk import Desk
from gateway.notification.fanout import HOLD, Around, FanOut
from gateway.notification.outlets.mqtt import MqttSender
from gateway.notification.outlets.sender import Sender
from gateway.notification.outlets.watch import Watchers, WatchSender
from gateway.notification.releasing import Releases
from gateway.notification.service import People, alarms_service
from gateway.outbound import Outbound
from gateway.uplink.writer import LedgerWriter
from security.audit import AuditLog
from security.files import read_secret

log = logging.getLogger(__name__)


class Surroundings(NamedTuple):
    """What the daemon has, once the exit stands."""

    journal: Journal
    sink: Sink
    outbound: Outbound
    audit: AuditLog
    messenger: Callable[[str], Messenger | None]
    """The driver of a name that sends, as it runs now."""


class Notification:
    """Made with the pipeline, whose interpreter its desk is; opened behind the exit."""

    def __init__(
        self,
        config: GatewayConfig,
        device: Callable[[str], Device | None],
        clock: Clock,
        counters: Counters,
        audit: AuditLog,
    ) -> None:
        self._config = config
        self._clock = clock
        self._counters = counters

        def ward_of(device_id: str) -> str:
            found = device(device_id)
            return found.ward if found is not None else ""

        name = config.gateway.name
        self.desk = Desk(config.notification, name, ward_of, counters, audit)
        self.watchers = Watchers()
        self.desk.hooks.change = self.watchers.changed
        self._fanout: FanOut | None = None
        self._releases: Releases | None = None
        self._writer: LedgerWriter | None = None

    def hold(self, journal: Journal) -> None:
        """Let the journal keep what was not read; after its state was restored, before upkeep."""
        if self.desk.position is not None and self._config.notification:
            journal.hold(HOLD, Lane.ALARMS, self.desk.position)

    def open(self, around: Surroundings) -> None:
        """Begin to tell, behind the exit's policy and ledger.

        Raises:
            ConfigError: an outlet can't be used.
            LedgerError: the ledger can't be written.
        """
        ledger = around.outbound.ledger
        self._around = around
        self._writer = LedgerWriter(ledger, self._counters)
        self._releases = Releases(ledger, self._writer, around.audit)
        self._fanout = FanOut(
            self.desk,
            Around(
                self._config.gateway.name,
                around.journal,
                around.sink,
                self._clock,
                self._releases,
                self._sender,
            ),
        )
        self._apply(self._config)
        around.outbound.tell_policy(self._releases.set_policy)

    def service(self) -> Service:
        """What people on site ask."""
        if self._releases is None:
            raise RuntimeError("notification was not opened")
        people = People(
            self.desk, self._releases, self.watchers, self._around.sink, self._clock, self._config
        )
        self.people = people
        return alarms_service(people)

    def check(self, config: GatewayConfig) -> None:
        """Whether a changed configuration can be followed; nothing changes.

        Raises:
            WardgateError: it can't.
        """
        for outlet in config.notification.outlets:
            check_outlet(outlet, config.tls.files)

    def follow(self, config: GatewayConfig) -> None:
        """Go on under a configuration that was checked."""
        if config.notification == self._config.notification:
            self._config = config
            return
        self._config = config
        self.people.follow(config)
        try:
            self.desk.follow(config.notification)
            self._apply(config)
        except (WardgateError, OSError):
            log.exception("outlets can't be changed; those before stay")

    def _apply(self, config: GatewayConfig) -> None:
        if self._releases is None or self._fanout is None:
            return
        outlets = config.notification.outlets
        self._releases.follow(outlets, read_secret, self._around.journal)
        self._fanout.follow(config.notification)

    async def stop(self) -> None:
        """End; what was under way is told again after the next start. Idempotent."""
        if self._fanout is not None:
            await self._fanout.stop()
        if self._writer is not None:
            await self._writer.close()

    def _sender(self, outlet: Outlet) -> Sender:
        match outlet:
            case MqttOutlet():
                if self._fanout is None:
                    raise RuntimeError("notification was not opened")
                return MqttSender(
                    outlet,
                    self._config.gateway.name,
                    self._clock.now_us,
                    self._around.messenger,
                    self._fanout.read_answer,
                )
            case WebhookOutlet():
                # With it comes an HTTP library, which few gateways need.
                from gateway.notification.outlets.webhook import WebhookSender  # noqa: PLC0415

                own = self._config.tls.files
                return WebhookSender(outlet, own, read_secret, self._clock.monotonic)
            case WatchOutlet():
                return WatchSender(outlet, self.watchers)
