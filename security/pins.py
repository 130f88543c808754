"""Pins: the public keys by which a receiver is known, beyond who vouches for it.

A pin is ``sha256:`` and the base64 of SHA-256 over a certificate's SubjectPublicKeyInfo, the
fingerprint of RFC 7469, 2.4. It names the receiver's own key, or that of a CA above it: then
whatever that CA issues for the receiver's name is accepted, so that a renewal needs no new pin.

:func:`pinned` looks only at the chain that was *verified*, from the receiver's certificate to a
trusted root: what a peer merely sends along proves nothing.
"""

from __future__ import annotations

import _ssl
import base64
import hashlib
import ssl
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PREFIX = "sha256:"
_DIGEST_BYTES = 32


def pin_of(certificate: x509.Certificate) -> str:
    """The pin of a certificate's key; it stays the same when the certificate alone is renewed."""
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PREFIX + base64.b64encode(hashlib.sha256(spki).digest()).decode()


def check_pins(pins: Iterable[str]) -> None:
    """Whether each is written as a pin is.

    Raises:
        ValueError: naming the one that isn't.
    """
    for pin in pins:
        try:
            digest = base64.b64decode(pin.removeprefix(PREFIX), validate=True)
        except ValueError:
            digest = b""
        if not pin.startswith(PREFIX) or len(digest) != _DIGEST_BYTES:
            raise ValueError(f"{pin!r} is no pin, which is sha256: and 32 bytes in base64")


def verified_chain(connection: ssl.SSLObject) -> list[x509.Certificate]:
    """The chain by which the peer was accepted, its own certificate first, the root last.

    To be asked of a connection whose handshake verified the peer.
    """
    if hasattr(connection, "get_verified_chain"):  # Python 3.13
        ders = list(connection.get_verified_chain())
    else:
        chain = connection._sslobj.get_verified_chain() or ()  # type: ignore[attr-defined]  # noqa: SLF001
        ders = [each.public_bytes(_ssl.ENCODING_DER) for each in chain]
    return [x509.load_der_x509_certificate(der) for der in ders]


def pinned(chain: Sequence[x509.Certificate], pins: Iterable[str]) -> x509.Certificate | None:
    """The first certificate of a verified chain whose key is pinned; None: the peer is not ours."""
    wanted = frozenset(pins)
    return next((each for each in chain if pin_of(each) in wanted), None)
