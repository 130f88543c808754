"""Authorities: a root that signs issuing CAs only, and issuing CAs that sign leaves only.

The root is kept off the fleet's host; an issuing CA has path length 0, so that it can make no
further CA. Both carry the trust domain as their URI SAN (X509-SVID 1.0, section 2), so that the
domain of an authority is read, never configured twice.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes

from gateway.domain.errors import ConfigError
from security.files import SECRET_MODE, write_atomic
from security.names import is_trust_domain
from security.pki import certificates as form
from security.pki.certificates import Validity, load_certificates, to_pem
from security.pki.keys import SigningKey, key_pem, load_key, new_key

ROOT_DAYS = 20 * 365
ISSUING_DAYS = 5 * 365


class Authority(NamedTuple):
    """A CA that can sign, with the root that vouches for it."""

    certificate: x509.Certificate
    key: SigningKey
    root: x509.Certificate
    trust_domain: str


def create_root(trust_domain: str, now: datetime, days: float = ROOT_DAYS) -> Authority:
    """A self-signed root with a new key.

    Raises:
        ValueError: not a trust domain.
    """
    if not is_trust_domain(trust_domain):
        raise ValueError(f"not a trust domain: {trust_domain!r}")
    key = new_key()
    name = form.name(f"{trust_domain} root", trust_domain)
    builder = form.builder(name, name, key.public_key(), Validity.days(now, days))
    builder = _as_authority(builder, trust_domain, path_length=1)
    certificate = form.identify(builder, key.public_key(), key.public_key()).sign(
        key, hashes.SHA256()
    )
    return Authority(certificate, key, certificate, trust_domain)


def create_issuing(root: Authority, now: datetime, days: float = ISSUING_DAYS) -> Authority:
    """An issuing CA below ``root`` with a new key, path length 0."""
    key = new_key()
    name = form.name(f"{root.trust_domain} issuing", root.trust_domain)
    validity = Validity.days(now, days).within(root.certificate)
    builder = form.builder(name, root.certificate.subject, key.public_key(), validity)
    builder = _as_authority(builder, root.trust_domain, path_length=0)
    certificate = form.identify(builder, key.public_key(), root.key.public_key()).sign(
        root.key, hashes.SHA256()
    )
    return Authority(certificate, key, root.certificate, root.trust_domain)


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


def _as_authority(
    builder: x509.CertificateBuilder, trust_domain: str, path_length: int
) -> x509.CertificateBuilder:
    uri = x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), True)
        .add_extension(form.key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
    )
