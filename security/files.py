"""Files that hold secrets, and files that must never be seen half-written.

A file is written beside its place, synced and renamed, so that a reader sees the old or the new
content; secrets get mode 0600 from the start. A secret that others could read is refused rather
than used: systemd's credential directory alone may show a group bit, since systemd grants its
service access through an ACL whose mask appears there.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import NamedTuple

from gateway.domain.errors import ConfigError

SECRET_MODE = 0o600
PUBLIC_MODE = 0o644
SECRET_BYTES_MAX = 64 * 1024
"""No key file of ours comes near it; a bound against being pointed at something else."""


class TlsFiles(NamedTuple):
    """Where a TLS identity lies; all PEM."""

    cert: Path
    """Leaf, then its issuers without the root."""
    key: Path
    """The leaf's private key, readable by its owner alone."""
    trust: Path
    """The roots whose certificates are accepted."""

    @classmethod
    def within(cls, directory: Path) -> TlsFiles:
        """``cert.pem``, ``key.pem`` and ``ca.pem`` of an identity's directory."""
        return cls(directory / "cert.pem", directory / "key.pem", directory / "ca.pem")

    def pinned(self) -> TlsFiles:
        """The same files with the links to their directory followed once, for all of them.

        Where a link is swapped meanwhile (:mod:`security.slots`), key and certificate are still
        read from the same place.
        """
        named, real = self.cert.parent, self.cert.resolve()
        if real.name != self.cert.name:
            return self
        return TlsFiles(
            *(real.parent / path.name if path.parent == named else path for path in self)
        )


def write_atomic(path: Path, content: bytes, mode: int = PUBLIC_MODE) -> None:
    """Replace ``path`` by ``content``, durably.

    Raises:
        OSError: nothing was replaced.
    """
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)  # the umask may only have taken bits away
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames within ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_secret(path: Path) -> bytes:
    """The content of a secret file, after :func:`check_secret`.

    Raises:
        ConfigError: missing, not a regular file, too large, or readable by others.
    """
    try:
        with path.open("rb") as file:
            _check(path, os.fstat(file.fileno()))
            return file.read(SECRET_BYTES_MAX)
    except OSError as error:
        raise ConfigError(f"{path}: can't read the secret: {error.strerror}") from error


def check_secret(path: Path) -> None:
    """Refuse a secret file that others could read.

    Raises:
        ConfigError: as :func:`read_secret`.
    """
    try:
        _check(path, path.stat())
    except OSError as error:
        raise ConfigError(f"{path}: can't read the secret: {error.strerror}") from error


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{path}: not a regular file")
    if found.st_size > SECRET_BYTES_MAX:
        raise ConfigError(f"{path}: larger than {SECRET_BYTES_MAX} bytes, so no key file")
    forbidden = 0o037 if _is_credential(path) else 0o077
    if stat.S_IMODE(found.st_mode) & forbidden:
        raise ConfigError(
            f"{path}: mode {stat.S_IMODE(found.st_mode):04o} lets others read it; run chmod 600"
        )


def _is_credential(path: Path) -> bool:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return directory is not None and path.resolve().is_relative_to(Path(directory).resolve())
