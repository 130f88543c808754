"""The plaintext of a frame: the group's sections as the wire has them, and its state deltas.

Layout (little-endian):

    1  version (1)
    4  number of sections; each: 1 class, 1 level, 4 records, 4 length, bytes
    4  number of deltas; each: 2 + space, 2 + key, 1 present, 4 + value
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from gateway.domain.errors import MalformedError
from gateway.domain.labels import DataClass, Label
from gateway.domain.ports import StateDelta
from gateway.journal.types import EncodedSection, Labelled
from gateway.wire.sections import encode_section

VERSION = 1
_VERSION = struct.Struct("<B")
_COUNT = struct.Struct("<I")
_SECTION = struct.Struct("<BBII")
_LENGTH = struct.Struct("<H")
_VALUE = struct.Struct("<BI")


def make_sections(items: Sequence[Labelled], first_seq: int) -> tuple[EncodedSection, ...]:
    """Group records by label, in order of first appearance; item i has ``first_seq + i``."""
    offsets: dict[Label, list[int]] = {}
    records: dict[Label, list[bytes]] = {}
    codes: dict[Label, set[tuple[int, ...]]] = {}
    for offset, (label, encoded, used) in enumerate(items):
        if label in offsets:
            offsets[label].append(offset)
            records[label].append(encoded)
            codes[label].add(used)
        else:
            offsets[label] = [offset]
            records[label] = [encoded]
            codes[label] = {used}
    return tuple(
        EncodedSection(
            label.data_class,
            label.level,
            len(where),
            encode_section(
                label, first_seq, where, records[label], sorted(set().union(*codes[label]))
            ),
        )
        for label, where in offsets.items()
    )


def encode_body(sections: Sequence[EncodedSection], deltas: Iterable[StateDelta]) -> bytes:
    """Lay out sections and deltas.

    Raises:
        ValueError: a delta's name of more than 65535 bytes.
    """
    parts = [_VERSION.pack(VERSION), _COUNT.pack(len(sections))]
    for section in sections:
        parts.append(
            _SECTION.pack(section.data_class, section.level, section.records, len(section.body))
        )
        parts.append(section.body)
    encoded = [_encode_delta(delta) for delta in deltas]
    parts.append(_COUNT.pack(len(encoded)))
    parts += encoded
    return b"".join(parts)


def _encode_delta(delta: StateDelta) -> bytes:
    space, key, value = delta.space.encode(), delta.key.encode(), delta.value
    if len(space) > 0xFFFF or len(key) > 0xFFFF:
        raise ValueError("a state delta's space or key is too long")
    return b"".join(
        (
            _LENGTH.pack(len(space)),
            space,
            _LENGTH.pack(len(key)),
            key,
            _VALUE.pack(value is not None, len(value or b"")),
            value or b"",
        )
    )


def decode_body(body: bytes) -> tuple[tuple[EncodedSection, ...], tuple[StateDelta, ...]]:
    """Parse what ``encode_body`` made.

    Raises:
        MalformedError: anything else.
    """
    try:
        return _decode(body)
    except (struct.error, IndexError, ValueError) as error:
        raise MalformedError("frame_body", str(error)) from error


def _decode(body: bytes) -> tuple[tuple[EncodedSection, ...], tuple[StateDelta, ...]]:
    if body[0] != VERSION:
        raise ValueError("unknown version")
    at = 1
    (count,) = _COUNT.unpack_from(body, at)
    at += 4
    sections = []
    for _ in range(count):
        data_class, level, records, size = _SECTION.unpack_from(body, at)
        at += _SECTION.size
        piece, at = _take(body, at, size)
        sections.append(EncodedSection(DataClass(data_class), level, records, piece))
    (count,) = _COUNT.unpack_from(body, at)
    at += 4
    deltas = []
    for _ in range(count):
        (size,) = _LENGTH.unpack_from(body, at)
        space, at = _take(body, at + 2, size)
        (size,) = _LENGTH.unpack_from(body, at)
        key, at = _take(body, at + 2, size)
        present, size = _VALUE.unpack_from(body, at)
        value, at = _take(body, at + _VALUE.size, size)
        deltas.append(StateDelta(space.decode(), key.decode(), value if present else None))
    if at != len(body):
        raise ValueError("bytes behind the last delta")
    return tuple(sections), tuple(deltas)


def _take(body: bytes, at: int, size: int) -> tuple[bytes, int]:
    piece = body[at : at + size]
    if len(piece) != size:
        raise ValueError("cut short")
    return piece, at + size
