"""MLLP: messages as frames of a stream (HL7 v2 Transport Specification, MLLP Release 1).

A frame is ``0B content 1C 0D``. Rules:

- None of the three marks stands in a content: an 0B inside a frame begins the next one, and what
  was before it is broken; so is a frame whose 1C is not followed by 0D.
- Between frames only line ends are passed over; anything else is told once and skipped up to the
  next 0B.
- A content beyond the limit is told once, as soon as it is too long, and skipped likewise. Of a
  broken frame no more than ``HEAD_BYTES`` is handed on: enough to answer it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

START: Final = b"\x0b"
END: Final = b"\x1c\r"
HEAD_BYTES: Final = 2048
"""Kept of what is no frame: the MSH segment, which says who waits for an answer."""

_CR = 0x0D
_START = 0x0B
_MARK = re.compile(rb"[\x0b\x1c]")
_LINE_ENDS = b"\r\n"


class Frame(NamedTuple):
    """A whole frame's content."""

    content: bytes


class Broken(NamedTuple):
    """Bytes that are no frame."""

    reason: str
    """``outside_frame``, ``unterminated``, ``bad_end`` or ``too_long``."""
    head: bytes
    """How it began, ``HEAD_BYTES`` at most."""


def frame(content: bytes) -> bytes:
    """The frame of a content that holds no mark."""
    return START + content + END


class Framer:
    """Takes a stream apart; holds one content at most.

    Args:
        content_bytes_max: longer contents are ``too_long``.
    """

    def __init__(self, content_bytes_max: int) -> None:
        self._max = content_bytes_max
        self._content = bytearray()
        self._inside = False
        self._ending = False
        self._skipping = False
        """What comes between frames was told."""

    @property
    def inside(self) -> bool:
        """Whether a frame has begun and not ended."""
        return self._inside

    def feed(self, data: bytes) -> list[Frame | Broken]:
        """The frames, and what is none, that end with this data; any chunking gives the same."""
        found: list[Frame | Broken] = []
        at = 0
        while at < len(data):
            if self._ending:
                at = self._end(data, at, found)
            elif self._inside:
                at = self._take(data, at, found)
            else:
                at = self._search(data, at, found)
        return found

    def _search(self, data: bytes, at: int, found: list[Frame | Broken]) -> int:
        start = data.find(START, at)
        between = data[at:] if start < 0 else data[at:start]
        if not self._skipping and (noise := between.strip(_LINE_ENDS)):
            self._skipping = True
            found.append(Broken("outside_frame", noise[:HEAD_BYTES]))
        if start < 0:
            return len(data)
        self._begin()
        return start + 1

    def _take(self, data: bytes, at: int, found: list[Frame | Broken]) -> int:
        mark = _MARK.search(data, at)
        end = mark.start() if mark else len(data)
        room = self._max - len(self._content)
        if end - at > room:
            self._content += data[at : at + HEAD_BYTES]
            self._break("too_long", found)
            return end
        self._content += data[at:end]
        if mark is None:
            return end
        if data[end] == _START:
            self._break("unterminated", found)
            self._begin()
        else:
            self._ending = True
        return end + 1

    def _end(self, data: bytes, at: int, found: list[Frame | Broken]) -> int:
        self._ending = False
        if data[at] != _CR:
            self._break("bad_end", found)
            return at
        found.append(Frame(bytes(self._content)))
        self._content.clear()
        self._inside = self._skipping = False
        return at + 1

    def _begin(self) -> None:
        self._content.clear()
        self._inside, self._skipping = True, False

    def _break(self, reason: str, found: list[Frame | Broken]) -> None:
        found.append(Broken(reason, bytes(self._content[:HEAD_BYTES])))
        self._content.clear()
        self._inside, self._skipping = False, True
