"""Certificates do what their profile says, as OpenSSL's command line sees it too."""

import stat
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import ConfigError, MalformedError, RefusedError
from security import pki
from security.names import Role, is_id, parse_identity, spiffe_uri
from tests.unit.security.conftest import DOMAIN
from tests.unit.security.handshakes import openssl


def openssl_verifies(files, purpose, root=None):
    """What ``openssl verify`` says of a leaf with its chain."""
    done = openssl(
        "verify",
        "-x509_strict",
        "-purpose",
        purpose,
        "-CAfile",
        root or files.trust,
        "-untrusted",
        files.cert,
        files.cert,
    )
    return done.returncode == 0


@pytest.mark.parametrize("role", list(Role))
def test_openssl_agrees_with_each_profile(ward, role):
    files, _ = ward.identity(role, "one")
    serves = role in {Role.GATEWAY, Role.SERVICE}
    assert openssl_verifies(files, "sslclient")
    assert openssl_verifies(files, "sslserver") is serves


def test_openssl_refuses_an_expired_leaf_and_a_foreign_root(ward, stranger, device):
    expired, _ = ward.identity(Role.DEVICE, "late", days=-1)
    assert not openssl_verifies(expired, "sslclient")
    foreign, _ = stranger.identity(Role.DEVICE, "monitor-1")
    assert openssl_verifies(foreign, "sslclient")
    assert not openssl_verifies(foreign, "sslclient", root=device.trust)


def test_an_issuing_ca_can_make_no_ca(ward, tmp_path):
    rogue = pki.create_issuing(ward.issuing, ward.now)
    rogue = rogue._replace(root=ward.root.certificate)
    files, issued = pki.make_identity(
        rogue,
        pki.Subject(Role.DEVICE, "one"),
        tmp_path / "rogue",
        pki.Validity.days(ward.now, 1),
    )
    files.cert.write_bytes(
        pki.to_pem(issued.certificate, rogue.certificate, ward.issuing.certificate)
    )
    told = openssl("verify", "-CAfile", files.trust, "-untrusted", files.cert, files.cert)
    assert "path length constraint exceeded" in told.stderr


@pytest.mark.parametrize("role", list(Role))
def test_the_identity_is_what_was_issued(ward, role):
    der, serial = ward.der(role, "Bed.7_a-b")
    identity = parse_identity(der, DOMAIN)
    assert (identity.role, identity.id, identity.serial) == (role, "Bed.7_a-b", serial)
    assert identity.not_after == pytest.approx((ward.now + timedelta(days=30)).timestamp(), abs=1)


def test_a_leaf_does_not_outlive_its_authority(ward):
    issuing = pki.create_issuing(ward.root, ward.now, days=10)
    issued = pki.issue(
        issuing,
        pki.Subject(Role.DEVICE, "one"),
        pki.new_key().public_key(),
        pki.Validity.days(ward.now, 365),
    )
    end = issuing.certificate.not_valid_after_utc
    assert issued.certificate.not_valid_after_utc == end


def test_devices_and_operators_name_no_hosts(ward):
    for role in (Role.DEVICE, Role.OPERATOR):
        with pytest.raises(ValueError, match="names no hosts"):
            pki.issue(
                ward.issuing,
                pki.Subject(role, "one", ("localhost",)),
                pki.new_key().public_key(),
                pki.Validity.days(ward.now, 1),
            )


@pytest.mark.parametrize(
    "name", ["", "a/b", "../a", ".a", "-a", "a+b", "a#", "a b", "é", "a\n", "x" * 65]
)
def test_other_ids_are_refused(ward, name):
    with pytest.raises(ValueError, match="not an id"):
        spiffe_uri(DOMAIN, Role.DEVICE, name)


def certificate_with(uris, extra=()):
    key = pki.new_key()
    name = x509.Name([])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=3650))
    )
    names = [x509.UniformResourceIdentifier(uri) for uri in uris] + list(extra)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["spiffe://ward.example/device/a", "spiffe://ward.example/device/b"],
        ["spiffe://ward.example/device/a", "https://ward.example/"],
        ["spiffe://other.example/device/a"],
        ["spiffe://ward.example.evil/device/a"],
        ["SPIFFE://ward.example/device/a"],
        ["spiffe://ward.example/DEVICE/a"],
        ["spiffe://ward.example/admin/a"],
        ["spiffe://ward.example/device"],
        ["spiffe://ward.example/device/"],
        ["spiffe://ward.example/device/a/b"],
        ["spiffe://ward.example/device/a%2Fb"],
        ["spiffe://ward.example/device/a?x=1"],
        ["spiffe://ward.example//device/a"],
        ["https://ward.example/device/a"],
        ["device/a"],
    ],
)
def test_other_names_are_no_identity(uris):
    extra = [x509.DNSName("spiffe.example")] if not uris else ()
    with pytest.raises(RefusedError) as refused:
        parse_identity(certificate_with(uris, extra), DOMAIN)
    assert refused.value.reason == "identity_mismatch"


def test_a_certificate_without_names_is_no_identity():
    with pytest.raises(RefusedError) as refused:
        parse_identity(certificate_with([]), DOMAIN)
    assert refused.value.reason == "identity_mismatch"


@given(st.binary(max_size=200))
def test_garbage_gives_only_the_typed_error(garbage):
    with pytest.raises(RefusedError):
        parse_identity(garbage, DOMAIN)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@given(st.data())
def test_a_damaged_certificate_gives_an_identity_or_the_typed_error(ward, data):
    der = bytearray(ward.der(Role.DEVICE, "one")[0])
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, 2**16)) % len(der)  # its length varies by a byte
        der[position] = data.draw(st.integers(0, 255))
    try:
        identity = parse_identity(bytes(der), DOMAIN)
    except RefusedError:
        return
    assert is_id(identity.id)


def test_a_csr_gives_its_key_alone(ward):
    key = pki.new_key()
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(f"spiffe://{DOMAIN}/operator/root")]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    issued = pki.issue(
        ward.issuing,
        pki.Subject(Role.DEVICE, "one"),
        pki.read_csr(csr),
        pki.Validity.days(ward.now, 1),
    )
    identity = parse_identity(issued.certificate.public_bytes(Encoding.DER), DOMAIN)
    assert (identity.role, identity.id) == (Role.DEVICE, "one")
    assert issued.certificate.public_key() == key.public_key()
    constraints = issued.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert not constraints.value.ca


def test_a_csr_from_the_openssl_command_is_taken(tmp_path):
    command = "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x"
    files = ["-keyout", tmp_path / "k.pem", "-out", tmp_path / "r.pem"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    assert isinstance(pki.read_csr((tmp_path / "r.pem").read_bytes()), ec.EllipticCurvePublicKey)


def test_a_csr_changed_anywhere_is_refused():
    request = x509.load_pem_x509_csr(pki.create_csr(pki.new_key(), "one"))
    der = request.public_bytes(Encoding.DER)
    assert pki.read_csr(der)
    # The count of unused bits before the signature says nothing, so nothing covers it.
    unused_bits = len(der) - len(request.signature) - 1
    for position in set(range(len(der))) - {unused_bits}:
        broken = bytearray(der)
        broken[position] ^= 0x01
        with pytest.raises(MalformedError):
            pki.read_csr(bytes(broken))


@pytest.mark.parametrize(
    ("csr", "reason"),
    [
        (b"", "csr"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "csr"),
        (b"x" * (pki.CSR_BYTES_MAX + 1), "csr"),
    ],
)
def test_what_is_no_csr_is_refused(csr, reason):
    with pytest.raises(MalformedError) as malformed:
        pki.read_csr(csr)
    assert malformed.value.reason == reason


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())],
    ids=["rsa", "p384"],
)
def test_other_keys_are_refused(key):
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    with pytest.raises(MalformedError) as malformed:
        pki.read_csr(csr)
    assert malformed.value.reason == "csr_key"


def test_an_authority_survives_the_disk(ward, tmp_path):
    pki.save_authority(ward.issuing, tmp_path / "ca")
    loaded = pki.load_authority(tmp_path / "ca")
    assert loaded.certificate == ward.issuing.certificate
    assert loaded.trust_domain == DOMAIN
    assert loaded.key.private_numbers() == ward.issuing.key.private_numbers()
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "ca").iterdir()}
    assert modes == {"ca.key": 0o600, "ca.pem": 0o644, "root.pem": 0o644}


def test_an_authority_that_does_not_fit_is_refused(ward, stranger, tmp_path):
    pki.save_authority(ward.issuing, tmp_path / "ca")
    (tmp_path / "ca" / "ca.key").chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        pki.load_authority(tmp_path / "ca")
    pki.save_authority(ward.issuing._replace(key=stranger.issuing.key), tmp_path / "ca")
    with pytest.raises(ConfigError, match="not the key"):
        pki.load_authority(tmp_path / "ca")
    pki.save_authority(ward.issuing._replace(root=stranger.root.certificate), tmp_path / "ca")
    with pytest.raises(ConfigError, match="no authority below"):
        pki.load_authority(tmp_path / "ca")
    with pytest.raises(ConfigError, match="can't read"):
        pki.load_authority(tmp_path / "nowhere")


def test_identity_files_have_strict_modes(device):
    assert stat.S_IMODE(device.key.stat().st_mode) == 0o600
    assert device.cert.read_bytes().count(b"BEGIN CERTIFICATE") == 2
    assert not [p for p in device.cert.parent.iterdir() if p.name.startswith(".")]
