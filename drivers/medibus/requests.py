"""All that is ever sent to a device: no function takes a command's code from outside.

Every request asks, or says what is to be transmitted; none sets anything of the therapy. A device's
own commands are answered, as the protocol wants, with their echo.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from drivers.medibus.codec import Code, Command, Response, encode

__all__ = [
    "CYCLE",
    "OWN_ID",
    "SELDOM",
    "corrupt",
    "echo",
    "enable_curves",
    "identify",
    "initialise",
    "no_operation",
    "own_identity",
    "poll",
    "request_curves",
    "send_curves",
    "stop",
]

CYCLE: Final = (Code.DATA_1, Code.ALARMS_1, Code.DATA_2, Code.ALARMS_2)
"""Asked over and over."""
SELDOM: Final = (
    Code.SETTINGS,
    Code.TEXTS,
    Code.LOW_LIMITS_1,
    Code.HIGH_LIMITS_1,
    Code.LOW_LIMITS_2,
    Code.HIGH_LIMITS_2,
    Code.DATE_TIME,
)
"""One of them after each cycle."""
POLLS: Final = frozenset((*CYCLE, *SELDOM))

OWN_ID: Final = b"0000'Wardgate'01.00:06.00"
"""Number, name, revision of ours, revision of the protocol: what a device is told that asks."""

SYNC: Final = 0xD0
ENABLE_1_4, ENABLE_END = 0xC1, 0xC0
ARGUMENT: Final = 0xC0


def initialise() -> bytes:
    """Begin."""
    return encode(Command(Code.INITIALISE, b""))


def identify() -> bytes:
    """Who are you?"""
    return encode(Command(Code.IDENTIFY, b""))


def no_operation() -> bytes:
    """We are still there."""
    return encode(Command(Code.NO_OPERATION, b""))


def stop() -> bytes:
    """Goodbye."""
    return encode(Command(Code.STOP, b""))


def poll(code: Code) -> bytes:
    """Ask for one of :data:`POLLS`.

    Raises:
        ValueError: it is none of them.
    """
    if code not in POLLS:
        raise ValueError(f"command {code:02X} is none of those that ask")
    return encode(Command(code, b""))


def request_curves() -> bytes:
    """Which curves are there?"""
    return encode(Command(Code.CURVES, b""))


def send_curves(wanted: Sequence[tuple[int, int]]) -> bytes:
    """Send these curves: the code of each, and to how many of its intervals a sample is wanted."""
    argument = b"".join(b"%02X%02X" % each for each in wanted)
    return encode(Command(Code.SEND_CURVES, argument))


def enable_curves(count: int) -> bytes:
    """Begin with the first ``count`` (0 to 4) of the curves that were configured."""
    return bytes((SYNC, ENABLE_1_4, ARGUMENT | (1 << count) - 1, ENABLE_END, ARGUMENT))


def echo(command: Command) -> bytes:
    """The answer to a device's command that needs no more."""
    return encode(Response(command.code, b""))


def corrupt() -> bytes:
    """The answer to a device's command that was damaged."""
    return encode(Response(Code.CORRUPT, b""))


def own_identity() -> bytes:
    """The answer to a device that asks who we are."""
    return encode(Response(Code.IDENTIFY, OWN_ID))
