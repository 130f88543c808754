"""Leaf certificates: what a holder may do follows from its role's profile alone."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from security.files import SECRET_MODE, TlsFiles, write_atomic
from security.names import Role, spiffe_uri
from security.pki import certificates as form
from security.pki.authority import Authority
from security.pki.certificates import Validity, to_pem
from security.pki.keys import PublicKey, SigningKey, key_pem, new_key
from security.pki.profiles import PROFILES


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


def issue(
    authority: Authority, subject: Subject, public_key: PublicKey, validity: Validity
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
        form.builder(
            form.name(subject.id, authority.trust_domain, unit=subject.role),
            authority.certificate.subject,
            public_key,
            validity.within(authority.certificate),
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(form.key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(profile.usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    certificate = form.identify(builder, public_key, authority.key.public_key()).sign(
        authority.key, hashes.SHA256()
    )
    return Issued(certificate, authority.certificate, authority.root)


def write_identity(directory: Path, issued: Issued, key: SigningKey | None = None) -> TlsFiles:
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


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
