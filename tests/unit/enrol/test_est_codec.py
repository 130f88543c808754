"""EST's codec: both ends agree, others' bytes are read, garbage gives only the typed error."""

import base64
import contextlib
import subprocess
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import MalformedError, RefusedError
from security import est, pki
from security.names import Role

NOW = datetime.now(UTC)
ROOT = pki.create_root("ward.example", NOW)
ISSUING = pki.create_issuing(ROOT, NOW)
KEY = pki.new_key()


def leaf(key=KEY, name="pump-1"):
    subject = pki.Subject(Role.DEVICE, name)
    return pki.issue(ISSUING, subject, key.public_key(), pki.Validity.days(NOW, 1)).certificate


def request(key=KEY, names=("pump-1",), alternatives=()):
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each) for each in names])
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def reply(body, media=est.MEDIA_CERTS_ONLY, status=200, retry=""):
    return est.Reply(status, media, body, retry)


def test_a_request_is_read_with_the_names_that_it_asks_for():
    alternatives = [
        x509.UniformResourceIdentifier("spiffe://ward.example/device/pump-1"),
        x509.DNSName("pump-1.ward"),
        x509.RFC822Name("a@ward"),
    ]
    read = est.read_request(est.encode_request(request(alternatives=alternatives)))
    assert read.key == KEY.public_key()
    assert read.common_names == ("pump-1",)
    assert read.uris == ("spiffe://ward.example/device/pump-1",)
    assert (read.hosts, read.strange_names) == (("pump-1.ward",), 1)
    nameless = est.read_request(est.encode_request(request(names=())))
    assert nameless == est.Request(KEY.public_key(), (), (), (), 0)


@pytest.mark.parametrize("breaks", ["", "\n", "\r\n", " \t"])
def test_base64_is_read_with_any_line_breaks(breaks):
    text = base64.b64encode(request()).decode()
    body = breaks.join(text[at : at + 5] for at in range(0, len(text), 5)).encode()
    assert est.read_request(body).common_names == ("pump-1",)


def test_a_tampered_request_is_refused_at_every_byte():
    """What is signed, and the signature; the count of its unused bits says nothing of either."""
    der = request()
    signature = x509.load_der_x509_csr(der).signature
    unused_bits = len(der) - len(signature) - 1
    for at in range(len(der)):
        spoilt = der[:at] + bytes((der[at] ^ 0x04,)) + der[at + 1 :]
        if at != unused_bits:
            with pytest.raises(MalformedError):
                est.read_request(est.encode_request(spoilt))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "body"),
        (b"####", "body"),
        (b"QQ", "body"),
        (base64.b64encode(b"\x30\x00"), "csr"),
        (b"A" * (est.BODY_BYTES_MAX + 1), "too_long"),
        (est.encode_request(request(ec.generate_private_key(ec.SECP384R1()))), "csr_key"),
    ],
)
def test_what_is_no_request_has_a_reason(body, reason):
    with pytest.raises(MalformedError) as caught:
        est.read_request(body)
    assert caught.value.reason == reason


def test_ca_certificates_travel_once_each():
    both = [ISSUING.certificate, ROOT.certificate]
    body = est.encode_certificates([*both, ISSUING.certificate])
    assert set(est.ca_certificates(reply(body))) == set(both)
    assert len(est.decode_certificates(body)) == 2


def test_openssl_reads_our_certificates():
    der = base64.b64decode(est.encode_certificates([leaf()]))
    said = subprocess.run(
        ["openssl", "pkcs7", "-inform", "DER", "-print_certs", "-noout"],
        input=der,
        capture_output=True,
        check=True,
    ).stdout
    assert b"pump-1" in said


def test_openssl_reads_our_attributes():
    der = base64.b64decode(est.encode_attributes())
    said = subprocess.run(
        ["openssl", "asn1parse", "-inform", "DER"], input=der, capture_output=True, check=True
    ).stdout.decode()
    assert [each in said for each in ("id-ecPublicKey", "prime256v1", "ecdsa-with-SHA256")] == [
        True
    ] * 3


def test_the_attributes_of_rfc_8951_are_read():
    """Appendix A of RFC 7030, 4.5.2: what a server wants, as the errata has it."""
    body = (
        b"MEEGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMBYGCSqGSIb3DQEJDjEJBgcr\n"
        b"BgEBAQEWBggqhkjOPQQDAw==\n"
    )
    found = est.decode_attributes(reply(body, est.MEDIA_CSR_ATTRIBUTES))
    assert [each.oid for each in found] == [
        "1.2.840.113549.1.9.7",  # challengePassword
        "1.2.840.10045.2.1",  # id-ecPublicKey
        "1.2.840.113549.1.9.14",  # extensionRequest
        "1.2.840.10045.4.3.3",  # ecdsa-with-SHA384
    ]
    assert found[1].values == (bytes.fromhex("06052b81040022"),)  # secp384r1


def test_attributes_round_trip():
    body = est.encode_attributes()
    assert est.decode_attributes(reply(body, est.MEDIA_CSR_ATTRIBUTES)) == list(est.WANTED)
    assert est.decode_attributes(reply(b"", "", 204)) == []
    assert est.decode_attributes(reply(b"", "", 404)) == []


OIDS = st.tuples(st.just(2), st.integers(0, 999), st.integers(0, 1 << 40)).map(
    lambda arcs: ".".join(map(str, arcs))
)
VALUES = st.lists(st.binary(max_size=300).map(lambda each: est._tlv(0x04, each)), max_size=3)


@given(st.lists(st.builds(est.Attribute, OIDS, VALUES.map(tuple)), max_size=4))
def test_any_attributes_round_trip(wanted):
    body = est.encode_attributes(wanted)
    assert est.decode_attributes(reply(body, est.MEDIA_CSR_ATTRIBUTES)) == wanted


@given(st.binary(max_size=200), st.booleans())
def test_garbage_gives_only_the_typed_error(garbage, wrapped):
    body = est.encode_request(garbage) if wrapped else garbage
    for read in (
        lambda: est.read_request(body),
        lambda: est.decode_certificates(body),
        lambda: est.decode_attributes(reply(body, est.MEDIA_CSR_ATTRIBUTES)),
        lambda: est.decode_basic(body.decode("latin-1")),
    ):
        with contextlib.suppress(MalformedError):  # a few bytes may happen to be good
            read()


def test_a_client_takes_the_certificate_of_its_own_key_only():
    body = est.encode_certificates([leaf()])
    assert est.issued_certificate(reply(body), KEY.public_key()) == leaf_of(body)
    with pytest.raises(MalformedError, match="key"):
        est.issued_certificate(reply(body), pki.new_key().public_key())


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("06082a8648ce3d030107", "06082a8648ce3d030177"),  # a curve that nobody knows
        ("03420004", "0342000f"),  # no point
    ],
)
def test_a_certificate_of_a_key_that_can_not_be_read_is_for_no_key(right, wrong):
    der = base64.b64decode(est.encode_certificates([leaf()]))
    damaged = der.replace(bytes.fromhex(right), bytes.fromhex(wrong))
    assert damaged != der
    with pytest.raises(MalformedError, match="key"):
        est.issued_certificate(reply(base64.b64encode(damaged)), KEY.public_key())


def leaf_of(body):
    return est.decode_certificates(body)[0]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("120", 120), ("0", 1), ("", 60), ("Fri, 31 Dec 1999 23:59:59 GMT", 60), ("9" * 9, 86_400)],
)
def test_a_client_waits_as_long_as_the_server_says(header, seconds):
    for status in (202, 429, 503):
        found = est.issued_certificate(reply(b"", "", status, header), KEY.public_key())
        assert found == est.Pending(seconds)


def test_a_client_tells_a_refusal_from_a_wrong_answer():
    with pytest.raises(RefusedError, match="401 who are you"):
        est.issued_certificate(reply(b"who are you", "text/plain", 401), KEY.public_key())
    with pytest.raises(MalformedError, match="media_type"):
        est.ca_certificates(reply(b"", "text/html"))


def test_basic_credentials_round_trip():
    assert est.decode_basic(est.encode_basic("pump-1", "a:b")) == ("pump-1", "a:b")
    assert est.decode_basic("basic cHVtcC0xOng=") == ("pump-1", "x")
    for bad in ("", "Basic", "Bearer cHVtcC0xOng=", "Basic cHVtcA==", "Basic \xff", "Basic /w=="):
        with pytest.raises(MalformedError, match="authorization"):
            est.decode_basic(bad)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/.well-known/est/cacerts", ("", est.Operation.CA_CERTS)),
        ("/.well-known/est/ward-7/simpleenroll", ("ward-7", est.Operation.ENROL)),
        ("/.well-known/est/serverkeygen", None),
        ("/.well-known/est//simpleenroll", None),
        ("/.well-known/est", None),
        ("/.well-known/estonia/cacerts", None),
        ("/.well-known/est/a/b/cacerts", None),
        (f"/.well-known/est/{'a' * 65}/cacerts", None),
        ("/est/cacerts", None),
    ],
)
def test_paths(path, found):
    assert est.operation(path) == found
