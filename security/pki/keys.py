"""The keys that sign: one type, wherever the private part lies.

Rules:

* All keys are ECDSA on P-256.
* A key's file holds the key (PKCS #8 PEM), or says on which token it is (one line, see
  :mod:`security.pki.token_uri`). Both are refused if others could read them.
* A :data:`SigningKey` is used by ``public_key()`` and ``sign(data, ec.ECDSA(...))`` alone: its
  private part may lie where nobody can read it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.domain.errors import ConfigError
from security.files import SECRET_MODE, read_secret, write_atomic
from security.pki import token
from security.pki.token_uri import SCHEME, TokenUri

SigningKey: TypeAlias = ec.EllipticCurvePrivateKey
"""What every signer takes; cryptography's builders take it too."""
PublicKey: TypeAlias = ec.EllipticCurvePublicKey


def new_key(uri: str = "") -> SigningKey:
    """A fresh P-256 key: in memory, or made on the token that ``uri`` names.

    Raises:
        ConfigError: not such a URI, or the token has a key of that name.
        TokenError: the token is away or refuses.
    """
    if uri:
        return token.generate(TokenUri.parse(uri))
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: SigningKey) -> bytes:
    """A key as unencrypted PKCS #8 PEM; for keys in memory only."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def save_key(key: SigningKey, path: Path) -> None:
    """Write a key's file, mode 0600: the key, or where on a token it is.

    Raises:
        OSError: it can't be written.
    """
    held = f"{key.uri}\n".encode() if isinstance(key, token.TokenKey) else key_pem(key)
    write_atomic(path, held, SECRET_MODE)


def load_key(path: Path) -> SigningKey:
    """A P-256 key from a file that nobody else can read, or from the token that it names.

    Raises:
        ConfigError: missing, readable by others, or not such a key.
        TokenError: the token is away or refuses.
    """
    held = read_secret(path)
    if held.startswith(SCHEME.encode()):
        return token.TokenKey(TokenUri.parse(held.decode(errors="replace")))
    return read_key(held, str(path))


def read_key(pem: bytes, where: str) -> SigningKey:
    """A P-256 key from PEM; ``where`` it came from is for the message.

    Raises:
        ConfigError: not such a key.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{where}: not a PEM private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError(f"{where}: not a P-256 key")
    return key
