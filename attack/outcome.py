"""What an attack is, what may be seen of it, and whether that is as expected."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from OpenSSL import SSL


class Word(StrEnum):
    """What was seen."""

    HANDSHAKE = "handshake refused"
    """A TLS alert, before a word of the protocol."""
    CLOSED = "closed"
    """The connection was ended, without a word of the protocol that says why."""
    REFUSED = "refused"
    """The protocol said no."""
    SILENT = "no answer"
    FULL = "full handshake"
    """Nothing was resumed."""
    CALM = "neighbours served"
    CLEAN = "nothing arrived"
    ADMITTED = "admitted"
    ACCEPTED = "accepted"
    RESUMED = "resumed"
    HARMED = "neighbours harmed"
    HELD = "held open"
    ARRIVED = "arrived"
    LEAKED = "leaked"
    FAULT = "a fault of theirs"
    """It broke, by its own word."""
    UNREACHABLE = "unreachable"
    """Nobody answered where somebody should: proves nothing."""
    NOT_TRIED = "not tried"
    """The attack failed on our own side: proves nothing."""


class Seen(NamedTuple):
    """One observation."""

    word: Word
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.word} ({self.detail})" if self.detail else str(self.word)


KEPT_OUT = frozenset({Word.HANDSHAKE, Word.CLOSED})
"""Ended before a word of the protocol was answered. TLS 1.3 tells a client after its own part of
the handshake, and a reset may overtake that alert."""
NOT_TAKEN = frozenset({Word.REFUSED, Word.CLOSED})
REFUSED = frozenset({Word.REFUSED})
ADMITTED = frozenset({Word.ADMITTED})
ACCEPTED = frozenset({Word.ACCEPTED})
NO_WORD = frozenset({Word.HANDSHAKE, Word.CLOSED, Word.SILENT})


class Attack(NamedTuple):
    """One row of the table."""

    name: str
    """``place/what``."""
    expected: frozenset[Word]
    run: Callable[[], Seen]
    slow: bool = False
    """It waits for a time limit of the other side; such ones run at the same time."""


class Row(NamedTuple):
    """What became of an attack."""

    name: str
    expected: frozenset[Word]
    seen: Seen

    @property
    def good(self) -> bool:
        """Whether it is as expected."""
        return self.seen.word in self.expected

    @property
    def expectation(self) -> str:
        """In words."""
        return " or ".join(word for word in Word if word in self.expected)


def perform(attack: Attack) -> Row:
    """Run one attack; whatever its connection meets is an observation."""
    try:
        seen = attack.run()
    except ConnectionRefusedError as error:
        seen = Seen(Word.UNREACHABLE, error.strerror or "")
    except (OSError, SSL.Error) as error:
        seen = of_error(error)
    return Row(attack.name, attack.expected, seen)


def of_error(error: OSError | SSL.Error) -> Seen:
    """What an exception of an established TCP connection means."""
    if isinstance(error, SSL.Error):
        return _of_reasons([str(entry[-1]) for entry in (error.args[0] if error.args else ())])
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Seen(Word.CLOSED)
    if isinstance(error, ssl.SSLError):
        return _of_reasons([getattr(error, "reason", None) or str(error)])
    if isinstance(error, TimeoutError):
        return Seen(Word.SILENT)
    if isinstance(error, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
        return Seen(Word.CLOSED, "reset")
    return Seen(Word.NOT_TRIED, str(error))


def _of_reasons(reasons: list[str]) -> Seen:
    """An alert is the other side's word; any other reason is ours."""
    for reason in reasons:
        words = reason.lower().replace("_", " ")
        if "alert" in words or "no renegotiation" in words:
            return Seen(Word.HANDSHAKE, words.partition("alert ")[2] or words)
        if "unexpected eof" in words:
            return Seen(Word.CLOSED)
    return Seen(Word.NOT_TRIED, ", ".join(reasons) or "no reason")
