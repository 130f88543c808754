"""The file of the scopes' keys: each sealed by the hospital's key, all of them replaced as one.

Rules:

* The file is replaced whole, synced and renamed: a stop at any instant leaves the old or the new
  one. What an interrupted replacement left beside it is removed before anything else, so that no
  copy of an erased key stays.
* Numbers are given out once. A number that was given out and is not in the file belongs to a key
  that was erased; one of another file, or beyond ``next``, to a key that is missing. The first is
  final, the second may be mended by whoever has the right file.
* What a key is for stands in the clear, so that an erasure can be prepared without the hospital's
  key; it is authenticated with the key.

Form: a JSON object, a line feed, ``crc32`` and eight hexadecimal digits over the object.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from zlib import crc32

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import ConfigError, KeyMissingError, SealBrokenError
from security.files import SECRET_MODE, check_secret, write_atomic
from security.sealing import KEY_BYTES, KeyRing, SealKey

VERSION = 1
FILE_BYTES_MAX = 4 << 20
KEYS_MAX = 10_000
"""About 200 bytes each; seven a day, for as long as something is left that they sealed."""
_TAIL = b"\ncrc32 %08x\n"
_TAIL_BYTES = len(_TAIL % 0)


class WrappedKey(msgspec.Struct, frozen=True):
    """One scope's key, sealed by the hospital's."""

    number: int
    scope: str
    begun_us: int
    """From when on it seals; the next key of the scope follows it."""
    sealed: bytes


class KeyFile(msgspec.Struct, frozen=True):
    """What the file holds."""

    store: str
    """Tells this file from any other: eight hexadecimal digits."""
    next: int
    """The number that the next key gets."""
    hospital_key: int
    """The ring's key that sealed all of them."""
    keys: tuple[WrappedKey, ...]
    version: int = VERSION

    @classmethod
    def new(cls, ring: KeyRing) -> KeyFile:
        """One without keys."""
        return cls(secrets.token_hex(4), 1, ring.active, ())

    def key_id(self, number: int) -> str:
        """What a sealed piece says of its key."""
        return f"{self.store}-{number}"

    def erased(self, key_id: str) -> bool:
        """Whether a key was given out by this file and is in it no more."""
        store, _, number = key_id.partition("-")
        if store != self.store or not (number.isascii() and number.isdecimal()):
            return False
        return 0 < int(number) < self.next and all(int(number) != k.number for k in self.keys)

    def open(self, ring: KeyRing) -> dict[int, bytes]:
        """The keys by their numbers.

        Raises:
            KeyMissingError: the ring lacks the hospital's key.
            SealBrokenError: it is another key, or the file was changed.
        """
        hospital = ring.key(self.hospital_key)
        if hospital is None:
            raise KeyMissingError(
                f"the scopes' keys are sealed by the hospital's key {self.hospital_key},"
                " which the key ring does not have"
            )
        opener = SealKey(str(self.hospital_key), hospital)
        found = {each.number: opener.open(each.sealed, self._aad(each)) for each in self.keys}
        if any(len(key) != KEY_BYTES for key in found.values()):
            raise SealBrokenError("a scope's key is of the wrong size")
        return found

    def sealed_by(self, ring: KeyRing, keys: dict[int, bytes]) -> KeyFile:
        """The same keys, sealed by the ring's active key."""
        return msgspec.structs.replace(
            self,
            hospital_key=ring.active,
            keys=tuple(self._wrap(ring, each, keys[each.number]) for each in self.keys),
        )

    def with_key(self, ring: KeyRing, scope: str, begun_us: int, key: bytes) -> KeyFile:
        """One key more, under the next number; the ring's active key must have sealed the rest.

        Raises:
            ConfigError: there are KEYS_MAX.
        """
        if len(self.keys) >= KEYS_MAX:
            raise ConfigError(f"{KEYS_MAX} keys of scopes: more are not kept")
        bare = WrappedKey(self.next, scope, begun_us, b"")
        wrapped = self._wrap(ring, bare, key)
        return msgspec.structs.replace(self, next=self.next + 1, keys=(*self.keys, wrapped))

    def without(self, numbers: set[int]) -> KeyFile:
        """The file after an erasure."""
        return msgspec.structs.replace(
            self, keys=tuple(each for each in self.keys if each.number not in numbers)
        )

    def _wrap(self, ring: KeyRing, each: WrappedKey, key: bytes) -> WrappedKey:
        hospital = ring.key(ring.active) or b""  # a ring has its active key
        sealer = SealKey(str(ring.active), hospital)
        return msgspec.structs.replace(each, sealed=sealer.seal(key, self._aad(each)))

    def _aad(self, each: WrappedKey) -> bytes:
        place = each.number.to_bytes(8, "big") + each.begun_us.to_bytes(8, "big")
        return b"wardgate scope key 1\0" + self.store.encode() + place + each.scope.encode()


def load(path: Path) -> KeyFile | None:
    """Read the file; None when there is none.

    Raises:
        ConfigError: it is damaged, a newer release's, or readable by others.
    """
    if not path.exists():
        return None
    check_secret(path)
    with path.open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    body = content[:-_TAIL_BYTES]
    if len(content) > FILE_BYTES_MAX or content[len(body) :] != _TAIL % crc32(body):
        raise ConfigError(f"{path}: the file of the scopes' keys is damaged; restore it")
    try:
        found = msgspec.json.decode(body, type=KeyFile)
    except UNDECODABLE as error:
        raise ConfigError(f"{path}: no file of scopes' keys: {error}") from error
    if found.version != VERSION:
        raise ConfigError(f"{path}: version {found.version}: a newer release's")
    return found


def save(path: Path, keys: KeyFile) -> None:
    """Replace the file, durably; whoever is interrupted leaves the old one or the new one.

    Raises:
        OSError: nothing was replaced.
    """
    body = msgspec.json.encode(keys)
    write_atomic(path, body + _TAIL % crc32(body), SECRET_MODE)


def tidy(path: Path) -> None:
    """Remove what an interrupted :func:`save` left; by the only process that saves.

    Raises:
        OSError: it can't be removed.
    """
    for scratch in path.parent.glob(f".{path.name}.*"):
        scratch.unlink()
