"""Certificate revocation lists (RFC 5280, section 5) for whoever is not ours.

Gateways look revocations up elsewhere (:mod:`security.revocations`). A list here is complete
(no delta, no distribution point), numbered, of one authority, and signed by that authority's key.

It is encoded here, since cryptography's builder copies the whole list with every entry that is
added; here 100,000 take 0.7 s (measured).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from security.pki import der
from security.pki.authority import Authority

ENTRIES_MAX = 1_000_000
NUMBER_OCTETS_MAX = 20
"""RFC 5280, 5.2.3."""

_CRL_NUMBER, _REASON, _AUTHORITY_KEY = "2.5.29.20", "2.5.29.21", "2.5.29.35"
_V2 = der.integer(1)


class Reason(IntEnum):
    """CRLReason (RFC 5280, 5.3.1), as far as it fits here."""

    UNSPECIFIED = 0
    KEY_COMPROMISE = 1
    CA_COMPROMISE = 2
    AFFILIATION_CHANGED = 3
    SUPERSEDED = 4
    CESSATION_OF_OPERATION = 5

    @classmethod
    def of(cls, words: str) -> Reason:
        """What an operator's words mean; what is no reason of the list is unspecified."""
        return cls.__members__.get(words.strip().upper().replace(" ", "_"), cls.UNSPECIFIED)


class Revoked(NamedTuple):
    """One revoked certificate."""

    serial: int
    at: datetime
    reason: Reason = Reason.UNSPECIFIED


def build(
    authority: Authority,
    number: int,
    revoked: Iterable[Revoked],
    now: datetime,
    next_update: datetime,
) -> bytes:
    """The DER of a list that is issued ``now`` and replaced at ``next_update`` at the latest.

    ``number`` must be greater than those of all earlier lists of this authority.

    Raises:
        ValueError: a number or a serial number is out of bounds, there are more than
            :data:`ENTRIES_MAX` entries, or the next list is due before this one.
    """
    if not 0 <= number < 1 << (8 * NUMBER_OCTETS_MAX - 1):
        raise ValueError(f"a list's number has at most {NUMBER_OCTETS_MAX} octets")
    if next_update <= now:
        raise ValueError("the next list would be due before this one")
    entries = [_entry(each) for each in revoked]
    if len(entries) > ENTRIES_MAX:
        raise ValueError(f"{len(entries)} revocations, more than {ENTRIES_MAX}")
    key_id = x509.SubjectKeyIdentifier.from_public_key(authority.certificate.public_key()).digest
    extensions = der.tlv(
        der.SEQUENCE,
        der.extension(
            _AUTHORITY_KEY,
            der.tlv(der.SEQUENCE, der.tlv(der.context(0, constructed=False), key_id)),
        ),
        der.extension(_CRL_NUMBER, der.integer(number)),
    )
    body = der.tlv(
        der.SEQUENCE,
        _V2,
        der.ECDSA_SHA256,
        authority.certificate.subject.public_bytes(),
        der.time(now),
        der.time(next_update),
        der.tlv(der.SEQUENCE, *entries) if entries else b"",  # absent when empty: 5.1.2.6
        der.tlv(der.context(0), extensions),
    )
    signature = authority.key.sign(body, ec.ECDSA(hashes.SHA256()))
    return der.tlv(der.SEQUENCE, body, der.ECDSA_SHA256, der.bit_string(signature))


def _entry(each: Revoked) -> bytes:
    serial, at, reason = each
    if not 0 < serial < 1 << 159:
        raise ValueError(f"no serial number: {serial}")
    octets = serial.bit_length() // 8 + 1
    # Every element is shorter than 128 octets, so each length is one octet.
    content = bytes((der.INTEGER, octets)) + serial.to_bytes(octets, "big") + der.time(at)
    if reason is not Reason.UNSPECIFIED:  # to be left out: 5.3.1
        content += _REASON_EXTENSIONS[reason]
    return bytes((der.SEQUENCE, len(content))) + content


_REASON_EXTENSIONS = {
    reason: der.tlv(der.SEQUENCE, der.extension(_REASON, der.integer(reason, der.ENUMERATED)))
    for reason in Reason
}
