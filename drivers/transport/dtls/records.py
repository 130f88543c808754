"""The DTLS record layer's framing: what can be known of a datagram without its keys.

Rules:

- A datagram is a row of whole records (RFC 6347, 4.1.1); a record never spans datagrams. What
  does not divide into whole records is refused as a whole.
- The memory BIO glues records to a stream: ``pack`` divides it again and fills datagrams up to
  the path's MTU (RFC 6347, 4.1.1.1).
- A ClientHello is parsed to its cookie and no further, and only in one fragment, as a server
  that keeps no state for strangers must (RFC 6347, 4.2.1).
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from gateway.domain.errors import MalformedError

HEADER_BYTES: Final = 13
HANDSHAKE_HEADER_BYTES: Final = 12
DATAGRAM_BYTES_MAX: Final = 4096
"""Longer datagrams are dropped unread: a certificate flight or a 1024-byte block fits twice."""
RECORD_BYTES_MAX: Final = 2**14 + 256
"""Ciphertext of one record (RFC 6347, 4.1 by RFC 5246, 6.2.3, less its compression)."""
RECORDS_PER_DATAGRAM_MAX: Final = 32
"""A full handshake flight has about ten."""
COOKIE_BYTES_MAX: Final = 255
"""RFC 6347, 4.2.1."""
SESSION_ID_BYTES_MAX: Final = 32
RANDOM_BYTES: Final = 32

CHANGE_CIPHER_SPEC: Final = 20
ALERT: Final = 21
HANDSHAKE: Final = 22
APPLICATION_DATA: Final = 23
_CLIENT_HELLO = 1
_HELLO_VERIFY_REQUEST = 3
_DTLS_1_0 = b"\xfe\xff"
_DTLS_1_2 = b"\xfe\xfd"
_FATAL_INTERNAL_ERROR = b"\x02\x50"
_VERSION_MAJOR = 0xFE

TRUNCATED: Final = "truncated"
TOO_LONG: Final = "too_long"
NOT_DTLS: Final = "not_dtls"
TOO_MANY: Final = "too_many_records"

_HEADER = struct.Struct("!BBBHHIH")  # type, version, epoch, sequence (48 bits), length


class RecordHeader(NamedTuple):
    """One record's header (RFC 6347, 4.1)."""

    content_type: int
    epoch: int
    length_bytes: int
    """Of what follows the header."""


class ClientHello(NamedTuple):
    """What of a ClientHello is needed to answer it without keeping state."""

    sequence: bytes
    """Epoch and sequence number of its record, eight bytes."""
    random: bytes
    cookie: bytes


def read_headers(datagram: bytes) -> list[RecordHeader]:
    """The headers of a datagram's records.

    Raises:
        MalformedError: it is too long, empty, or not a row of whole DTLS records.
    """
    total = len(datagram)
    if total > DATAGRAM_BYTES_MAX:
        raise MalformedError(TOO_LONG, f"{total} bytes")
    headers: list[RecordHeader] = []
    at = 0
    while True:
        if total - at < HEADER_BYTES:
            raise MalformedError(TRUNCATED, f"header at {at}")
        content_type, major, _, epoch, _, _, length = _HEADER.unpack_from(datagram, at)
        if major != _VERSION_MAJOR or not CHANGE_CIPHER_SPEC <= content_type <= APPLICATION_DATA:
            raise MalformedError(NOT_DTLS, f"record at {at}")
        at += HEADER_BYTES + length
        if at > total:
            raise MalformedError(TRUNCATED, f"record of {length} bytes")
        headers.append(RecordHeader(content_type, epoch, length))
        if at == total:
            return headers
        if len(headers) == RECORDS_PER_DATAGRAM_MAX:
            raise MalformedError(TOO_MANY)


def pack(stream: bytes, datagram_bytes_max: int) -> list[bytes]:
    """Divide glued records into datagrams: whole records, as many as fit, in order.

    A single record longer than ``datagram_bytes_max`` gets a datagram of its own.

    Raises:
        MalformedError: the stream is not a row of whole records.
    """
    total = len(stream)
    datagrams: list[bytes] = []
    start = at = 0
    while at < total:
        if total - at < HEADER_BYTES:
            raise MalformedError(TRUNCATED, f"header at {at}")
        end = at + HEADER_BYTES + int.from_bytes(stream[at + 11 : at + HEADER_BYTES], "big")
        if end > total:
            raise MalformedError(TRUNCATED, f"record at {at}")
        if end - start > datagram_bytes_max and at > start:
            datagrams.append(stream[start:at])
            start = at
        at = end
    if at > start:
        datagrams.append(stream[start:at])
    return datagrams


def read_client_hello(datagram: bytes) -> ClientHello | None:
    """Parse a datagram whose first record is an unencrypted, unfragmented ClientHello.

    Returns None for everything else, broken ClientHellos included.
    """
    body_at = HEADER_BYTES + HANDSHAKE_HEADER_BYTES
    random_at = body_at + 2
    session_at = random_at + RANDOM_BYTES
    if len(datagram) <= session_at:
        return None
    content_type, major, _, epoch, _, _, length = _HEADER.unpack_from(datagram)
    if (
        content_type != HANDSHAKE
        or major != _VERSION_MAJOR
        or epoch != 0
        or datagram[HEADER_BYTES] != _CLIENT_HELLO
    ):
        return None
    end = HEADER_BYTES + length
    message_bytes = datagram[HEADER_BYTES + 1 : HEADER_BYTES + 4]
    fragment_offset = datagram[HEADER_BYTES + 6 : HEADER_BYTES + 9]
    fragment_bytes = datagram[HEADER_BYTES + 9 : body_at]
    if (
        end > len(datagram)
        or any(fragment_offset)
        or message_bytes != fragment_bytes
        or int.from_bytes(message_bytes, "big") != length - HANDSHAKE_HEADER_BYTES
    ):
        return None
    cookie_at = session_at + 1 + datagram[session_at]
    if datagram[session_at] > SESSION_ID_BYTES_MAX or cookie_at >= end:
        return None
    cookie_end = cookie_at + 1 + datagram[cookie_at]
    if cookie_end > end:
        return None
    return ClientHello(
        datagram[3:11], datagram[random_at:session_at], datagram[cookie_at + 1 : cookie_end]
    )


def hello_verify_request(hello: ClientHello, cookie: bytes) -> bytes:
    """The answer to a ClientHello without a good cookie (RFC 6347, 4.2.1).

    It repeats the ClientHello's record sequence number and says version 1.0, as the clause
    asks. It is shorter than any ClientHello, so that nobody can use us to amplify.
    """
    body = _DTLS_1_0 + bytes([len(cookie)]) + cookie
    size = len(body).to_bytes(3, "big")
    message = bytes([_HELLO_VERIFY_REQUEST]) + size + bytes(5) + size + body
    return (
        bytes([HANDSHAKE]) + _DTLS_1_0 + hello.sequence + len(message).to_bytes(2, "big") + message
    )


def final_alert() -> bytes:
    """A fatal internal_error, unencrypted, for a peer whose handshake is forgotten.

    It says that memory or the like was short (RFC 5246, 7.2.2). Its sequence number is the
    greatest, so that it is newer than whatever was said before (RFC 6347, 4.1.2.6).
    """
    return bytes([ALERT]) + _DTLS_1_2 + b"\0\0" + b"\xff" * 6 + b"\0\2" + _FATAL_INTERNAL_ERROR
