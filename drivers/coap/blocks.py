"""Block-wise uploads (RFC 7959, Block1), assembled in bounded memory.

Rules:

- Blocks of one body come in order; a gap or an overlap ends the upload with 4.08.
- A body is at most ``body_bytes_max`` long, known from Size1 or from the blocks: else 4.13.
- A session has few uploads at once, an upload ends unfinished after ``UPLOAD_S_MAX``, and all
  sessions share ``Budget`` bytes: else 5.03.
- The body is handed on when its last block came, and the reply to that block is the reply to
  the whole.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, NamedTuple

UPLOADS_PER_SESSION_MAX: Final = 2
UPLOAD_S_MAX: Final = 93.0
"""MAX_TRANSMIT_WAIT (RFC 7252, 4.8.2): no block can still be on its way."""
ASSEMBLY_BYTES_MAX: Final = 16 * 1024 * 1024
"""All unfinished bodies of a listener together."""
_SIZE_EXPONENT_RESERVED = 7
_SIZE_EXPONENT_BASE = 4


class Block(NamedTuple):
    """A Block1 or Block2 option's value (RFC 7959, 2.2)."""

    number: int
    more: bool
    size_exponent: int
    """0 to 6; the size is ``2 ** (size_exponent + 4)``."""

    @property
    def size_bytes(self) -> int:
        """Of each block but the last."""
        return 1 << self.size_exponent + _SIZE_EXPONENT_BASE


class Refused(Exception):  # noqa: N818 - a protocol answer, not a failure of ours
    """A block that ends its upload; ``code`` is the response's, as RFC 7252, 12.1.2 numbers it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


BAD_REQUEST: Final = 4 << 5
INCOMPLETE: Final = 4 << 5 | 8
TOO_LARGE: Final = 4 << 5 | 13
UNAVAILABLE: Final = 5 << 5 | 3


class Budget:
    """Bytes that unfinished uploads may hold together."""

    def __init__(self, bytes_max: int = ASSEMBLY_BYTES_MAX) -> None:
        self._left = bytes_max

    def take(self, size: int) -> bool:
        """Whether ``size`` more bytes may be held."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        """Bytes that are held no more."""
        self._left += size

    @property
    def left_bytes(self) -> int:
        """What may still be held."""
        return self._left


class _Upload:
    __slots__ = ("body", "until_s")

    def __init__(self, until_s: float) -> None:
        self.body = bytearray()
        self.until_s = until_s


class Uploads:
    """The unfinished uploads of one session."""

    __slots__ = ("_body_bytes_max", "_budget", "_uploads")

    def __init__(self, budget: Budget, body_bytes_max: int) -> None:
        self._budget = budget
        self._body_bytes_max = body_bytes_max
        self._uploads: dict[Hashable, _Upload] = {}

    def add(
        self, key: Hashable, block: Block, payload: bytes, size_bytes: int | None, now_s: float
    ) -> bytes | None:
        """Take one block; return the body if it was the last, else None.

        Args:
            key: what makes blocks belong together: resource, format, Request-Tag.
            block: the request's Block1.
            payload: the block's bytes.
            size_bytes: the request's Size1, if it has one.
            now_s: monotonic.

        Raises:
            Refused: the upload is over; ``code`` says why.
        """
        self._expire(now_s)
        if block.number == 0:
            self._end(key)
            self._begin(key, now_s)
        upload = self._uploads.get(key)
        if upload is None or len(upload.body) != block.number * block.size_bytes:
            self._end(key)
            raise Refused(INCOMPLETE)
        wrong_size = block.more and len(payload) != block.size_bytes
        if block.size_exponent == _SIZE_EXPONENT_RESERVED or wrong_size:
            self._end(key)
            raise Refused(BAD_REQUEST)
        if max(size_bytes or 0, len(upload.body) + len(payload)) > self._body_bytes_max:
            self._end(key)
            raise Refused(TOO_LARGE)
        if not block.more:
            body = bytes(upload.body) + payload
            self._end(key)
            return body
        if not self._budget.take(len(payload)):
            self._end(key)
            raise Refused(UNAVAILABLE)
        upload.body += payload
        upload.until_s = now_s + UPLOAD_S_MAX
        return None

    def clear(self) -> None:
        """Forget all of it: the session ended."""
        for key in list(self._uploads):
            self._end(key)

    def _begin(self, key: Hashable, now_s: float) -> None:
        if len(self._uploads) >= UPLOADS_PER_SESSION_MAX:
            self._end(min(self._uploads, key=lambda each: self._uploads[each].until_s))
        self._uploads[key] = _Upload(now_s + UPLOAD_S_MAX)

    def _end(self, key: Hashable) -> None:
        upload = self._uploads.pop(key, None)
        if upload is not None:
            self._budget.give_back(len(upload.body))

    def _expire(self, now_s: float) -> None:
        for key in [key for key, each in self._uploads.items() if each.until_s <= now_s]:
            self._end(key)
