"""Two people for every use of the root's key, without any service.

Rules:

* A request says what is to be signed, for which root, and until when (:data:`DAYS_MAX` at most).
  Officers sign exactly its bytes, each with the key of an operator's certificate.
* :func:`check` insists on two officers with different names and different keys, whose
  certificates are in the root's own list (``officers.pem``) and valid now.
* Who keeps the root's directory can use its key without asking; this makes sure that those who
  follow the procedure need each other, and that what was done can be told from what was not. A
  token whose PIN two people share closes the rest (docs/pki.md).

Sans-I/O: files, times and keys are arguments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import MalformedError, RefusalReason, RefusedError
from security.names import is_id
from security.pki.certificates import to_pem
from security.pki.keys import SigningKey
from security.pki.scope import is_within

OFFICERS_NEEDED = 2
FILE_BYTES_MAX = 256 * 1024
APPROVALS_MAX = 16
DAYS_MAX = 7.0
"""How long a request may wait for its approvals."""

_PURPOSE = b"wardgate root approval 1\n"
_SIGNED = ec.ECDSA(hashes.SHA256())

Text = Annotated[str, msgspec.Meta(max_length=200)]
Pem = Annotated[str, msgspec.Meta(max_length=64 * 1024)]


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the root's key is to sign."""

    kind: Literal["issuing", "cross", "crl", "officers"]
    root: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of the root's certificate (DER)."""
    made_us: int
    expires_us: int
    nonce: Annotated[str, msgspec.Meta(min_length=16, max_length=64)]
    reason: Text = ""
    csr: Pem = ""
    """``issuing``: the new CA's request."""
    trust_domain: Text = ""
    dns: Annotated[tuple[Text, ...], msgspec.Meta(max_length=64)] = ()
    days: float = 0.0
    certificates: Pem = ""
    """``cross``: the other root; ``officers``: everybody who is one from then on."""
    serials: Annotated[tuple[Text, ...], msgspec.Meta(max_length=1000)] = ()
    """``crl``: issuing CAs that are revoked from then on, in hexadecimal."""

    @property
    def id(self) -> str:
        """Names the request; every field counts."""
        return hashlib.sha256(statement(self)).hexdigest()


class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One officer's signature."""

    certificate: Pem
    signature: bytes


class Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request's file."""

    request: Request
    approvals: Annotated[tuple[Approval, ...], msgspec.Meta(max_length=APPROVALS_MAX)] = ()


class Officer(NamedTuple):
    """Who approves."""

    name: str
    """The SPIFFE ID of an operator."""
    certificate: x509.Certificate


def fingerprint(root: x509.Certificate) -> str:
    """By what a request names its root."""
    return hashlib.sha256(root.public_bytes(Encoding.DER)).hexdigest()


def statement(request: Request) -> bytes:
    """The bytes that officers sign."""
    return _PURPOSE + msgspec.json.encode(request, order="deterministic")


def encode(signed: Signed) -> bytes:
    """A request's file, for people to read, too."""
    return msgspec.json.format(msgspec.json.encode(signed)) + b"\n"


def decode(encoded: bytes) -> Signed:
    """Read a request's file.

    Raises:
        MalformedError: it is none.
    """
    if len(encoded) > FILE_BYTES_MAX:
        raise MalformedError("request", f"{len(encoded)} bytes")
    try:
        return msgspec.json.decode(encoded, type=Signed)
    except UNDECODABLE as error:
        raise MalformedError("request", str(error)) from error


def approve(signed: Signed, certificate: x509.Certificate, key: SigningKey) -> Signed:
    """The same with one more officer's signature.

    Raises:
        RefusedError: not an operator's certificate, or it has signed already.
    """
    _name(certificate)
    pem = to_pem(certificate).decode()
    if any(each.certificate == pem for each in signed.approvals):
        raise RefusedError(RefusalReason.IDENTITY_MISMATCH, "approved by this officer already")
    approval = Approval(pem, key.sign(statement(signed.request), _SIGNED))
    return Signed(signed.request, (*signed.approvals, approval))


def check(
    signed: Signed,
    root: x509.Certificate,
    trust_domain: str,
    officers: Iterable[x509.Certificate],
    now: datetime,
) -> tuple[Officer, ...]:
    """Who has approved a request; at least two, or it raises.

    Raises:
        RefusedError: it is another root's, has expired or is not due yet, or lacks approvals.
    """
    request, now_us = signed.request, now.timestamp() * 1e6
    if request.root != fingerprint(root):
        raise RefusedError(RefusalReason.UNTRUSTED, "the request is for another root")
    if not request.made_us - 300e6 <= now_us < request.expires_us:
        raise RefusedError(RefusalReason.EXPIRED, "the request is not valid now")
    if request.expires_us - request.made_us > DAYS_MAX * 86400e6:
        raise RefusedError(RefusalReason.EXPIRED, f"it may wait for {DAYS_MAX:g} days at most")
    listed = list(officers)
    found: dict[str, Officer] = {}
    keys: set[bytes] = set()
    for approval in signed.approvals:
        officer = _verified(approval, request, trust_domain, listed, now)
        key = _key_bytes(officer.certificate)
        if officer.name not in found and key not in keys:
            found[officer.name] = officer
            keys.add(key)
    if len(found) < OFFICERS_NEEDED:
        names = ", ".join(found) or "nobody"
        raise RefusedError(
            RefusalReason.UNTRUSTED, f"approved by {names}; {OFFICERS_NEEDED} officers are needed"
        )
    return tuple(found.values())


def require_officers(
    certificates: Sequence[x509.Certificate], trust_domain: str, now: datetime
) -> tuple[Officer, ...]:
    """That these can be a root's officers: operators, two at least, all different.

    Raises:
        RefusedError: they can't.
    """
    found = {}
    for certificate in certificates:
        officer = Officer(_name(certificate, trust_domain), certificate)
        if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
            raise RefusedError(RefusalReason.EXPIRED, f"{officer.name}: not valid now")
        found[officer.name] = officer
    keys = {_key_bytes(each.certificate) for each in found.values()}
    if len(found) != len(certificates) or len(keys) != len(certificates):
        raise RefusedError(RefusalReason.IDENTITY_MISMATCH, "an officer is there twice")
    if len(found) < OFFICERS_NEEDED:
        raise RefusedError(
            RefusalReason.IDENTITY_MISMATCH, f"{OFFICERS_NEEDED} officers are needed at least"
        )
    return tuple(found.values())


def _verified(
    approval: Approval,
    request: Request,
    trust_domain: str,
    officers: Sequence[x509.Certificate],
    now: datetime,
) -> Officer:
    try:
        certificate = x509.load_pem_x509_certificate(approval.certificate.encode())
    except ValueError as error:
        raise RefusedError(RefusalReason.MALFORMED, "an approval without a certificate") from error
    name = _name(certificate, trust_domain)
    if certificate not in officers:
        raise RefusedError(RefusalReason.UNTRUSTED, f"{name} is no officer of this root")
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        raise RefusedError(RefusalReason.EXPIRED, f"{name}: the certificate is not valid now")
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise RefusedError(RefusalReason.MALFORMED, f"{name}: not a P-256 key")
    try:
        key.verify(approval.signature, statement(request), _SIGNED)
    except InvalidSignature as error:
        raise RefusedError(
            RefusalReason.UNTRUSTED, f"{name} has signed something else than this request"
        ) from error
    return Officer(name, certificate)


def _key_bytes(certificate: x509.Certificate) -> bytes:
    key = certificate.public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _name(certificate: x509.Certificate, trust_domain: str = "") -> str:
    """The SPIFFE ID of an operator, of the root's trust domain or one below."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, ValueError) as error:
        raise RefusedError(RefusalReason.IDENTITY_MISMATCH, "not an operator") from error
    domain, _, path = uri.removeprefix("spiffe://").partition("/")
    role, _, name = path.partition("/")
    ours = not trust_domain or is_within(domain, trust_domain)
    if not uri.startswith("spiffe://") or role != "operator" or not is_id(name) or not ours:
        raise RefusedError(RefusalReason.IDENTITY_MISMATCH, f"{uri}: not an operator of ours")
    return uri
