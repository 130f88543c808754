"""Leaf certificates: what a holder may do follows from its role's profile alone.

Every certificate that an issuing CA signs is made here, and nothing leads past its profile: the
names are checked against the CA's scope, the life against the profile's bound and the CA's own
end, the key is P-256.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID

from security.files import TlsFiles, write_atomic
from security.names import Role, spiffe_uri
from security.pki import certificates as form
from security.pki.authority import Authority, Pointers
from security.pki.certificates import Validity, to_pem
from security.pki.keys import PublicKey, SigningKey, new_key, save_key
from security.pki.profiles import PROFILES, RESPONDER, Profile
from security.pki.scope import HOSTS_MAX


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
    cross: tuple[x509.Certificate, ...] = ()
    """Sent behind the issuer while the root changes."""
    trust: tuple[x509.Certificate, ...] = ()
    """What to trust while an authority changes; empty: the root."""

    @property
    def serial(self) -> int:
        return self.certificate.serial_number

    @property
    def chain_pem(self) -> bytes:
        """Leaf and issuers, as a holder sends them."""
        return to_pem(self.certificate, self.issuer, *self.cross)

    @property
    def trust_pem(self) -> bytes:
        """Whom a holder trusts."""
        return to_pem(*(self.trust or (self.root,)))


def issue(
    authority: Authority, subject: Subject, public_key: PublicKey, validity: Validity
) -> Issued:
    """Certify that ``public_key`` speaks for ``subject``, by its role's profile.

    The end is cut to the authority's own.

    Raises:
        ValueError: the id has other characters than allowed, a host is none or outside the
            authority's scope, the profile names no hosts or has no such key or life.
    """
    profile = PROFILES[subject.role]
    if subject.hosts and not profile.hosts:
        raise ValueError(f"a {subject.role} certificate names no hosts")
    if len(subject.hosts) > HOSTS_MAX:
        raise ValueError(f"more than {HOSTS_MAX} hosts")
    uri = spiffe_uri(authority.trust_domain, subject.role, subject.id)
    scope = authority.scope
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    names += [scope.host(host) for host in dict.fromkeys(subject.hosts)]
    # OpenSSL takes a common name with a dot for a host's, if no other host is named, and holds
    # it against the CA's name constraints. The role before it makes it none.
    common = subject.id if "." not in subject.id else f"{subject.role} {subject.id}"
    builder = _leaf(authority, common, subject.role, public_key, profile, validity)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _signed(authority, builder, public_key)


def issue_responder(authority: Authority, public_key: PublicKey, validity: Validity) -> Issued:
    """Certify that ``public_key`` answers OCSP for ``authority`` (RFC 6960, 4.2.2.2).

    It has no identity: nobody can be addressed or admitted by it.

    Raises:
        ValueError: no such key or life.
    """
    builder = _leaf(authority, "OCSP responder", "ocsp", public_key, RESPONDER, validity)
    builder = builder.add_extension(x509.OCSPNoCheck(), critical=False)
    return _signed(authority, builder, public_key)


def write_identity(directory: Path, issued: Issued, key: SigningKey | None = None) -> TlsFiles:
    """Write ``cert.pem`` (leaf and issuer), ``ca.pem`` (root) and, if given, ``key.pem``."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = TlsFiles.within(directory)
    if key is not None:
        save_key(key, files.key)
    write_atomic(files.cert, issued.chain_pem)
    write_atomic(files.trust, issued.trust_pem)
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


def _leaf(  # what a certificate consists of
    authority: Authority,
    common: str,
    unit: str,
    public_key: PublicKey,
    profile: Profile,
    validity: Validity,
) -> x509.CertificateBuilder:
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(
        public_key.curve, ec.SECP256R1
    ):
        raise ValueError("not a P-256 key")  # noqa: TRY004  # one error for whatever is refused
    if public_key == authority.certificate.public_key():
        raise ValueError("the authority's own key")
    if validity.length_days > profile.days_max:
        raise ValueError(f"at most {profile.days_max:g} days, by the profile")
    name = form.name(common, authority.trust_domain, unit=unit)
    builder = (
        form.builder(
            name,
            authority.certificate.subject,
            public_key,
            validity.within(authority.certificate),
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(form.key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(profile.usages), critical=False)
    )
    return _point(builder, authority.pointers)


def _signed(
    authority: Authority, builder: x509.CertificateBuilder, public_key: PublicKey
) -> Issued:
    certificate = form.identify(builder, public_key, authority.key.public_key()).sign(
        authority.key, hashes.SHA256()
    )
    return Issued(
        certificate, authority.certificate, authority.root, authority.cross, authority.trust
    )


def _point(builder: x509.CertificateBuilder, pointers: Pointers) -> x509.CertificateBuilder:
    """Say where revocation can be asked for (RFC 5280, 4.2.2.1 and 4.2.1.13)."""
    if pointers.ocsp:
        place = x509.UniformResourceIdentifier(pointers.ocsp)
        answers = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)
        builder = builder.add_extension(x509.AuthorityInformationAccess([answers]), critical=False)
    if pointers.crl:
        place = x509.UniformResourceIdentifier(pointers.crl)
        point = x509.DistributionPoint([place], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    return builder
