r"""Character sets: what MSH-18 says -> how the bytes are to be read (HL7 v2.6, 2.15.9.18).

Rules:

- A message is decoded before it is taken apart: in GB 18030 and BIG-5 the second byte of a
  character may be a separator's.
- MSH-18 says how MSH-18 is to be read. The set is the one under which the message names it.
- An empty field means ASCII. Real senders then send UTF-8, so that is tried; what is neither
  becomes U+FFFD: a strange byte in a name must not cost a pulse rate.
- Sets that switch by escape sequences within the text (ISO IR87 and IR159, Japanese) and UTF-16
  and UTF-32, whose bytes MLLP can't carry, are refused.
- Only the first repetition counts; a text that switches to another one (``\Cxxyy\``) gets U+FFFD.
"""

from __future__ import annotations

from typing import Final

from gateway.domain.errors import MalformedError

UNKNOWN_CHARSET: Final = "unknown_charset"
DEFAULT: Final = "utf-8"

CODECS: Final[dict[str, str]] = {
    "": DEFAULT,
    "ASCII": DEFAULT,
    "UNICODE UTF-8": DEFAULT,
    "UNICODE": DEFAULT,
    "UTF-8": DEFAULT,  # in no table, and in use
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/3": "iso8859-3",
    "8859/4": "iso8859-4",
    "8859/5": "iso8859-5",
    "8859/6": "iso8859-6",
    "8859/7": "iso8859-7",
    "8859/8": "iso8859-8",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "GB 18030-2000": "gb18030",
    "BIG-5": "big5hkscs",
    "KS X 1001": "euc_kr",
}
"""HL7 table 0211 -> Python's codec."""

_FIELD = 17
"""Of MSH-18 among the fields behind MSH-1."""
_NAME_BYTES_MAX = 32
_MULTIBYTE = ("gb18030", "big5hkscs", "euc_kr")
"""Those whose characters may hold a separator's byte."""


def codec_of(head: bytes) -> str:
    """The Python codec of a message that begins with this MSH segment.

    Raises:
        MalformedError: ``unknown_charset``.
    """
    for codec in () if head.isascii() else _MULTIBYTE:
        if CODECS.get(_named(head, codec)) == codec:
            return codec
    named = CODECS.get(_named(head, "iso8859-1"))
    if named is None:
        raise MalformedError(UNKNOWN_CHARSET)
    return named


def _named(head: bytes, codec: str) -> str:
    fields = head.decode(codec, "replace")
    separator = fields[3:4]
    parts = fields.split(separator, _FIELD + 1) if separator else []
    if len(parts) <= _FIELD:
        return ""
    name, repetition = parts[_FIELD], parts[1][1:2]
    if len(name) > _NAME_BYTES_MAX:
        return "?"
    return (name.split(repetition)[0] if repetition else name).strip().upper()
