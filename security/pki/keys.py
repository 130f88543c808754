"""The keys that sign: one type, wherever the private part lies.

Rules:

* All keys are ECDSA on P-256.
* A :data:`SigningKey` is used by ``public_key()`` and ``sign(data, ec.ECDSA(...))`` alone: its
  private part may lie where nobody can read it. Only what makes or copies a key file
  (:func:`key_pem`) needs more, and says so.
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
from security.files import read_secret

SigningKey: TypeAlias = ec.EllipticCurvePrivateKey
"""What every signer takes; cryptography's builders take it too."""
PublicKey: TypeAlias = ec.EllipticCurvePublicKey


def new_key() -> SigningKey:
    """A fresh P-256 key in memory."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: SigningKey) -> bytes:
    """A key as unencrypted PKCS #8 PEM; for keys in memory only."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_key(path: Path) -> SigningKey:
    """A P-256 key from a PEM file that nobody else can read.

    Raises:
        ConfigError: missing, readable by others, or not such a key.
    """
    try:
        key = load_pem_private_key(read_secret(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path}: not a PEM private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError(f"{path}: not a P-256 key")
    return key
