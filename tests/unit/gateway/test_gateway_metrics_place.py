"""The scrape endpoint moves while it serves, or stays where it is."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from demo.plan import free_ports
from gateway.domain.errors import ConfigError
from gateway.metrics_http import MetricsConfig, MetricsPlace


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
