"""What a peer showed, and why a handshake failed."""

from __future__ import annotations

import _ssl
import ssl
from typing import Final, Protocol, runtime_checkable

from cryptography import x509

from gateway.domain.errors import RefusalReason
from security.names import UNREADABLE
from security.pins import pin_of

_CERT_NOT_YET_VALID: Final = 9
_CERT_HAS_EXPIRED: Final = 10
"""X509_V_ERR_* of OpenSSL's x509_vfy.h."""


@runtime_checkable
class VerifyWatcher(Protocol):
    """What a DTLS connection's ``app_data`` may be, to learn why a certificate was refused."""

    def verify_failed(self, code: int) -> None:
        """Verification ended with this X509_V_ERR code; see :func:`refusal_of_code`."""


def peer_certificates(connection: ssl.SSLObject) -> list[bytes]:
    """What the peer of a connection sent, DER, its own certificate first; empty without one."""
    if connection.getpeercert(binary_form=True) is None:
        return []
    if hasattr(connection, "get_unverified_chain"):  # Python 3.13
        return list(connection.get_unverified_chain())
    chain = connection._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # noqa: SLF001
    return [each.public_bytes(_ssl.ENCODING_DER) for each in chain]


def pin_of_peer(certificate_der: bytes) -> str:
    """The pin (:mod:`security.pins`) of what a peer showed; empty when it can't be read."""
    try:
        return pin_of(x509.load_der_x509_certificate(certificate_der))
    except UNREADABLE:
        return ""


def refusal_of_code(code: int) -> str:
    """The refusal reason for an X509_V_ERR code."""
    expired = code in {_CERT_NOT_YET_VALID, _CERT_HAS_EXPIRED}
    return RefusalReason.EXPIRED if expired else RefusalReason.UNTRUSTED


def refusal_of(error: BaseException) -> str:
    """The refusal reason for what a listener's TLS handshake raised."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return refusal_of_code(error.verify_code)
    if isinstance(error, ssl.SSLError):
        if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            return RefusalReason.NO_CERTIFICATE
        if error.reason == "CERTIFICATE_VERIFY_FAILED":
            return RefusalReason.UNTRUSTED
    return RefusalReason.HANDSHAKE


def alert_of(error: BaseException) -> bytes:
    """The TLS alert that a failed handshake of a server context has for the peer.

    asyncio and uvloop close such a connection without writing it, so that the peer would not
    learn what is wrong with its certificate.
    """
    alert = getattr(error, "alert", b"")
    return alert if isinstance(alert, bytes) else b""
