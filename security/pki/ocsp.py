"""Answers about single certificates (OCSP, RFC 6960) for whoever is not ours.

Rules:

* A responder speaks for one authority, with a certificate that this authority has issued for
  nothing else (4.2.2.2). It answers for what the authority has issued: what it has not is
  ``unknown``, also when nobody has revoked it.
* A request may ask for several certificates; one that asks for none of this authority's is
  ``unauthorized``.
* A nonce of 1 to 128 octets is answered (RFC 9654, 2.1); others are malformed. Signatures of
  requests are not asked for, and ignored.
* Whatever is not a request gives an answer that says so, never an exception.

Sans-I/O: the time and the look-up are arguments. It is encoded here, since cryptography reads and
writes messages about one certificate only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import Enum, IntEnum
from typing import NamedTuple, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.domain.errors import MalformedError
from security.pki import der
from security.pki.crl import Reason, Revoked
from security.pki.keys import SigningKey

REQUEST_TYPE = "application/ocsp-request"
RESPONSE_TYPE = "application/ocsp-response"
REQUEST_BYTES_MAX = 8 * 1024
CERTIFICATES_MAX = 32
"""In one request; each costs a look-up."""
NONCE_OCTETS_MAX = 128
VALID_FOR = timedelta(hours=1)

_NONCE = "1.3.6.1.5.5.7.48.1.2"
_BASIC = der.oid("1.3.6.1.5.5.7.48.1.1")
_HASHES = {
    der.oid("1.3.14.3.2.26"): hashlib.sha1,  # what most clients still ask with
    der.oid("2.16.840.1.101.3.4.2.1"): hashlib.sha256,
    der.oid("2.16.840.1.101.3.4.2.2"): hashlib.sha384,
    der.oid("2.16.840.1.101.3.4.2.3"): hashlib.sha512,
}


class Failure(IntEnum):
    """OCSPResponseStatus other than successful (RFC 6960, 4.2.1)."""

    MALFORMED_REQUEST = 1
    INTERNAL_ERROR = 2
    TRY_LATER = 3
    UNAUTHORIZED = 6


class Known(Enum):
    """What a look-up says of a certificate that is not revoked."""

    GOOD = "good"
    UNKNOWN = "unknown"


Status: TypeAlias = Known | Revoked
Lookup: TypeAlias = Callable[[int], Status]


class Responder(NamedTuple):
    """Who answers for one authority."""

    issuer: x509.Certificate
    """The authority it speaks for."""
    certificate: x509.Certificate
    key: SigningKey
    valid_for: timedelta = VALID_FOR
    """How long an answer may be relied on."""


class CertificateId(NamedTuple):
    """Which certificate a request asks for."""

    encoded: bytes
    hash_oid: bytes
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial: int

    def is_of(self, issuer: x509.Certificate) -> bool:
        """Whether ``issuer`` is meant as the one who issued it."""
        digest = _HASHES.get(self.hash_oid)
        return digest is not None and (self.issuer_name_hash, self.issuer_key_hash) == (
            digest(issuer.subject.public_bytes()).digest(),
            digest(_key_bits(issuer)).digest(),
        )


class Request(NamedTuple):
    """A request that could be read."""

    certificates: tuple[CertificateId, ...]
    nonce: bytes | None


def respond(request_der: bytes, lookup: Lookup, responder: Responder, now: datetime) -> bytes:
    """The DER of the answer to the DER of a request; ``lookup`` takes a serial number."""
    try:
        request = read_request(request_der)
    except MalformedError:
        return failure(Failure.MALFORMED_REQUEST)
    if not any(each.is_of(responder.issuer) for each in request.certificates):
        return failure(Failure.UNAUTHORIZED)
    answers = [
        _single(
            each,
            lookup(each.serial) if each.is_of(responder.issuer) else Known.UNKNOWN,
            now,
            now + responder.valid_for,
        )
        for each in request.certificates
    ]
    return _success(answers, request.nonce, responder, now)


def choose(request_der: bytes, responders: Iterable[Responder]) -> Responder | None:
    """Who is asked: the first of ``responders`` whose certificates the request is about."""
    try:
        request = read_request(request_der)
    except MalformedError:
        return None
    for responder in responders:
        if any(each.is_of(responder.issuer) for each in request.certificates):
            return responder
    return None


def failure(status: Failure) -> bytes:
    """An answer without any, which nobody signs (RFC 6960, 2.3)."""
    return der.tlv(der.SEQUENCE, der.integer(status, der.ENUMERATED))


def read_request(request_der: bytes) -> Request:
    """Decode a request.

    Raises:
        MalformedError: it is none, has no or too many certificates, a nonce of another length,
            or a critical extension.
    """
    if len(request_der) > REQUEST_BYTES_MAX:
        raise MalformedError("ocsp", f"{len(request_der)} bytes")
    outer = der.Reader(request_der)
    request = outer.enter(der.SEQUENCE)
    outer.done()
    body = request.enter(der.SEQUENCE)
    if request.next_is(der.context(0)):
        request.take(der.context(0))  # a signature
    request.done()
    if body.next_is(der.context(0)):
        version = body.enter(der.context(0))
        if version.take(der.INTEGER) != b"\x00":
            raise MalformedError("ocsp", "not version 1")
        version.done()
    if body.next_is(der.context(1)):
        body.take(der.context(1))  # the requestor's name
    listed = body.enter(der.SEQUENCE)
    certificates: list[CertificateId] = []
    while not listed.empty:
        certificates.append(_certificate_id(listed.enter(der.SEQUENCE)))
        if len(certificates) > CERTIFICATES_MAX:
            raise MalformedError("ocsp", f"more than {CERTIFICATES_MAX} certificates")
    if not certificates:
        raise MalformedError("ocsp", "no certificate")
    nonce = None
    if body.next_is(der.context(2)):
        found = _extensions(body.enter(der.context(2)), known=_NONCE)
        nonce = None if found is None else _nonce(found)
    body.done()
    return Request(tuple(certificates), nonce)


def _certificate_id(request: der.Reader) -> CertificateId:
    encoded = request.whole(der.SEQUENCE)
    if request.next_is(der.context(0)):
        _extensions(request.enter(der.context(0)))
    request.done()
    reader = der.Reader(encoded).enter(der.SEQUENCE)
    algorithm = reader.enter(der.SEQUENCE)
    hash_oid = algorithm.whole(der.OID)
    if algorithm.next_is(der.NULL):
        algorithm.take(der.NULL)
    algorithm.done()
    name_hash, key_hash = reader.take(der.OCTET_STRING), reader.take(der.OCTET_STRING)
    serial = reader.take(der.INTEGER)
    reader.done()
    return CertificateId(
        encoded, hash_oid, name_hash, key_hash, int.from_bytes(serial, "big", signed=True)
    )


def _extensions(wrapped: der.Reader, known: str = "") -> bytes | None:
    """The value of the extension ``known``; others must not be critical."""
    listed = wrapped.enter(der.SEQUENCE)
    wrapped.done()
    found = None
    while not listed.empty:
        each = listed.enter(der.SEQUENCE)
        name = each.whole(der.OID)
        critical = each.next_is(der.BOOLEAN) and each.take(der.BOOLEAN) != b"\x00"
        value = each.take(der.OCTET_STRING)
        each.done()
        if known and name == der.oid(known):
            if found is not None:
                raise MalformedError("ocsp", "an extension twice")
            found = value
        elif critical:
            raise MalformedError("ocsp", "an unknown critical extension")
    return found


def _nonce(value: bytes) -> bytes:
    reader = der.Reader(value)
    nonce = reader.take(der.OCTET_STRING)
    reader.done()
    if not 1 <= len(nonce) <= NONCE_OCTETS_MAX:
        raise MalformedError("ocsp", f"a nonce of {len(nonce)} octets")
    return nonce


def _single(which: CertificateId, status: Status, now: datetime, until: datetime) -> bytes:
    match status:
        case Known.GOOD:
            said = der.tlv(der.context(0, constructed=False))
        case Known.UNKNOWN:
            said = der.tlv(der.context(2, constructed=False))
        case Revoked(_, at, reason):
            why = der.integer(reason, der.ENUMERATED)
            said = der.tlv(
                der.context(1),
                der.generalized_time(at),
                b"" if reason is Reason.UNSPECIFIED else der.tlv(der.context(0), why),
            )
    return der.tlv(
        der.SEQUENCE,
        which.encoded,
        said,
        der.generalized_time(now),
        der.tlv(der.context(0), der.generalized_time(until)),
    )


def _success(
    answers: list[bytes], nonce: bytes | None, responder: Responder, now: datetime
) -> bytes:
    extensions = b""
    if nonce is not None:
        echoed = der.extension(_NONCE, der.tlv(der.OCTET_STRING, nonce))
        extensions = der.tlv(der.context(1), der.tlv(der.SEQUENCE, echoed))
    key_hash = hashlib.sha1(_key_bits(responder.certificate), usedforsecurity=False).digest()
    body = der.tlv(
        der.SEQUENCE,
        der.tlv(der.context(2), der.tlv(der.OCTET_STRING, key_hash)),
        der.generalized_time(now),
        der.tlv(der.SEQUENCE, *answers),
        extensions,
    )
    signature = responder.key.sign(body, ec.ECDSA(hashes.SHA256()))
    basic = der.tlv(
        der.SEQUENCE,
        body,
        der.ECDSA_SHA256,
        der.bit_string(signature),
        der.tlv(
            der.context(0),
            der.tlv(der.SEQUENCE, responder.certificate.public_bytes(Encoding.DER)),
        ),
    )
    return der.tlv(
        der.SEQUENCE,
        der.integer(0, der.ENUMERATED),
        der.tlv(der.context(0), der.tlv(der.SEQUENCE, _BASIC, der.tlv(der.OCTET_STRING, basic))),
    )


def _key_bits(certificate: x509.Certificate) -> bytes:
    """The subject's public key without tag, length and unused bits (RFC 6960, 4.1.1)."""
    encoded = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    info = der.Reader(encoded).enter(der.SEQUENCE)
    info.take(der.SEQUENCE)
    return info.take(der.BIT_STRING)[1:]
