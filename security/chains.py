"""From a certificate to a root: who vouches for whom, at a given time.

TLS verifies a peer against everything that a listener trusts. Where a listener trusts several
kinds of roots, as the enrolment service does (its own, and manufacturers'), the kind that a
certificate really belongs to must be established again; that is done here. Revocation is looked
up elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import crypto

from gateway.domain.errors import MalformedError, RefusalReason, RefusedError
from security.names import CERTIFICATE_BYTES_MAX, UNREADABLE
from security.tls import refusal_of_code

_DIGEST = SHA256()
CHAIN_MAX = 8
"""Certificates that a peer may send; ours send two, manufacturers up to four."""


def read_chain(chain_der: Sequence[bytes]) -> list[x509.Certificate]:
    """What a peer sent, parsed, its own certificate first.

    Raises:
        MalformedError: ``certificate``: unreadable, too large or too many.
    """
    if not 0 < len(chain_der) <= CHAIN_MAX:
        raise MalformedError("certificate", f"{len(chain_der)} certificates")
    if any(len(each) > CERTIFICATE_BYTES_MAX for each in chain_der):
        raise MalformedError("certificate", "too large")
    try:
        return [x509.load_der_x509_certificate(each) for each in chain_der]
    except UNREADABLE as error:
        raise MalformedError("certificate", "unreadable") from error


def verify(
    chain: Sequence[x509.Certificate],
    roots: Iterable[x509.Certificate],
    at: datetime,
    *,
    strict: bool = True,
) -> x509.Certificate:
    """Find the root that vouches for a chain's first certificate; the others are only hints.

    With ``strict`` the rules of RFC 5280 hold to the letter. Everything of the path must be
    valid at ``at``.

    Raises:
        RefusedError: ``expired`` or ``untrusted``.
    """
    store = crypto.X509Store()
    trusted = {bytes(each.fingerprint(_DIGEST)): each for each in roots}
    for root in trusted.values():
        store.add_cert(crypto.X509.from_cryptography(root))
    if strict:
        store.set_flags(crypto.X509StoreFlags.X509_STRICT)
    store.set_time(at)
    first, *others = (crypto.X509.from_cryptography(each) for each in chain)
    try:
        path = crypto.X509StoreContext(store, first, others).get_verified_chain()
    except crypto.X509StoreContextError as error:
        raise RefusedError(refusal_of_code(error.errors[0]), "its chain") from error
    end = trusted.get(bytes(path[-1].to_cryptography().fingerprint(_DIGEST)))
    if end is None:
        raise RefusedError(RefusalReason.UNTRUSTED, "its chain ends at no root")
    return end
