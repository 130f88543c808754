"""Keyed pseudonyms: what makes them, and what whoever holds the key can find again.

A pseudonym is HMAC-SHA-256, cut to 128 bits, under a key that is derived from a secret, the
destination's name and its project. Nobody without the secret can tell whether two pseudonyms of
different destinations or projects are one device, or try device ids (ISO 25237: the secret is the
custodian's). It can't be turned back: finding a device again means trying every id that is known.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping

PSEUDONYM_BYTES = 16
KEY_BYTES_MIN = 32
NAMES_CACHED_MAX = 65536
"""Pseudonyms of device ids remembered; beyond it the cache starts anew."""


class Pseudonyms:
    """Names of one destination and project; equal for equal input, meaningless elsewhere."""

    def __init__(self, secret: bytes, destination: str, project: str) -> None:
        """Derive the key.

        Raises:
            ValueError: a secret shorter than KEY_BYTES_MIN.
        """
        if len(secret) < KEY_BYTES_MIN:
            raise ValueError(f"a pseudonym key needs {KEY_BYTES_MIN} bytes")
        scope = b"wardgate pseudonyms 1\0" + destination.encode() + b"\0" + project.encode()
        self._key = hmac.digest(secret, scope, hashlib.sha256)
        self._names: dict[str, str] = {}

    def name(self, name: str) -> str:
        """The pseudonym of a name; of nothing it is nothing."""
        if not name:
            return ""
        known = self._names.get(name)
        if known is None:
            if len(self._names) >= NAMES_CACHED_MAX:
                self._names.clear()
            known = self._names[name] = self._hmac(b"n\0" + name.encode())
        return known

    def message_id(self, device_id: str, message_id: str) -> str:
        """The pseudonym of a message id within its device."""
        if not message_id:
            return ""
        return self._hmac(b"m\0" + device_id.encode() + b"\0" + message_id.encode())

    def days(self, device_id: str, days_max: int) -> int:
        """By how many days a device's times are shifted: 1..days_max, either way, never 0."""
        drawn = int.from_bytes(hmac.digest(self._key, b"d\0" + device_id.encode(), "sha256")[:8])
        chosen = drawn % (2 * days_max) - days_max
        return chosen if chosen < 0 else chosen + 1

    def found(self, pseudonyms: Iterable[str], device_ids: Iterable[str]) -> Mapping[str, str]:
        """Pseudonym -> device id, for those that are of one of ``device_ids``."""
        wanted = set(pseudonyms)
        found = {}
        for device_id in device_ids:
            name = self.name(device_id)
            if name in wanted:
                found[name] = device_id
        return found

    def _hmac(self, message: bytes) -> str:
        return hmac.digest(self._key, message, "sha256")[:PSEUDONYM_BYTES].hex()
