"""Two places for one identity, so that a renewal that fails at any step leaves a usable one.

```
DIR/slot-a/{cert,key,ca}.pem
DIR/slot-b/{cert,key,ca}.pem
DIR/current -> slot-a
DIR/{cert,key,ca}.pem -> current/...
```

Rules:

* Configurations name ``DIR/cert.pem`` and so on, as for an identity of plain files, or
  ``DIR/current/cert.pem``. ``current`` is replaced by a rename, so a reader sees one identity or
  the other (see :meth:`security.files.TlsFiles.pinned`).
* A new key is made in the slot that is not current, and never leaves it. It is used for the
  request until an answer has come: an issuer may repeat an answer that got lost.
* A slot is filled certificate last and emptied key first. So what a crash leaves behind tells
  its own story: a key alone is a request under way, three files are a candidate (or, if they are
  not newer than the current ones, what was current before), anything else is swept away.
* Every step is synced before the next one.
"""

from __future__ import annotations

import os
import secrets
from enum import Enum
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway.domain.errors import ConfigError
from security import pki
from security.files import TlsFiles, sync_directory, write_atomic

CURRENT: Final = "current"
NAMES: Final = ("slot-a", "slot-b")


class Spare(Enum):
    """What the slot that is not current holds."""

    EMPTY = "empty"
    KEY = "key"
    """A request with this key is under way."""
    CANDIDATE = "candidate"
    """A newer identity that was not put in force yet."""
    FORMER = "former"
    """The identity that was current before; still whole."""


class Slots:
    """The two slots below one directory; one process at a time may write."""

    def __init__(self, directory: Path) -> None:
        """Keep the place; nothing is read yet."""
        self.directory = directory

    @classmethod
    def of(cls, files: TlsFiles) -> Slots | None:
        """The slots that ``files`` are read through; None for an identity of plain files."""
        parent = files.cert.parent
        directory = parent.parent if parent.name == CURRENT else parent
        if files != TlsFiles.within(parent) or not cls(directory).exists():
            return None
        if parent is directory and not all(_is_link(path) for path in files):
            return None  # somebody has put plain files over the links
        return cls(directory)

    @property
    def files(self) -> TlsFiles:
        """The current slot's."""
        return TlsFiles.within(self.directory / CURRENT)

    @property
    def spare_files(self) -> TlsFiles:
        """The files of the slot that is not current."""
        return TlsFiles.within(self._spare())

    def exists(self) -> bool:
        """Whether the directory has this layout."""
        try:
            return str((self.directory / CURRENT).readlink()) in NAMES
        except OSError:
            return False

    def create(self, key: pki.SigningKey, chain_pem: bytes, trust_pem: bytes) -> TlsFiles:
        """Lay out a new directory with a first identity; returns the files to name.

        Raises:
            ConfigError: there is an identity already.
            OSError: it can't be written.
        """
        if self.exists() or TlsFiles.within(self.directory).key.exists():
            raise ConfigError(f"{self.directory} holds an identity already")
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write(self.directory / NAMES[0], key, chain_pem, trust_pem)
        named = TlsFiles.within(self.directory)
        for path in named:
            path.unlink(missing_ok=True)
            path.symlink_to(Path(CURRENT) / path.name)
        self._point(NAMES[0])
        return named

    def replace(self, key: pki.SigningKey, chain_pem: bytes, trust_pem: bytes) -> None:
        """Put an identity in force that comes with its key; the former one stays in its slot.

        A request that is under way for this directory fails, and begins anew.

        Raises:
            ConfigError: there is no identity yet, or it began before the one in force.
            OSError: it can't be written; the former one is in force.
        """
        self._write(self._spare(), key, chain_pem, trust_pem)
        self.swap()

    def newest(self) -> float:
        """When the newest of the two was issued, in Unix seconds."""
        return max(_began(self.files), _began(self.spare_files))

    def spare(self) -> Spare:
        """What is in the slot that is not current; see the module's rules."""
        files = self.spare_files
        if not files.key.exists():
            return Spare.EMPTY
        if not files.cert.exists():
            return Spare.EMPTY if _key(files) is None else Spare.KEY
        if not _whole(files):
            return Spare.EMPTY
        newer = _began(files) > _began(self.files)
        return Spare.CANDIDATE if newer else Spare.FORMER

    def recover(self) -> Spare:
        """Sweep away what an interrupted step left behind; returns what the spare slot holds.

        Raises:
            OSError: it can't be swept.
        """
        for left in self.directory.glob(f".{CURRENT}.*"):
            left.unlink(missing_ok=True)
        found = self.spare()
        slot = self._spare()
        if found is Spare.EMPTY:
            self._empty(slot)
        else:
            _sweep_scratch(slot)
        return found

    def request_key(self) -> pki.SigningKey:
        """The key to ask a certificate for: the one of a request under way, else a new one.

        Whatever else the spare slot held is gone then.

        Raises:
            OSError: it can't be written.
        """
        files = self.spare_files
        if self.spare() is Spare.KEY:
            key = _key(files)
            if key is not None:
                return key
        self._empty(files.key.parent)
        made = pki.new_key()
        pki.save_key(made, files.key)
        return made

    def fill(self, chain_pem: bytes, trust_pem: bytes) -> TlsFiles:
        """Complete the spare slot; it is a candidate from then on.

        Raises:
            ConfigError: the certificate is not for the spare slot's key.
            OSError: it can't be written.
        """
        files = self.spare_files
        key = _key(files)
        leaf = x509.load_pem_x509_certificates(chain_pem)[0]
        if key is None or key.public_key() != leaf.public_key():
            raise ConfigError(f"{files.key}: not the private key of the new certificate")
        write_atomic(files.trust, trust_pem)
        write_atomic(files.cert, chain_pem)
        return files

    def discard(self) -> None:
        """Empty the spare slot.

        Raises:
            OSError: it can't be emptied.
        """
        self._empty(self._spare())

    def swap(self) -> None:
        """Make the spare slot current; what was current stays as it is, in the spare slot.

        Raises:
            ConfigError: the spare slot holds no whole identity, or one from before the current.
            OSError: nothing was swapped.
        """
        spare = self._spare()
        files = TlsFiles.within(spare)
        if not _whole(files):
            raise ConfigError(f"{spare}: not a whole identity")
        if _began(files) < _began(self.files):
            raise ConfigError(f"{spare}: older than the identity in force")
        self._point(spare.name)

    def _spare(self) -> Path:
        try:
            current = str((self.directory / CURRENT).readlink())
        except OSError as error:
            raise ConfigError(f"{self.directory / CURRENT}: {error.strerror}") from error
        if current not in NAMES:
            raise ConfigError(f"{self.directory / CURRENT}: points to {current}, to no slot")
        return self.directory / NAMES[1 - NAMES.index(current)]

    def _point(self, name: str) -> None:
        scratch = self.directory / f".{CURRENT}.{secrets.token_hex(4)}"
        scratch.symlink_to(name)
        try:
            scratch.replace(self.directory / CURRENT)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise
        sync_directory(self.directory)

    def _write(self, slot: Path, key: pki.SigningKey, chain_pem: bytes, trust_pem: bytes) -> None:
        self._empty(slot)
        files = TlsFiles.within(slot)
        pki.save_key(key, files.key)
        write_atomic(files.trust, trust_pem)
        write_atomic(files.cert, chain_pem)

    def _empty(self, slot: Path) -> None:
        if not slot.exists():
            slot.mkdir(mode=0o700)
            sync_directory(self.directory)
            return
        files = TlsFiles.within(slot)
        for path in (files.key, files.cert, files.trust):
            if path.exists():
                path.unlink()
                sync_directory(slot)
        _sweep_scratch(slot)


def _is_link(path: Path) -> bool:
    try:
        return path.readlink() == Path(CURRENT) / path.name
    except OSError:
        return False


def _sweep_scratch(slot: Path) -> None:
    """Remove half-written files of ``write_atomic``, which may hold a key."""
    for left in os.scandir(slot):
        if left.name.startswith(".") and left.is_file(follow_symlinks=False):
            Path(left).unlink(missing_ok=True)


def _key(files: TlsFiles) -> pki.SigningKey | None:
    try:
        return pki.load_key(files.key)
    except ConfigError:
        return None


def _whole(files: TlsFiles) -> bool:
    key = _key(files)
    try:
        leaf = pki.load_certificates(files.cert)[0]
        pki.load_certificates(files.trust)
    except ConfigError:
        return False
    return key is not None and key.public_key() == leaf.public_key()


def _began(files: TlsFiles) -> float:
    """When a certificate was issued; minus infinity for what can't be read."""
    try:
        return pki.load_certificates(files.cert)[0].not_valid_before_utc.timestamp()
    except ConfigError:
        return float("-inf")
