"""The errors that cross a boundary between parts of the gateway.

Each carries a short machine-readable ``reason`` that is safe as a metric label and in a log:
it never holds a patient's, a device's or a peer's data.
"""

from __future__ import annotations


class WardgateError(Exception):
    """Base of every error of ours; ``reason`` is one of a bounded set of words."""

    reason = "error"


class ConfigError(WardgateError):
    """A configuration that can't be run; the message names the path of the offending key."""

    reason = "config"


class MalformedError(WardgateError):
    """Bytes or a payload that break their specification.

    Args:
        reason: a word of a bounded set, such as ``"truncated"`` or ``"unknown_field"``.
        detail: for the engineer's log; may quote positions and sizes, never values.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class RefusedError(WardgateError):
    """A peer that is not let in, or not let do this; see :class:`RefusalReason`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class RefusalReason:
    """Why a peer was refused: the labels of ``wardgate_refused_total``."""

    NO_CERTIFICATE = "no_certificate"
    UNTRUSTED = "untrusted"
    EXPIRED = "expired"
    REVOKED = "revoked"
    IDENTITY_MISMATCH = "identity_mismatch"
    MALFORMED = "malformed"
    SUSPENDED = "suspended"
    UNKNOWN_DEVICE = "unknown_device"
    WRONG_TRANSPORT = "wrong_transport"
    """The registry says that this device comes by another one."""
    CLONE = "clone"
    """One identity is used from two places."""
    OVERLOADED = "overloaded"
    HANDSHAKE = "handshake"
    ALL = (
        NO_CERTIFICATE,
        UNTRUSTED,
        EXPIRED,
        REVOKED,
        IDENTITY_MISMATCH,
        MALFORMED,
        SUSPENDED,
        UNKNOWN_DEVICE,
        WRONG_TRANSPORT,
        CLONE,
        OVERLOADED,
        HANDSHAKE,
    )


class NotSentError(WardgateError):
    """What was to be sent did not reach the next hop, or nobody knows; ``reason`` is a word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason.replace("_", " "))
        self.reason = reason


class JournalFullError(WardgateError):
    """The lane's byte limit is reached: nothing was written, nothing may be acknowledged."""

    reason = "journal_full"


class JournalFailedError(WardgateError):
    """The disk refused a write or a sync: nothing of the group may be acknowledged."""

    reason = "journal_failed"


class KeyMissingError(WardgateError):
    """The key that sealed this is not in the key ring: the data may be whole, nothing is wrong.

    The message names the key's id, never key material.
    """

    reason = "key_missing"


class KeyErasedError(WardgateError):
    """The key that sealed this was destroyed on purpose: nobody can open it any more."""

    reason = "key_erased"


class SealBrokenError(WardgateError):
    """Sealed bytes do not authenticate under the key that they name."""

    reason = "seal_broken"


def words(error: Exception) -> str:
    """An error in one line, for a person: an OSError as what and why, without its number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__
