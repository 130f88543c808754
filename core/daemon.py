"""The core as a process: the only place that wires its parts."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable

import grpc.aio

from core.columns import columns_of
from core.config import CoreConfig
from core.inbox import Inbox
from core.metrics import METRICS
from core.retention import keep
from core.revocations import FleetWatch, look_on_disk, revocation_book
from core.service import IngestService
from core.store import Store
from gateway import systemd
from gateway.clock import SystemClock
from gateway.domain.errors import ConfigError, WardgateError
from gateway.metrics_http import MetricsServer
from gateway.renewer import RESULTS, Surroundings, by_est
from gateway.telemetry import Telemetry
from gateway.tomlfile import address
from gateway.wire.serving import server_options
from security.files import write_atomic
from security.revocations_in_force import RevocationsInForce
from security.tls import grpc_server_credentials

log = logging.getLogger(__name__)

STOP_GRACE_S = 2.0
HOUSEKEEPING_S = 1.0
SWITCH_INTERVAL_S = 0.0005
"""The store's thread computes; by default the loop would wait 5 ms for the interpreter each time it
has an alarm to take or to answer."""


def _now_us() -> int:
    return time.time_ns() // 1000


async def serve(config: CoreConfig, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Serve until ``stop`` is set; ``ready`` is called once when the listeners answer.

    Raises:
        ConfigError: certificates, addresses or database can't be used.
    """
    telemetry = Telemetry(METRICS, prefix="wardgate_core")
    tls = config.tls
    clock = SystemClock()
    credentials = grpc_server_credentials(tls.files)
    host, port = address(config.listen, "listen")
    metrics = MetricsServer(config.metrics, telemetry.registry) if config.metrics else None
    store = Store.open(config.database, _now_us, columns_of(config, _now_us))
    inbox = Inbox(store, telemetry, config.limits.group_bytes_max)
    try:
        service = IngestService(inbox, telemetry, config.limits, tls.trust_domain, clock)
        book = revocation_book(config, clock)
        revocations = RevocationsInForce(book, service.set_revocations, telemetry)
        await asyncio.to_thread(revocations.load)
        server = grpc.aio.server(
            options=server_options(config.limits.message_bytes_max, config.limits.keepalive_s),
            # Streams that have not said who they are count here, not in the service.
            maximum_concurrent_rpcs=2 * config.limits.streams_max,
        )
        server.add_generic_rpc_handlers((service.handler(),))
        try:
            bound = server.add_secure_port(
                f"[{host}]:{port}" if ":" in host else f"{host}:{port}", credentials
            )
        except RuntimeError as error:
            raise ConfigError(f"listen: can't bind {config.listen}") from error
        worker = asyncio.create_task(inbox.run())
        beside = [
            look_on_disk(config.revocations, revocations),
            service.watch_ends(),
            keep(inbox, config.retention, telemetry, _now_us),
            _renew(config, telemetry),
        ]
        if config.fleet is not None:
            watch = FleetWatch(config.fleet, tls.files, revocations, clock, telemetry)
            beside.append(watch.run())
        else:
            telemetry.set("fleet_connected", -1)  # nothing to alert about
        stopping = asyncio.create_task(stop.wait())
        tasks = (worker, stopping, *map(asyncio.create_task, beside))
        try:
            await server.start()
            if metrics is not None:
                metrics.start()
            _announce(config, host, bound, metrics.port if metrics else 0)
            log.info("core answers on %s:%d", host, bound)
            ready()
            await asyncio.wait((worker, stopping), return_when=asyncio.FIRST_COMPLETED)
            if worker.done():
                worker.result()
        finally:
            await server.stop(STOP_GRACE_S)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        if metrics is not None:
            metrics.stop()
        inbox.close()


async def _renew(config: CoreConfig, telemetry: Telemetry) -> None:
    """Keep the own certificate alive; gRPC reads changed files with the next handshake."""
    telemetry.begin("renewals", RESULTS)

    def on_trouble(reason: str) -> None:
        telemetry.set("renewal_fails", float(bool(reason)))

    around = Surroundings(
        counted=lambda result: telemetry.add("renewals", result),
        audit=lambda result, serial, words: log.info("renewal: %s %s %s", result, serial, words),
        on_swapped=lambda: None,
        on_trouble=on_trouble,
        proved=lambda _time_us: None,
    )
    tls = config.tls
    try:
        renewer = by_est(tls.files, config.renewal, SystemClock(), tls.trust_domain, around)
    except WardgateError as error:
        log.error("the certificate is not renewed by itself: %s", error)  # noqa: TRY400  # the cause is told
        return
    if renewer is not None:
        await renewer.run()


def _announce(config: CoreConfig, host: str, port: int, metrics_port: int) -> None:
    if config.announce is None:
        return
    facts: dict[str, object] = {"ingest": {"host": host, "port": port}, "pid": os.getpid()}
    if config.metrics is not None:
        facts["metrics"] = {"host": config.metrics.host, "port": metrics_port}
    write_atomic(config.announce, json.dumps(facts).encode())


async def _main(config: CoreConfig, ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    keeping: list[asyncio.Task[None]] = []

    def answers() -> None:
        ready()
        keeping.append(asyncio.create_task(_keep_alive()))

    try:
        await serve(config, stop, answers)
    finally:
        for task in keeping:
            task.cancel()


async def _keep_alive() -> None:
    """Tell systemd that the loop runs; a store that fails ends the process by itself."""
    watchdog = systemd.Watchdog(systemd.watchdog_interval_s())
    while True:
        await asyncio.sleep(min(HOUSEKEEPING_S, watchdog.ask_every_s))
        watchdog.ask(time.monotonic(), lambda: True)


def _ready() -> None:
    systemd.notify("READY=1")


def run(config: CoreConfig, ready: Callable[[], None] = _ready) -> None:
    """Run the core until SIGINT or SIGTERM; systemd is told when it answers.

    Raises:
        ConfigError: as :func:`serve`.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    asyncio.run(_main(config, ready))
