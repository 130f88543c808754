"""Certificates: a root, an issuing CA, and one profile per role.

Rules:

* All keys are ECDSA on P-256; all serials are random (RFC 5280, 4.1.2.2).
* The root signs issuing CAs only and is kept off the fleet's host; an issuing CA has path
  length 0, so that it can make no further CA. Both carry the trust domain as their URI SAN
  (X509-SVID 1.0, section 2), so that the domain of an authority is read, never configured twice.
* What a leaf may do follows from its role's profile alone. Of a CSR only the public key is used:
  names, extensions and usages that it asks for are ignored.
* Nothing here reads the clock or keeps state; a certificate's times are arguments.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.domain.errors import ConfigError, MalformedError
from security.files import SECRET_MODE, TlsFiles, read_secret, write_atomic
from security.names import Identity, Role, is_trust_domain, parse_identity, spiffe_uri

ROOT_DAYS = 20 * 365
ISSUING_DAYS = 5 * 365
LEAF_DAYS = 365
BACKDATE = timedelta(minutes=5)
"""Devices whose clock lags a little must be able to use a fresh certificate."""
CSR_BYTES_MAX = 16 * 1024

_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
_SERVER = ExtendedKeyUsageOID.SERVER_AUTH


class Profile(NamedTuple):
    """What the certificates of a role may be used for."""

    usages: tuple[x509.ObjectIdentifier, ...]
    hosts: bool
    """Whether DNS names and addresses may be named."""


PROFILES: dict[Role, Profile] = {
    Role.DEVICE: Profile((_CLIENT,), hosts=False),
    Role.OPERATOR: Profile((_CLIENT,), hosts=False),
    Role.GATEWAY: Profile((_CLIENT, _SERVER), hosts=True),
    Role.SERVICE: Profile((_CLIENT, _SERVER), hosts=True),
}


class Validity(NamedTuple):
    """From when to when; both aware datetimes."""

    not_before: datetime
    not_after: datetime

    @classmethod
    def days(cls, now: datetime, days: float) -> Validity:
        """Valid from a little before ``now``, for ``days``; negative days have already ended."""
        end = now + timedelta(days=days)
        return cls(min(now, end) - BACKDATE, end)


class Authority(NamedTuple):
    """A CA that can sign, with the root that vouches for it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    root: x509.Certificate
    trust_domain: str


class Subject(NamedTuple):
    """Whom a leaf is for."""

    role: Role
    id: str
    hosts: tuple[str, ...] = ()
    """DNS names and addresses, for gateways and services only."""


class Issued(NamedTuple):
    """A leaf with what its holder must send and trust."""

    certificate: x509.Certificate
    issuer: x509.Certificate
    root: x509.Certificate

    @property
    def serial(self) -> int:
        return self.certificate.serial_number

    @property
    def chain_pem(self) -> bytes:
        """Leaf and issuer, as a holder sends them."""
        return to_pem(self.certificate, self.issuer)


def moment(time_us: int) -> datetime:
    """A Clock's wall time as certificates have it."""
    return datetime.fromtimestamp(time_us / 1e6, UTC)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def create_root(trust_domain: str, now: datetime, days: float = ROOT_DAYS) -> Authority:
    """A self-signed root with a new key.

    Raises:
        ValueError: not a trust domain.
    """
    if not is_trust_domain(trust_domain):
        raise ValueError(f"not a trust domain: {trust_domain!r}")
    key = new_key()
    name = _name(f"{trust_domain} root", trust_domain)
    builder = _builder(name, name, key.public_key(), Validity.days(now, days))
    builder = _as_authority(builder, trust_domain, path_length=1)
    certificate = _identify(builder, key.public_key(), key.public_key()).sign(key, hashes.SHA256())
    return Authority(certificate, key, certificate, trust_domain)


def create_issuing(root: Authority, now: datetime, days: float = ISSUING_DAYS) -> Authority:
    """An issuing CA below ``root`` with a new key, path length 0."""
    key = new_key()
    name = _name(f"{root.trust_domain} issuing", root.trust_domain)
    validity = _within(Validity.days(now, days), root.certificate)
    builder = _builder(name, root.certificate.subject, key.public_key(), validity)
    builder = _as_authority(builder, root.trust_domain, path_length=0)
    certificate = _identify(builder, key.public_key(), root.key.public_key()).sign(
        root.key, hashes.SHA256()
    )
    return Authority(certificate, key, root.certificate, root.trust_domain)


def issue(
    authority: Authority,
    subject: Subject,
    public_key: ec.EllipticCurvePublicKey,
    validity: Validity,
) -> Issued:
    """Certify that ``public_key`` speaks for ``subject``, by its role's profile.

    The end is cut to the authority's own.

    Raises:
        ValueError: the id has other characters than allowed, or the profile names no hosts.
    """
    profile = PROFILES[subject.role]
    if subject.hosts and not profile.hosts:
        raise ValueError(f"a {subject.role} certificate names no hosts")
    uri = spiffe_uri(authority.trust_domain, subject.role, subject.id)
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    names += [_host(host) for host in subject.hosts]
    builder = (
        _builder(
            _name(subject.id, authority.trust_domain, unit=subject.role),
            authority.certificate.subject,
            public_key,
            _within(validity, authority.certificate),
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(profile.usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    certificate = _identify(builder, public_key, authority.key.public_key()).sign(
        authority.key, hashes.SHA256()
    )
    return Issued(certificate, authority.certificate, authority.root)


def create_csr(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    """A PEM request that proves possession of ``key``; its subject is a courtesy."""
    request = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    return request.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def read_csr(csr: bytes) -> ec.EllipticCurvePublicKey:
    """The public key of a PEM or DER request, after its proof of possession was checked.

    Raises:
        MalformedError: ``csr`` (unreadable), ``csr_signature`` (tampered with) or ``csr_key``
            (not a P-256 key).
    """
    if len(csr) > CSR_BYTES_MAX:
        raise MalformedError("csr", f"{len(csr)} bytes")
    try:
        if csr.lstrip().startswith(b"-----BEGIN"):
            request = x509.load_pem_x509_csr(csr)
        else:
            request = x509.load_der_x509_csr(csr)
        key = request.public_key()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise MalformedError("csr", "no certificate request") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise MalformedError("csr_key", "not a P-256 key")
    try:
        # A damaged signature is reported as False or raised, by where the damage is.
        valid = request.is_signature_valid
    except (ValueError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise MalformedError("csr_signature") from error
    if not valid:
        raise MalformedError("csr_signature")
    return key


def save_authority(authority: Authority, directory: Path) -> None:
    """Write ``ca.pem`` (the CA's own), ``root.pem`` and, 0600, ``ca.key``."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(directory / "ca.key", key_pem(authority.key), SECRET_MODE)
    write_atomic(directory / "ca.pem", to_pem(authority.certificate))
    write_atomic(directory / "root.pem", to_pem(authority.root))


def load_authority(directory: Path) -> Authority:
    """Read what :func:`save_authority` wrote.

    Raises:
        ConfigError: a file is missing, readable by others, damaged or doesn't fit the others.
    """
    key = load_key(directory / "ca.key")
    certificate = load_certificates(directory / "ca.pem")[0]
    root = load_certificates(directory / "root.pem")[0]
    if certificate.public_key() != key.public_key():
        raise ConfigError(f"{directory}: ca.key is not the key of ca.pem")
    try:
        certificate.verify_directly_issued_by(root)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        raise ConfigError(f"{directory}: ca.pem is no authority below root.pem") from error
    trust_domain = uris[0].removeprefix("spiffe://") if uris else ""
    if not is_trust_domain(trust_domain):
        raise ConfigError(f"{directory}: ca.pem names no trust domain")
    return Authority(certificate, key, root, trust_domain)


def write_identity(
    directory: Path, issued: Issued, key: ec.EllipticCurvePrivateKey | None = None
) -> TlsFiles:
    """Write ``cert.pem`` (leaf and issuer), ``ca.pem`` (root) and, if given, ``key.pem``."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = TlsFiles.within(directory)
    if key is not None:
        write_atomic(files.key, key_pem(key), SECRET_MODE)
    write_atomic(files.cert, issued.chain_pem)
    write_atomic(files.trust, to_pem(issued.root))
    return files


def make_identity(
    authority: Authority, subject: Subject, directory: Path, validity: Validity
) -> tuple[TlsFiles, Issued]:
    """A new key, its certificate, and the three files, in one step.

    Raises:
        ValueError: as :func:`issue`.
        OSError: the files can't be written.
    """
    key = new_key()
    issued = issue(authority, subject, key.public_key(), validity)
    return write_identity(directory, issued, key), issued


def to_pem(*certificates: x509.Certificate) -> bytes:
    """Certificates as PEM, one after the other."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A key as unencrypted PKCS #8 PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """A P-256 key from a PEM file that nobody else can read.

    Raises:
        ConfigError: missing, readable by others, or not such a key.
    """
    try:
        key = load_pem_private_key(read_secret(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path}: not a PEM private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError(f"{path}: not a P-256 key")
    return key


def load_certificates(path: Path) -> Sequence[x509.Certificate]:
    """At least one certificate from a PEM file.

    Raises:
        ConfigError: missing or damaged.
    """
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: can't read the certificate: {error.strerror}") from error
    except (ValueError, x509.InvalidVersion) as error:
        raise ConfigError(f"{path}: not a PEM certificate") from error


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    validity: Validity,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.not_before)
        .not_valid_after(validity.not_after)
    )


def _as_authority(
    builder: x509.CertificateBuilder, trust_domain: str, path_length: int
) -> x509.CertificateBuilder:
    uri = x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
    )


def _identify(
    builder: x509.CertificateBuilder,
    public_key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
) -> x509.CertificateBuilder:
    return builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False
    ).add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _within(validity: Validity, issuer: x509.Certificate) -> Validity:
    return Validity(validity.not_before, min(validity.not_after, issuer.not_valid_after_utc))


def _name(common: str, organisation: str, unit: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation[:64])]
    if unit:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common[:64]))
    return x509.Name(attributes)


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


__all__ = [
    "PROFILES",
    "Authority",
    "Identity",
    "Issued",
    "Profile",
    "Role",
    "Subject",
    "Validity",
    "create_csr",
    "create_issuing",
    "create_root",
    "issue",
    "key_pem",
    "load_authority",
    "load_certificates",
    "load_key",
    "make_identity",
    "moment",
    "new_key",
    "parse_identity",
    "read_csr",
    "save_authority",
    "to_pem",
    "write_identity",
]
