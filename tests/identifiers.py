"""Identifiers of the eighteen kinds of 45 CFR 164.514(b)(2)(i), and every shape of their bytes.

None is anybody's: they are made up, and long enough not to occur by chance.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

from hypothesis import strategies as st

_digits = lambda n: st.text("0123456789", min_size=n, max_size=n)  # noqa: E731
_upper = lambda n: st.text("ABCDEFGHJKLMNPRSTUVWXYZ", min_size=n, max_size=n)  # noqa: E731
_octet = st.integers(1, 254).map(str)
_name = st.sampled_from(
    ("Adelheid Zwiebelmeier", "Björn Åkesson", "李小龙医生", "O'Hara-Quigley", "Ng Thị Hồng")
)

KINDS: dict[str, st.SearchStrategy[str]] = {
    "A name": st.tuples(_name, _upper(3)).map(" ".join),
    "B address": st.tuples(_digits(5), _upper(4), _digits(5)).map(
        lambda part: f"{part[0]} {part[1]} Street, Ann Arbor {part[2]}"
    ),
    "C date": st.dates().map(lambda day: f"{day:%d.%m.%Y} born"),
    "D telephone": _digits(9).map(lambda n: f"+49 {n[:3]} {n[3:]}"),
    "E fax": _digits(9).map(lambda n: f"Fax {n[:4]}/{n[4:]}"),
    "F e-mail": _upper(6).map(lambda name: f"{name.lower()}@clinic.example"),
    "G social security": _digits(9).map(lambda n: f"{n[:3]}-{n[3:5]}-{n[5:]}"),
    "H medical record": _digits(8).map(lambda n: f"MRN{n}"),
    "I health plan": _digits(9).map(lambda n: f"HP-{n}"),
    "J account": _digits(20).map(lambda n: f"DE{n}"),
    "K certificate or licence": st.tuples(_upper(2), _digits(8)).map("-".join),
    "L vehicle": st.tuples(_upper(3), _digits(5)).map(" ".join),
    "M device or serial": st.tuples(_upper(3), _digits(7)).map("/".join),
    "N URL": _upper(7).map(lambda path: f"https://portal.example/p/{path}"),
    "O IP address": st.tuples(_octet, _octet, _octet).map(lambda part: ".".join(("203", *part))),
    "P biometric": st.binary(min_size=12, max_size=12).map(
        lambda raw: "fingerprint:" + base64.b64encode(raw).decode()
    ),
    "Q photograph": _upper(8).map(lambda name: f"IMG_{name}.JPEG"),
    "R any other": st.tuples(_upper(5), _digits(7)).map(lambda part: f"Study#{part[0]}{part[1]}"),
}
BYTES_MIN = 6


def shapes(identifier: str) -> set[bytes]:
    """Byte strings that all mean this identifier."""
    plain = identifier.encode()
    found = {plain, plain[::-1], identifier.upper().encode(), identifier.lower().encode()}
    for name in ("utf-16-le", "utf-16-be", "utf-32-le", "latin-1"):
        try:
            found.add(identifier.encode(name))
        except UnicodeEncodeError:
            continue
    found |= {plain.hex().encode(), plain.hex().upper().encode()}
    for shift in range(3):  # wherever it begins in what was encoded
        inner = base64.b64encode(b"\0" * shift + plain)
        found |= {inner[4:-4], base64.urlsafe_b64encode(b"\0" * shift + plain)[4:-4]}
    digits = "".join(c for c in identifier if c.isdigit())
    if len(digits) >= 2 * BYTES_MIN - 4:
        found.add(digits.encode())
        if int(digits) < 2**63:
            found |= number_shapes(int(digits))
    return {each for each in found if len(each) >= BYTES_MIN}


def number_shapes(number: int) -> set[bytes]:
    """A whole number as a machine may write it, forwards and backwards."""
    wide = number.to_bytes(8, "big", signed=True)
    found = {wide, wide[::-1], str(number).encode(), varint(number), varint(number << 1)}
    narrow = wide.lstrip(b"\0")
    found |= {narrow, narrow[::-1]}
    return {each for each in found if len(each) >= BYTES_MIN}


def varint(number: int) -> bytes:
    """Base 128, as Protocol Buffers write it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def leaks(data: bytes, identifiers: Iterable[str]) -> list[tuple[str, bytes]]:
    """Identifiers of which any shape is in ``data``."""
    return [(each, shape) for each in identifiers for shape in shapes(each) if shape in data]
