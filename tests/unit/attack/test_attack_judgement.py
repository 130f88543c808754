"""What the attacks make of systems that are weak, strange, or not there."""

import contextlib
import socket
import ssl
import threading

import pytest
from cryptography import x509

from attack import channel, handshakes
from attack.forge import Forger
from attack.outcome import Attack, Row, Seen, Word, perform
from attack.target import Address, Holder, KeyPair, Reports, Target, load
from gateway.domain.errors import ConfigError
from tests.ward_pki import WardPki

PROVES_NOTHING = {Word.UNREACHABLE, Word.NOT_TRIED}
BAD = {Word.ADMITTED, Word.HARMED, Word.ARRIVED, Word.LEAKED, Word.HELD}


@pytest.fixture(scope="module")
def identities(tmp_path_factory):
    return WardPki(tmp_path_factory.mktemp("identities"))


def target_at(identities, port):
    def holder(made):
        return Holder(made.files.cert, made.files.key, made.device.device_id)

    at = Address("127.0.0.1", port)
    spare = identities.device("spare-1")
    return Target(
        mqtt=at,
        coaps=at,
        ca=spare.files.trust,
        spare=holder(spare),
        neighbour=holder(identities.device("neighbour-1")),
        stranger=holder(identities.stranger("stranger-1")),
        revoked=holder(identities.device("revoked-1")),
        expired=holder(identities.expired("expired-1")),
        other_topic="devices/mon-1/vitals",
        other_coap_path="/devices/mon-1/vitals",
    )


@contextlib.contextmanager
def server(answer, files=None):
    """Accepts anybody, over TLS if there are files, and answers whatever comes."""

    def serve():
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listening.accept()
                with (
                    contextlib.suppress(OSError),
                    tls.wrap_socket(sock, server_side=True) if tls else sock as connection,
                ):
                    connection.settimeout(5)
                    connection.recv(4096)
                    connection.sendall(answer)

    tls = None
    if files is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(files.cert, files.key)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


@pytest.fixture
def nobody():
    """A port where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_a_server_that_asks_for_no_certificate_is_found_out(identities):
    with server(b"\x20\x02\x00\x00", identities.gateway.files) as port:
        seen = channel.knock(Address("127.0.0.1", port), channel.context(None), b"hello")
    assert seen.word is Word.ADMITTED


def test_a_server_that_speaks_plaintext_is_found_out():
    with server(b"HTTP/1.1 200 OK\r\n") as port:
        assert channel.raw(Address("127.0.0.1", port), b"GET /").word is Word.ADMITTED


def test_an_alert_in_plaintext_is_a_refusal():
    with server(b"\x15\x03\x03\x00\x02\x02\x46") as port:
        assert channel.raw(Address("127.0.0.1", port), b"GET /").word is Word.HANDSHAKE


def test_resumption_is_found_out(identities):
    with server(b"yes", identities.gateway.files) as port:
        place = handshakes.Place("weak", Address("127.0.0.1", port), b"hello")
        attacks = {
            attack.name: attack
            for attack in handshakes.broken(place, target_at(identities, port).spare)
        }
        row = perform(attacks["weak/session resumption, TLS 1.3"])
    assert row.seen.word is Word.RESUMED
    assert not row.good


def test_where_nobody_listens_nothing_was_withstood(identities, nobody, tmp_path):
    target = target_at(identities, nobody)
    for attack in handshakes.all_attacks(target, Forger(tmp_path, target)):
        if attack.name.startswith("mqtt/") and not attack.slow:
            row = perform(attack)
            assert (row.seen.word, row.good) == (Word.UNREACHABLE, False), row


def test_no_attack_expects_what_is_bad_or_proves_nothing(identities, nobody, tmp_path):
    target = target_at(identities, nobody)
    attacks = list(handshakes.all_attacks(target, Forger(tmp_path, target)))
    for attack in attacks:
        assert attack.expected
        assert not attack.expected & (PROVES_NOTHING | BAD), attack.name
    names = [attack.name for attack in attacks]
    assert len(set(names)) == len(names)


def test_a_fault_of_our_own_is_not_taken_for_a_refusal():
    def no_ciphers():
        channel.context(None).set_ciphers("NONE-SUCH")

    row = perform(Attack("x", frozenset({Word.HANDSHAKE, Word.CLOSED}), no_ciphers))
    assert row.seen.word is Word.NOT_TRIED
    assert not row.good


@pytest.mark.parametrize(
    ("make", "signers"),
    [
        ("self_signed", 1),
        ("look_alike", 3),
        ("by_a_leaf", 3),
        ("by_a_sub_authority", 4),
    ],
)
def test_forged_certificates_are_well_formed(identities, tmp_path, make, signers):
    """They fail for what they are, and not for a broken signature."""
    forger = Forger(tmp_path, target_at(identities, 1))
    pair: KeyPair = getattr(forger, make)("mon-1")
    chain = x509.load_pem_x509_certificates(pair.cert.read_bytes())
    assert len(chain) == signers
    for leaf, issuer in zip(chain, [*chain[1:], chain[-1]], strict=True):
        if leaf is not chain[-1] or make in {"self_signed", "look_alike"}:
            leaf.verify_directly_issued_by(issuer)
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(pair.cert, pair.key)


def test_verdicts():
    row = Row("x", frozenset({Word.CLOSED, Word.HANDSHAKE}), Seen(Word.CLOSED, "reset"))
    assert row.good
    assert row.expectation == "handshake refused or closed"
    assert str(row.seen) == "closed (reset)"


def test_reports_are_told_apart():
    one, other = Reports("evil"), Reports("evil")
    assert one.boot != other.boot
    one.next()
    assert one.last_id == f"{one.boot}:1"


def test_an_endpoints_file_that_lacks_something_is_refused(tmp_path):
    path = tmp_path / "endpoints.json"
    path.write_text("{}")
    with pytest.raises(ConfigError, match="mqtt"):
        load(path)
    with pytest.raises(ConfigError, match="is the demo running"):
        load(tmp_path / "none.json")
