"""HL7 v2 messages in ER7 encoding: bytes -> header and segments (HL7 v2.6, chapter 2).

Rules:

- Segments and fields are split here, at the separators that MSH-1 and MSH-2 name; what is inside
  a field is taken apart by the library ``hl7``, and what was taken apart is remembered, since a
  device names its metrics and units the same way each time (docs/decisions/0025-hl7-parsing.md).
- What is broken raises MalformedError, whose reason is of :data:`REASONS`. As much of the header as
  could be read goes with the answer: see :func:`read_header`.
- Line feeds end segments where a sender writes them instead of, or behind, carriage returns.
- Everything is bounded: a message by its frame, and within it segments, fields and composites.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import hl7

from drivers.hl7.charsets import DEFAULT, UNKNOWN_CHARSET, codec_of
from drivers.hl7.escapes import Encoding, unescape
from gateway.domain.errors import MalformedError

SEGMENTS_MAX: Final = 4096
"""Of one message: a ventilator's full set is some 300."""
FIELDS_MAX: Final = 64
"""Of one segment that are looked at; what is behind them is nothing that we read."""
COMPOSITE_CHARACTERS_MAX: Final = 512
"""Of a coded value, an identifier or a unit."""
TEXT_CHARACTERS_MAX: Final = 2048
"""Of one text that are looked at: what is kept (256), each of it as an escape sequence."""
REMEMBERED_MAX: Final = 4096
"""Composites that stay taken apart, about 1 KiB each."""
HEAD_BYTES_MAX: Final = 4096
"""Of a message, in which its MSH segment has to end."""
CONTROL_ID_CHARACTERS_MAX: Final = 199
"""HL7 v2.6, 2.15.9.10."""

EMPTY: Final = "empty"
NO_HEADER: Final = "no_header"
BAD_SEPARATORS: Final = "bad_separators"
NO_CONTROL_ID: Final = "no_control_id"
BAD_CONTROL_ID: Final = "bad_control_id"
BAD_SEGMENT: Final = "bad_segment"
TOO_MANY_SEGMENTS: Final = "too_many_segments"
COMPOSITE_TOO_LONG: Final = "composite_too_long"
REASONS: Final = (
    EMPTY,
    NO_HEADER,
    BAD_SEPARATORS,
    NO_CONTROL_ID,
    BAD_CONTROL_ID,
    BAD_SEGMENT,
    TOO_MANY_SEGMENTS,
    COMPOSITE_TOO_LONG,
    UNKNOWN_CHARSET,
)

Composite = tuple[tuple[str, ...], ...]
"""Repetitions of components, as they stand: escape sequences are still in them."""


class Segment:
    """One segment; fields count from 1, as the standard counts them."""

    __slots__ = ("_codec", "_encoding", "_fields", "name")

    def __init__(self, text: str, encoding: Encoding, codec: str) -> None:
        self._encoding = encoding
        self._codec = codec
        parts = text.split(encoding.field, FIELDS_MAX)
        self.name = parts[0]
        if self.name == "MSH":
            parts.insert(1, encoding.field)
        self._fields = parts

    def raw(self, number: int) -> str:
        """A field as it stands; empty if it is not there or is the deleting ``""``."""
        value = self._fields[number] if number < len(self._fields) else ""
        return "" if value == '""' else value

    def text(self, number: int) -> str:
        """A field that is one text, as it was meant; of a long one, its beginning."""
        text = self.raw(number).strip()[:TEXT_CHARACTERS_MAX]
        return unescape(text, self._encoding, self._codec)

    def repetitions(self, number: int) -> Composite:
        """A field taken apart, escape sequences resolved; at least one component.

        Raises:
            MalformedError: ``composite_too_long``.
        """
        raw = self.raw(number)
        parts = composite(raw, self._encoding)
        if self._encoding.escape and self._encoding.escape in raw:
            return tuple(
                tuple(unescape(each, self._encoding, self._codec) for each in repetition)
                for repetition in parts
            )
        return parts

    def components(self, number: int) -> tuple[str, ...]:
        """The first repetition of a field.

        Raises:
            MalformedError: ``composite_too_long``.
        """
        return self.repetitions(number)[0]

    def array(self, number: int, entries_max: int) -> list[str] | None:
        """A field of many plain entries (NA, MA), as they stand; None if there are more."""
        raw = self.raw(number).replace(self._encoding.repetition, self._encoding.component)
        entries = raw.split(self._encoding.component, entries_max)
        return entries if len(entries) <= entries_max else None


@lru_cache(maxsize=REMEMBERED_MAX)
def _taken_apart(text: str, encoding: Encoding) -> Composite:
    head = f"MSH{''.join(encoding)}{encoding.field}"
    # MSH-2 has the order component, repetition, escape, subcomponent, as Encoding has.
    field = hl7.parse(f"{head}\rZZZ{encoding.field}{text}")[1][1]
    return tuple(
        tuple(str(component) for component in repetition)
        if isinstance(repetition, hl7.Repetition)
        else (str(repetition),)
        for repetition in field
    )


def composite(text: str, encoding: Encoding) -> Composite:
    """Take a field apart into repetitions and components.

    Raises:
        MalformedError: ``composite_too_long``.
    """
    if len(text) > COMPOSITE_CHARACTERS_MAX:
        raise MalformedError(COMPOSITE_TOO_LONG)
    text = text.strip()
    if encoding.component not in text and encoding.repetition not in text:
        return ((text,),)
    return _taken_apart(text, encoding)


class Header(NamedTuple):
    """What an answer needs of the MSH segment, and what decides on the message."""

    encoding: Encoding = Encoding()
    codec: str = DEFAULT
    application: str = ""
    """MSH-3, as it stands; likewise the other fields."""
    facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    time: str = ""
    message_code: str = ""
    """MSH-9.1"""
    trigger: str = ""
    """MSH-9.2"""
    control_id: str = ""
    processing_id: str = ""
    version: str = ""
    accept: str = ""
    """MSH-15"""
    application_accept: str = ""
    """MSH-16"""
    charset: str = ""
    profiles: tuple[str, ...] = ()
    """MSH-21: the identifier of each profile."""

    @property
    def enhanced(self) -> bool:
        """Whether the sender asks for enhanced acknowledgement (2.9.3)."""
        return bool(self.accept or self.application_accept)


def read_header(content: bytes) -> tuple[Header, str]:
    """The header of a message, whole or the beginning of one, and what is wrong with it.

    Returns:
        The header as far as it could be read, and a reason of :data:`REASONS` or "".
    """
    head = content[:HEAD_BYTES_MAX].lstrip(b"\r\n").replace(b"\n", b"\r").split(b"\r", 1)[0]
    if not head.startswith(b"MSH"):
        return Header(), NO_HEADER if head else EMPTY
    wrong = ""
    try:
        codec = codec_of(head)
    except MalformedError as error:
        codec, wrong = DEFAULT, error.reason
    text = head.decode(codec, "replace")
    encoding = _encoding(text)
    if encoding is None:
        return Header(codec=codec), BAD_SEPARATORS
    segment = Segment(text, encoding, codec)
    try:
        header = _header(segment, encoding, codec)
    except MalformedError as error:
        return Header(encoding, codec, control_id=_control_id(segment)), error.reason
    if not wrong and not header.control_id:
        wrong = BAD_CONTROL_ID if segment.raw(10).strip() else NO_CONTROL_ID
    return header, wrong


def _header(segment: Segment, encoding: Encoding, codec: str) -> Header:
    kind = segment.components(9)
    return Header(
        encoding,
        codec,
        segment.raw(3),
        segment.raw(4),
        segment.raw(5),
        segment.raw(6),
        segment.raw(7),
        kind[0],
        kind[1] if len(kind) > 1 else "",
        _control_id(segment),
        segment.components(11)[0],
        segment.components(12)[0],
        segment.raw(15).strip().upper(),
        segment.raw(16).strip().upper(),
        segment.raw(18),
        tuple(each[0] for each in segment.repetitions(21)),
    )


def _control_id(segment: Segment) -> str:
    """MSH-10 as it stands, for MSA-2 must be the same; empty if it can't be one."""
    value = segment.raw(10).strip()
    return value if len(value) <= CONTROL_ID_CHARACTERS_MAX and value.isprintable() else ""


def _encoding(text: str) -> Encoding | None:
    """The separators that a message names; None if they can't be such."""
    field = text[3:4]
    others = text[4:].split(field, 1)[0] if field else ""
    marks = field + others[:4]
    if len(marks) != 5 or len(set(marks)) != 5 or any(m.isalnum() or m <= " " for m in marks):
        return None
    return Encoding(*marks)


def segments(content: bytes, header: Header) -> list[str]:
    """The texts of all segments, MSH first.

    Raises:
        MalformedError: ``too_many_segments``.
    """
    text = content.decode(header.codec, "replace")
    text = text.replace("\r\n", "\r") if "\r" in text else text.replace("\n", "\r")
    found = [each for line in text.split("\r", SEGMENTS_MAX + 1) if (each := line.strip("\n"))]
    if len(found) > SEGMENTS_MAX:
        raise MalformedError(TOO_MANY_SEGMENTS)
    return found


def segment(text: str, header: Header) -> Segment:
    """One segment.

    Raises:
        MalformedError: ``bad_segment``, it has no name.
    """
    found = Segment(text, header.encoding, header.codec)
    if len(found.name) != 3 or not found.name.isalnum():
        raise MalformedError(BAD_SEGMENT)
    return found
