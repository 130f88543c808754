"""One identity on every transport: each with each case; refused, counted, audited, told."""

from typing import NamedTuple

import msgspec
import pytest

from gateway.domain.devices import (
    BrokerCredential,
    CertificateCredential,
    Device,
    HostCredential,
    PortCredential,
)
from gateway.domain.devices import Standing as Is
from gateway.domain.errors import RefusalReason as Why
from gateway.domain.errors import RefusedError
from security.identity import CLONE_OUT_S, IdentityConfig, IdentityService
from security.names import Role
from security.suspicions import AGAIN_S, DEVICES_MAX, REFUSALS, WINDOW_S, Suspicions
from tests.fakes import FakeClock, FakeCounters
from tests.unit.security.conftest import DOMAIN
from tests.unit.security.test_security_identity import Audit, Session

TRANSPORTS = {
    "mqtt": "mqtt",
    "coap": "coaps",
    "hl7": "mllp",
    "llrp": "llrp",
    "serial": "serial",
    "broker": "broker",
}
"""What drivers call it -> what the registry calls it."""
CERTIFIED = {"mqtt", "coap", "hl7", "llrp"}
DEVICE = Device("one", "monitor", "icu", "7")


class Case(NamedTuple):
    """What the registry says of the device, and what becomes of it."""

    known: Device | None
    reason: str | None
    """None: it is let in."""


CASES = {
    "expected": Case(msgspec.structs.replace(DEVICE, standing=Is.EXPECTED), None),
    "enrolled": Case(msgspec.structs.replace(DEVICE, standing=Is.ENROLLED), None),
    "active": Case(DEVICE, None),
    "suspended": Case(msgspec.structs.replace(DEVICE, standing=Is.SUSPENDED), Why.SUSPENDED),
    "retired": Case(msgspec.structs.replace(DEVICE, standing=Is.RETIRED), Why.SUSPENDED),
    "unknown": Case(None, Why.UNKNOWN_DEVICE),
}


class Gate:
    """The identity service, and who comes by which transport."""

    def __init__(self, ward):
        self.ward = ward
        self.clock = FakeClock(round(ward.now.timestamp() * 1e6))
        self.counters, self.audit = FakeCounters(), Audit()
        config = IdentityConfig(DOMAIN)
        self.service = IdentityService(config, self.clock, self.counters, self.audit)
        self.told: list[tuple[Device, str, str]] = []
        self.service.on_suspicion = lambda *suspicion: self.told.append(suspicion)
        self.der, self.serial = ward.der(Role.DEVICE, "one")

    def credential(self, transport, der=None):
        match transport:
            case "serial":
                return PortCredential("one", "/dev/ttyS0")
            case "broker":
                return BrokerCredential("one", "ward-broker")
            case "llrp":
                return HostCredential("one", der or self.der, transport, "reader.example:5085")
            case _:
                return CertificateCredential(der or self.der, transport, "192.0.2.1:4711")

    def enter(self, transport, der=None):
        session = Session(self.service)
        self.service.admit(self.credential(transport, der), session)
        return session

    def refused(self, transport, reason, device_id="one", der=None):
        """It is refused for this reason, which is counted and audited."""
        key = ("refused", reason, transport)
        before = self.counters.counts[key]
        with pytest.raises(RefusedError) as refusal:
            self.enter(transport, der)
        assert refusal.value.reason == reason
        assert self.counters.counts[key] == before + 1
        assert self.audit.refusals[-1] == (reason, transport, device_id)


@pytest.fixture
def gate(ward):
    return Gate(ward)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("case", CASES)
def test_standing(gate, transport, case):
    known, reason = CASES[case]
    gate.service.apply_directory([known] if known else [])
    if reason is None:
        assert gate.enter(transport).killed == []
    else:
        gate.refused(transport, reason)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("case", CASES)
def test_standing_that_changes_under_a_live_session(gate, transport, case):
    known, reason = CASES[case]
    gate.service.apply_directory([DEVICE])
    session = gate.enter(transport)
    gate.service.apply_directory([known] if known else [])
    assert session.killed == ([] if reason is None else [reason])


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("registered", ["", *TRANSPORTS.values()])
def test_the_registered_transport(gate, transport, registered):
    gate.service.apply_directory([msgspec.structs.replace(DEVICE, transport=registered)])
    if registered in {"", TRANSPORTS[transport]}:
        gate.enter(transport)
    else:
        gate.refused(transport, Why.WRONG_TRANSPORT)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("registered", ["", *TRANSPORTS.values()])
def test_a_transport_that_is_registered_later(gate, transport, registered):
    gate.service.apply_directory([DEVICE])
    session = gate.enter(transport)
    gate.service.apply_directory([msgspec.structs.replace(DEVICE, transport=registered)])
    stays = registered in {"", TRANSPORTS[transport]}
    assert session.killed == ([] if stays else [Why.WRONG_TRANSPORT])


@pytest.mark.parametrize("transport", sorted(CERTIFIED))
@pytest.mark.parametrize("role", [Role.GATEWAY, Role.SERVICE, Role.OPERATOR])
def test_somebody_who_is_no_device(gate, transport, role):
    der, _ = gate.ward.der(role, "one")
    gate.service.apply_directory([DEVICE])
    if (transport, role) == ("llrp", Role.SERVICE):
        gate.enter(transport, der)  # at a host that the configuration binds to the device
    else:
        gate.refused(transport, Why.IDENTITY_MISMATCH, der=der)


def test_at_a_devices_host_another_device_is_refused(gate):
    der, _ = gate.ward.der(Role.DEVICE, "two")
    gate.service.apply_directory([DEVICE, msgspec.structs.replace(DEVICE, device_id="two")])
    gate.refused("llrp", Why.IDENTITY_MISMATCH, der=der)


def test_the_certificate_of_a_devices_host_can_be_revoked(gate):
    der, serial = gate.ward.der(Role.SERVICE, "one")
    gate.service.apply_directory([DEVICE])
    session = gate.enter("llrp", der)
    assert gate.service.revoke([serial]) == 1
    assert session.killed == [Why.REVOKED]
    gate.refused("llrp", Why.REVOKED, der=der)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_device_all_of_whose_certificates_are_revoked(gate, transport):
    gate.service.set_revocations([gate.serial])
    gate.service.apply_directory([msgspec.structs.replace(DEVICE, revoked=True)])
    gate.refused(transport, Why.REVOKED)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("other", TRANSPORTS)
def test_a_clone_is_kept_out_on_every_transport_for_a_while(gate, transport, other):
    gate.service.apply_directory([DEVICE])
    live = [gate.enter(each) for each in (transport, other)]
    gate.service.refuse(Why.CLONE, transport, "192.0.2.2:1", "one")
    assert [session.killed for session in live] == [[Why.CLONE], [Why.CLONE]]
    assert gate.told == [(DEVICE, Why.CLONE, transport)]
    # A driver that raises the alarm by itself is not doubled.
    gate.clock.advance(AGAIN_S)
    before = gate.counters.counts["refused", Why.CLONE, transport]
    gate.service.refuse(Why.CLONE, transport, "192.0.2.2:1", "one", told=True)
    assert len(gate.told) == 1
    assert gate.counters.counts["refused", Why.CLONE, transport] == before + 1
    gate.clock.advance(CLONE_OUT_S - 1)
    gate.refused(other, Why.SUSPENDED)
    gate.clock.advance(1)
    gate.enter(other)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("reason", [Why.WRONG_TRANSPORT, Why.IDENTITY_MISMATCH])
def test_people_are_told_of_what_repeats_once(gate, transport, reason):
    gate.service.apply_directory([DEVICE])
    for number in range(3 * REFUSALS):
        gate.service.refuse(reason, transport, "192.0.2.1:1", "one")
        assert gate.told == ([(DEVICE, reason, transport)] if number >= REFUSALS - 1 else [])
    gate.clock.advance(AGAIN_S)
    for _ in range(REFUSALS):
        gate.service.refuse(reason, transport, "192.0.2.1:1", "one")
    assert len(gate.told) == 2


@pytest.mark.parametrize("reason", [Why.SUSPENDED, Why.UNKNOWN_DEVICE, Why.OVERLOADED, Why.REVOKED])
def test_what_is_no_misuse_of_an_identity_is_not_told(gate, reason):
    for _ in range(2 * REFUSALS):
        gate.service.refuse(reason, "mqtt", "192.0.2.1:1", "one")
        gate.service.refuse(Why.IDENTITY_MISMATCH, "mqtt", "192.0.2.1:1")  # of nobody
    assert gate.told == []


def test_a_mistake_now_and_then_is_none():
    suspicions = Suspicions()
    pause = WINDOW_S / (REFUSALS - 1) + 0.1
    assert not any(suspicions.refused("one", number * pause) for number in range(50))


def test_a_flood_of_names_does_not_grow():
    suspicions = Suspicions()
    for number in range(DEVICES_MAX + 10):
        for _ in range(REFUSALS):
            suspicions.refused(str(number), 1.0)
    assert len(suspicions._refused) == len(suspicions._told) == DEVICES_MAX
