"""Whom FreeRADIUS believes: authorities, and their lists of revocations, by OpenSSL's file names.

Each lies in a file named after the hash of its subject or issuer: ``<hash>.<n>`` for certificates,
``<hash>.r<n>`` for lists. OpenSSL refuses a certificate whose issuer has no list that is good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import crypto


def trust_files(
    authorities: Iterable[x509.Certificate], lists: Mapping[x509.Certificate, bytes]
) -> dict[str, bytes]:
    """File names and their content (PEM).

    Args:
        authorities: roots and issuing CAs.
        lists: issuing CA -> its list, DER.
    """
    files: dict[str, bytes] = {}
    for each in dict.fromkeys(authorities):
        _put(files, f"{_hash(each):08x}.", each.public_bytes(Encoding.PEM))
    for issuer, der in lists.items():
        found = x509.load_der_x509_crl(der)
        _put(files, f"{_hash(issuer):08x}.r", found.public_bytes(Encoding.PEM))
    return files


def _put(files: dict[str, bytes], stem: str, content: bytes) -> None:
    """Names that have the same hash are counted."""
    number = 0
    while f"{stem}{number}" in files:
        number += 1
    files[f"{stem}{number}"] = content


def _hash(certificate: x509.Certificate) -> int:
    return crypto.X509.from_cryptography(certificate).subject_name_hash()
