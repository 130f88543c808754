"""Sealing what lies on disk: AES-256-GCM with keys that can be rotated.

Rules (NIST SP 800-38D):

* A nonce is never used twice under one key. A key of the ring never encrypts itself: each start
  derives a key of its own from it (HKDF-SHA-256 with 16 random bytes) and counts its nonces from
  zero, so that neither a restart, nor a restored disk, nor two processes can repeat one.
* The caller binds a place (log id, sequence, …) as additional data: a sealed piece that was moved
  does not open.
* The ring is a secret file, one key a line, ``<id> <base64 of 32 bytes>``; the greatest id seals,
  all open. Rotation appends a line; a key goes when nothing sealed by it is left.
* A ring holds the hospital's own keys. What they seal in a gateway are the keys of scopes
  (:mod:`security.scopes`); data is sealed by those.

Layout of a sealed piece: salt (16) | nonce counter (8, big-endian) | ciphertext | tag (16).
"""

from __future__ import annotations

import base64
import binascii
import itertools
import os
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.domain.errors import ConfigError, KeyMissingError, SealBrokenError
from security.files import SECRET_MODE, read_secret, write_atomic

KEY_BYTES = 32
SALT_BYTES = 16
COUNTER_BYTES = 8
OVERHEAD_BYTES = SALT_BYTES + COUNTER_BYTES + 16
KEY_ID_MAX = 2**32 - 1
DERIVED_KEYS_MAX = 256
"""One per start of the gateway whose pieces are being read."""
CREDENTIAL_PREFIX = "credential:"

_NONCE_PREFIX = bytes(4)
_INFO = b"wardgate journal seal 1"


class KeyRing:
    """The keys of one file; immutable, reload by making a new one."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        """Take keys by their id.

        Raises:
            ConfigError: no key, or one of the wrong size.
        """
        if not keys:
            raise ConfigError("a key ring needs at least one key")
        for key_id, key in keys.items():
            if len(key) != KEY_BYTES or not 0 < key_id <= KEY_ID_MAX:
                raise ConfigError(f"key {key_id}: an id of 1..{KEY_ID_MAX} and {KEY_BYTES} bytes")
        self._keys = dict(keys)
        self.active = max(self._keys)

    def key(self, key_id: int) -> bytes | None:
        """The key, or None when the ring doesn't have it."""
        return self._keys.get(key_id)

    def items(self) -> Iterable[tuple[int, bytes]]:
        """Every key by its id."""
        return self._keys.items()

    def without(self, key_id: int) -> KeyRing:
        """This ring without a key that seals nothing any more.

        Raises:
            ConfigError: it is the active one, or there is none of this id.
        """
        if key_id not in self._keys:
            raise ConfigError(f"the ring has no key {key_id}")
        if key_id == self.active:
            raise ConfigError(f"key {key_id} is the one that seals: make a new one first")
        return KeyRing({each: key for each, key in self._keys.items() if each != key_id})

    def rotated(self) -> KeyRing:
        """This ring with a new key that seals from now on."""
        return KeyRing({**self._keys, self.active + 1: secrets.token_bytes(KEY_BYTES)})

    def save(self, path: Path) -> None:
        """Write the ring, mode 0600, atomically."""
        lines = [
            f"{key_id} {base64.b64encode(key).decode()}\n"
            for key_id, key in sorted(self._keys.items())
        ]
        write_atomic(path, "".join(lines).encode(), SECRET_MODE)

    @classmethod
    def generate(cls) -> KeyRing:
        """A ring with one new key."""
        return cls({1: secrets.token_bytes(KEY_BYTES)})

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """Read a ring.

        Raises:
            ConfigError: missing, readable by others, or not a key ring.
        """
        keys: dict[int, bytes] = {}
        for number, line in enumerate(read_secret(path).splitlines(), start=1):
            fields = line.split()
            if not fields:
                continue
            try:
                key_id, key = int(fields[0]), base64.b64decode(fields[1], validate=True)
            except (IndexError, ValueError, binascii.Error):
                # No cause: it would quote the line, hence the key.
                raise ConfigError(f"{path}: line {number} is no '<id> <base64 key>'") from None
            if key_id in keys:
                raise ConfigError(f"{path}: line {number} repeats key {key_id}")
            keys[key_id] = key
        try:
            return cls(keys)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error


def secret_path(setting: str, base: Path) -> Path:
    """Resolve ``credential:<name>`` to systemd's credential, anything else relative to ``base``.

    Raises:
        ConfigError: a credential is named, but systemd passed none, or the name is a path.
    """
    if not setting.startswith(CREDENTIAL_PREFIX):
        return base / setting
    name = setting.removeprefix(CREDENTIAL_PREFIX)
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory is None:
        raise ConfigError(f"{setting}: systemd passed no credentials (LoadCredential=)")
    if not name or "/" in name or name in {".", ".."}:
        raise ConfigError(f"{setting}: not a credential's name")
    return Path(directory) / name


class SealKey:
    """One key: seals pieces, and opens what it sealed; any thread may do either."""

    def __init__(self, key_id: str, key: bytes) -> None:
        self.key_id = key_id
        self._key = key
        self._derived: OrderedDict[bytes, AESGCM] = OrderedDict()
        salt = secrets.token_bytes(SALT_BYTES)
        # One tuple, and a counter whose next() is one step of the interpreter: threads that seal
        # at once never share a nonce.
        self._sealing = salt, self._derive(salt), itertools.count()

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """A sealed piece, bound to ``aad``."""
        salt, key, numbers = self._sealing
        counter = next(numbers).to_bytes(COUNTER_BYTES, "big")
        return salt + counter + key.encrypt(_NONCE_PREFIX + counter, plaintext, aad)

    def open(self, sealed: bytes, aad: bytes) -> bytes:
        """What was sealed.

        Raises:
            SealBrokenError: it was changed, moved or cut, or another key sealed it.
        """
        if len(sealed) < OVERHEAD_BYTES:
            raise SealBrokenError(f"{len(sealed)} bytes can't be a sealed piece")
        start = SALT_BYTES + COUNTER_BYTES
        nonce = _NONCE_PREFIX + bytes(sealed[SALT_BYTES:start])
        try:
            return self._derive(bytes(sealed[:SALT_BYTES])).decrypt(nonce, sealed[start:], aad)
        except InvalidTag as error:
            raise SealBrokenError(f"a piece sealed by key {self.key_id} doesn't open") from error

    def _derive(self, salt: bytes) -> AESGCM:
        known = self._derived.get(salt)
        if known is not None:
            return known
        hkdf = HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=salt, info=_INFO)
        derived = AESGCM(hkdf.derive(self._key))
        self._derived[salt] = derived
        if len(self._derived) > DERIVED_KEYS_MAX:
            self._derived.popitem(last=False)
        return derived


class Sealer:
    """Seals with the ring's active key and opens with all; any thread may do either."""

    def __init__(self, ring: KeyRing) -> None:
        self.use(ring)

    def use(self, ring: KeyRing) -> None:
        """Go on with another ring, after a rotation."""
        self._keys = {str(key_id): SealKey(str(key_id), key) for key_id, key in ring.items()}
        self._active = self._keys[str(ring.active)]

    def of(self, scope: str) -> Sealer:
        """The same for every scope: a ring knows none."""
        del scope
        return self

    def seal(self, plaintext: bytes, aad: bytes) -> tuple[str, bytes]:
        """Seal, bound to ``aad``; returns the key's id and the sealed piece."""
        active = self._active
        return active.key_id, active.seal(plaintext, aad)

    def open(self, key_id: str, sealed: bytes, aad: bytes) -> bytes:
        """Open a sealed piece.

        Raises:
            KeyMissingError: the ring has no such key.
            SealBrokenError: it was changed, moved or cut.
        """
        key = self._keys.get(key_id)
        if key is None:
            raise KeyMissingError(f"key {key_id} is not in the ring")
        return key.open(sealed, aad)
