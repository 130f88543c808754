"""Keys on a token, on a real PKCS #11 module: made there, used by everything that signs."""

import copy
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pkcs11
import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp as their
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import ConfigError
from security import audit, pki
from security.names import Role
from security.pki import crl, ocsp, token
from security.pki.token_uri import TokenUri
from security.revocations import RevocationList, read_list, sign_list
from tests.fakes import FakeClock
from tests.unit.security.conftest import DOMAIN
from tests.unit.security.handshakes import openssl
from tests.unit.security.test_pki_revocation import request_for

NOW = datetime.now(UTC)
SHA256 = ec.ECDSA(hashes.SHA256())


@pytest.fixture(scope="module")
def key(softhsm):
    return pki.new_key(softhsm.uri("first"))


def test_a_key_made_on_the_token_signs_and_stays_there(key):
    signature = key.sign(b"data", SHA256)
    key.public_key().verify(signature, b"data", SHA256)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(b"data")
    prehashed = ec.ECDSA(Prehashed(hashes.SHA256()))
    key.public_key().verify(key.sign(digest.finalize(), prehashed), b"data", SHA256)
    assert (key.curve.name, key.key_size) == ("secp256r1", 256)
    assert copy.deepcopy(key) is copy.copy(key) is key
    with pytest.raises(UnsupportedAlgorithm, match="does not leave"):
        pki.key_pem(key)
    with pytest.raises(UnsupportedAlgorithm, match="does not leave"):
        key.private_numbers()
    with pytest.raises(UnsupportedAlgorithm, match="does not leave"):
        key.exchange(ec.ECDH(), key.public_key())


def test_the_token_itself_does_not_give_the_key_out(key):
    private, _ = key._login._find(key.uri)
    attribute = pkcs11.Attribute
    assert [private[each] for each in (attribute.ALWAYS_SENSITIVE, attribute.LOCAL)] == [True] * 2
    assert private[attribute.NEVER_EXTRACTABLE]
    with pytest.raises(pkcs11.AttributeSensitive):
        private[attribute.VALUE]


def test_a_whole_hierarchy_lives_on_tokens(softhsm, tmp_path):
    """Root, issuing CA, OCSP responder, revocation lists of both kinds, and the audit log."""
    root = pki.create_root(DOMAIN, NOW, key=pki.new_key(softhsm.uri("root", "other")))
    issuing = pki.create_issuing(root, NOW, key=pki.new_key(softhsm.uri("issuing")))
    pki.save_authority(root, tmp_path / "root")
    pki.save_authority(issuing, tmp_path / "issuing")
    held = tmp_path / "issuing" / "ca.key"
    assert held.read_text() == f"{softhsm.uri('issuing')}\n"
    assert stat.S_IMODE(held.stat().st_mode) == 0o600
    loaded = pki.load_authority(tmp_path / "issuing")
    assert loaded.certificate == issuing.certificate

    files, issued = pki.make_identity(
        loaded, pki.Subject(Role.DEVICE, "one"), tmp_path / "one", pki.Validity.days(NOW, 1)
    )
    told = openssl(
        *("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", files.trust),
        *("-untrusted", files.cert, files.cert),
    )
    assert told.returncode == 0, told.stderr

    listed = RevocationList(1, round(NOW.timestamp() * 1e6), frozenset({7}))
    assert read_list(sign_list(loaded, listed), [root.certificate], DOMAIN).serials == {7}
    encoded = crl.build(loaded, 1, [crl.Revoked(7, NOW)], NOW, NOW + timedelta(days=1))
    read = x509.load_der_x509_crl(encoded)
    assert read.is_signature_valid(loaded.key.public_key())

    answering = pki.new_key(softhsm.uri("ocsp"))
    responder = pki.issue_responder(
        loaded, answering.public_key(), pki.Validity.days(NOW, 30)
    ).certificate
    answer = their.load_der_ocsp_response(
        ocsp.respond(
            request_for(issued.serial, loaded.certificate),
            lambda _: ocsp.Known.GOOD,
            ocsp.Responder(loaded.certificate, responder, answering),
            NOW,
        )
    )
    answering.public_key().verify(answer.signature, answer.tbs_response_bytes, SHA256)


def test_the_audit_log_is_signed_on_the_token(softhsm, tmp_path):
    made = token.generate_audit(TokenUri.parse(softhsm.uri("audit")))
    place = tmp_path / "audit.key"
    place.write_text(softhsm.uri("audit"))
    with pytest.raises(ConfigError, match="chmod 600"):
        audit.load_or_create_key(place)
    place.chmod(0o600)
    loaded = audit.load_or_create_key(place)
    assert loaded.public_key() == made.public_key()
    log = audit.AuditLog(tmp_path / "log", loaded, FakeClock())
    log.record("something")
    log.close()
    found = audit.verify(tmp_path / "log", loaded.public_key())
    assert (found.checkpoints, found.unsigned) == (1, 0)
    with pytest.raises(UnsupportedAlgorithm):
        loaded.private_bytes_raw()
    with pytest.raises(UnsupportedAlgorithm):
        loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ConfigError, match="not a P-256"):
        token.TokenKey(TokenUri.parse(softhsm.uri("audit")))


def test_a_csr_comes_from_a_token(key):
    assert pki.read_csr(pki.create_csr(key, "one")) == key.public_key()


def test_a_token_that_was_away_is_logged_into_again(key):
    key.sign(b"before", SHA256)
    key._login._session.close()
    key.public_key().verify(key.sign(b"after", SHA256), b"after", SHA256)


def test_many_threads_share_a_token(key):
    """PKCS #11 sessions are not for many threads; ours are one call at a time."""
    together = threading.Barrier(4)

    def sign(number):
        together.wait()
        return [key.sign(b"%d" % (number * 10 + each), SHA256) for each in range(10)]

    with ThreadPoolExecutor(4) as threads:
        for number, signatures in enumerate(threads.map(sign, range(4))):
            for each, signature in enumerate(signatures):
                key.public_key().verify(signature, b"%d" % (number * 10 + each), SHA256)


def test_a_key_is_never_replaced(softhsm, key):
    with pytest.raises(ConfigError, match="none is replaced"):
        pki.new_key(softhsm.uri("first"))


def test_a_key_that_could_be_read_is_not_used(softhsm, key):
    session = key._login._session
    parameters = session.create_domain_parameters(
        pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: token._P256_OID}, local=True
    )
    parameters.generate_keypair(
        store=True,
        label="open",
        id=b"open",
        private_template={pkcs11.Attribute.SENSITIVE: False, pkcs11.Attribute.EXTRACTABLE: True},
    )
    with pytest.raises(ConfigError, match="could be read"):
        token.TokenKey(TokenUri.parse(softhsm.uri("open")))


def test_a_wrong_pin_is_tried_once(softhsm, tmp_path):
    pin = tmp_path / "pin"
    pin.write_text("000000")
    pin.chmod(0o600)
    wrong = softhsm.uri("any", "locked", pin)
    for _ in range(2):
        with pytest.raises(pki.TokenError, match="PinIncorrect"):
            pki.new_key(wrong)
    pin.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        pki.new_key(wrong)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (("token=ca", "token=nowhere"), pki.TokenError, "no such token"),
        (("object=first", "object=nothing"), ConfigError, "0 such private keys"),
        (("token=ca;", ""), ConfigError, "tokens are meant"),
        (("libsofthsm2", "nothing"), pki.TokenError, "nothing"),
    ],
    ids=["token", "object", "ambiguous", "module"],
)
def test_what_is_not_there_is_named(softhsm, key, change, error, message):
    key._login.forget()
    with pytest.raises(error, match=message):
        token.TokenKey(TokenUri.parse(softhsm.uri("first").replace(*change)))


def test_the_pin_may_be_a_credential(softhsm, key, monkeypatch):
    uri = TokenUri.parse(softhsm.uri("first"))._replace(pin_source="credential:pin")
    with pytest.raises(ConfigError, match="no credentials"):
        uri.pin()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(softhsm.pin_file.parent))
    assert uri.pin() == "482915"
    for source in ("", "/etc/pin", "|cat /etc/pin", "credential:../pin", "file"):
        with pytest.raises(ConfigError, match="where is the PIN"):
            uri._replace(pin_source=source).pin()
    assert uri._replace(module_path="", pin_source="") == TokenUri(token="ca", object="first")
    monkeypatch.delenv("WARDGATE_PKCS11_MODULE", raising=False)
    with pytest.raises(ConfigError, match="which library"):
        uri._replace(module_path="").module()
    monkeypatch.setenv("WARDGATE_PKCS11_MODULE", "/some.so")
    assert uri._replace(module_path="").module() == "/some.so"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a PKCS"),
        ("file:/etc/key", "not a PKCS"),
        ("pkcs11:", "names no key"),
        ("pkcs11:token=a", "names no key"),
        ("pkcs11:object=a;object=b", "twice"),
        ("pkcs11:object=a;x-vendor=b", "not understood"),
        ("pkcs11:object=a;token", "not understood"),
        ("pkcs11:object=a;type=public", "type private"),
        ("pkcs11:object=a?pin-value=1234", "PIN does not belong"),
        ("pkcs11:object=a;pin-value=1234", "PIN does not belong"),
        ("pkcs11:object=%ff", "not UTF-8"),
        ("pkcs11:object=a\nb", "not a PKCS"),
        ("pkcs11:object=" + "a" * 5000, "not a PKCS"),
    ],
)
def test_uris_that_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        TokenUri.parse(text)


WORDS = st.text(max_size=12).filter(lambda word: word.isprintable())


@given(WORDS, WORDS, st.text(min_size=1, max_size=9), st.binary(max_size=8))
def test_a_uri_is_read_as_it_was_written(name, serial, label, key_id):
    uri = TokenUri(name, serial, "", "v2", label, key_id, "file:/a b", "/x&y")
    assert TokenUri.parse(str(uri)) == uri


def test_a_uri_of_the_standards_examples():
    uri = TokenUri.parse(
        "pkcs11:object=my-signing%20key;type=private;id=%69%95%3E%5C%F4%BD%EC%91"
        "?pin-source=file:/etc/token"
    )
    assert uri == TokenUri(
        object="my-signing key",
        id=b"\x69\x95\x3e\x5c\xf4\xbd\xec\x91",
        pin_source="file:/etc/token",
    )
