"""Disconnect-Messages (RFC 5176) as bytes: what a request is, and whether an answer is one to it.

Rules:

* A request has an Event-Timestamp, so that it can't be played again later (RFC 5176, 6.3), and a
  Message-Authenticator (3.4), both under the shared secret; its Request Authenticator is that of
  accounting (RFC 2866, 3).
* An answer counts if its length, Response Authenticator and, where there is one,
  Message-Authenticator are right. It names why it refuses by an Error-Cause (3.5).

No I/O, clock or randomness.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterator
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

from gateway.domain.errors import MalformedError

PACKET_BYTES_MAX: Final = 4096
_HEAD = struct.Struct(">BBH16s")
_NO_AUTHENTICATOR = bytes(16)
_VALUE_BYTES_MAX: Final = 253
_INTEGER_BYTES: Final = 4


class Code(IntEnum):
    """Of a packet (RFC 5176, 2.3)."""

    DISCONNECT_REQUEST = 40
    DISCONNECT_ACK = 41
    DISCONNECT_NAK = 42


class Attribute(IntEnum):
    """Those that are needed here."""

    USER_NAME = 1
    FRAMED_IP_ADDRESS = 8
    VENDOR_SPECIFIC = 26
    ACCT_SESSION_ID = 44
    EVENT_TIMESTAMP = 55
    MESSAGE_AUTHENTICATOR = 80
    ERROR_CAUSE = 101


SESSION_CONTEXT_NOT_FOUND: Final = 503
"""Error-Cause: there is no such session, so it is over."""


class Target(NamedTuple):
    """The session that is meant."""

    session_id: str
    user_name: str = ""
    framed_ip: str = ""


class Answer(NamedTuple):
    """What an SMF says."""

    code: Code
    error_cause: int = 0
    """0: none was told."""

    @property
    def over(self) -> bool:
        """Whether the session is over."""
        return self.code is Code.DISCONNECT_ACK or self.error_cause == SESSION_CONTEXT_NOT_FOUND


def request(target: Target, identifier: int, at_s: int, secret: bytes) -> bytes:
    """A Disconnect-Request for one session.

    Raises:
        ValueError: a name is longer than an attribute can be.
    """
    attributes = [(Attribute.ACCT_SESSION_ID, target.session_id.encode())]
    if target.user_name:
        attributes.append((Attribute.USER_NAME, target.user_name.encode()))
    address = _ipv4(target.framed_ip)
    if address is not None:
        attributes.append((Attribute.FRAMED_IP_ADDRESS, address.packed))
    attributes.append((Attribute.EVENT_TIMESTAMP, struct.pack(">I", at_s)))
    body = b"".join(_attribute(kind, value) for kind, value in attributes)
    size = _HEAD.size + len(body) + 18
    head = _HEAD.pack(Code.DISCONNECT_REQUEST, identifier, size, _NO_AUTHENTICATOR)
    empty = _attribute(Attribute.MESSAGE_AUTHENTICATOR, bytes(16))
    proof = hmac.new(secret, head + body + empty, "md5").digest()
    body += _attribute(Attribute.MESSAGE_AUTHENTICATOR, proof)
    authenticator = hashlib.md5(head + body + secret, usedforsecurity=False).digest()
    return _HEAD.pack(Code.DISCONNECT_REQUEST, identifier, size, authenticator) + body


def answer(data: bytes, sent: bytes, secret: bytes) -> Answer:
    """Read the answer to a request of ours.

    Raises:
        MalformedError: ``truncated``, ``code``, ``identifier``, ``authenticator``,
            ``message_authenticator`` or ``attribute``: it is none.
    """
    if not _HEAD.size <= len(data) <= PACKET_BYTES_MAX:
        raise MalformedError("truncated", f"{len(data)} bytes")
    code, identifier, size, authenticator = _HEAD.unpack_from(data)
    if not _HEAD.size <= size <= len(data):
        raise MalformedError("truncated", f"{len(data)} bytes of {size}")
    if code not in {Code.DISCONNECT_ACK, Code.DISCONNECT_NAK}:
        raise MalformedError("code", str(code))
    if identifier != sent[1]:
        raise MalformedError("identifier")
    data = data[:size]  # what is behind it is padding (RFC 2865, 3)
    asked = _HEAD.pack(code, identifier, size, sent[4:20])
    body = data[_HEAD.size :]
    right = hashlib.md5(asked + body + secret, usedforsecurity=False).digest()
    if not hmac.compare_digest(right, authenticator):
        raise MalformedError("authenticator")
    return Answer(Code(code), _error_cause(body, asked, secret))


def _error_cause(body: bytes, asked: bytes, secret: bytes) -> int:
    """What an answer tells, once its Message-Authenticator is found to be right.

    Raises:
        MalformedError: ``message_authenticator`` or ``attribute``.
    """
    cause = 0
    for kind, value, at in _attributes(body):
        if kind == Attribute.MESSAGE_AUTHENTICATOR:
            blank = body[:at] + bytes(len(value)) + body[at + len(value) :]
            if not hmac.compare_digest(hmac.new(secret, asked + blank, "md5").digest(), value):
                raise MalformedError("message_authenticator")
        elif kind == Attribute.ERROR_CAUSE:
            if len(value) != _INTEGER_BYTES:
                raise MalformedError("attribute", "an Error-Cause has four octets")
            cause = int.from_bytes(value, "big")
    return cause


def _attribute(kind: int, value: bytes) -> bytes:
    if len(value) > _VALUE_BYTES_MAX:
        raise ValueError(f"attribute {kind} has {len(value)} octets")
    return bytes((kind, len(value) + 2)) + value


def _attributes(body: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Each attribute with the place of its value.

    Raises:
        MalformedError: ``attribute``: one reaches beyond the end.
    """
    at = 0
    while at < len(body):
        if at + 2 > len(body) or body[at + 1] < 2 or at + body[at + 1] > len(body):
            raise MalformedError("attribute", f"at {at}")
        yield body[at], body[at + 2 : at + body[at + 1]], at + 2
        at += body[at + 1]


def _ipv4(text: str) -> IPv4Address | None:
    try:
        found: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return None
    return found if isinstance(found, IPv4Address) else None
