"""One certificate on two addresses: both speak in turns, and the device is refused as a clone."""

from typing import Any, cast

import pytest

from drivers.coap.driver import TURNS, CoapConfig, CoapDriver
from drivers.transport.clones import WINDOW_S
from gateway.domain.devices import Device
from gateway.domain.ports import Ports
from tests.fakes import (
    FakeAdmission,
    FakeAside,
    FakeClock,
    FakeCommands,
    FakeCounters,
    FakeSink,
    FakeState,
)

CLONE = ("clone", "coap", "pump-1")


class Session:
    """What the driver sees of a DTLS session."""

    def __init__(self, host: str, port: int = 5000, device_id: str = "pump-1") -> None:
        self.address = (host, port)
        self.peer = f"{host}:{port}"
        self.device = Device(device_id)
        self.owned: Any = None


class Interface:
    """Notes what reached the protocol."""

    def __init__(self) -> None:
        self.heard = 0

    def received(self, _remote: Any, _plaintext: bytes) -> bool:
        self.heard += 1
        return True

    def ended(self, _remote: Any) -> None:
        """Nothing is under way."""


class Bench:
    """A driver with fakes around it."""

    def __init__(self) -> None:
        self.admission, self.clock = FakeAdmission(), FakeClock()
        ports = Ports(
            self.admission,
            FakeSink(),
            FakeCounters(),
            self.clock,
            FakeAside(),
            FakeState(),
            FakeCommands(),
            *(lambda: None,) * 3,
        )
        config = CoapConfig(listen=("127.0.0.1:0",))
        self.driver = cast(Any, CoapDriver("coap", config, ports))
        self.interface = Interface()
        self.driver._interface = self.interface

    def open(self, host: str, **words: Any) -> Session:
        session = Session(host, **words)
        self.driver.opened(session)
        return session

    def say(self, *sessions: Session) -> None:
        for session in sessions:
            self.driver.received(session, b"")


@pytest.fixture
def bench():
    return Bench()


def test_two_addresses_in_turns_are_a_clone(bench):
    one, two = bench.open("192.0.2.1"), bench.open("192.0.2.2")
    for turn in range(TURNS):
        bench.say((one, two)[turn % 2])
    assert bench.admission.refusals == []
    bench.say((one, two)[TURNS % 2])
    assert bench.admission.refusals == [CLONE]
    assert bench.interface.heard == TURNS  # what showed it did not reach the protocol


def test_a_device_that_moved_is_none(bench):
    one, two = bench.open("192.0.2.1"), bench.open("192.0.2.2")
    bench.say(one, one, *(two,) * 20)
    assert bench.admission.refusals == []
    assert bench.interface.heard == 22


def test_two_ports_of_one_address_are_none(bench):
    one, two = bench.open("192.0.2.1"), bench.open("192.0.2.1", port=5001)
    bench.say(*(one, two) * 20)
    assert bench.admission.refusals == []


def test_turns_that_take_long_are_none(bench):
    one, two = bench.open("192.0.2.1"), bench.open("192.0.2.2")
    for _ in range(20):
        bench.say(one)
        bench.clock.advance(WINDOW_S)
        bench.say(two)
        bench.clock.advance(WINDOW_S)
    assert bench.admission.refusals == []


def test_two_devices_are_two(bench):
    one, two = bench.open("192.0.2.1"), bench.open("192.0.2.2", device_id="pump-2")
    bench.say(*(one, two) * 20)
    assert bench.admission.refusals == []


def test_nothing_is_remembered_of_who_has_gone(bench):
    one, two = bench.open("192.0.2.1"), bench.open("192.0.2.2")
    bench.say(one, two)
    bench.driver.closed(one, "idle")
    bench.driver.closed(two, "idle")
    assert bench.driver._speaking == {}
