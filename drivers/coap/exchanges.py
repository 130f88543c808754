"""Message-layer deduplication in bounded memory (RFC 7252, 4.2 to 4.5).

A confirmable message may be repeated for EXCHANGE_LIFETIME (247 s). Remembering every reply for
so long would take hundreds of megabytes at a ward's rate, so each session remembers its last
``EXCHANGES_MAX``. That is enough for the repetitions of a sender that keeps to NSTART; and where
it is not, the device's own message id keeps a report from being stored twice.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

EXCHANGES_MAX: Final = 32
"""Per session; a reply is a few bytes, but for a command's block."""
LIFETIME_S: Final = 247.0
"""EXCHANGE_LIFETIME (RFC 7252, 4.8.2): afterwards a sender may use the number anew."""

CONFIRMABLE: Final = 0
NON_CONFIRMABLE: Final = 1
ACKNOWLEDGEMENT: Final = 2
RESET: Final = 3
_HEADER_BYTES = 4
_TOKEN_BYTES_MAX = 8
_CODE_REQUEST_MAX = 31


class Header(NamedTuple):
    """What the message layer needs of a message (RFC 7252, 3)."""

    message_type: int
    code: int
    message_id: int

    @property
    def is_request(self) -> bool:
        """Whether it asks for something, as opposed to an answer or an empty message."""
        return 1 <= self.code <= _CODE_REQUEST_MAX


def read_header(message: bytes) -> Header | None:
    """The header of a version 1 message; None if there is none."""
    if len(message) < _HEADER_BYTES or message[0] >> 6 != 1 or message[0] & 15 > _TOKEN_BYTES_MAX:
        return None
    return Header(message[0] >> 4 & 3, message[1], message[2] << 8 | message[3])


class Exchanges:
    """The requests that one session saw last, and what was replied to them."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: OrderedDict[int, tuple[float, bytes]] = OrderedDict()

    def seen(self, message_id: int, now_s: float) -> bytes | None:
        """The reply to a repeated request (empty while there is none yet), or None if new.

        A new request is remembered.
        """
        known = self._seen.get(message_id)
        if known is not None:
            until_s, reply = known
            if now_s < until_s:
                return reply
            del self._seen[message_id]
        self._seen[message_id] = (now_s + LIFETIME_S, b"")
        if len(self._seen) > EXCHANGES_MAX:
            self._seen.popitem(last=False)
        return None

    def replied(self, message_id: int, reply: bytes) -> None:
        """Remember the reply to a request, if the request is still remembered."""
        known = self._seen.get(message_id)
        if known is not None:
            self._seen[message_id] = (known[0], reply)

    def __len__(self) -> int:
        return len(self._seen)
