"""Authorities: a root that signs issuing CAs only, and issuing CAs that sign leaves only.

The root is kept off the fleet's host; an issuing CA has path length 0, so that it can make no
further CA, and may name its site's trust domain only (:mod:`security.pki.scope`). Both carry the
trust domain as their URI SAN (X509-SVID 1.0, section 2), so that the domain of an authority is
read, never configured twice.

The successor of a root has its name, so that cross certificates are self-issued (RFC 4210, 4.4)
and not counted in path lengths. Issuing CAs have a name each, so that their revocation lists
can't be taken for one another's.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes

from gateway.domain.errors import ConfigError
from security.files import write_atomic
from security.names import is_trust_domain
from security.pki import certificates as form
from security.pki.certificates import Validity, load_certificates, to_pem
from security.pki.keys import PublicKey, SigningKey, load_key, new_key, save_key
from security.pki.scope import Scope, is_within, scope_of

ROOT_DAYS = 20 * 365
ISSUING_DAYS = 5 * 365
_ID_OCTETS = 8


class Pointers(NamedTuple):
    """Where a leaf says that revocation can be asked for; empty: it doesn't."""

    ocsp: str = ""
    crl: str = ""


class Authority(NamedTuple):
    """A CA that can sign, with the root that vouches for it."""

    certificate: x509.Certificate
    key: SigningKey
    root: x509.Certificate
    trust_domain: str
    pointers: Pointers = Pointers()
    cross: tuple[x509.Certificate, ...] = ()
    """Sent behind the issuer while the root changes."""
    trust: tuple[x509.Certificate, ...] = ()
    """What its holders are to trust while an authority changes; empty: the root."""

    @property
    def scope(self) -> Scope:
        """What it may name."""
        return scope_of(self.certificate, self.trust_domain)

    @property
    def id(self) -> str:
        """Its key's identifier, shortened; names files and addresses."""
        return authority_id(self.certificate)


def authority_id(certificate: x509.Certificate) -> str:
    """A CA's key identifier, shortened to 16 hexadecimal digits."""
    return key_id(certificate.public_key())[:_ID_OCTETS].hex()


def key_id(public_key: object) -> bytes:
    """A key's identifier (RFC 5280, 4.2.1.2, method 1); 20 octets."""
    return x509.SubjectKeyIdentifier.from_public_key(public_key).digest  # type: ignore[arg-type]


def create_root(
    trust_domain: str, now: datetime, days: float = ROOT_DAYS, key: SigningKey | None = None
) -> Authority:
    """A self-signed root; with a new key, unless one is given.

    Raises:
        ValueError: not a trust domain.
    """
    if not is_trust_domain(trust_domain):
        raise ValueError(f"not a trust domain: {trust_domain!r}")
    key = key or new_key()
    name = form.name(f"{trust_domain} root", trust_domain)
    builder = form.builder(name, name, key.public_key(), Validity.days(now, days))
    builder = _as_authority(builder, trust_domain, path_length=1)
    certificate = form.identify(builder, key.public_key(), key.public_key()).sign(
        key, hashes.SHA256()
    )
    return Authority(certificate, key, certificate, trust_domain)


def certify_issuing(
    root: Authority, scope: Scope, public_key: PublicKey, validity: Validity
) -> x509.Certificate:
    """The certificate of an issuing CA below ``root``; its end is cut to the root's.

    Raises:
        ValueError: the scope is not the root's own or below, or names what is no name.
    """
    if not is_within(scope.trust_domain, root.trust_domain):
        raise ValueError(f"{scope.trust_domain!r} is not below {root.trust_domain!r}")
    if public_key == root.key.public_key():
        raise ValueError("an issuing CA has a key of its own")
    constraints = scope.constraints()
    name = form.name(
        f"{scope.trust_domain} issuing"[:47] + f" {key_id(public_key)[:_ID_OCTETS].hex()}",
        scope.trust_domain,
    )
    builder = form.builder(
        name, root.certificate.subject, public_key, validity.within(root.certificate)
    )
    builder = _as_authority(builder, scope.trust_domain, path_length=0).add_extension(
        constraints, critical=True
    )
    return form.identify(builder, public_key, root.key.public_key()).sign(root.key, hashes.SHA256())


def create_issuing(
    root: Authority,
    now: datetime,
    days: float = ISSUING_DAYS,
    scope: Scope | None = None,
    key: SigningKey | None = None,
) -> Authority:
    """An issuing CA below ``root``, path length 0; with a new key, unless one is given.

    Raises:
        ValueError: as :func:`certify_issuing`.
    """
    key, scope = key or new_key(), scope or Scope(root.trust_domain)
    certificate = certify_issuing(root, scope, key.public_key(), Validity.days(now, days))
    return Authority(certificate, key, root.certificate, scope.trust_domain)


def cross_certify(signer: Authority, other: x509.Certificate) -> x509.Certificate:
    """A root's key, certified by another root of the same name (RFC 4210, 4.4).

    Signed by the old root about the new one it is NewWithOld, else OldWithNew. It ends with
    whichever of the two ends first.

    Raises:
        ValueError: not a root of the same name.
    """
    if other.subject != signer.certificate.subject or other.issuer != other.subject:
        raise ValueError("not a root of the same name")
    key = other.public_key()
    validity = Validity(other.not_valid_before_utc, other.not_valid_after_utc)
    builder = form.builder(
        other.subject,
        signer.certificate.subject,
        key,  # type: ignore[arg-type]  # a root of ours, so on P-256
        validity.within(signer.certificate),
    )
    builder = _as_authority(builder, signer.trust_domain, path_length=1)
    return form.identify(
        builder,
        key,  # type: ignore[arg-type]  # as above
        signer.key.public_key(),
    ).sign(signer.key, hashes.SHA256())


def save_authority(authority: Authority, directory: Path) -> None:
    """Write ``ca.pem`` (the CA's own), ``root.pem`` and, 0600, ``ca.key`` (see ``save_key``)."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    save_key(authority.key, directory / "ca.key")
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
