"""The data types of section 1.5 as bytes; what can't be encoded raises EncodeError."""

from __future__ import annotations

from drivers.mqtt.codec.errors import EncodeError

STRING_BYTES_MAX = 0xFFFF
VARINT_MAX = 268_435_455


def byte(value: int) -> bytes:
    """1.5.1."""
    return _number(value, 1)


def u16(value: int) -> bytes:
    """1.5.2."""
    return _number(value, 2)


def u32(value: int) -> bytes:
    """1.5.3 of 5.0."""
    return _number(value, 4)


def _number(value: int, size: int) -> bytes:
    try:
        return value.to_bytes(size, "big")
    except OverflowError:
        raise EncodeError(f"a number does not fit {size} bytes") from None


def varint(value: int) -> bytes:
    """1.5.5 of 5.0; the remaining length of both versions."""
    if not 0 <= value <= VARINT_MAX:
        raise EncodeError("a length does not fit four bytes of seven bits")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def binary(value: bytes) -> bytes:
    """1.5.6 of 5.0."""
    if len(value) > STRING_BYTES_MAX:
        raise EncodeError("a field is longer than 65535 bytes")
    return len(value).to_bytes(2, "big") + value


def string(value: str) -> bytes:
    """1.5.4 of 5.0: neither NUL nor surrogates."""
    if "\0" in value:
        raise EncodeError("a string holds U+0000")
    try:
        return binary(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise EncodeError("a string holds a surrogate") from None


def string_pair(value: tuple[str, str]) -> bytes:
    """1.5.7 of 5.0."""
    return string(value[0]) + string(value[1])


def packet_id(value: int) -> bytes:
    """2.2.1 of 5.0: 1 to 65535."""
    if not value:
        raise EncodeError("a packet identifier is zero")
    return u16(value)
