"""Cookies: a peer proves that it receives at its address before we keep anything for it.

RFC 6347, 4.2.1: cookie = HMAC(secret, address, client parameters). The client's random is the
parameter, so that a cookie answers one ClientHello only. The secret rotates; the one before
is still good, so that no handshake under way fails at the turn.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

SECRET_BYTES: Final = 32
COOKIE_BYTES: Final = 32
"""What DTLS 1.0 allows at most; some clients keep no more room."""
ROTATE_S: Final = 60.0
"""A cookie is good for one to two of these: longer than any client takes to repeat its hello."""

Address = tuple[str, int] | tuple[str, int, int, int]
"""As the socket gives it, for IPv4 or IPv6."""


class Cookies:
    """Makes and checks cookies; keeps nothing per peer.

    Args:
        monotonic: seconds of a clock that never jumps.
        random_bytes: a source of secrets, such as ``secrets.token_bytes``.
    """

    def __init__(
        self, monotonic: Callable[[], float], random_bytes: Callable[[int], bytes]
    ) -> None:
        self._monotonic = monotonic
        self._random_bytes = random_bytes
        self._secret = self._previous = random_bytes(SECRET_BYTES)
        self._rotate_at_s = monotonic() + ROTATE_S

    def bake(self, address: Address, client_random: bytes) -> bytes:
        """The cookie for a ClientHello from an address."""
        self._rotate()
        return _cookie(self._secret, address, client_random)

    def accepts(self, address: Address, client_random: bytes, cookie: bytes) -> bool:
        """Whether we made this cookie for this ClientHello and address lately."""
        self._rotate()
        return any(
            hmac.compare_digest(_cookie(secret, address, client_random), cookie)
            for secret in (self._secret, self._previous)
        )

    def _rotate(self) -> None:
        late_s = self._monotonic() - self._rotate_at_s
        if late_s < 0:
            return
        # After a long silence the current secret is as old as a previous one would be.
        fresh = self._random_bytes(SECRET_BYTES)
        self._previous = self._secret if late_s < ROTATE_S else fresh
        self._secret = fresh
        self._rotate_at_s += ROTATE_S * (1 + late_s // ROTATE_S)


def _cookie(secret: bytes, address: Address, client_random: bytes) -> bytes:
    host, port = address[:2]
    text = f"{host}\0{port}\0".encode()
    return hmac.digest(secret, text + client_random, hashlib.sha256)[:COOKIE_BYTES]
