"""The fleet service as a process: the only place that wires its parts."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import grpc.aio

from fleet.admin import Parts
from fleet.approvals import Approvals
from fleet.config import FleetConfig
from fleet.configurations import Configurations
from fleet.enrolment_store import EnrolmentStore
from fleet.follow import follow
from fleet.metrics import METRICS
from fleet.monitor import Monitor
from fleet.operators import Operators
from fleet.own_renewal import Kept, renew_own
from fleet.policies import Policies
from fleet.policy_store import PolicyStore
from fleet.radius.desk import RadiusDesk
from fleet.radius.publish import CURRENT
from fleet.radius.raddb import IDENTITY_CERT
from fleet.registry import Registry
from fleet.rollouts import Rollouts
from fleet.service import FleetService
from fleet.store import Store
from fleet.web.service import Web
from gateway import systemd
from gateway.clock import SystemClock
from gateway.domain.errors import ConfigError, WardgateError
from gateway.domain.ports import Clock
from gateway.metrics_http import MetricsServer
from gateway.supervisor import Part, Supervisor
from gateway.telemetry import Telemetry
from gateway.tomlfile import address
from gateway.wire.serving import server_options
from security import pki
from security.audit import AuditLog, load_or_create_key
from security.audit.syslog import Shipper
from security.files import write_atomic
from security.pki import hierarchy
from security.tls import grpc_server_credentials

STOP_GRACE_S = 2.0
TICK_S = 1.0
SAVE_EVERY_S = 15.0
SERVICE: Final = "service"
RADIUS: Final = "radius"
"""Uses of the certificates that are watched and renewed."""

log = logging.getLogger(__name__)


async def serve(config: FleetConfig, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Serve until ``stop`` is set; ``ready`` is called once when the service answers.

    Raises:
        ConfigError: certificates, addresses or store can't be used.
    """
    clock = SystemClock()
    telemetry = Telemetry(METRICS, prefix="wardgate_fleet")
    seen = hierarchy.stamp(config.authority)
    site = config.load_site()
    credentials = grpc_server_credentials(config.tls.files)
    host, _ = address(config.listen, "listen")
    metrics = MetricsServer(config.metrics, telemetry.registry) if config.metrics else None
    audit = _audit_log(config, clock)
    store = Store.open(config.database, clock.now_us)
    threads = ThreadPoolExecutor(1, "store")
    registry = Registry(store, threads, site, config, clock, audit)
    monitor = Monitor(registry, config.health, clock, telemetry)
    configurations = Configurations(store, threads, clock, audit)
    parts = _parts(config, store, registry, monitor, configurations, audit, telemetry)
    service = FleetService(parts, config.limits, clock, telemetry, audit)
    web = Web(config, store, registry, clock, telemetry, audit)
    service.use_office(web.office)
    server = grpc.aio.server(
        options=server_options(config.limits.message_bytes_max, config.limits.keepalive_s),
        maximum_concurrent_rpcs=config.limits.streams_max,
    )
    server.add_generic_rpc_handlers((service.handler(),))
    keeper = _Keeper(config, store, parts, service, telemetry, web)
    beside = Supervisor()
    try:
        await registry.load()
        await configurations.load()
        await parts.policies.load()
        await keeper.restore()
        bound = _bind(server, config.listen, credentials)
        await server.start()
        if metrics is not None:
            metrics.start()
        others = await web.start()
        await parts.approvals.resume()
        _announce(config, host, bound, metrics.port if metrics else 0, others)
        audit.record("started", devices=len(registry.devices))
        log.info("fleet answers on %s:%d with %d devices", host, bound, len(registry.devices))
        ready()
        for part in _beside(config, store, registry, telemetry, audit, service, seen):
            beside.start(part)
        await keeper.run(stop)
    finally:
        await beside.stop()
        await server.stop(STOP_GRACE_S)
        await web.stop()
        if metrics is not None:
            metrics.stop()
        await keeper.save()
        threads.shutdown()
        store.close()
        audit.close()


def _parts(
    config: FleetConfig,
    store: Store,
    registry: Registry,
    monitor: Monitor,
    configurations: Configurations,
    audit: AuditLog,
    telemetry: Telemetry,
) -> Parts:
    """What operators look at and change."""
    operators = Operators(store, registry, SystemClock(), audit)
    hours = config.limits.approval_hours
    monitor.on_other_log = lambda gateway, was, entries, now: audit.record(
        "audit_log_replaced", gateway=gateway, was=was, entries=entries, now=now
    )
    monitor.on_twin = lambda device, gateway: audit.record(
        "clone_suspected", device=device, gateway=gateway
    )
    approvals = Approvals(store, operators.kept, registry, hours, audit)
    clock = SystemClock()
    policies = Policies(PolicyStore(store), registry, approvals, clock, audit)
    rollouts = Rollouts(policies, registry, monitor, clock, telemetry, audit)
    return Parts(registry, monitor, configurations, operators, approvals, policies, rollouts)


class _Keeper:
    """What happens now and then: judging silence, ending what has ended, saving, signing."""

    def __init__(  # the parts it keeps
        self,
        config: FleetConfig,
        store: Store,
        parts: Parts,
        service: FleetService,
        telemetry: Telemetry,
        web: Web,
    ) -> None:
        self._web = web
        self._service = service
        self._policies, self._rollouts = parts.policies, parts.rollouts
        self._config = config
        self._store = store
        self._registry = parts.registry
        self._monitor = parts.monitor
        self._telemetry = telemetry

    async def restore(self) -> None:
        """Give the monitor what was last known."""
        gateways = await self._registry.run(self._store.gateways)
        health = await self._registry.run(self._store.health)
        self._monitor.restore(gateways, health)

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until ``stop`` is set."""
        loop = asyncio.get_running_loop()
        saved = refreshed = loop.time()
        self._gauge_certificate()
        watchdog = systemd.Watchdog(systemd.watchdog_interval_s())
        while not stop.is_set():
            self._monitor.tick()
            self._service.expire()
            await self._policy()
            now = loop.time()
            watchdog.ask(now, self._web.healthy)
            if now - saved >= SAVE_EVERY_S:
                await self.save()
                self._gauge_certificate()
                saved = now
            if now - refreshed >= self._config.revocations_refresh_s:
                await self._refresh()
                await self._web.upkeep()
                refreshed = now
            try:
                async with asyncio.timeout(TICK_S):
                    await stop.wait()
            except TimeoutError:
                continue

    async def _policy(self) -> None:
        """Look after policies and their rollout; what fails now is tried again."""
        try:
            await self._policies.tick()
            await self._rollouts.tick()
        except (pki.TokenError, sqlite3.Error, WardgateError) as error:
            log.error("policies can't be looked after: %s", error)  # noqa: TRY400  # the cause is told

    async def _refresh(self) -> None:
        """Sign the revocations anew; with the key's token away, the last list stays in force."""
        try:
            await self._registry.refresh_revocations()
        except pki.TokenError as error:
            log.error("the revocation list can't be signed: %s", error)  # noqa: TRY400  # the cause is told

    def _gauge_certificate(self) -> None:
        """Read anew each time, since a renewed certificate applies without a restart."""
        self._gauge(SERVICE, self._config.tls.cert)
        if (radius := self._config.radius) is not None:
            in_use = radius.in_force / CURRENT / IDENTITY_CERT
            try:
                self._gauge(RADIUS, in_use if in_use.exists() else radius.certificate)
            except OSError as error:  # another's directory
                log.error("the EAP server's certificate: %s", error)  # noqa: TRY400  # the cause is told

    def _gauge(self, use: str, certificate: Path) -> None:
        try:
            end = pki.load_certificates(certificate)[0].not_valid_after_utc
        except ConfigError as error:
            log.error("the certificate (%s): %s", use, error)  # noqa: TRY400  # the cause is told
            return
        left = end.timestamp() - SystemClock().now_us() / 1e6
        self._telemetry.set("certificate_seconds_left", left, use)

    async def save(self) -> None:
        """Write health and gateways; what can't be written is tried again next time."""
        gateways, health = self._monitor.unsaved()

        def put() -> None:
            self._store.put_gateways(gateways)
            self._store.put_health(health)

        try:
            await self._registry.run(put)
        except sqlite3.Error as error:
            log.error("health can't be saved: %s", error)  # noqa: TRY400  # the cause is told


def _beside(
    config: FleetConfig,
    store: Store,
    registry: Registry,
    telemetry: Telemetry,
    audit: AuditLog,
    service: FleetService,
    seen: tuple[int, ...],
) -> Iterator[Part]:
    """What runs beside the service: who ends by a fault begins again, and ends nobody else.

    Listeners look at the certificate's files with each handshake.
    """
    clock, enrolments = SystemClock(), EnrolmentStore(store)
    yield Part("authorities", lambda: follow(config, registry, seen))
    yield Part("audit", audit.run)
    yield Part("audit-syslog", _shipper(config, clock, telemetry).run)

    def renewal(kept: Kept) -> Part:
        return Part(
            f"renewal-{kept.use}",
            lambda: renew_own(kept, config, registry, enrolments, clock, telemetry, audit),
        )

    yield renewal(Kept(SERVICE, config.tls.files, lambda: None))
    telemetry.set("radius_fails", 0)  # an alert rule watches it
    if config.radius is not None:
        desk = RadiusDesk(config.radius, store, registry, clock, telemetry, audit)
        desk.on_attachment = service.tell_attachment
        yield Part("radius", desk.run)
        yield renewal(Kept(RADIUS, config.radius.identity, desk.certificate_changed))


def _audit_log(config: FleetConfig, clock: Clock) -> AuditLog:
    config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = load_or_create_key(config.state / "audit.key")
    return AuditLog(config.state / "audit", key, clock, config.audit, "fleet")


def _shipper(config: FleetConfig, clock: Clock, telemetry: Telemetry) -> Shipper:
    """Carries the audit log to a collector, if there is one."""
    cursor = config.state / "audit-syslog.json"
    made = Shipper(config.state / "audit", "fleet", cursor, config.tls.files, clock, telemetry)
    made.follow(config.audit.syslog)
    return made


def _bind(server: grpc.aio.Server, listen: str, credentials: grpc.ServerCredentials) -> int:
    host, port = address(listen, "listen")
    try:
        return server.add_secure_port(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}", credentials
        )
    except RuntimeError as error:
        raise ConfigError(f"listen: can't bind {listen}") from error


def _announce(
    config: FleetConfig,
    host: str,
    port: int,
    metrics_port: int,
    others: Mapping[str, tuple[str, int]],
) -> None:
    if config.announce is None:
        return
    facts: dict[str, object] = {"fleet": {"host": host, "port": port}, "pid": os.getpid()}
    if config.metrics is not None:
        facts["metrics"] = {"host": config.metrics.host, "port": metrics_port}
    for name, (listening, taken) in others.items():
        facts[name] = {"host": listening, "port": taken}
    write_atomic(config.announce, json.dumps(facts).encode())


async def _main(config: FleetConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await serve(config, stop, _ready)


def _ready() -> None:
    systemd.notify("READY=1")


def run(config: FleetConfig) -> None:
    """Run the fleet service until SIGINT or SIGTERM.

    Raises:
        ConfigError: as :func:`serve`.
    """
    asyncio.run(_main(config))
