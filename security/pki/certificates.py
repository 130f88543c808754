"""What all certificates have in common, and their PEM files.

Serial numbers are random (RFC 5280, 4.1.2.2). Nothing here reads the clock: a certificate's times
are arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway.domain.errors import ConfigError
from security.pki.keys import PublicKey

BACKDATE = timedelta(minutes=5)
"""Devices whose clock lags a little must be able to use a fresh certificate."""
_NAME_CHARS_MAX = 64
"""RFC 5280, ub-common-name and ub-organization-name."""


class Validity(NamedTuple):
    """From when to when; both aware datetimes."""

    not_before: datetime
    not_after: datetime

    @classmethod
    def days(cls, now: datetime, days: float) -> Validity:
        """Valid from a little before ``now``, for ``days``; negative days have already ended."""
        end = now + timedelta(days=days)
        return cls(min(now, end) - BACKDATE, end)

    @property
    def length_days(self) -> float:
        """How long, apart from the time before it was issued."""
        return (self.not_after - self.not_before - BACKDATE) / timedelta(days=1)

    def within(self, issuer: x509.Certificate) -> Validity:
        """The same, cut to the end of the issuer's own."""
        return Validity(self.not_before, min(self.not_after, issuer.not_valid_after_utc))


def moment(time_us: int) -> datetime:
    """A Clock's wall time as certificates have it."""
    return datetime.fromtimestamp(time_us / 1e6, UTC)


def to_pem(*certificates: x509.Certificate) -> bytes:
    """Certificates as PEM, one after the other."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


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


def hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names and addresses of a certificate of ours, which has alternative names."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        *names.get_values_for_type(x509.DNSName),
        *(str(each) for each in names.get_values_for_type(x509.IPAddress)),
    )


def trust_domain_of(certificate: x509.Certificate) -> str:
    """The trust domain of a certificate of ours.

    Raises:
        ConfigError: it names none.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound) as error:
        raise ConfigError("the certificate names no identity") from error
    return uri.removeprefix("spiffe://").partition("/")[0]


def builder(
    subject: x509.Name, issuer: x509.Name, public_key: PublicKey, validity: Validity
) -> x509.CertificateBuilder:
    """A certificate with a random serial number, and no extension yet."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.not_before)
        .not_valid_after(validity.not_after)
    )


def identify(
    building: x509.CertificateBuilder, public_key: PublicKey, issuer_key: PublicKey
) -> x509.CertificateBuilder:
    """Name both keys (RFC 5280, 4.2.1.1 and 4.2.1.2)."""
    return building.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False
    ).add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Signatures; of certificates and revocation lists only where an authority's key is meant."""
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


def name(common: str, organisation: str, unit: str = "") -> x509.Name:
    """A subject; for people, since who a holder is says the alternative name alone."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation[:_NAME_CHARS_MAX])]
    if unit:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common[:_NAME_CHARS_MAX]))
    return x509.Name(attributes)
