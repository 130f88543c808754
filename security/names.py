"""Who a certificate speaks for.

An identity is one SPIFFE ID (SPIFFE-ID 1.0, section 2) in the certificate's only URI SAN:
``spiffe://<trust-domain>/<role>/<id>``. Nothing else in the certificate names anybody: neither
its subject, nor a DNS name, nor what the peer says later.

The chain, the times and the extended key usage were checked by TLS before; here the name alone
is read. Everything that doesn't fit exactly is refused.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from gateway.domain.errors import RefusalReason, RefusedError

ID_CHARS_MAX = 64
"""Fits a subject's common name (RFC 5280, ub-common-name), a topic level and a file name."""
TRUST_DOMAIN_CHARS_MAX = 255
"""SPIFFE-ID 1.0, section 2.3."""
CERTIFICATE_BYTES_MAX = 16 * 1024
"""Ours are below 1 KiB; more is not worth parsing."""

UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises for a certificate or a request whose parts can't be read: not all of it
is a ``ValueError``, and a peer decides which it is."""

_MARK_BYTES = 20
_AUTHORITY = 1 << (8 * _MARK_BYTES - 1)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TRUST_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")


class Role(StrEnum):
    """What a holder may be; each role has its certificate profile in :mod:`security.pki`."""

    DEVICE = "device"
    GATEWAY = "gateway"
    SERVICE = "service"
    OPERATOR = "operator"


_ROLES = {str(role): role for role in Role}


class Identity(NamedTuple):
    """What a certificate proves."""

    role: Role
    id: str
    serial: int
    not_after: float
    """Seconds since the Unix epoch; from then on the identity is void."""
    authority: int = 0
    """The :func:`authority_mark` of who issued it."""

    def is_in(self, revoked: AbstractSet[int]) -> bool:
        """Whether a revocation list names this certificate, or whoever issued it."""
        return self.serial in revoked or self.authority in revoked


def authority_mark(key_id: bytes) -> int:
    """What a revocation list names a whole authority by, once all that it has issued is void.

    It stands among serial numbers, which have at most 159 bits (RFC 5280, 4.1.2.2): an authority
    has the 160th set, and the lower ones of its key's identifier.
    """
    return _AUTHORITY | int.from_bytes(key_id[:_MARK_BYTES], "big") & (_AUTHORITY - 1)


def is_id(text: str) -> bool:
    """Whether ``text`` can name a device, gateway, service or operator."""
    return len(text) <= ID_CHARS_MAX and _ID.fullmatch(text) is not None


def is_trust_domain(text: str) -> bool:
    """Whether ``text`` can be a trust domain."""
    return len(text) <= TRUST_DOMAIN_CHARS_MAX and _TRUST_DOMAIN.fullmatch(text) is not None


def spiffe_uri(trust_domain: str, role: Role, name: str) -> str:
    """The URI that a certificate carries.

    Raises:
        ValueError: the trust domain or the id has other characters than allowed.
    """
    if not is_trust_domain(trust_domain):
        raise ValueError(f"not a trust domain: {trust_domain!r}")
    if not is_id(name):
        raise ValueError(
            f"not an id: {name!r} (letters, digits, '.', '_', '-'; at most {ID_CHARS_MAX})"
        )
    return f"spiffe://{trust_domain}/{role}/{name}"


def parse_identity(cert_der: bytes, trust_domain: str) -> Identity:
    """Read the identity of a certificate whose chain TLS has verified.

    Raises:
        RefusedError: ``malformed`` if it is no certificate that can be read,
            ``identity_mismatch`` if it doesn't carry exactly one URI SAN that is an identity of
            this trust domain, or doesn't say whose key signed it.
    """
    if len(cert_der) > CERTIFICATE_BYTES_MAX:
        raise RefusedError(RefusalReason.MALFORMED, f"certificate of {len(cert_der)} bytes")
    try:
        certificate = x509.load_der_x509_certificate(cert_der)
        extensions = certificate.extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        issuer = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        not_after = certificate.not_valid_after_utc.timestamp()
    except x509.ExtensionNotFound as error:
        raise RefusedError(
            RefusalReason.IDENTITY_MISMATCH, "no alternative names, or no issuer's key"
        ) from error
    except UNREADABLE as error:
        raise RefusedError(RefusalReason.MALFORMED, "unreadable certificate") from error
    if len(uris) != 1:
        raise RefusedError(RefusalReason.IDENTITY_MISMATCH, f"{len(uris)} URI names, not one")
    prefix = f"spiffe://{trust_domain}/"
    role, slash, name = uris[0].removeprefix(prefix).partition("/")
    # Letter by letter: Unicode has others whose upper case is one of ours.
    known = _ROLES.get(role)
    if not uris[0].startswith(prefix) or known is None or not slash or not is_id(name):
        raise RefusedError(RefusalReason.IDENTITY_MISMATCH, "not an identity of this trust domain")
    if issuer.key_identifier is None:
        raise RefusedError(RefusalReason.IDENTITY_MISMATCH, "no issuer's key")
    return Identity(
        role=known,
        id=name,
        serial=certificate.serial_number,
        not_after=not_after,
        # TLS has held it against the issuer's own: nobody can pass for another's.
        authority=authority_mark(issuer.key_identifier),
    )
