"""TLS with an optional client certificate: who gets a session, and what is known of them."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.domain.errors import ConfigError, RefusedError
from security import chains, pki
from security.files import TlsFiles, write_atomic
from security.names import Role
from security.tls import enrolment_context, peer_certificates, server_context
from tests.unit.enrol.test_enrolment import ACME

NOW = datetime.now(UTC)
ROOT = pki.create_root("ward.example", NOW - timedelta(days=10))
ISSUING = pki.create_issuing(ROOT, NOW - timedelta(days=10))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    subject = pki.Subject(Role.SERVICE, "fleet", ("localhost",))
    where = tmp_path_factory.mktemp("fleet")
    return pki.make_identity(ISSUING, subject, where, pki.Validity.days(NOW, 1))[0]


def client(tmp_path, fleet, authority=ISSUING, days=1.0, *, leaf_alone=False):
    subject = pki.Subject(Role.DEVICE, "pump-1")
    files, issued = pki.make_identity(
        authority, subject, tmp_path / "client", pki.Validity.days(NOW, days)
    )
    if leaf_alone:
        write_atomic(files.cert, pki.to_pem(issued.certificate))
    return context(fleet, files), issued.certificate


def context(fleet, files=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(fleet.trust)
    if files:
        made.load_cert_chain(files.cert, files.key)
    return made


def shake(server, client):
    """The server's side of a finished handshake.

    Raises:
        ssl.SSLError: one side refused.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = server.wrap_bio(to_server, to_client, server_side=True)
    far = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    waiting = [far, near]
    for turn in range(20):
        side = (far, near)[turn % 2]
        if side in waiting:
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                continue
    assert not waiting
    return near


def certificates(session):
    return [x509.load_der_x509_certificate(each) for each in peer_certificates(session)]


def test_nobody_need_show_a_certificate(fleet):
    assert peer_certificates(shake(enrolment_context(fleet), context(fleet))) == []


@pytest.mark.parametrize("leaf_alone", [False, True])
def test_what_a_peer_sent_is_known_its_own_first(fleet, tmp_path, leaf_alone):
    peer, leaf = client(tmp_path, fleet, leaf_alone=leaf_alone)
    sent = certificates(shake(enrolment_context(fleet), peer))
    assert sent == [leaf] if leaf_alone else [leaf, ISSUING.certificate]
    root = chains.verify([*sent, ISSUING.certificate], [ROOT.certificate], NOW)
    assert root == ROOT.certificate


def test_a_device_that_sends_its_leaf_alone_is_let_in_elsewhere_too(fleet, tmp_path):
    peer, leaf = client(tmp_path, fleet, leaf_alone=True)
    assert shake(server_context(fleet), peer).getpeercert(binary_form=True) == leaf.public_bytes(
        Encoding.DER
    )


def test_times_are_for_who_looks_again(fleet, tmp_path):
    peer, leaf = client(tmp_path, fleet, days=-1)
    sent = certificates(shake(enrolment_context(fleet), peer))
    assert sent[0] == leaf
    with pytest.raises(RefusedError, match="expired"):
        chains.verify(sent, [ROOT.certificate], NOW)
    assert chains.verify(sent, [ROOT.certificate], leaf.not_valid_after_utc)
    with pytest.raises(ssl.SSLError):
        shake(server_context(fleet), peer)


def test_strangers_get_no_session(fleet, tmp_path):
    other = pki.create_issuing(pki.create_root("ward.example", NOW), NOW)
    peer, _ = client(tmp_path, fleet, other)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        shake(enrolment_context(fleet), peer)


def born(fleet, tmp_path):
    chain = [x509.load_der_x509_certificate(each) for each in ACME.make("SN-1", key_of=KEY)]
    files = TlsFiles.within(tmp_path)
    write_atomic(files.cert, pki.to_pem(*chain))
    write_atomic(files.key, pki.key_pem(KEY), 0o600)
    return context(fleet, files), chain


KEY = pki.new_key()


def test_manufacturers_count_here_and_nowhere_else(fleet, tmp_path):
    peer, chain = born(fleet, tmp_path)
    with pytest.raises(ssl.SSLError):
        shake(enrolment_context(fleet), peer)
    sent = certificates(shake(enrolment_context(fleet, ACME.pem), peer))
    assert sent == chain
    with pytest.raises(RefusedError, match="untrusted"):
        chains.verify(sent, [ROOT.certificate], NOW)
    assert chains.verify(sent, [ROOT.certificate, ACME.root], NOW, strict=False) == ACME.root
    with pytest.raises(ssl.SSLError):
        shake(server_context(fleet), peer)
    with pytest.raises(ConfigError, match="manufacturer"):
        enrolment_context(fleet, b"no certificate")
