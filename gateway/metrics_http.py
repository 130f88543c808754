"""The scrape endpoint: loopback without, anything else only with mutual TLS."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, start_http_server

from gateway.domain.errors import ConfigError
from security.files import TlsFiles
from security.tls import check_files


class MetricsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where Prometheus scrapes."""

    host: str = "127.0.0.1"
    port: int = 9464
    cert: Path | None = None
    key: Path | None = None
    trust: Path | None = None


class MetricsServer:
    """Serves one registry until it is stopped, in a thread of its own."""

    def __init__(self, config: MetricsConfig, registry: CollectorRegistry) -> None:
        secured = bool(config.cert and config.key and config.trust)
        if not secured and not _is_loopback(config.host):
            raise ConfigError(
                f"metrics.host {config.host} is not loopback: set cert, key and trust for mTLS"
            )
        self._config = config
        self._registry = registry
        self._secured = secured
        self._running: tuple[object, object] | None = None
        self.port = config.port

    def start(self) -> None:
        """Bind and serve.

        Raises:
            ConfigError: the address can't be bound, or the certificates can't be used.
        """
        config = self._config
        if config.cert and config.key and config.trust:
            # Before the library binds: it would keep the port when they can't be loaded.
            check_files(TlsFiles(config.cert, config.key, config.trust))
        try:
            server, thread = start_http_server(
                config.port,
                addr=config.host,
                registry=self._registry,
                certfile=str(config.cert) if self._secured else None,
                keyfile=str(config.key) if self._secured else None,
                client_cafile=str(config.trust) if self._secured else None,
                client_auth_required=self._secured,
            )
        except OSError as error:
            where = f"{config.host}:{config.port}"
            raise ConfigError(f"metrics: cannot listen on {where}: {error.strerror}") from error
        self.port = server.server_port
        self._running = (server, thread)

    def stop(self) -> None:
        """Stop serving; idempotent."""
        if self._running is not None:
            server, thread = self._running
            server.shutdown()  # type: ignore[attr-defined]
            server.server_close()  # type: ignore[attr-defined]
            thread.join(timeout=2)  # type: ignore[attr-defined]
            self._running = None


class MetricsPlace:
    """The scrape endpoint where the configuration wants it; it can move while it serves."""

    def __init__(self, config: MetricsConfig, registry: CollectorRegistry) -> None:
        """Raises ConfigError as :class:`MetricsServer`; opens nothing."""
        self._registry = registry
        self._config = config
        self._server = MetricsServer(config, registry)

    def start(self) -> None:
        """Bind and serve; raises ConfigError as :meth:`MetricsServer.start`."""
        self._server.start()

    def stop(self) -> None:
        """Stop serving; idempotent."""
        self._server.stop()

    def move(self, config: MetricsConfig) -> None:
        """Serve there from now on; blocks for as long as the last scrape takes.

        Raises:
            ConfigError: it can't; it serves as before.
        """
        if config == self._config:
            return
        fresh, before = MetricsServer(config, self._registry), self._server
        same_place = (config.host, config.port) == (self._config.host, self._config.port)
        if same_place:
            before.stop()
        try:
            fresh.start()
        except ConfigError:
            if same_place:
                before.start()
            raise
        before.stop()
        self._config, self._server = config, fresh


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
