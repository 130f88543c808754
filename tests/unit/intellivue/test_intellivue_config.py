"""The configuration, and what the gateway finds under the entry point's name."""

from datetime import UTC

import msgspec
import pytest

from drivers.intellivue.config import IntellivueConfig
from drivers.intellivue.driver import FACTORY
from gateway.clock import SystemClock
from gateway.domain.ports import Ports
from tests.fakes import FakeAdmission, FakeAside, FakeCommands, FakeCounters, FakeSink, FakeState

MONITOR = {"device_id": "m1", "port": "/dev/ttyS0"}


def read(*monitors):
    return msgspec.convert({"monitors": monitors}, IntellivueConfig)


def test_defaults():
    (monitor,) = read(MONITOR).monitors
    assert (monitor.baud_rate, monitor.poll_period_s, monitor.silence_s) == (115200, 60.0, 10.0)
    assert monitor.zone() is UTC
    assert monitor.times().poll_period_s == 60.0
    assert (monitor.settings().parity, monitor.settings().stop_bits) == ("none", 1)


def test_a_zone_by_name():
    (monitor,) = read({**MONITOR, "time_zone": "Europe/Paris"}).monitors
    assert str(monitor.zone()) == "Europe/Paris"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"device_id": ""}, "device_id"),
        ({"port": "COM3"}, "port"),
        ({"baud_rate": -1}, "baud_rate"),
        ({"poll_period_s": 1.0}, "poll_period_s"),
        ({"poll_period_s": 1e9}, "poll_period_s"),
        ({"silence_s": 0.5}, "silence_s"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../etc/passwd"}, "time_zone"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_mistakes_are_named(change, word):
    with pytest.raises(msgspec.ValidationError, match=word):
        read({**MONITOR, **change})


@pytest.mark.parametrize("second", [{"port": "/dev/ttyS1"}, {"device_id": "m2"}])
def test_neither_a_device_nor_a_port_twice(second):
    with pytest.raises(msgspec.ValidationError, match="twice"):
        read(MONITOR, {**MONITOR, **second})


async def test_the_factory_makes_a_driver_that_has_opened_nothing():
    ports = Ports(
        FakeAdmission(),
        FakeSink(),
        FakeCounters(),
        SystemClock(),
        FakeAside(),
        FakeState(),
        FakeCommands(),
        server_tls=lambda: None,
        server_dtls=lambda: None,
        client_tls=lambda: None,
    )
    driver = FACTORY.create("icu", read(MONITOR), ports)
    assert FACTORY.name == "intellivue"
    assert FACTORY.config_type is IntellivueConfig
    assert not driver.healthy()
    assert driver.addresses() == {}
    await driver.stop(1.0)
