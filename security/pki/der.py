"""As much of DER (X.690) as revocation lists and OCSP need: nothing is guessed.

A reader takes definite, minimal lengths and one-octet tags only; whatever else is refused with
:class:`MalformedError`, reason ``der``. It copies no more than is asked for and never recurses.
"""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.domain.errors import MalformedError

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
ENUMERATED, SEQUENCE = 0x0A, 0x30
GENERALIZED_TIME = 0x18
TRUE = b"\x01\x01\xff"
ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
"""AlgorithmIdentifier ecdsa-with-SHA256; its parameters are absent (RFC 5758, 3.2)."""

_LENGTH_OCTETS_MAX = 4
_UTC_TIME_ENDS = 2050
"""RFC 5280, 4.1.2.5: from that year on GeneralizedTime."""


def context(number: int, *, constructed: bool = True) -> int:
    """The tag ``[number]``."""
    return (0xA0 if constructed else 0x80) | number


def tlv(tag: int, *contents: bytes) -> bytes:
    """One element."""
    content = b"".join(contents)
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def integer(value: int, tag: int = INTEGER) -> bytes:
    """A non-negative INTEGER, or ENUMERATED."""
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    first, second, *rest = (int(part) for part in dotted.split("."))
    content = bytearray((40 * first + second,))
    for part in rest:
        groups = [part & 0x7F]
        while part := part >> 7:
            groups.append(0x80 | (part & 0x7F))
        content += bytes(reversed(groups))
    return tlv(OID, bytes(content))


def generalized_time(at: datetime) -> bytes:
    """A GeneralizedTime in whole seconds of UTC."""
    return tlv(GENERALIZED_TIME, at.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode())


def time(at: datetime) -> bytes:
    """A Time as certificates and revocation lists have it."""
    at = at if at.tzinfo is UTC else at.astimezone(UTC)
    if at.year >= _UTC_TIME_ENDS:
        return generalized_time(at)
    _, month, day, hour, minute, second, *_ = at.timetuple()  # strftime takes thrice as long
    text = f"{at.year % 100:02}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z"
    return b"\x17\x0d" + text.encode()


def extension(dotted: str, value: bytes, *, critical: bool = False) -> bytes:
    """An Extension (RFC 5280, 4.1)."""
    return tlv(SEQUENCE, oid(dotted), TRUE if critical else b"", tlv(OCTET_STRING, value))


def bit_string(content: bytes) -> bytes:
    """A BIT STRING of whole octets."""
    return tlv(BIT_STRING, b"\x00", content)


class Reader:
    """Takes elements from the front."""

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded
        self._at = 0

    @property
    def empty(self) -> bool:
        return self._at == len(self._encoded)

    def next_is(self, tag: int) -> bool:
        """Whether an element with ``tag`` comes now."""
        return not self.empty and self._encoded[self._at] == tag

    def take(self, tag: int) -> bytes:
        """The content of the element that comes now.

        Raises:
            MalformedError: it has another tag, or is not whole.
        """
        begin, end = self._measure(tag)
        self._at = end
        return self._encoded[begin:end]

    def whole(self, tag: int) -> bytes:
        """The element that comes now, with tag and length.

        Raises:
            MalformedError: as :meth:`take`.
        """
        begin = self._at
        _, self._at = self._measure(tag)
        return self._encoded[begin : self._at]

    def enter(self, tag: int) -> Reader:
        """A reader of the content of the element that comes now.

        Raises:
            MalformedError: as :meth:`take`.
        """
        return Reader(self.take(tag))

    def done(self) -> None:
        """Insist on the end.

        Raises:
            MalformedError: something follows.
        """
        if not self.empty:
            raise MalformedError("der", f"{len(self._encoded) - self._at} bytes too many")

    def _measure(self, tag: int) -> tuple[int, int]:
        if not self.next_is(tag):
            raise MalformedError("der", f"no element with tag {tag:02x} at {self._at}")
        at = self._at + 2
        head = self._encoded[self._at + 1 : at]
        if not head:
            raise MalformedError("der", "cut off in a length")
        length = head[0]
        if length >= 0x80:
            octets = self._encoded[at : at + length - 0x80]
            if not 0 < length - 0x80 <= _LENGTH_OCTETS_MAX or len(octets) != length - 0x80:
                raise MalformedError("der", f"no such length at {at}")
            at += len(octets)
            length = int.from_bytes(octets, "big")
            if length < 0x80 or not octets[0]:
                raise MalformedError("der", f"a length at {at} is not minimal")
        if at + length > len(self._encoded):
            raise MalformedError("der", f"cut off at {len(self._encoded)}")
        return at, at + length
