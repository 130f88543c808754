"""What the issuing CA has signed and anybody may carry: who signed it, and is it whole?

Rules:

* Who verifies trusts roots only: what was signed brings its signer's certificate, which must be
  this trust domain's CA, issued by one of the roots, and valid at the time of issue.
* Each kind of content begins with a magic of its own, so that no signature is good for another
  kind; a certificate, which the same key signs, begins with an ASN.1 SEQUENCE.

Layout of the end, lengths u16 big-endian: signer length, signer (DER) | signature length,
ECDSA-SHA-256 signature over everything before its length.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.domain.errors import MalformedError, RefusalReason, RefusedError
from security.names import UNREADABLE, authority_mark
from security.pki import Authority

_LENGTH = struct.Struct(">H")


class Signed(NamedTuple):
    """The end of what was signed."""

    signer: x509.Certificate
    signature: bytes
    content: memoryview
    """What the signature is over."""


class Reader:
    """Takes bytes from the front, without copying them, and refuses to run past the end."""

    def __init__(self, encoded: bytes) -> None:
        self._encoded = memoryview(encoded)
        self.position = 0

    def take(self, length: int) -> memoryview:
        """The next bytes.

        Raises:
            MalformedError: ``truncated``.
        """
        end = self.position + length
        if end > len(self._encoded):
            raise MalformedError("truncated", f"{end} bytes needed of {len(self._encoded)}")
        taken = self._encoded[self.position : end]
        self.position = end
        return taken

    def end(self) -> Signed:
        """Signer and signature, which nothing may follow.

        Raises:
            MalformedError: ``truncated``, ``trailing`` or ``signer``.
        """
        der = bytes(self.take(*_LENGTH.unpack(self.take(_LENGTH.size))))
        content = self._encoded[: self.position]
        signature = bytes(self.take(*_LENGTH.unpack(self.take(_LENGTH.size))))
        if self.position != len(self._encoded):
            raise MalformedError("trailing", "bytes after the signature")
        try:
            return Signed(x509.load_der_x509_certificate(der), signature, content)
        except UNREADABLE as error:
            raise MalformedError("signer", "unreadable") from error


def sign(authority: Authority, content: bytes) -> bytes:
    """The content with its signer and signature.

    Raises:
        TokenError: the key's token is away.
    """
    signer = authority.certificate.public_bytes(Encoding.DER)
    content += _LENGTH.pack(len(signer)) + signer
    signature = authority.key.sign(content, ec.ECDSA(hashes.SHA256()))
    return content + _LENGTH.pack(len(signature)) + signature


def verify(
    signed: Signed,
    issued_us: int,
    roots: Sequence[x509.Certificate] | None,
    trust_domain: str,
) -> int:
    """The mark of the authority that signed.

    ``roots`` is None for what was verified before: whoever signed it need not be trusted any more.

    Raises:
        MalformedError: ``signer``: unreadable.
        RefusedError: ``untrusted``: another domain's, no authority, or not its signature.
    """
    signer = signed.signer
    try:
        key = signer.public_key()
        constraints = signer.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = signer.extensions.get_extension_for_class(x509.KeyUsage).value
        names = signer.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        issued = datetime.fromtimestamp(issued_us / 1e6, UTC)
    except (x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise RefusedError(RefusalReason.UNTRUSTED, "the signer is no authority") from error
    except (*UNREADABLE, OverflowError, OSError) as error:
        raise MalformedError("signer", "unreadable") from error
    if not (constraints.ca and usage.crl_sign and isinstance(key, ec.EllipticCurvePublicKey)):
        raise RefusedError(RefusalReason.UNTRUSTED, "the signer is no authority")
    # Another site's authority has the same root, and no say here.
    if names.get_values_for_type(x509.UniformResourceIdentifier) != [f"spiffe://{trust_domain}"]:
        raise RefusedError(RefusalReason.UNTRUSTED, "the signer is another domain's authority")
    if roots is not None and not any(_issued_by(signer, root) for root in roots):
        raise RefusedError(RefusalReason.UNTRUSTED, "no root of ours issued the signer")
    if not signer.not_valid_before_utc <= issued <= signer.not_valid_after_utc:
        raise RefusedError(RefusalReason.UNTRUSTED, "the signer was not valid then")
    try:
        # The digest of megabytes is made by hashlib, which lets other threads go on meanwhile.
        digest = hashlib.sha256(signed.content).digest()
        key.verify(signed.signature, digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    except InvalidSignature as error:
        raise RefusedError(RefusalReason.UNTRUSTED, "the signature is not the signer's") from error
    return authority_mark(x509.SubjectKeyIdentifier.from_public_key(key).digest)


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
