"""The scrape endpoint moves while it serves, or stays where it is."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from cryptography import x509
from prometheus_client import CollectorRegistry, Counter

from demo.plan import free_ports
from gateway import metrics_http
from gateway.domain.errors import ConfigError
from gateway.metrics_http import (
    CONNECTIONS_MAX,
    MetricsConfig,
    MetricsPlace,
    MetricsServer,
)
from security import pki
from security.files import TlsFiles
from security.names import Role
from security.pki import Subject, Validity
from security.slots import Slots
from security.tls import client_context


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("things", "Counted", registry=registry).inc(3)
    return registry


@pytest.fixture
def here() -> int:
    return free_ports(1)[0]


@pytest.fixture
def place(registry: CollectorRegistry, here: int) -> Iterator[MetricsPlace]:
    made = MetricsPlace(MetricsConfig(port=here), registry)
    made.start()
    yield made
    made.stop()


def scraped(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return b"things_total 3.0" in answer.read()


def test_it_moves(place, here):
    (there,) = free_ports(1)
    place.move(MetricsConfig(port=there))
    assert scraped(there)
    with pytest.raises(urllib.error.URLError):
        scraped(here)
    place.move(MetricsConfig(port=here))
    assert scraped(here)


def test_nobody_is_asked_for_the_name_of_its_address(place, monkeypatch):
    def asked(*names: str) -> str:
        raise AssertionError(f"a resolver was asked for {names}")

    for question in ("getfqdn", "gethostbyaddr", "gethostbyname", "getnameinfo"):
        monkeypatch.setattr(socket, question, asked)
    (there,) = free_ports(1)
    place.move(MetricsConfig(port=there))
    assert scraped(there)


def test_where_it_cannot_be_it_does_not_go(place, here):
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigError, match="cannot listen"),
    ):
        place.move(MetricsConfig(port=taken.getsockname()[1]))
    with pytest.raises(ConfigError, match="not loopback"):
        place.move(MetricsConfig("0.0.0.0", here))
    assert scraped(here)


def test_certificates_that_cannot_be_used_leave_it_as_it_was(place, here, tmp_path):
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("no certificate")
    with pytest.raises(ConfigError):
        place.move(MetricsConfig(port=here, cert=nothing, key=nothing, trust=nothing))
    assert scraped(here)


# Off loopback, or wherever certificates are given


@pytest.fixture
def slots(tmp_path) -> Slots:
    made = Slots(tmp_path / "identity")
    key = pki.new_key()
    made.create(key, *certified(key))
    return made


NOW = datetime.now(UTC)
AUTHORITY = pki.create_issuing(pki.create_root("ward.example", NOW), NOW)


def certified(key) -> tuple[bytes, bytes]:
    subject = Subject(Role.SERVICE, "fleet", ("localhost", "127.0.0.1"))
    issued = pki.issue(AUTHORITY, subject, key.public_key(), Validity.days(NOW, 1))
    return issued.chain_pem, issued.trust_pem


@pytest.fixture
def secured(registry, slots) -> Iterator[MetricsServer]:
    named = TlsFiles.within(slots.directory)
    made = MetricsServer(
        MetricsConfig(port=0, cert=named.cert, key=named.key, trust=named.trust), registry
    )
    made.start()
    yield made
    made.stop()


def shown(secured, slots) -> int:
    """Scrape by mutual TLS; the serial number of who answered."""
    context = client_context(slots.files)
    with (
        socket.create_connection(("127.0.0.1", secured.port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as tls,
    ):
        der = tls.getpeercert(binary_form=True)
        tls.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        said = b"".join(iter(lambda: tls.recv(65536), b""))
    assert b"things_total 3.0" in said
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


def serial(slots) -> int:
    return pki.load_certificates(slots.files.cert)[0].serial_number


def test_a_renewed_certificate_is_shown_from_the_next_scrape_on(secured, slots):
    first = shown(secured, slots)
    assert first == serial(slots)
    slots.fill(*certified(slots.request_key()))
    slots.swap()
    assert shown(secured, slots) == serial(slots) != first
    slots.files.key.chmod(0o644)  # and what can't be used is not taken
    slots.files.cert.write_text("no certificate")
    slots.swap()
    assert shown(secured, slots) == first


def test_nobody_scrapes_without_a_certificate_of_ours(secured, slots):
    context = ssl.create_default_context(cafile=str(slots.files.trust))
    with (
        socket.create_connection(("127.0.0.1", secured.port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as tls,
        contextlib.suppress(ssl.SSLError, ConnectionError),
    ):
        tls.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert tls.recv(1) == b""


def test_silent_peers_hold_no_scrape_up(secured, slots, monkeypatch):
    monkeypatch.setattr(metrics_http, "PEER_TIMEOUT_S", 120.0)
    with contextlib.ExitStack() as stack:

        def silent() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", secured.port)))

        for _ in range(CONNECTIONS_MAX - 1):
            silent()
        assert shown(secured, slots) == serial(slots)
        turned_away, _, _ = select.select([silent(), silent()], [], [], 60)
        assert turned_away[0].recv(1) == b""
