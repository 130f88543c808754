"""What every attribute is made of: FLOAT, and lists with a count and a length.

Everything is big-endian and 2-byte aligned.
"""

from __future__ import annotations

import math
import struct

from gateway.domain.errors import MalformedError

_NAN, _NRES = 0x7FFFFF, 0x800000
_INFINITIES = {0x7FFFFE: math.inf, 0x800002: -math.inf}
_PAIR = struct.Struct(">HH")


def float_value(word: int) -> float:
    """FLOAT: int8 exponent, int24 mantissa; special mantissas are NaN and infinity."""
    mantissa = word & 0xFFFFFF
    if mantissa in (_NAN, _NRES):
        return math.nan
    infinite = _INFINITIES.get(mantissa)
    if infinite is not None:
        return infinite
    exponent = word >> 24
    if mantissa >= 0x800000:
        mantissa -= 0x1000000
    if exponent == 0:
        return float(mantissa)
    if exponent >= 0x80:
        # Dividing by a power of ten rounds once; multiplying by 10**-n would round twice.
        return mantissa / 10.0 ** (0x100 - exponent)
    return float(mantissa) * 10.0**exponent


def bounds(data: bytes, offset: int, limit: int) -> tuple[int, int, int]:
    """Read ``count, length`` of a list; return count and where its content begins and ends.

    Raises:
        MalformedError: ``truncated`` or ``length``.
    """
    if offset + 4 > limit:
        raise MalformedError("truncated", "list header")
    count, length = _PAIR.unpack_from(data, offset)
    begin = offset + 4
    if begin + length > limit:
        raise MalformedError("length", f"list of {length} bytes in {limit - begin}")
    return count, begin, begin + length
