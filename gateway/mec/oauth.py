"""The token that the platform wants with each call (RFC 6749, 4.4: client credentials).

Rules:

* A token is asked for again when a tenth of its life is left, at least :data:`EARLY_S` before its
  end, and at once when the platform refuses it.
* One without an end (``expires_in`` is only recommended, 5.1) is asked for again after
  :data:`UNSTATED_S`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.domain.errors import MalformedError
from gateway.mec.reading import decoded

EARLY_S: Final = 5.0
UNSTATED_S: Final = 300.0
LIFE_S_MAX: Final = 86_400.0
TOKEN_CHARS_MAX: Final = 8192


class _Answer(msgspec.Struct, frozen=True):
    """RFC 6749, 5.1."""

    access_token: str
    token_type: str
    expires_in: float | None = None


class Token(msgspec.Struct, frozen=True):
    """What is put into the ``Authorization`` header, and until when."""

    header: str
    renew_at: float
    """Of the monotonic clock."""


def form(client_id: str, scope: str) -> dict[str, str]:
    """The request's fields; id and secret travel in HTTP Basic (RFC 6749, 2.3.1)."""
    fields = {"grant_type": "client_credentials", "client_id": client_id}
    return fields | ({"scope": scope} if scope else {})


def parse(body: bytes, mono: float) -> Token:
    """The token in an answer that came at ``mono``.

    Raises:
        MalformedError: it is no answer of a token endpoint, or of another kind of token.
    """
    answer = decoded(body, _Answer, "answer of a token endpoint")
    if answer.token_type.lower() != "bearer":
        raise MalformedError("token", "of another type than bearer")
    text = answer.access_token
    if not 0 < len(text) <= TOKEN_CHARS_MAX or not text.isascii() or not text.isprintable():
        raise MalformedError("token")
    told_s = UNSTATED_S if answer.expires_in is None else answer.expires_in
    life = min(max(told_s, 0.0), LIFE_S_MAX)
    return Token(f"Bearer {text}", mono + life - max(EARLY_S, life / 10))
