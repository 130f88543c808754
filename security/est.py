"""Enrollment over Secure Transport (RFC 7030, as clarified by RFC 8951): both ends' codec.

Rules:

* Bytes in, messages out; HTTP and TLS are the caller's.
* Bodies are base64 with or without line breaks, whatever Content-Transfer-Encoding says
  (RFC 8951, 3.1). What we send is one line: strongSwan's ``pki`` trips over line breaks.
* Certificates travel as a certs-only PKCS #7 (RFC 7030, 4.1.3, 4.2.3): an enrolment's answer has
  the leaf alone, the issuers come from ``cacerts``.
* A request proves possession of its key. Names that it asks for are read so that a request for
  somebody else can be refused; they never get into a certificate.
* Binding a request to its TLS channel (RFC 7030, 3.5) is optional and not offered: TLS 1.3 has no
  ``tls-unique``. A challengePassword is ignored.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID

from gateway.domain.errors import MalformedError, RefusedError
from security.names import UNREADABLE
from security.pki import read_csr

PATH = "/.well-known/est"
LABEL_CHARS_MAX = 64
BODY_BYTES_MAX = 64 * 1024
"""A request has about 400 bytes; the CA certificates of a site, mid roll-over, some 6 KiB."""
CERTIFICATES_MAX = 32
RETRY_AFTER_S_MAX = 86_400
RETRY_AFTER_S_DEFAULT = 60
"""Where a server names none, or a date (a client's clock may be wrong)."""

MEDIA_CERTS = "application/pkcs7-mime"
MEDIA_CERTS_ONLY = "application/pkcs7-mime; smime-type=certs-only"
MEDIA_CSR = "application/pkcs10"
MEDIA_CSR_ATTRIBUTES = "application/csrattrs"

OK, ACCEPTED, NO_CONTENT, NOT_FOUND, BUSY = 200, 202, 204, 404, (429, 503)

OID_EC_PUBLIC_KEY = "1.2.840.10045.2.1"
OID_P256 = "1.2.840.10045.3.1.7"
OID_ECDSA_SHA256 = "1.2.840.10045.4.3.2"

_SEQUENCE, _SET, _OID = 0x30, 0x31, 0x06
_ARC_MAX = 1 << 64


class Operation(StrEnum):
    """What a client may ask (RFC 7030, 3.2.2); others of the RFC are not offered."""

    CA_CERTS = "cacerts"
    CSR_ATTRIBUTES = "csrattrs"
    ENROL = "simpleenroll"
    REENROL = "simplereenroll"


class Request(NamedTuple):
    """A certificate request whose proof of possession was checked."""

    key: ec.EllipticCurvePublicKey
    common_names: tuple[str, ...]
    """Of the subject; usually one."""
    uris: tuple[str, ...]
    hosts: tuple[str, ...]
    """DNS names and addresses."""
    strange_names: int
    """Alternative names of any other kind."""


class Attribute(NamedTuple):
    """What a server wants to see in a request (RFC 8951, 3.2)."""

    oid: str
    values: tuple[bytes, ...] = ()
    """DER; none where the object identifier itself is the wish."""


class Reply(NamedTuple):
    """An HTTP answer, as far as EST looks at it."""

    status: int
    media_type: str
    body: bytes
    retry_after: str = ""
    """The header's value."""


class Pending(NamedTuple):
    """The server needs time, as for a person's decision: ask again with the same request."""

    retry_after_s: int


def operation(path: str) -> tuple[str, Operation] | None:
    """Label and operation of a path, None when it is none of EST's (RFC 7030, 3.2.2)."""
    rest = path.removeprefix(PATH)
    parts = rest.split("/")[1:]
    if rest == path or not rest.startswith("/") or len(parts) not in {1, 2}:
        return None
    label = parts[0] if len(parts) == 2 else ""
    if len(label) > LABEL_CHARS_MAX or (len(parts) == 2 and not label):
        return None
    try:
        return label, Operation(parts[-1])
    except ValueError:
        return None


# Requests


def encode_request(csr_der: bytes) -> bytes:
    """The body of an enrolment."""
    return _encoded(csr_der)


def read_request(body: bytes) -> Request:
    """Read and check the body of an enrolment.

    Raises:
        MalformedError: ``body`` (not base64), else as :func:`security.pki.read_csr`.
    """
    der = _decoded(body)
    key = read_csr(der)
    try:
        request = x509.load_der_x509_csr(der)
        names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        try:
            others = list(
                request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            )
        except x509.ExtensionNotFound:
            others = []
    except UNREADABLE as error:
        raise MalformedError("csr", "its names can't be read") from error
    uris = [each.value for each in others if isinstance(each, x509.UniformResourceIdentifier)]
    hosts = [str(each.value) for each in others if isinstance(each, x509.DNSName | x509.IPAddress)]
    return Request(
        key=key,
        common_names=tuple(str(each.value) for each in names),
        uris=tuple(uris),
        hosts=tuple(hosts),
        strange_names=len(others) - len(uris) - len(hosts),
    )


# Certificates


def encode_certificates(certificates: Iterable[x509.Certificate]) -> bytes:
    """A certs-only PKCS #7 as a body; each certificate once."""
    distinct = list(dict.fromkeys(certificates))
    return _encoded(pkcs7.serialize_certificates(distinct, Encoding.DER))


def decode_certificates(body: bytes) -> list[x509.Certificate]:
    """The certificates of a certs-only PKCS #7, at least one.

    Raises:
        MalformedError: ``body`` or ``pkcs7``.
    """
    try:
        found = pkcs7.load_der_pkcs7_certificates(_decoded(body))
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise MalformedError("pkcs7", "no certs-only PKCS #7") from error
    if not 0 < len(found) <= CERTIFICATES_MAX:
        raise MalformedError("pkcs7", f"{len(found)} certificates")
    return found


def ca_certificates(reply: Reply) -> list[x509.Certificate]:
    """What a client learns from ``cacerts``.

    Not yet trusted: verify that each one chains to a root that is trusted already, or compare
    the root's fingerprint with what came with the token (RFC 7030, 4.1.1).

    Raises:
        RefusedError: the server answered with an error.
        MalformedError: as :func:`decode_certificates`, or ``media_type``.
    """
    _expect(reply, MEDIA_CERTS)
    return decode_certificates(reply.body)


def issued_certificate(reply: Reply, key: ec.EllipticCurvePublicKey) -> x509.Certificate | Pending:
    """What a client learns from ``simpleenroll`` or ``simplereenroll``.

    Raises:
        RefusedError: the server refused; the detail has its words.
        MalformedError: as :func:`decode_certificates`, ``media_type``, or ``key``: no
            certificate among them is for ``key``.
    """
    if reply.status == ACCEPTED or reply.status in BUSY:
        return Pending(_seconds(reply.retry_after))
    _expect(reply, MEDIA_CERTS)
    for certificate in decode_certificates(reply.body):
        if _is_for(certificate, key):
            return certificate
    raise MalformedError("key", "the certificate is not for the key that was sent")


def _is_for(certificate: x509.Certificate, key: ec.EllipticCurvePublicKey) -> bool:
    """Whether it is this key's; one whose key can't be read is nobody's."""
    try:
        return certificate.public_key() == key
    except UNREADABLE:
        return False


# What a request should have (RFC 7030, 4.5; RFC 8951, 3.2)

WANTED = (
    Attribute(OID_EC_PUBLIC_KEY, (bytes.fromhex("06082a8648ce3d030107"),)),
    Attribute(OID_ECDSA_SHA256),
)
"""An ECDSA key on P-256, and a signature with SHA-256."""


def encode_attributes(wanted: Sequence[Attribute] = WANTED) -> bytes:
    """The body that answers ``csrattrs``."""
    content = b"".join(
        _tlv(_SEQUENCE, _oid(each.oid) + _tlv(_SET, b"".join(each.values)))
        if each.values
        else _oid(each.oid)
        for each in wanted
    )
    return _encoded(_tlv(_SEQUENCE, content))


def decode_attributes(reply: Reply) -> list[Attribute]:
    """What a server wants; empty when it has no wishes.

    Raises:
        RefusedError: the server answered with an error.
        MalformedError: ``body``, ``media_type`` or ``csrattrs``.
    """
    if reply.status in {NO_CONTENT, NOT_FOUND}:
        return []
    _expect(reply, MEDIA_CSR_ATTRIBUTES)
    whole = _elements(_decoded(reply.body), expect=(_SEQUENCE,))
    if len(whole) != 1:
        raise MalformedError("csrattrs", "not one sequence")
    found = []
    for tag, inner in _elements(whole[0][1], expect=(_OID, _SEQUENCE)):
        if tag == _OID:
            found.append(Attribute(_dotted(inner)))
            continue
        parts = _elements(inner, expect=(_OID, _SET))
        if [each for each, _ in parts] != [_OID, _SET]:
            raise MalformedError("csrattrs", "an attribute is a type and values")
        values = tuple(_tlv(each, value) for each, value in _elements(parts[1][1]))
        found.append(Attribute(_dotted(parts[0][1]), values))
    return found


# HTTP Basic (RFC 7617)


def encode_basic(user: str, password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def decode_basic(header: str) -> tuple[str, str]:
    """User and password of an Authorization header.

    Raises:
        MalformedError: ``authorization``.
    """
    scheme, _, value = header.partition(" ")
    try:
        user, colon, password = (
            base64.b64decode(value.strip(), validate=True).decode().partition(":")
        )
    except (binascii.Error, ValueError) as error:
        raise MalformedError("authorization", "not readable") from error
    if scheme.lower() != "basic" or not colon:
        raise MalformedError("authorization", "not Basic")
    return user, password


def _expect(reply: Reply, media_type: str) -> None:
    if reply.status != OK:
        words = reply.body[:200].decode("ascii", "replace").strip()
        raise RefusedError("refused", f"{reply.status} {words}".strip())
    kind = reply.media_type.partition(";")[0].strip().lower()
    if kind != media_type:
        raise MalformedError("media_type", f"not {media_type}")


def _seconds(retry_after: str) -> int:
    text = retry_after.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        return RETRY_AFTER_S_DEFAULT
    return min(max(1, int(text)), RETRY_AFTER_S_MAX)


def _encoded(der: bytes) -> bytes:
    return base64.b64encode(der)


def _decoded(body: bytes) -> bytes:
    if len(body) > BODY_BYTES_MAX:
        raise MalformedError("too_long", f"{len(body)} bytes")
    try:
        der = base64.b64decode(bytes(body).translate(None, b" \t\r\n"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError("body", "not base64") from error
    if not der:
        raise MalformedError("body", "empty")
    return der


# As much DER (X.690) as CsrAttrs needs


def _tlv(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content


def _elements(content: bytes, expect: tuple[int, ...] = ()) -> list[tuple[int, bytes]]:
    found = []
    at = 0
    while at < len(content):
        head = content[at : at + 2]
        if len(head) < 2 or head[0] & 0x1F == 0x1F or (expect and head[0] not in expect):
            raise MalformedError("csrattrs", f"at {at}")
        size = head[1] & 0x7F if head[1] & 0x80 else 0
        if size > 3 or head[1] == 0x80:
            raise MalformedError("csrattrs", f"length at {at}")
        begin = at + 2 + size
        length = int.from_bytes(content[at + 2 : begin], "big") if size else head[1]
        at = begin + length
        if at > len(content):
            raise MalformedError("csrattrs", "truncated")
        found.append((head[0], content[begin:at]))
    return found


def _oid(dotted: str) -> bytes:
    first, second, *rest = (int(each) for each in dotted.split("."))
    encoded = bytearray()
    for arc in (first * 40 + second, *rest):
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(0x80 | arc & 0x7F)
        encoded += bytes(reversed(digits))
    return _tlv(_OID, bytes(encoded))


def _dotted(encoded: bytes) -> str:
    if not encoded or encoded[-1] & 0x80:
        raise MalformedError("csrattrs", "an object identifier is cut off")
    arcs = []
    arc = 0
    for byte in encoded:
        arc = arc << 7 | byte & 0x7F
        if arc > _ARC_MAX:
            raise MalformedError("csrattrs", "an object identifier's arc is too large")
        if not byte & 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(each) for each in (first, arcs[0] - 40 * first, *arcs[1:]))


__all__ = [
    "MEDIA_CERTS",
    "MEDIA_CERTS_ONLY",
    "MEDIA_CSR",
    "MEDIA_CSR_ATTRIBUTES",
    "PATH",
    "WANTED",
    "Attribute",
    "Operation",
    "Pending",
    "Reply",
    "Request",
    "ca_certificates",
    "decode_attributes",
    "decode_basic",
    "decode_certificates",
    "encode_attributes",
    "encode_basic",
    "encode_certificates",
    "encode_request",
    "issued_certificate",
    "operation",
    "read_request",
]
