"""Handshakes over real sockets' bytes (memory BIOs): who gets in, and why the others don't."""

import contextlib
import socket
import ssl
import warnings
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL

from gateway.domain.errors import ConfigError, RefusalReason, RefusedError
from security import pki, tls
from security.names import Role, parse_identity
from tests.fakes import FakeClock
from tests.unit.security.conftest import DOMAIN
from tests.unit.security.handshakes import Caller, Watch, ask, dtls_shake, grpc_refuses, shake


def bare_client(trust, chain=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(trust)
    if chain is not None:
        context.load_cert_chain(chain.cert, chain.key)
    return context


def refused(server_context, client_context):
    with pytest.raises(ssl.SSLError) as error:
        shake(server_context, client_context)
    return tls.refusal_of(error.value)


def test_a_device_reaches_a_service_over_tls_1_3(service, device):
    server, client = shake(tls.server_context(service), tls.client_context(device))
    assert client.tls.version() == "TLSv1.3"
    identity = parse_identity(server.tls.getpeercert(True), DOMAIN)
    assert (identity.role, identity.id) == (Role.DEVICE, "monitor-1")


def test_the_server_says_why_it_refuses(ward, stranger, service, device):
    server = tls.server_context(service)
    expired, _ = ward.identity(Role.DEVICE, "expired", days=-1)
    foreign, _ = stranger.identity(Role.DEVICE, "foreign")
    assert refused(server, bare_client(service.trust)) == RefusalReason.NO_CERTIFICATE
    assert refused(server, bare_client(service.trust, expired)) == RefusalReason.EXPIRED
    assert refused(server, bare_client(service.trust, foreign)) == RefusalReason.UNTRUSTED


@pytest.fixture
def only_serves(ward, monkeypatch):
    """A service's certificate without clientAuth."""
    profile = pki.PROFILES[Role.SERVICE]._replace(usages=(ExtendedKeyUsageOID.SERVER_AUTH,))
    monkeypatch.setitem(pki.PROFILES, Role.SERVICE, profile)
    return ward.identity(Role.SERVICE, "serves", directory="serves")[0]


def test_a_certificate_for_serving_alone_is_no_client(service, only_serves):
    client = bare_client(service.trust, only_serves)
    assert refused(tls.server_context(service), client) == RefusalReason.UNTRUSTED


def test_a_device_can_not_serve(service, device):
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        shake(tls.server_context(device), tls.client_context(service))


def test_a_client_checks_the_host(service, device):
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake(tls.server_context(service), tls.client_context(device), name="elsewhere")


@pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=["1.0", "1.1"]
)
def test_old_versions_are_refused(service, device, version):
    client = bare_client(service.trust, device)
    with pytest.warns(DeprecationWarning, match="deprecated"):
        client.minimum_version = client.maximum_version = version
    client.set_ciphers("ALL:@SECLEVEL=0")
    assert refused(tls.server_context(service), client) == RefusalReason.HANDSHAKE


def test_no_session_can_be_resumed_by_ticket(service, device):
    server = tls.server_context(service)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        client_context = bare_client(service.trust, device)
        client_context.maximum_version = version
        first_server, first = shake(server, client_context)
        first_server.tls.write(b"data")
        first.incoming.write(first_server.outgoing.read())
        assert first.tls.read() == b"data"
        assert not first.tls.session.has_ticket
        again, _ = shake(server, client_context, session=first.tls.session)
        # Whether it was resumed or not, the certificate is there for the look-up.
        assert parse_identity(again.tls.getpeercert(True), DOMAIN).id == "monitor-1"


def test_a_session_id_of_tls_1_2_ends_with_its_context(service, device):
    """Nothing of a context that new files have replaced can be resumed."""
    first = tls.server_context(service)
    client = bare_client(service.trust, device)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    served, held = shake(first, client)
    for context, resumed in ((first, True), (tls.server_context(service), False)):
        again, _ = shake(context, client, session=held.tls.session)
        assert again.tls.session_reused is resumed
        assert parse_identity(again.tls.getpeercert(True), DOMAIN).id == "monitor-1"
    assert served.tls.version() == "TLSv1.2"


def test_contexts_are_swapped_together(ward, tmp_path):
    clock = FakeClock(round(ward.now.timestamp() * 1e6))
    files, old = ward.identity(Role.GATEWAY, "edge", days=1, directory="swapped")
    contexts = tls.TlsContexts(files, clock)
    before = (contexts.server(), contexts.client(), contexts.dtls_server())
    assert contexts.certificate_seconds_left() == pytest.approx(86400, abs=2)
    _, new = ward.identity(Role.GATEWAY, "edge", days=2, directory="swapped")
    assert contexts.server() is before[0]
    contexts.reload()
    after = (contexts.server(), contexts.client(), contexts.dtls_server())
    assert not {id(each) for each in before} & {id(each) for each in after}
    assert contexts.certificate_seconds_left() == pytest.approx(2 * 86400, abs=2)
    files.cert.write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match=r"cert\.pem"):
        contexts.reload()
    assert contexts.server() is after[0]
    assert old.serial != new.serial


@pytest.mark.parametrize("build", [tls.server_context, tls.client_context, tls.dtls_server_context])
def test_unusable_files_are_named(ward, build):
    files, _ = ward.identity(Role.GATEWAY, "broken", directory="broken")
    good = {path: path.read_bytes() for path in files}
    for path in files:
        path.write_bytes(b"nonsense")
        with pytest.raises(ConfigError, match=r"\.pem"):
            build(files)
        path.unlink()
        with pytest.raises(ConfigError, match=path.name):
            build(files)
        path.write_bytes(good[path])
        files.key.chmod(0o600)
    files.key.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        build(files)


def test_a_foreign_key_is_refused(ward, device, tmp_path):
    other, _ = ward.identity(Role.DEVICE, "other")
    with pytest.raises(ConfigError, match="not the private key"):
        tls.client_context(device._replace(key=other.key))


def test_dtls_lets_a_device_in(service, device):
    server, client = dtls_shake(
        tls.dtls_server_context(service), tls.dtls_client_context(device), Watch()
    )
    assert client.get_protocol_version_name() == "DTLSv1.2"
    assert "GCM" in client.get_cipher_name()
    der = server.get_peer_certificate(as_cryptography=True).public_bytes(Encoding.DER)
    assert parse_identity(der, DOMAIN).id == "monitor-1"


def test_dtls_says_why_it_refuses(ward, stranger, service):
    expired, _ = ward.identity(Role.DEVICE, "expired", days=-1)
    foreign, _ = stranger.identity(Role.DEVICE, "foreign")
    for files, reason in ((expired, RefusalReason.EXPIRED), (foreign, RefusalReason.UNTRUSTED)):
        watch = Watch()
        client = tls.dtls_client_context(files._replace(trust=service.trust))
        with pytest.raises(SSL.Error):
            dtls_shake(tls.dtls_server_context(service), client, watch)
        assert [tls.refusal_of_code(code) for code in watch.codes] == [reason]


def test_a_dtls_client_needs_a_certificate_and_a_device_can_not_serve(service, device):
    anonymous = SSL.Context(SSL.DTLS_CLIENT_METHOD)
    with pytest.raises(SSL.Error, match="peer did not return a certificate"):
        dtls_shake(tls.dtls_server_context(service), anonymous, Watch())
    with pytest.raises(SSL.Error, match="certificate verify failed"):
        dtls_shake(tls.dtls_server_context(device), tls.dtls_client_context(service), Watch())


@pytest.fixture
def grpc_server():
    """Starts servers with given credentials, stops them all at the end."""
    started = []

    def start(credentials):
        server = grpc.server(ThreadPoolExecutor(2))
        server.add_generic_rpc_handlers((Caller(),))
        port = server.add_secure_port("localhost:0", credentials)
        server.start()
        started.append(server)
        return f"localhost:{port}"

    yield start
    for server in started:
        server.stop(0)


def test_grpc_knows_its_caller(ward, stranger, service, grpc_server):
    gateway, _ = ward.identity(Role.GATEWAY, "edge")
    address = grpc_server(tls.grpc_server_credentials(service))
    assert ask(address, tls.grpc_channel_credentials(gateway)) == "gateway/edge"
    expired, _ = ward.identity(Role.GATEWAY, "expired", days=-1)
    foreign, _ = stranger.identity(Role.GATEWAY, "edge")
    foreign = foreign._replace(trust=service.trust)
    for files in (expired, foreign):
        assert grpc_refuses(address, tls.grpc_channel_credentials(files))
    nobody = grpc.ssl_channel_credentials(root_certificates=service.trust.read_bytes())
    assert grpc_refuses(address, nobody)


def test_grpc_refuses_a_client_that_may_only_serve(service, only_serves, grpc_server):
    address = grpc_server(tls.grpc_server_credentials(service))
    assert grpc_refuses(address, tls.grpc_channel_credentials(only_serves))


def test_grpc_refuses_a_device_that_serves(device, service, grpc_server):
    address = grpc_server(tls.grpc_server_credentials(device))
    assert grpc_refuses(address, tls.grpc_channel_credentials(service))


def test_grpc_serves_a_renewed_certificate_to_new_handshakes(ward, stranger, device, grpc_server):
    files, _ = ward.identity(Role.SERVICE, "renewed", directory="renewed")
    address = grpc_server(tls.grpc_server_credentials(files))
    assert ask(address, tls.grpc_channel_credentials(device)) == "device/monitor-1"
    files.cert.write_bytes(b"nonsense")
    assert ask(address, tls.grpc_channel_credentials(device)) == "device/monitor-1"
    theirs, _ = stranger.identity(Role.SERVICE, "renewed")
    for mine, other in zip(files, theirs, strict=True):
        mine.write_bytes(other.read_bytes())
    assert grpc_refuses(address, tls.grpc_channel_credentials(device))


def handshake_with(address, context):
    """The version and suite that a client gets from a server; raises what the handshake raises."""
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), 60) as connection,
        context.wrap_socket(connection, server_hostname=host) as session,
    ):
        return session.version(), session.cipher()[0]


def old_client(service, device, version, suites):
    context = bare_client(service.trust, device)
    context.set_alpn_protocols(["h2"])
    context.set_ciphers(suites)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize(
    ("version", "suites"),
    [
        (ssl.TLSVersion.TLSv1, "ALL:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA256"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, "AES256-GCM-SHA384"),
    ],
    ids=["1.0", "1.1", "1.2 with CBC", "1.2 with CBC and SHA-1", "1.2 without forward secrecy"],
)
def test_a_grpc_server_refuses_old_versions_and_suites(
    service, device, grpc_server, version, suites
):
    address = grpc_server(tls.grpc_server_credentials(service))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake_with(address, old_client(service, device, version, suites))


def test_a_grpc_server_takes_1_2_with_an_aead_and_1_3(service, device, grpc_server):
    address = grpc_server(tls.grpc_server_credentials(service))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        found, suite = handshake_with(
            address, old_client(service, device, version, tls.TLS12_CIPHERS)
        )
        assert found == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
        assert "GCM" in suite or "CHACHA20" in suite


@pytest.mark.parametrize(
    ("version", "arrives"),
    [
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
    ids=["1.1", "1.2", "1.3"],
)
def test_a_grpc_client_refuses_an_old_server(ward, service, version, arrives):
    gateway, _ = ward.identity(Role.GATEWAY, "edge")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(service.cert, service.key)
    context.set_alpn_protocols(["h2"])
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version

    def serve(listener):
        """Whether the client sent a byte of HTTP/2 behind the handshake."""
        connection, _ = listener.accept()
        connection.settimeout(60)
        with (
            contextlib.suppress(ssl.SSLError, ConnectionError),
            context.wrap_socket(connection, server_side=True) as session,
        ):
            return session.read(3) == b"PRI"
        connection.close()
        return False

    with socket.create_server(("localhost", 0)) as listener, ThreadPoolExecutor(1) as thread:
        served = thread.submit(serve, listener)
        address = f"localhost:{listener.getsockname()[1]}"
        assert grpc_refuses(address, tls.grpc_channel_credentials(gateway))  # it speaks no HTTP/2
        assert served.result() is arrives


class Context:
    """A servicer context that knows what it is told."""

    def __init__(self, known):
        self._known = known

    def auth_context(self):
        return self._known


@pytest.mark.parametrize("versions", [[], [b"TLSv1.1"], [b"TLSv1.3", b"SSLv3"], None])
def test_a_call_whose_tls_version_is_old_or_unknown_is_refused(service, versions):
    leaf = service.cert.read_bytes().partition(b"-----END CERTIFICATE-----")
    known = {"x509_pem_cert": [b"".join(leaf[:2]) + b"\n"]}
    assert tls.grpc_peer_identity(Context({**known, "ssl_tls_version": [b"TLSv1.3"]}), DOMAIN)
    if versions is not None:
        known["ssl_tls_version"] = versions
    with pytest.raises(RefusedError, match="TLS version"):
        tls.grpc_peer_identity(Context(known), DOMAIN)
