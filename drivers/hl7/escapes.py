r"""Escape sequences in texts (HL7 v2.6, 2.7): ``\F\ \S\ \T\ \R\ \E\``, hexadecimal, formatting.

The library's own function is not used: it multiplies a line end by any number that stands in a
``\.sp9999999999\``, and raises what it likes (docs/decisions/0025-hl7-parsing.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_FORMATTING = re.compile(r"\.(?:br|sp|in|ti|sk|ce)[+-]?\d{0,9}")
_NO_FORMATTING = frozenset(("H", "N", ".fi", ".nf"))
_HEX = re.compile(r"X(?:[0-9A-Fa-f]{2})+")
_OTHER_CHARSET = re.compile(r"[CM][0-9A-Fa-f]{4,6}")


class Encoding(NamedTuple):
    """The separators that a message names in MSH-1 and MSH-2."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


def unescape(text: str, encoding: Encoding, codec: str) -> str:
    """A text as it was meant, in one line; never longer than it came.

    A sequence that is none is left as it stands: people write backslashes.
    """
    mark = encoding.escape
    if not mark or mark not in text:
        return text
    marks = {
        "F": encoding.field,
        "S": encoding.component,
        "T": encoding.subcomponent,
        "R": encoding.repetition,
        "E": encoding.escape,
    }
    out: list[str] = []
    at = 0
    while True:
        begin = text.find(mark, at)
        end = text.find(mark, begin + 1) if begin >= 0 else -1
        if end < 0:
            out.append(text[at:])
            return "".join(out)
        meant = _meant(text[begin + 1 : end], marks, codec)
        out.append(text[at:begin])
        if meant is None:
            out.append(text[begin:end])  # the second mark may begin a sequence
            at = end
        else:
            out.append(meant)
            at = end + 1


def _meant(sequence: str, marks: Mapping[str, str], codec: str) -> str | None:
    if sequence in marks:
        return marks[sequence]
    if _HEX.fullmatch(sequence):
        return bytes.fromhex(sequence[1:]).decode(codec, "replace")
    if sequence in _NO_FORMATTING:
        return ""
    if _FORMATTING.fullmatch(sequence):
        return " "
    return REPLACEMENT if _OTHER_CHARSET.fullmatch(sequence) else None
