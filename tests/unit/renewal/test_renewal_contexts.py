"""TLS while the wall clock does not count: chains are verified, ends are judged by secure time."""

import contextlib
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from gateway.domain.devices import CertificateCredential
from gateway.domain.errors import RefusalReason, RefusedError
from security import pki, tls
from security.identity import IdentityConfig, IdentityService
from security.names import Role
from security.pki import Subject, Validity
from security.timefloor import SecureTime, Standing
from tests.fakes import FakeCounters
from tests.unit.renewal.test_renewal_clock import Machine
from tests.unit.security.handshakes import Watch, dtls_shake, shake

NOW = datetime.now(UTC)
AHEAD = timedelta(days=400)
"""By how much the wall clock of OpenSSL, ours, is behind the time that was proved."""


NO_CHECK_TIME = 0x200000
NOT_YET_VALID = 9


class Everyone:
    """Certificates of a ward whose time is ``AHEAD`` of the machine's clock."""

    def __init__(self, directory):
        self.time = NOW + AHEAD
        root = pki.create_root("ward.example", NOW)
        authority = pki.create_issuing(root, NOW)
        self.gateway = self.make(authority, directory / "gw", Role.GATEWAY, "gw", 0, 90)
        self.good = self.make(authority, directory / "good", Role.DEVICE, "good", 0, 90)
        self.ended = self.make(authority, directory / "ended", Role.DEVICE, "ended", -90, 89)
        other = pki.create_issuing(pki.create_root("ward.example", NOW), NOW)
        self.stranger = self.make(other, directory / "other", Role.DEVICE, "good", 0, 90)

    def make(self, authority, directory, role, name, begins, days):
        hosts = ("localhost",) if role is Role.GATEWAY else ()
        begin = self.time + timedelta(days=begins)
        validity = Validity(begin, begin + timedelta(days=days))
        return pki.make_identity(authority, Subject(role, name, hosts), directory, validity)


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    return Everyone(tmp_path_factory.mktemp("ward"))


@pytest.fixture
def time(ward):
    made = SecureTime(None, Machine(round(NOW.timestamp() * 1e6)), lambda: False)
    made.proved(round(ward.time.timestamp() * 1e6))
    assert made.standing is Standing.BEHIND
    return made


def handshake(ward, time, identity):
    files, _ = identity
    believes = time.standing is Standing.AGREED
    ours = tls.TlsContexts(ward.gateway[0], time, lambda: believes)
    theirs = tls.client_context(files, check_time=False)
    theirs.load_verify_locations(ward.gateway[0].trust)
    return shake(ours.server(), theirs)


def der_of(identity):
    return identity[1].certificate.public_bytes(Encoding.DER)


class Session:
    def kill(self, reason):
        raise AssertionError(reason)


class Auditor:
    def record(self, event, **fields):
        pass

    def refused(self, *words):
        pass

    def admitted(self, *words):
        pass

    def left(self, *words):
        pass


def admit(time, identity):
    service = IdentityService(
        IdentityConfig("ward.example", unknown_devices="admit"), time, FakeCounters(), Auditor()
    )
    return service.admit(CertificateCredential(der_of(identity), "mqtt", "test"), Session())


def test_a_good_certificate_that_begins_later_is_admitted(ward, time):
    server, _ = handshake(ward, time, ward.good)
    assert server.tls.getpeercert(binary_form=True) == der_of(ward.good)
    assert admit(time, ward.good).device_id == "good"


def test_one_that_ended_before_the_floor_passes_tls_and_no_further(ward, time):
    handshake(ward, time, ward.ended)
    with pytest.raises(RefusedError) as refused:
        admit(time, ward.ended)
    assert refused.value.reason == RefusalReason.EXPIRED


def test_another_authority_stays_out(ward, time):
    with pytest.raises(ssl.SSLError):
        handshake(ward, time, ward.stranger)


def test_with_a_clock_that_counts_tls_checks_times(ward):
    believed = SecureTime(None, Machine(round(NOW.timestamp() * 1e6)), lambda: False)
    with pytest.raises(ssl.SSLError, match="not yet valid"):
        handshake(ward, believed, ward.good)


def dtls(ward, identity, *, check_time):
    files, _ = identity
    theirs = tls.dtls_client_context(files)
    store = theirs.get_cert_store()
    assert store is not None
    store.set_flags(NO_CHECK_TIME)
    theirs.load_verify_locations(str(ward.gateway[0].trust))
    watch = Watch()
    context = tls.dtls_server_context(ward.gateway[0], check_time=check_time)
    with contextlib.suppress(SSL.Error):
        dtls_shake(context, theirs, watch)
        return []
    return watch.codes


def test_dtls_follows_the_same_word(ward):
    assert dtls(ward, ward.good, check_time=False) == []
    assert NOT_YET_VALID in dtls(ward, ward.good, check_time=True)
    assert dtls(ward, ward.stranger, check_time=False)
