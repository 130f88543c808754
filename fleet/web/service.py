"""The fleet's web listeners: puts their pieces together, starts and stops them."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Mapping

from aiohttp import web
from cryptography import x509

from fleet.claims import Claims
from fleet.config import FleetConfig, WebTable
from fleet.enrolment import Enrolment
from fleet.enrolment_store import EnrolmentStore
from fleet.registry import Registry
from fleet.store import Store
from fleet.web.est import EstResource
from fleet.web.http import HttpLimits
from fleet.web.listener import EnrolmentTls, PlainListener, WebListener
from fleet.web.revocation import ENDED_KEPT_US, RevocationResource
from gateway.domain.ports import Clock, Counters
from security import est, pki
from security.identity import Auditor

PLAIN_CONNECTION_S = 30.0
PLAIN_IDLE_S = 10.0

log = logging.getLogger(__name__)


class Office:
    """Enrolment by the devices themselves, and renewal by whoever holds a certificate."""

    def __init__(  # the parts of the service that it needs
        self,
        config: FleetConfig,
        table: WebTable,
        store: Store,
        registry: Registry,
        clock: Clock,
        counters: Counters,
        audit: Auditor,
    ) -> None:
        """Build everything.

        Raises:
            ConfigError: the certificates can't be used.
        """
        self._registry = registry
        kept = EnrolmentStore(store)
        rules = config.enrolment
        self.tls = EnrolmentTls(config.tls.files)
        self.claims = Claims(kept, registry, self.tls.roots, rules, clock, audit)
        self.tls.births = lambda: self.claims.births
        self.enrolment = Enrolment(kept, registry, rules, clock, audit, counters, self.claims)
        self.resource = EstResource(
            self.enrolment, self.claims, self._ca_certificates, table, clock, counters, audit
        )
        host, _, self._port = table.listen.rpartition(":")
        self._base = table.url.rstrip("/")
        self._host = host

    def use_port(self, port: int) -> None:
        """Tell which one was taken."""
        self._port = str(port)

    @property
    def root_pem(self) -> bytes:
        """What a device must trust to reach it."""
        return pki.to_pem(*self.tls.roots())

    @property
    def url(self) -> str:
        """Where devices enrol."""
        return f"{self._base or f'https://{self._host}:{self._port}'}{est.PATH}"

    def _ca_certificates(self) -> Iterable[x509.Certificate]:
        return self._registry.site.published


class Web:
    """All listeners for HTTP, as far as they are configured."""

    def __init__(  # the parts of the service that it needs
        self,
        config: FleetConfig,
        store: Store,
        registry: Registry,
        clock: Clock,
        counters: Counters,
        audit: Auditor,
    ) -> None:
        """Build everything; opens nothing.

        Raises:
            ConfigError: the certificates can't be used.
        """
        table = config.revocation
        self._revocation = RevocationResource(store, registry, table, clock, counters, audit)
        self._kept = EnrolmentStore(store)
        self._registry = registry
        self._clock = clock
        self._counters = counters
        self.office: Office | None = None
        """None where devices can't enrol by themselves."""
        self._listeners: dict[str, WebListener | PlainListener] = {}
        if config.web:
            self.office = Office(config, config.web, store, registry, clock, counters, audit)
            self._listeners["est"] = WebListener(
                self._handle, self.office.tls.context, config.web, counters, audit
            )
        if table.listen:
            limits = HttpLimits(
                PLAIN_CONNECTION_S, PLAIN_IDLE_S, table.connections_max, table.connections_max
            )
            self._listeners["revocation"] = PlainListener(
                self._revocation.handle, table.listen, limits
            )

    async def start(self) -> Mapping[str, tuple[str, int]]:
        """Load, bind and serve; returns where, by name.

        Raises:
            ConfigError: an address can't be bound.
        """
        if self.office is not None:
            await self.office.claims.load()
        bound = {name: await each.start() for name, each in self._listeners.items()}
        if self.office is not None:
            self.office.use_port(bound["est"][1])
        await self.upkeep()
        return bound

    async def upkeep(self) -> None:
        """Forget what has ended, and say how many wait; to be called now and then."""
        before_us = self._clock.now_us() - ENDED_KEPT_US
        try:
            await self._registry.run(self._kept.drop_ended, before_us)
            claims = await self.office.claims.claims() if self.office else None
        except sqlite3.Error as error:
            log.error("enrolment's store can't be tidied: %s", error)  # noqa: TRY400  # the cause is told
            return
        if claims is not None:
            waiting = sum(not each.rejected_by for each in claims)
            self._counters.set("claims", waiting, "waiting")
            self._counters.set("claims", len(claims) - waiting, "rejected")

    async def stop(self) -> None:
        """End every connection; idempotent."""
        for each in self._listeners.values():
            await each.stop()

    def healthy(self) -> bool:
        """Whether all of them accept."""
        return all(each.healthy() for each in self._listeners.values())

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        if self._revocation.serves(request.path) or self.office is None:
            return await self._revocation.handle(request)
        return await self.office.resource.handle(request)
