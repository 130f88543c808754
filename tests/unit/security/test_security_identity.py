"""The identity service: who gets in, who is put out, and that each refusal is told."""

import asyncio

import msgspec
import pytest

from gateway.domain.devices import (
    BrokerCredential,
    CertificateCredential,
    Device,
    PortCredential,
    Standing,
)
from gateway.domain.errors import RefusalReason, RefusedError
from security.identity import IdentityConfig, IdentityService
from security.names import Role, authority_mark
from security.pki import key_id
from tests.fakes import FakeClock, FakeCounters
from tests.unit.security.conftest import DOMAIN


class Session:
    """A live session that tells the service when it ends, as a driver's does."""

    def __init__(self, service, fails=False):
        self.service = service
        self.fails = fails
        self.killed = []

    def kill(self, reason):
        self.killed.append(reason)
        self.service.leave(self)
        if self.fails:
            raise OSError("already gone")


class Audit:
    def __init__(self):
        self.events = []
        self.refusals = []
        self.admissions = []
        self.departures = []

    def record(self, event, **fields):
        self.events.append((event, fields))

    def refused(self, reason, transport, peer, device_id):
        self.refusals.append((reason, transport, device_id))

    def admitted(self, device_id, transport, peer):
        self.admissions.append((device_id, transport, peer))

    def left(self, device_id, transport):
        self.departures.append((device_id, transport))


@pytest.fixture
def clock(ward):
    return FakeClock(round(ward.now.timestamp() * 1e6))


@pytest.fixture
def audit():
    return Audit()


@pytest.fixture
def counters():
    return FakeCounters()


@pytest.fixture
def service(clock, counters, audit):
    return IdentityService(IdentityConfig(DOMAIN), clock, counters, audit)


def certificate(der, transport="mqtt"):
    return CertificateCredential(der, transport, "127.0.0.1:4711")


def admitted(service, credential, **kwargs):
    session = Session(service, **kwargs)
    return session, service.admit(credential, session)


def refused(service, credential):
    with pytest.raises(RefusedError) as error:
        service.admit(credential, Session(service))
    return error.value.reason


def test_a_device_is_who_its_certificate_says(ward, service):
    der, _ = ward.der(Role.DEVICE, "one")
    assert admitted(service, certificate(der))[1] == Device("one")
    service.apply_directory([Device("one", "monitor", "icu", "7")])
    session, device = admitted(service, certificate(der))
    assert device == Device("one", "monitor", "icu", "7")
    assert len(service.live) == 1
    assert "one" in service.live
    service.leave(session)
    service.leave(session)
    assert len(service.live) == 0
    assert "one" not in service.live


def test_who_comes_and_goes_is_audited(ward, service, audit):
    der, _ = ward.der(Role.DEVICE, "one")
    session, _ = admitted(service, certificate(der))
    service.leave(session)
    service.leave(session)
    admitted(service, PortCredential("two", "/dev/ttyS1"))
    service.end_device("two", RefusalReason.SUSPENDED)
    assert audit.admissions == [("one", "mqtt", "127.0.0.1:4711"), ("two", "serial", "/dev/ttyS1")]
    assert audit.departures == [("one", "mqtt"), ("two", "serial")]


def test_a_session_that_is_admitted_again_leaves_no_trace_of_who_it_was(ward, service):
    first, serial = ward.der(Role.DEVICE, "monitor-1")
    second, _ = ward.der(Role.DEVICE, "monitor-2")
    session, _ = admitted(service, certificate(first))
    service.admit(certificate(second), session)
    assert len(service.live) == 1
    assert "monitor-1" not in service.live
    assert service.revoke([serial]) == 0
    assert service.end_device("monitor-1", RefusalReason.SUSPENDED) == 0
    assert session.killed == []


def test_a_session_ends_when_its_device_has_moved_and_only_then(ward, service, counters):
    credentials = [certificate(ward.der(Role.DEVICE, name)[0]) for name in ("one", "two")]
    beds = [Device("one", "monitor", "icu", "7"), Device("two", "monitor", "icu", "8")]
    service.apply_directory(beds)
    one, two = (admitted(service, each)[0] for each in credentials)
    assert service.apply_directory(beds) == 0
    active = [msgspec.structs.replace(each, standing=Standing.ENROLLED) for each in beds]
    assert service.apply_directory(active) == 0
    assert service.apply_directory([beds[0], Device("two", "monitor", "icu", "9")]) == 1
    assert (one.killed, two.killed) == ([], ["moved"])
    assert admitted(service, credentials[1])[1].bed == "9"
    assert not counters.counts


@pytest.mark.parametrize("role", [Role.GATEWAY, Role.SERVICE, Role.OPERATOR])
def test_other_roles_are_no_devices(ward, service, counters, audit, role):
    der, _ = ward.der(role, "one")
    assert refused(service, certificate(der)) == RefusalReason.IDENTITY_MISMATCH
    assert counters.counts[("refused", "identity_mismatch", "mqtt")] == 1
    assert audit.refusals == [("identity_mismatch", "mqtt", "one")]
    assert len(service.live) == 0


def test_an_expired_certificate_is_refused_and_a_session_ends_with_its_own(ward, service, clock):
    der, _ = ward.der(Role.DEVICE, "one", days=1)
    session, _ = admitted(service, certificate(der))
    clock.advance(86400 - 10)
    assert service.expire() == 0
    clock.advance(20)
    assert service.expire() == 1
    assert session.killed == ["expired"]
    # Its identity is cached by now; its end is looked at all the same.
    assert refused(service, certificate(der)) == RefusalReason.EXPIRED


def test_nobody_waits_for_a_device_that_was_dismissed(ward, service):
    """Whichever of the list and the directory comes first, and whoever was connected."""
    der, serial = ward.der(Role.DEVICE, "listed-first")
    other, other_serial = ward.der(Role.DEVICE, "told-first")
    dismissed: list[str] = []
    service.on_dismissed = dismissed.append
    names = ("listed-first", "told-first", "away", "on-a-port", "in-service")
    service.apply_directory([Device(name) for name in names])
    admitted(service, certificate(der))
    admitted(service, certificate(other))
    admitted(service, PortCredential("on-a-port", "/dev/ttyS0"))
    service.set_revocations({serial})
    assert dismissed == []
    told = [Device(name, revoked=True) for name in names[:4]]
    service.apply_directory([*told, Device("in-service")])
    assert dismissed == ["listed-first", "away", "on-a-port"]
    dismissed.clear()
    service.set_revocations({serial, other_serial})
    assert dismissed == ["told-first"]
    dismissed.clear()
    service.apply_directory([Device("on-a-port", standing=Standing.RETIRED), Device("in-service")])
    assert dismissed == ["on-a-port"]


def test_revocation_ends_the_live_sessions_of_that_certificate_alone(ward, service, counters):
    (first, serial), (second, _) = ward.der(Role.DEVICE, "one"), ward.der(Role.DEVICE, "one")
    session, _ = admitted(service, certificate(first))
    twin, _ = admitted(service, certificate(first, "coaps"))
    renewed, _ = admitted(service, certificate(second))
    assert service.set_revocations({serial, 4711}, number=1) == 2
    assert (session.killed, twin.killed, renewed.killed) == (["revoked"], ["revoked"], [])
    assert refused(service, certificate(first)) == RefusalReason.REVOKED
    assert counters.gauges[("revocations",)] == 2
    assert len(service.live) == 1
    assert service.revoke([serial]) == 0


async def test_many_live_sessions_are_looked_up_in_turns(ward, service, monkeypatch):
    """A new list counts at once for who comes; two lists in a row end all that they name."""
    monkeypatch.setattr("security.identity.SWEEP_MARKS", 2)
    held = [ward.der(Role.DEVICE, f"many-{number}") for number in range(6)]
    sessions = [admitted(service, certificate(der))[0] for der, _ in held]
    at_once = service.set_revocations([serial for _, serial in held[:3]], number=1)
    service.set_revocations([serial for _, serial in held[:4]], number=2)
    assert at_once < 3
    assert refused(service, certificate(held[3][0])) == RefusalReason.REVOKED
    left_meanwhile = sessions[5]
    service.leave(left_meanwhile)
    for _ in range(10):
        await asyncio.sleep(0)
    assert [each.killed for each in sessions] == [["revoked"]] * 4 + [[], []]
    assert len(service.live) == 1


def test_a_void_authority_ends_all_that_it_has_issued(ward, stranger, service):
    theirs = [stranger.der(Role.DEVICE, name)[0] for name in ("one", "two")]
    ours, _ = admitted(service, certificate(ward.der(Role.DEVICE, "one")[0]))
    sessions = [admitted(service, certificate(der))[0] for der in theirs]
    void = authority_mark(key_id(stranger.issuing.certificate.public_key()))
    assert service.set_revocations({void}, number=1) == 2
    assert [each.killed for each in sessions] == [["revoked"], ["revoked"]]
    assert ours.killed == []
    assert {refused(service, certificate(der)) for der in theirs} == {RefusalReason.REVOKED}


def test_revoking_adds_and_a_list_replaces(ward, service):
    der, serial = ward.der(Role.DEVICE, "one")
    admitted(service, certificate(der))
    assert service.revoke([serial]) == 1
    assert refused(service, certificate(der)) == RefusalReason.REVOKED
    service.set_revocations([])
    assert admitted(service, certificate(der))


def test_one_session_that_fails_to_end_saves_no_other(ward, service):
    der, serial = ward.der(Role.DEVICE, "one")
    sessions = [admitted(service, certificate(der), fails=True)[0] for _ in range(3)]
    assert service.revoke([serial]) == 3
    assert [session.killed for session in sessions] == [["revoked"]] * 3


@pytest.mark.parametrize(
    ("standing", "lives"),
    [
        (Standing.EXPECTED, True),
        (Standing.ENROLLED, True),
        (Standing.ACTIVE, True),
        (Standing.SUSPENDED, False),
        (Standing.RETIRED, False),
    ],
)
def test_standing_decides_at_the_door_and_for_who_is_in(ward, service, standing, lives):
    der, _ = ward.der(Role.DEVICE, "one")
    credentials = [
        certificate(der),
        PortCredential("one", "/dev/ttyS0"),
        BrokerCredential("one", "ward"),
    ]
    sessions = [admitted(service, each)[0] for each in credentials]
    ended = service.apply_directory([Device("one", standing=standing)])
    assert ended == (0 if lives else 3)
    assert [each.killed for each in sessions] == [[] if lives else ["suspended"]] * 3
    for credential in credentials:
        if lives:
            assert admitted(service, credential)[1].standing is standing
        else:
            assert refused(service, credential) == RefusalReason.SUSPENDED


def test_a_device_whose_certificates_are_revoked_is_out_on_every_transport(ward, service):
    """Nobody can vouch for it; a certificate that is not on the list decides for itself."""
    der, serial = ward.der(Role.DEVICE, "one")
    vouched = [PortCredential("one", "/dev/ttyS0"), BrokerCredential("one", "ward")]
    sessions = [admitted(service, each)[0] for each in vouched]
    fresh, _ = admitted(service, certificate(der))
    assert service.apply_directory([Device("one", revoked=True)]) == 2
    assert [each.killed for each in (*sessions, fresh)] == [["revoked"], ["revoked"], []]
    assert [refused(service, each) for each in vouched] == ["revoked", "revoked"]
    assert service.set_revocations({serial}) == 1
    assert refused(service, certificate(der)) == "revoked"
    service.apply_directory([Device("one")])
    assert all(admitted(service, each) for each in vouched)


def test_devices_that_the_directory_does_not_know(ward, clock, counters, audit):
    der, _ = ward.der(Role.DEVICE, "one")
    strict = IdentityService(IdentityConfig(DOMAIN), clock, counters, audit)
    session, _ = admitted(strict, certificate(der))  # before the first directory
    assert strict.apply_directory([Device("two")]) == 1
    assert session.killed == ["unknown_device"]
    assert refused(strict, certificate(der)) == RefusalReason.UNKNOWN_DEVICE
    assert audit.refusals[-1] == ("unknown_device", "mqtt", "one")
    lenient = IdentityService(
        IdentityConfig(DOMAIN, unknown_devices="admit"), clock, counters, audit
    )
    lenient.apply_directory([])
    assert admitted(lenient, certificate(der))[1] == Device("one")


def test_a_foreign_domain_is_refused(ward, clock, counters, audit):
    der, _ = ward.der(Role.DEVICE, "one")
    service = IdentityService(IdentityConfig("other.example"), clock, counters, audit)
    assert refused(service, certificate(der)) == RefusalReason.IDENTITY_MISMATCH


def test_what_a_driver_refuses_is_counted_and_audited(service, counters, audit):
    service.refuse("malformed", "coaps", "[::1]:5", "one")
    assert counters.counts[("refused", "malformed", "coaps")] == 1
    assert audit.refusals == [("malformed", "coaps", "one")]


def test_many_identities_are_cached_within_bounds(ward, service, monkeypatch):
    monkeypatch.setattr("security.identity.IDENTITIES_CACHED_MAX", 3)
    for number in range(10):
        admitted(service, certificate(ward.der(Role.DEVICE, f"d{number}")[0]))
    assert len(service._identities) == 3
    assert len(service.live) == 10
    assert all(f"d{number}" in service.live for number in range(10))


def test_the_rule_for_unknown_devices_changes_for_live_sessions_too(ward, clock, counters, audit):
    der, _ = ward.der(Role.DEVICE, "one")
    admit, refuse = (IdentityConfig(DOMAIN, unknown_devices=word) for word in ("admit", "refuse"))
    service = IdentityService(admit, clock, counters, audit)
    service.follow(refuse)  # before the first directory nobody is unknown
    service.follow(admit)
    service.apply_directory([Device("two")])
    session, _ = admitted(service, certificate(der))
    service.follow(admit)
    assert session.killed == []
    service.follow(refuse)
    assert session.killed == ["unknown_device"]
    assert refused(service, certificate(der)) == RefusalReason.UNKNOWN_DEVICE
    service.follow(admit)
    assert admitted(service, certificate(der))


def test_the_soonest_end_of_a_devices_certificates_is_known(ward, service):
    for days in (20, 10):
        admitted(service, certificate(ward.der(Role.DEVICE, "one", days=days)[0]))
    admitted(service, PortCredential("two", "/dev/ttyS0"))
    end = service.live.certificate_end("one")
    assert end == pytest.approx(ward.now.timestamp() + 10 * 86400, abs=1)
    assert service.live.certificate_end("two") is None
    assert service.live.certificate_end("three") is None


def test_where_a_devices_sessions_come_from_is_known_while_they_live(ward, service):
    der, _ = ward.der(Role.DEVICE, "one")
    session, _ = admitted(service, certificate(der))
    assert service.live.addresses_of("one") == {"127.0.0.1"}
    assert service.live.addresses_of("two") == frozenset()
    service.leave(session)
    assert service.live.addresses_of("one") == frozenset()
