"""The audit log's own key: made at the first start, and its public half laid beside it."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from gateway.domain.errors import ConfigError
from security.files import SECRET_MODE, read_secret, write_atomic
from security.pki.token import TokenAuditKey
from security.pki.token_uri import SCHEME, TokenUri

PUBLIC_SUFFIX = ".pub"
PUBLIC_MODE = 0o644


def load_or_create_key(path: Path) -> Ed25519PrivateKey:
    """The log's own signing key; made at the first start, mode 0600.

    The public key is written beside it (``audit.pub``), for whoever checks the log. The file may
    name a key on a token instead (see :mod:`security.pki.token_uri`).

    Raises:
        ConfigError: it is readable by others or not such a key.
        TokenError: the token is away or refuses.
        OSError: it can't be made.
    """
    if not path.exists():
        made = Ed25519PrivateKey.generate()
        pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_atomic(path, pem, SECRET_MODE)
    key = load_key(path)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    beside = path.with_suffix(PUBLIC_SUFFIX)
    if not beside.exists() or beside.read_bytes() != public:
        write_atomic(beside, public, PUBLIC_MODE)
    return key


def load_key(path: Path) -> Ed25519PrivateKey:
    """The log's signing key, or the one on the token that the file names.

    Raises:
        ConfigError: missing, readable by others, or not such a key.
        TokenError: the token is away or refuses.
    """
    held = read_secret(path)
    if held.startswith(SCHEME.encode()):
        return TokenAuditKey(TokenUri.parse(held.decode(errors="replace")))
    try:
        loaded = load_pem_private_key(held, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path}: not a PEM private key") from error
    if not isinstance(loaded, Ed25519PrivateKey):
        raise ConfigError(f"{path}: not an Ed25519 key")
    return loaded


def load_public_key(path: Path) -> Ed25519PublicKey:
    """A log's public key, from ``audit.pub``, or from the key itself where one has it.

    Raises:
        ConfigError: there is no such file, or no Ed25519 key in it.
    """
    try:
        held = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: no such key") from error
    if b"PUBLIC KEY" not in held:
        return load_key(path).public_key()
    try:
        loaded = load_pem_public_key(held)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path}: not a PEM public key") from error
    if not isinstance(loaded, Ed25519PublicKey):
        raise ConfigError(f"{path}: not an Ed25519 key")
    return loaded
