"""The scrape endpoint: loopback without, anything else only with mutual TLS."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import socketserver
import ssl
import threading
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import msgspec
from prometheus_client import CollectorRegistry, make_wsgi_app

from gateway.domain.errors import ConfigError
from security.files import TlsFiles
from security.tls import files_signature, server_context

CONNECTIONS_MAX = 16
"""Scrapes at a time; what is more is closed at once."""
PEER_TIMEOUT_S = 10.0
"""For the handshake, and for each read and write: as long as Prometheus waits for a scrape."""

log = logging.getLogger(__name__)


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
        self._running: tuple[_Server, threading.Thread] | None = None
        self.port = config.port

    def start(self) -> None:
        """Bind and serve.

        Raises:
            ConfigError: the address can't be bound, or the certificates can't be used.
        """
        config = self._config
        contexts = None
        if config.cert and config.key and config.trust:
            contexts = _Contexts(TlsFiles(config.cert, config.key, config.trust))
        try:
            family, *_ = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
            server = _Server((config.host, config.port), family, contexts)
        except OSError as error:
            where = f"{config.host}:{config.port}"
            raise ConfigError(f"metrics: cannot listen on {where}: {error.strerror}") from error
        server.set_app(make_wsgi_app(self._registry))
        self.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, daemon=True, name="metrics")
        thread.start()
        self._running = (server, thread)

    def stop(self) -> None:
        """Stop serving; idempotent."""
        if self._running is not None:
            server, thread = self._running
            server.shutdown()
            server.server_close()
            thread.join(timeout=2)
            self._running = None


class _Contexts:
    """The context for a handshake now: files that were renewed apply from the next one on."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises ConfigError if the files can't be used."""
        self._files = files
        self._lock = threading.Lock()
        self._context = server_context(files)
        self._seen = files_signature(files.pinned())

    def current(self) -> ssl.SSLContext:
        """Files that can't be used are ignored, and what was loaded last stays in force."""
        with self._lock, contextlib.suppress(OSError, ConfigError):
            found = files_signature(self._files.pinned())
            if found != self._seen:
                self._context = server_context(self._files)
                self._seen = found
        return self._context


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        """A scrape is no news."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """A thread per connection; TLS begins there, so that a silent peer holds nobody up."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], family: int, contexts: _Contexts | None) -> None:
        self.address_family = family
        self._contexts = contexts
        self._room = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__(address, _Quiet)

    def server_bind(self) -> None:
        """Bind as the library does, but ask no DNS for the address's name.

        At boot nobody may be there to answer, and a gateway with literal addresses may not ask.
        """
        socketserver.TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(PEER_TIMEOUT_S)
        if self._contexts is None:
            super().finish_request(request, client_address)
            return
        with self._contexts.current().wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who shows no certificate of ours, or goes away, is not worth a traceback."""
        del request
        log.debug("metrics: a connection from %s failed", client_address)


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
