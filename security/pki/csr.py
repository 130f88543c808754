"""Certificate requests (PKCS #10, RFC 2986): made by holders, judged by the authority.

Of a request only the public key is used: names, extensions and usages that it asks for are
ignored.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway.domain.errors import MalformedError
from security.pki.keys import PublicKey, SigningKey

CSR_BYTES_MAX = 16 * 1024


def create_csr(key: SigningKey, name: str) -> bytes:
    """A PEM request that proves possession of ``key``; its subject is a courtesy."""
    request = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    return request.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def read_csr(csr: bytes) -> PublicKey:
    """The public key of a PEM or DER request, after its proof of possession was checked.

    Raises:
        MalformedError: ``csr`` (unreadable), ``csr_signature`` (tampered with) or ``csr_key``
            (not a P-256 key).
    """
    if len(csr) > CSR_BYTES_MAX:
        raise MalformedError("csr", f"{len(csr)} bytes")
    try:
        if csr.lstrip().startswith(b"-----BEGIN"):
            request = x509.load_pem_x509_csr(csr)
        else:
            request = x509.load_der_x509_csr(csr)
        key = request.public_key()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise MalformedError("csr", "no certificate request") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise MalformedError("csr_key", "not a P-256 key")
    try:
        # A damaged signature is reported as False or raised, by where the damage is.
        valid = request.is_signature_valid
    except (ValueError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise MalformedError("csr_signature") from error
    if not valid:
        raise MalformedError("csr_signature")
    return key
