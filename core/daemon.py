"""The core as a process: the only place that wires its parts."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import grpc.aio
from prometheus_client import start_http_server
from security.files import TlsFiles, write_atomic
from security.tls import grpc_server_credentials

from core.config import CoreConfig, address
from core.inbox import Inbox
from core.metrics import METRICS
from core.service import IngestService, server_options
from core.store import Store
from gateway.domain.errors import ConfigError
from gateway.telemetry import Telemetry

log = logging.getLogger(__name__)

STOP_GRACE_S = 2.0
LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))


def _now_us() -> int:
    return time.time_ns() // 1000


async def serve(config: CoreConfig, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Serve until ``stop`` is set; ``ready`` is called once when the listeners answer.

    Raises:
        ConfigError: certificates, addresses or database can't be used.
    """
    telemetry = Telemetry(METRICS, prefix="wardgate_core")
    tls = config.tls
    files = TlsFiles(Path(tls.certificate), Path(tls.key), Path(tls.client_ca))
    credentials = grpc_server_credentials(files)
    host, port = address(config.listen, "listen")
    store = Store.open(Path(config.database), _now_us)
    inbox = Inbox(store, telemetry, config.limits.group_bytes_max)
    try:
        service = IngestService(
            inbox,
            telemetry,
            config.limits,
            tls.trust_domain,
            Path(tls.revoked_serials) if tls.revoked_serials else None,
        )
        server = grpc.aio.server(options=server_options(config.limits))
        server.add_generic_rpc_handlers((service.handler(),))
        try:
            bound = server.add_secure_port(
                f"[{host}]:{port}" if ":" in host else f"{host}:{port}", credentials
            )
        except RuntimeError as error:
            raise ConfigError(f"listen: can't bind {config.listen}") from error
        worker = asyncio.create_task(inbox.run())
        stopping = asyncio.create_task(stop.wait())
        try:
            await server.start()
            metrics = _serve_metrics(config, telemetry)
            _announce(config, host, bound, metrics)
            log.info("core answers on %s:%d", host, bound)
            ready()
            await asyncio.wait((worker, stopping), return_when=asyncio.FIRST_COMPLETED)
            if worker.done():
                worker.result()
        finally:
            await server.stop(STOP_GRACE_S)
            worker.cancel()
            stopping.cancel()
            await asyncio.gather(worker, stopping, return_exceptions=True)
    finally:
        inbox.close()


def _serve_metrics(config: CoreConfig, telemetry: Telemetry) -> str:
    if not config.metrics:
        return ""
    host, port = address(config.metrics, "metrics")
    if host not in LOOPBACK:
        raise ConfigError(f"metrics: {host} is not loopback")
    server, _ = start_http_server(port, addr=host, registry=telemetry.registry)
    return f"http://{host}:{server.server_port}/metrics"


def _announce(config: CoreConfig, host: str, port: int, metrics: str) -> None:
    if config.announce:
        facts = {"ingest": {"host": host, "port": port}, "metrics": metrics, "pid": os.getpid()}
        write_atomic(Path(config.announce), json.dumps(facts).encode())


async def _main(config: CoreConfig, ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await serve(config, stop, ready)


def run(config: CoreConfig, ready: Callable[[], None] = lambda: None) -> None:
    """Run the core until SIGINT or SIGTERM.

    Raises:
        ConfigError: as :func:`serve`.
    """
    asyncio.run(_main(config, ready))
