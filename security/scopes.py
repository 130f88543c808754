"""Keys per scope, and the sealers that use them: erase a key, and its scope's data is gone.

Rules:

* A scope is a kind of data that a hospital may want to erase apart from the others. At any time one
  key of it seals; older ones open what they sealed.
* A key is durable (:mod:`security.keystore`) before it seals anything. Sealing itself never touches
  the disk.
* Rotating the hospital's key seals the scopes' keys anew; no data is read or written for it.
* What an earlier release sealed by the ring itself still opens by the ring.

Any thread may seal and open; changes exclude each other.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from gateway.domain.errors import KeyErasedError, KeyMissingError
from security import keystore
from security.keystore import KeyFile
from security.sealing import KEY_BYTES, KeyRing, Sealer, SealKey


class Held(NamedTuple):
    """What may be said of a key."""

    key_id: str
    scope: str
    begun_us: int
    sealing: bool
    """It is the one that seals now."""


class ScopeSealer:
    """Seals with the newest key of one scope; opens with every key of the store."""

    def __init__(self, keys: ScopeKeys, scope: str, active: SealKey) -> None:
        self._keys = keys
        self.scope = scope
        self.active = active

    def seal(self, plaintext: bytes, aad: bytes) -> tuple[str, bytes]:
        """Seal, bound to ``aad``; returns the key's id and the sealed piece."""
        active = self.active  # once: another thread may exchange it
        return active.key_id, active.seal(plaintext, aad)

    def open(self, key_id: str, sealed: bytes, aad: bytes) -> bytes:
        """Open a sealed piece.

        Raises:
            KeyErasedError: its key was erased.
            KeyMissingError: there is no such key.
            SealBrokenError: it was changed, moved or cut.
        """
        return self._keys.open(key_id, sealed, aad)


class OpenedKeys:
    """What opens, and nothing else: for whoever looks at what another process writes."""

    def __init__(self, file: KeyFile, ring: KeyRing) -> None:
        """Open the scopes' keys.

        Raises:
            KeyMissingError, SealBrokenError: the ring lacks the key that sealed them, or has
                another.
        """
        self._file = file
        self._direct = Sealer(ring)
        self._keys = file.open(ring)
        self._opening = {
            file.key_id(number): SealKey(file.key_id(number), key)
            for number, key in self._keys.items()
        }

    @classmethod
    def load(cls, path: Path, ring: KeyRing) -> OpenedKeys:
        """Read the file; without one, the ring alone opens.

        Raises:
            ConfigError: it is damaged.
            KeyMissingError, SealBrokenError: as the constructor.
        """
        return cls(keystore.load(path) or KeyFile.new(ring), ring)

    def open(self, key_id: str, sealed: bytes, aad: bytes) -> bytes:
        """See :meth:`ScopeSealer.open`."""
        key = self._opening.get(key_id)
        if key is not None:
            return key.open(sealed, aad)
        if "-" not in key_id:
            return self._direct.open(key_id, sealed, aad)
        if self._file.erased(key_id):
            raise KeyErasedError(f"key {key_id} was erased")
        raise KeyMissingError(f"key {key_id} is not in the file of the scopes' keys")


class ScopeKeys(OpenedKeys):
    """The keys of one state directory; one process has it open."""

    def __init__(
        self, path: Path, ring: KeyRing, scopes: Iterable[str], now_us: Callable[[], int]
    ) -> None:
        """Open or make the file, with a key for each scope.

        Raises:
            ConfigError: the file is damaged.
            KeyMissingError, SealBrokenError: the ring lacks the key that sealed it, or has another.
            OSError: the disk refuses.
        """
        self._path = path
        self._ring = ring
        self._now_us = now_us
        self._lock = threading.Lock()
        keystore.tidy(path)
        super().__init__(keystore.load(path) or KeyFile.new(ring), ring)
        self._sealers: dict[str, ScopeSealer] = {}
        for each in sorted(self._file.keys, key=lambda key: key.number):
            active = self._opening[self._file.key_id(each.number)]
            self._sealers[each.scope] = ScopeSealer(self, each.scope, active)
        self.use(ring)
        self.begin([scope for scope in scopes if scope not in self._sealers])

    @property
    def hospital_key(self) -> int:
        """The number of the hospital's key that seals the scopes' keys."""
        return self._file.hospital_key

    def of(self, scope: str) -> ScopeSealer:
        """The sealer of a scope that was named at the opening; it follows every change."""
        return self._sealers[scope]

    def held(self) -> list[Held]:
        """Every key, the oldest first."""
        with self._lock:
            sealing = {sealer.active.key_id for sealer in self._sealers.values()}
            return [
                Held(key_id, each.scope, each.begun_us, key_id in sealing)
                for each in sorted(self._file.keys, key=lambda key: key.number)
                for key_id in (self._file.key_id(each.number),)
            ]

    def begin(self, scopes: Iterable[str]) -> None:
        """Let scopes seal with new keys from now on; the older ones still open.

        Raises:
            ConfigError: there are too many keys.
            OSError: they seal as before.
        """
        with self._lock:
            changed, fresh = self._file, dict[str, tuple[int, bytes]]()
            for scope in scopes:
                key = secrets.token_bytes(KEY_BYTES)
                fresh[scope] = changed.next, key
                changed = changed.with_key(self._ring, scope, self._now_us(), key)
            if not fresh:
                return
            self._replace(changed)
            for scope, (number, key) in fresh.items():
                key_id = self._file.key_id(number)
                self._keys[number] = key
                active = self._opening[key_id] = SealKey(key_id, key)
                if scope in self._sealers:
                    self._sealers[scope].active = active
                else:
                    self._sealers[scope] = ScopeSealer(self, scope, active)

    def erase(self, key_ids: Iterable[str]) -> None:
        """Destroy keys, durably: what they sealed opens never again.

        Keys that seal now stay: :meth:`begin` others first.

        Raises:
            OSError: they are there as before.
        """
        with self._lock:
            sealing = {sealer.active.key_id for sealer in self._sealers.values()}
            named = set(key_ids) - sealing
            gone = {each.number for each in self._file.keys if self._id(each.number) in named}
            if not gone:
                return
            self._replace(self._file.without(gone))
            for number in gone:
                del self._keys[number], self._opening[self._id(number)]

    def use(self, ring: KeyRing) -> bool:
        """Go on with another ring; True when the scopes' keys are sealed anew by it.

        Raises:
            OSError: the disk refuses; the ring before stays in use.
        """
        with self._lock:
            before = self._ring.key(self._file.hospital_key)
            rotated = ring.active != self._file.hospital_key or ring.key(ring.active) != before
            if rotated:
                self._replace(self._file.sealed_by(ring, self._keys))
            self._ring = ring
            self._direct.use(ring)
            return rotated

    def _id(self, number: int) -> str:
        return self._file.key_id(number)

    def _replace(self, changed: KeyFile) -> None:
        keystore.save(self._path, changed)
        self._file = changed
