"""Who may ask for a certificate, and why enrolment refuses."""

from __future__ import annotations

from typing import NamedTuple

from cryptography import x509

from fleet.enrolment_store import TokenRow
from gateway.domain.errors import RefusalReason
from security.names import Identity


class Reason:
    """Why enrolment refuses, beside the reasons of :class:`RefusalReason`; bounded labels."""

    NO_CREDENTIAL = "no_credential"
    TOKEN_UNKNOWN = "token_unknown"  # noqa: S105  # a label
    TOKEN_WRONG = "token_wrong"  # noqa: S105
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    TOKEN_USED = "token_used"  # noqa: S105
    RETIRED = "retired"
    ROLE = "role"
    REQUEST = "request"
    PROFILE = "profile"
    CLAIM_REJECTED = "claim_rejected"
    CLAIMS_FULL = "claims_full"
    RATE = "rate"
    ALL = (
        *RefusalReason.ALL,
        NO_CREDENTIAL,
        TOKEN_UNKNOWN,
        TOKEN_WRONG,
        TOKEN_EXPIRED,
        TOKEN_USED,
        RETIRED,
        ROLE,
        REQUEST,
        PROFILE,
        CLAIM_REJECTED,
        CLAIMS_FULL,
        RATE,
    )
    UNPROVED = frozenset({NO_CREDENTIAL, TOKEN_UNKNOWN, TOKEN_WRONG, TOKEN_EXPIRED, TOKEN_USED})
    """Of whoever has not proved anything: they learn no more than that."""


class Token(NamedTuple):
    """What an operator hands on."""

    text: str
    expires_us: int


class TokenHolder(NamedTuple):
    """Asks with a device's token."""

    row: TokenRow

    @property
    def name(self) -> str:
        return self.row.device_id


class Manufactured(NamedTuple):
    """Asks with a manufacturer's certificate."""

    manufacturer: str
    serial_number: str
    subject: str
    common_names: frozenset[str]

    @property
    def name(self) -> str:
        return f"{self.manufacturer}/{self.serial_number}"


class Holder(NamedTuple):
    """Asks with a certificate of ours."""

    identity: Identity
    certificate: x509.Certificate
    ended: bool

    @property
    def name(self) -> str:
        return f"{self.identity.role}/{self.identity.id}"


Asker = TokenHolder | Manufactured | Holder
