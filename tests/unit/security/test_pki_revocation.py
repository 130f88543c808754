"""Revocation lists and OCSP answers, as OpenSSL's commands and cryptography read them."""

import hashlib
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as their
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.errors import MalformedError
from security import pki
from security.names import Role
from security.pki import crl, der, ocsp
from tests.unit.security.conftest import DOMAIN
from tests.unit.security.handshakes import openssl


class Ward:
    """A CA with a good, a revoked and an unknown certificate, and its OCSP responder."""

    def __init__(self, directory):
        self.directory = directory
        self.now = pki.moment(1_790_000_000_000_000)
        self.root = pki.create_root(DOMAIN, self.now)
        self.issuing = pki.create_issuing(self.root, self.now)
        self.good, self.gone, self.never = (self.leaf(name) for name in ("good", "gone", "never"))
        self.revoked = crl.Revoked(
            self.gone.serial, self.now - timedelta(hours=3), crl.Reason.KEY_COMPROMISE
        )
        key = pki.new_key()
        answerer = pki.issue_responder(
            self.issuing, key.public_key(), pki.Validity.days(self.now, 30)
        )
        self.responder = ocsp.Responder(self.issuing.certificate, answerer.certificate, key)
        self.pem("root", self.root.certificate)
        self.pem("issuing", self.issuing.certificate)

    def leaf(self, name):
        _, issued = pki.make_identity(
            self.issuing,
            pki.Subject(Role.DEVICE, name),
            self.directory / name,
            pki.Validity.days(self.now, 30),
        )
        self.pem(name, issued.certificate)
        return issued

    def pem(self, name, *certificates):
        path = self.directory / f"{name}.pem"
        path.write_bytes(pki.to_pem(*certificates))
        return path

    def path(self, name):
        return self.directory / f"{name}.pem"

    def lookup(self, serial):
        if serial == self.gone.serial:
            return self.revoked
        return ocsp.Known.GOOD if serial == self.good.serial else ocsp.Known.UNKNOWN

    def answer(self, request):
        return ocsp.respond(request, self.lookup, self.responder, self.now)

    @property
    def at(self):
        return str(round(self.now.timestamp()))


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    return Ward(tmp_path_factory.mktemp("revocation"))


def octets(number):
    """A number as OpenSSL prints it: two digits an octet."""
    return f"{number:X}".zfill(2 * -(-number.bit_length() // 8))


def test_openssl_reads_the_list(ward, tmp_path):
    encoded = crl.build(
        ward.issuing, 2**70, [ward.revoked], ward.now, ward.now + timedelta(hours=24)
    )
    path = tmp_path / "list.crl"
    path.write_bytes(encoded)
    told = openssl(
        "crl", "-inform", "DER", "-in", path, "-noout", "-text", "-CAfile", ward.path("issuing")
    )
    assert "verify OK" in told.stderr
    for line in (
        "Version 2 (0x1)",
        "Signature Algorithm: ecdsa-with-SHA256",
        f"Issuer: O = ward.example, CN = ward.example issuing {ward.issuing.id}",
        "Next Update: Sep 22 14:13:20 2026 GMT",
        f"Serial Number: {octets(ward.gone.serial)}",
        "Key Compromise",
        str(2**70),
    ):
        assert line in told.stdout


@pytest.mark.parametrize(
    ("name", "code"), [("good", 0), ("never", 0), ("gone", 2)], ids=["good", "unlisted", "revoked"]
)
def test_openssl_verify_checks_the_list(ward, tmp_path, name, code):
    encoded = crl.build(ward.issuing, 1, [ward.revoked], ward.now, ward.now + timedelta(hours=24))
    roots = crl.build(ward.root, 1, [], ward.now, ward.now + timedelta(days=180))
    lists = tmp_path / "lists.pem"
    lists.write_bytes(
        b"".join(
            x509.load_der_x509_crl(each).public_bytes(Encoding.PEM) for each in (encoded, roots)
        )
    )
    told = openssl(
        *("verify", "-x509_strict", "-crl_check_all", "-attime", ward.at, "-CAfile"),
        *(ward.path("root"), "-untrusted", ward.path("issuing"), "-CRLfile", lists),
        ward.path(name),
    )
    assert told.returncode == code, told.stderr
    assert ("certificate revoked" in told.stderr) is bool(code)


def test_another_authoritys_list_is_none(ward, tmp_path):
    other = pki.create_issuing(ward.root, ward.now)
    path = tmp_path / "list.crl"
    path.write_bytes(crl.build(other, 1, [], ward.now, ward.now + timedelta(hours=1)))
    told = openssl(
        *("verify", "-crl_check", "-attime", ward.at, "-CAfile", ward.path("root")),
        *("-untrusted", ward.path("issuing"), "-CRLfile", path, ward.path("good")),
    )
    assert "unable to get certificate CRL" in told.stderr


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**159 - 1),
    st.dictionaries(st.integers(1, 2**159 - 1), st.sampled_from(list(crl.Reason)), max_size=20),
    st.integers(1, 40 * 366),
)
def test_cryptography_reads_what_was_built(ward, number, entries, days):
    listed = [crl.Revoked(serial, ward.now, reason) for serial, reason in entries.items()]
    until = ward.now + timedelta(days=days)
    read = x509.load_der_x509_crl(crl.build(ward.issuing, number, listed, ward.now, until))
    assert read.is_signature_valid(ward.issuing.certificate.public_key())
    assert read.issuer == ward.issuing.certificate.subject
    assert (read.last_update_utc, read.next_update_utc) == (ward.now, until)
    assert read.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == number
    assert len(read) == len(listed)
    for mine, each in zip(listed, read, strict=True):
        assert (each.serial_number, each.revocation_date_utc) == (mine.serial, mine.at)
        reasons = [extension.value.reason.name.upper() for extension in each.extensions]
        wanted = mine.reason.name.upper()
        assert reasons == ([] if wanted == "UNSPECIFIED" else [wanted.lower().upper()])


@pytest.mark.parametrize(
    ("number", "serial", "hours"),
    [(-1, 1, 1), (2**159, 1, 1), (1, 0, 1), (1, 2**159, 1), (1, 1, 0)],
)
def test_what_can_not_be_listed_is_refused(ward, number, serial, hours):
    until = ward.now + timedelta(hours=hours)
    with pytest.raises(ValueError, match=r"octets|serial|before"):
        crl.build(ward.issuing, number, [crl.Revoked(serial, ward.now)], ward.now, until)


def test_reasons_have_words():
    assert crl.Reason.of("key compromise") is crl.Reason.KEY_COMPROMISE
    assert crl.Reason.of("SUPERSEDED ") is crl.Reason.SUPERSEDED
    assert crl.Reason.of("stolen on Tuesday") is crl.Reason.UNSPECIFIED


# OCSP


def ask(ward, tmp_path, names, *options):
    """Ask and check by ``openssl ocsp``; returns the finished process."""
    chosen = [part for name in names for part in ("-cert", ward.path(name))]
    request, response = tmp_path / "request", tmp_path / "response"
    made = openssl("ocsp", "-issuer", ward.path("issuing"), *options, *chosen, "-reqout", request)
    assert made.returncode == 0, made.stderr
    response.write_bytes(ward.answer(request.read_bytes()))
    return openssl(
        # The nonce in the request stays; without this option it is replaced by another.
        *("ocsp", "-issuer", ward.path("issuing"), *options, "-no_nonce", *chosen),
        *("-reqin", request, "-respin", response, "-CAfile", ward.path("root")),
        *("-verify_other", ward.path("issuing"), "-attime", ward.at),
        # openssl ocsp compares an answer's times with the wall clock, whatever -attime says.
        *("-validity_period", 20 * 365 * 86400),
    )


@pytest.mark.parametrize("digest", ["-sha1", "-sha256", "-sha384", "-sha512"])
@pytest.mark.parametrize("nonce", [(), ("-no_nonce",)], ids=["nonce", "plain"])
def test_openssl_believes_the_answers(ward, tmp_path, digest, nonce):
    told = ask(ward, tmp_path, ["good", "gone", "never"], digest, *nonce)
    request = ocsp.read_request((tmp_path / "request").read_bytes())
    assert (request.nonce is None) is bool(nonce)
    assert len(request.certificates[0].issuer_key_hash) == hashlib.new(digest[1:]).digest_size
    assert "Response verify OK" in told.stderr
    assert "WARNING" not in told.stderr  # as it says of a nonce that is not the same
    assert f"{ward.path('good')}: good" in told.stdout
    assert f"{ward.path('gone')}: revoked" in told.stdout
    assert "Reason: keyCompromise" in told.stdout
    assert "Revocation Time: Sep 21 11:13:20 2026 GMT" in told.stdout
    assert f"{ward.path('never')}: unknown" in told.stdout


def request_for(serial, issuer, nonce=None, algorithm=None):
    builder = their.OCSPRequestBuilder().add_certificate_by_hash(
        hashlib.sha1(issuer.subject.public_bytes()).digest(),
        pki.key_id(issuer.public_key()),
        serial,
        algorithm or hashes.SHA1(),
    )
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def test_an_answer_is_what_the_clauses_say(ward):
    encoded = ward.answer(request_for(ward.gone.serial, ward.issuing.certificate, b"n" * 32))
    read = their.load_der_ocsp_response(encoded)
    assert read.response_status is their.OCSPResponseStatus.SUCCESSFUL
    assert read.certificate_status is their.OCSPCertStatus.REVOKED
    assert read.revocation_time_utc == ward.revoked.at
    assert read.revocation_reason is x509.ReasonFlags.key_compromise
    assert read.produced_at_utc == read.this_update_utc == ward.now
    assert read.next_update_utc == ward.now + ocsp.VALID_FOR
    assert read.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * 32
    assert read.responder_key_hash == pki.key_id(ward.responder.certificate.public_key())
    assert read.certificates == [ward.responder.certificate]
    usages = read.certificates[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.OCSP_SIGNING]
    assert read.certificates[0].extensions.get_extension_for_class(x509.OCSPNoCheck)


@pytest.mark.parametrize("length", [1, 16, 32, 128])
def test_nonces_come_back(ward, length):
    nonce = bytes(range(length))
    encoded = ward.answer(request_for(ward.good.serial, ward.issuing.certificate, nonce))
    read = their.load_der_ocsp_response(encoded)
    assert read.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == nonce


def status_of(encoded):
    return their.load_der_ocsp_response(encoded).response_status


def test_another_authoritys_certificate_is_not_ours_to_judge(ward):
    other = pki.create_issuing(ward.root, ward.now)
    asked = request_for(ward.good.serial, other.certificate)
    assert status_of(ward.answer(asked)) is their.OCSPResponseStatus.UNAUTHORIZED
    responders = [ward.responder, ward.responder._replace(issuer=other.certificate)]
    assert ocsp.choose(asked, responders) is responders[1]
    assert ocsp.choose(asked, responders[:1]) is None
    assert ocsp.choose(b"nonsense", responders) is None


def test_an_answer_by_another_key_is_not_believed(ward, tmp_path):
    """That is, the test above would notice a wrong signature."""
    key = pki.new_key()
    forged = ward.responder._replace(key=key)
    request, response = tmp_path / "request", tmp_path / "response"
    request.write_bytes(request_for(ward.good.serial, ward.issuing.certificate))
    response.write_bytes(ocsp.respond(request.read_bytes(), ward.lookup, forged, ward.now))
    told = openssl(
        *("ocsp", "-issuer", ward.path("issuing"), "-cert", ward.path("good"), "-reqin", request),
        *("-respin", response, "-CAfile", ward.path("root")),
        *("-verify_other", ward.path("issuing"), "-attime", ward.at, "-no_nonce"),
    )
    assert "Response verify OK" not in told.stderr
    assert "Response Verify Failure" in told.stderr


def certificate_id(serial, extensions=b""):
    algorithm = der.tlv(der.SEQUENCE, der.oid("1.3.14.3.2.26"), der.tlv(der.NULL))
    hashed = der.tlv(der.OCTET_STRING, bytes(20))
    which = der.tlv(der.SEQUENCE, algorithm, hashed, hashed, der.integer(serial))
    return der.tlv(der.SEQUENCE, which, extensions)


def encoded_request(*certificates, nonce=None, critical=None, version=b""):
    extensions = b""
    if nonce is not None:
        value = der.tlv(der.OCTET_STRING, nonce)
        extensions += der.extension("1.3.6.1.5.5.7.48.1.2", value)
    if critical is not None:
        extensions += der.extension("1.2.3.4", b"", critical=critical)
    body = version + der.tlv(der.SEQUENCE, *certificates)
    if extensions:
        body += der.tlv(der.context(2), der.tlv(der.SEQUENCE, extensions))
    return der.tlv(der.SEQUENCE, der.tlv(der.SEQUENCE, body))


def test_the_bounds_of_a_request():
    one = certificate_id(1)
    assert (
        len(ocsp.read_request(encoded_request(*[one] * ocsp.CERTIFICATES_MAX)).certificates) == 32
    )
    version = der.tlv(der.context(0), der.integer(0))
    assert ocsp.read_request(encoded_request(one, version=version, critical=False)).nonce is None
    for wrong in (
        encoded_request(),
        encoded_request(*[one] * (ocsp.CERTIFICATES_MAX + 1)),
        encoded_request(one, nonce=b""),
        encoded_request(one, nonce=bytes(129)),
        encoded_request(one, critical=True),
        encoded_request(one, version=der.tlv(der.context(0), der.integer(1))),
        encoded_request(one) + b"\x00",
        encoded_request(
            certificate_id(
                1,
                der.tlv(
                    der.context(0),
                    der.tlv(der.SEQUENCE, der.extension("1.2.3", b"", critical=True)),
                ),
            )
        ),
        b"",
        b"\x30\x80\x00\x00",
        b"\x30\x84\xff\xff\xff\xff",
        bytes(ocsp.REQUEST_BYTES_MAX + 1),
    ):
        with pytest.raises(MalformedError):
            ocsp.read_request(wrong)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_comes_gets_an_answer(ward, data):
    good = request_for(ward.good.serial, ward.issuing.certificate, b"n" * 32)
    encoded = bytearray(good)
    for _ in range(data.draw(st.integers(0, 4))):
        position = data.draw(st.integers(0, len(good) - 1))
        encoded[position : position + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3)
        )
    answer = ward.answer(bytes(encoded))
    status = status_of(answer)
    assert status in {
        their.OCSPResponseStatus.SUCCESSFUL,
        their.OCSPResponseStatus.MALFORMED_REQUEST,
        their.OCSPResponseStatus.UNAUTHORIZED,
    }
    if bytes(encoded) == good:
        assert status is their.OCSPResponseStatus.SUCCESSFUL


@given(st.binary(max_size=64))
def test_garbage_is_malformed(garbage):
    with pytest.raises(MalformedError):
        ocsp.read_request(garbage)
