"""Certificates that our own authority signed by mistake, or by force: none of them is let in.

Whoever is not let in is refused by TLS or by the identity service, with a typed error: on TLS and
on DTLS, which verify with different code of the same library.
"""

import base64
import contextlib
import ssl
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from gateway.domain.devices import CertificateCredential
from gateway.domain.errors import MalformedError, RefusedError, WardgateError
from security import est, pki, tls
from security.files import TlsFiles
from security.identity import IdentityConfig, IdentityService
from security.names import parse_identity
from tests.fakes import FakeClock, FakeCounters
from tests.unit.security.conftest import DOMAIN
from tests.unit.security.handshakes import Watch, dtls_shake, openssl, shake
from tests.unit.security.test_security_identity import Audit, Session

ONE = f"spiffe://{DOMAIN}/device/one"
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH

OWN = (x509.UniformResourceIdentifier(ONE),)
NAMES = {
    "another case of the scheme": f"SPIFFE://{DOMAIN}/device/one",
    "another case of the domain": f"spiffe://{DOMAIN.upper()}/device/one",
    "another case of the role": f"spiffe://{DOMAIN}/Device/one",
    "a dotless i, whose upper case is I": f"spiffe://{DOMAIN}/dev\u0131ce/one",
    "a long s, whose upper case is S": f"spiffe://{DOMAIN}/\u017fervice/one",
    "a percent-encoded letter": f"spiffe://{DOMAIN}/device/%6fne",
    "a percent-encoded slash": f"spiffe://{DOMAIN}/device%2fone",
    "the domain with a dot at its end": f"spiffe://{DOMAIN}./device/one",
    "the domain with a port": f"spiffe://{DOMAIN}:443/device/one",
    "the domain as a user's": f"spiffe://{DOMAIN}@evil.example/device/one",
    "another domain": "spiffe://evil.example/device/one",
    "a domain below": f"spiffe://evil.{DOMAIN}/device/one",
    "the domain in a path": f"spiffe://evil.example/{DOMAIN}/device/one",
    "no id": f"spiffe://{DOMAIN}/device/",
    "no path": f"spiffe://{DOMAIN}",
    "a slash at the end": f"{ONE}/",
    "a further segment": f"{ONE}/two",
    "an empty segment": f"spiffe://{DOMAIN}//device/one",
    "a query": f"{ONE}?x",
    "a fragment": f"{ONE}#x",
    "a path upwards": f"spiffe://{DOMAIN}/device/../operator/one",
    "dots alone": f"spiffe://{DOMAIN}/device/..",
    "a wildcard of one level": f"spiffe://{DOMAIN}/device/+",
    "a wildcard of many": f"spiffe://{DOMAIN}/device/#",
    "a NUL": f"{ONE}\0two",
    "a line's end": f"{ONE}\n",
    "a letter that looks like one of ours": f"spiffe://{DOMAIN}/device/\u043ene",
    "an id that is too long": f"spiffe://{DOMAIN}/device/{'a' * 65}",
    "an unknown role": f"spiffe://{DOMAIN}/root/one",
}
"""A device's name as somebody may have got it past the authority."""


class Mint:
    """The ward's authority, without any of its rules."""

    def __init__(self, ward, directory):
        self.ward, self.directory = ward, directory

    def make(
        self,
        *,
        names=OWN,
        usages=(CLIENT,),
        key=None,
        begins=-1,
        ends=1,
        issuer_key_named=True,
        extra=(),
        chain=(),
    ):
        """Files of a leaf; ``begins`` and ``ends`` are in days from now."""
        issuing, key = self.ward.issuing, key or pki.new_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "one")]))
            .issuer_name(issuing.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.ward.now + timedelta(days=begins))
            .not_valid_after(self.ward.now + timedelta(days=ends))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(pki.certificates.key_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
        )
        if issuer_key_named:
            named = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing.key.public_key())
            builder = builder.add_extension(named, critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        for each in extra:
            builder = builder.add_extension(each, critical=False)
        leaf = builder.sign(issuing.key, hashes.SHA256())
        return self.write(key, leaf, issuing.certificate, *chain)

    def by_openssl(self, digest):
        """A good leaf, signed over another digest: our own library does not do it."""
        issuing, key = self.ward.issuing, pki.new_key()
        holder = self.write(key, issuing.certificate).key
        public = self.directory / "public.pem"
        assert openssl("pkey", "-in", holder, "-pubout", "-out", public).returncode == 0
        signer, extensions = self.directory / "issuing.key", self.directory / "extensions"
        signer.write_bytes(_pem(issuing.key))
        extensions.write_text(
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
            f"extendedKeyUsage=clientAuth\nsubjectAltName=URI:{ONE}\n"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        done = openssl(
            *("x509", "-new", "-subj", "/CN=one", "-force_pubkey", public, "-days", 1),
            *("-CA", self.directory / "cert.pem", "-CAkey", signer, f"-{digest}"),
            *("-extfile", extensions),
        )
        assert done.returncode == 0, done.stderr
        leaf = x509.load_pem_x509_certificate(done.stdout.encode())
        return self.write(key, leaf, issuing.certificate)

    def write(self, key, *certificates):
        files = TlsFiles(*(self.directory / f"{name}.pem" for name in ("cert", "key", "ca")))
        files.cert.write_bytes(pki.to_pem(*certificates))
        files.key.write_bytes(_pem(key))
        files.key.chmod(0o600)
        files.trust.write_bytes(pki.to_pem(self.ward.issuing.root))
        return files


def _pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def mint(ward, tmp_path):
    return Mint(ward, tmp_path)


def by_tls(service, files):
    """The certificate that a TLS listener has verified."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(files.trust)
    client.set_ciphers("DEFAULT:@SECLEVEL=0")  # it is the server that is to refuse
    client.load_cert_chain(files.cert, files.key)
    server, _ = shake(tls.server_context(service), client)
    return server.tls.getpeercert(binary_form=True)


def by_dtls(service, files):
    """The same over DTLS."""
    client = SSL.Context(SSL.DTLS_CLIENT_METHOD)
    client.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
    client.use_certificate_chain_file(str(files.cert))
    client.use_privatekey_file(str(files.key))
    server, _ = dtls_shake(tls.dtls_server_context(service), client, Watch())
    certificate = server.get_peer_certificate(as_cryptography=True)
    return certificate.public_bytes(Encoding.DER)


DOORS = {"mqtt": by_tls, "coap": by_dtls}


def admitted(ward, service, transport, files):
    """The device that comes in, or None; anything but a refusal is an error."""
    try:
        der = DOORS[transport](service, files)
    except (ssl.SSLError, SSL.Error):
        return None
    clock = FakeClock(round(ward.now.timestamp() * 1e6))
    identity = IdentityService(IdentityConfig(DOMAIN), clock, FakeCounters(), Audit())
    credential = CertificateCredential(der, transport, "192.0.2.1:1")
    try:
        return identity.admit(credential, Session(identity)).device_id
    except RefusedError:
        return None


@pytest.mark.parametrize("transport", DOORS)
def test_the_mint_makes_good_ones_too(ward, service, mint, transport):
    assert admitted(ward, service, transport, mint.make()) == "one"


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_nearly_one(ward, name):
    """Its SAN as raw bytes: the library's own encoder takes ASCII alone."""
    uri = NAMES[name].encode()
    san = b"\x86" + bytes([len(uri)]) + uri
    raw = x509.UnrecognizedExtension(
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30" + _length(san) + san
    )
    now, key = ward.now, pki.new_key()
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ward.issuing.key.public_key())
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(ward.issuing.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(issuer, critical=False)
        .add_extension(raw, critical=False)
        .sign(ward.issuing.key, hashes.SHA256())
    )
    with pytest.raises(RefusedError, match="identity_mismatch"):
        parse_identity(made.public_bytes(Encoding.DER), DOMAIN)


def _length(content):
    return bytes([len(content)]) if len(content) < 128 else bytes([0x81, len(content)])


CASES: dict[str, dict[str, Any]] = {
    "two names": {"names": [x509.UniformResourceIdentifier(ONE)] * 2},
    "a second identity": {
        "names": [
            x509.UniformResourceIdentifier(ONE),
            x509.UniformResourceIdentifier(f"spiffe://{DOMAIN}/operator/one"),
        ]
    },
    "a common name alone": {"names": ()},
    "a host's name alone": {"names": [x509.DNSName("one")]},
    "the identity as a mail address": {"names": [x509.RFC822Name("one@ward.example")]},
    "a gateway's name": {
        "names": [x509.UniformResourceIdentifier(f"spiffe://{DOMAIN}/gateway/one")]
    },
    "any usage": {"usages": [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]},
    "a server's usage": {"usages": [ExtendedKeyUsageOID.SERVER_AUTH]},
    "a responder's usage": {"usages": [ExtendedKeyUsageOID.OCSP_SIGNING]},
    "valid from tomorrow": {"begins": 1, "ends": 2},
    "valid until yesterday": {"begins": -2, "ends": -1},
    "nobody said whose key signed it": {"issuer_key_named": False},
    "an RSA key of 1024 bits": {"key": rsa.generate_private_key(65537, 1024)},
}


@pytest.mark.parametrize("transport", DOORS)
@pytest.mark.parametrize("case", CASES)
def test_signed_by_our_own_authority(ward, service, mint, transport, case):
    assert admitted(ward, service, transport, mint.make(**CASES[case])) is None


@pytest.mark.parametrize("transport", DOORS)
@pytest.mark.parametrize(("digest", "comes"), [("sha256", "one"), ("sha1", None)])
def test_a_weak_signature(ward, service, mint, transport, digest, comes):
    assert admitted(ward, service, transport, mint.by_openssl(digest)) == comes


def test_more_than_is_worth_parsing(ward, service, mint):
    """64 KiB of one, which TLS takes; `wardgate attack` shows it to the other transports."""
    much = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(65_536))
    assert admitted(ward, service, "mqtt", mint.make(extra=[much])) is None


@pytest.mark.parametrize("transport", DOORS)
def test_who_holds_an_authoritys_or_a_responders_key_is_no_device(
    ward, stranger, service, mint, transport
):
    """Each shows its own certificate, and signs a device's."""
    now = ward.now
    responder_key = pki.new_key()
    validity = pki.Validity.days(now, 1)
    responder = pki.issue_responder(ward.issuing, responder_key.public_key(), validity).certificate
    issuing = ward.issuing
    assert admitted(ward, service, transport, mint.write(issuing.key, issuing.certificate)) is None
    own = mint.write(responder_key, responder, issuing.certificate)
    assert admitted(ward, service, transport, own) is None
    real = ward.issuing
    try:
        # Signed by the responder; and by a stranger in our authority's name.
        for key, certificate in (
            (responder_key, responder),
            (stranger.issuing.key, real.certificate),
        ):
            ward.issuing = real._replace(key=key, certificate=certificate)
            assert admitted(ward, service, transport, mint.make(chain=(real.certificate,))) is None
    finally:
        ward.issuing = real


@pytest.mark.parametrize("transport", DOORS)
@pytest.mark.parametrize(("strays", "comes"), [(3, "one"), (200, None)])
def test_a_chain_with_strangers_in_it(ward, stranger, service, mint, transport, strays, comes):
    """They are hints and no more; and a chain without end is not read."""
    others = [stranger.issuing.certificate, stranger.root.certificate] * (strays // 2 + 1)
    files = mint.make(chain=others[:strays])
    assert admitted(ward, service, transport, files) == comes


# What a peer decides may be unreadable in more ways than one.

KEY = pki.new_key()
STRANGE_SAN = {
    "an EDI party's name": bytes.fromhex("3007a505a1030c0178"),
    "an X.400 address": bytes.fromhex("3002a300"),
    "an address of three bytes": bytes.fromhex("3005 8703 313233"),
    "no sequence": bytes.fromhex("0500"),
}


def csr(extension):
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(extension, critical=False)
        .sign(KEY, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


@pytest.mark.parametrize("san", STRANGE_SAN)
def test_a_request_with_a_name_that_nobody_reads(san):
    strange = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, STRANGE_SAN[san])
    with pytest.raises(MalformedError, match="csr"):
        est.read_request(base64.b64encode(csr(strange)))


KNOWN = [each for each in vars(ExtensionOID).values() if isinstance(each, x509.ObjectIdentifier)]
TAGS = [*range(1, 7), 0x0C, 0x13, 0x16, 0x30, 0x31, *range(0x80, 0x89), *range(0xA0, 0xA9)]
DER = st.recursive(
    st.tuples(st.sampled_from(TAGS), st.binary(max_size=4)).map(
        lambda each: bytes([each[0], len(each[1])]) + each[1]
    ),
    lambda inner: st.tuples(st.sampled_from(TAGS), st.lists(inner, max_size=3)).map(
        lambda each: bytes([each[0], min(len(b"".join(each[1])), 127)]) + b"".join(each[1])[:127]
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.sampled_from(KNOWN), DER)
def test_whatever_an_extension_says_the_error_is_typed(ward, oid, value):
    extension = x509.UnrecognizedExtension(oid, value)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(ward.now)
        .not_valid_after(ward.now)
        .add_extension(extension, critical=False)
        .sign(KEY, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    with pytest.raises(WardgateError):
        parse_identity(certificate, DOMAIN)
    with contextlib.suppress(MalformedError):
        est.read_request(base64.b64encode(csr(extension)))
