"""What the certificates of each role may be used for, and how long they may live.

| for | extended key usage | names | days, at most |
|---|---|---|---|
| device | clientAuth | its identity | 365, 1095 |
| gateway, service | clientAuth, serverAuth | its identity, hosts | 365, 1095 |
| operator | clientAuth | its identity | 365, 397 |
| OCSP responder | OCSPSigning, with no-check | none | 7, 90 |
"""

from __future__ import annotations

from typing import NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from security.names import Role

LEAF_DAYS = 365

_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
_SERVER = ExtendedKeyUsageOID.SERVER_AUTH


class Profile(NamedTuple):
    """What the certificates of a role may be used for."""

    usages: tuple[x509.ObjectIdentifier, ...]
    hosts: bool
    """Whether DNS names and addresses may be named."""
    days: float
    """How long they live when nothing else is configured."""
    days_max: float
    """Nothing can be configured or asked for beyond that."""


PROFILES: dict[Role, Profile] = {
    Role.DEVICE: Profile((_CLIENT,), hosts=False, days=LEAF_DAYS, days_max=1095),
    Role.OPERATOR: Profile((_CLIENT,), hosts=False, days=LEAF_DAYS, days_max=397),
    Role.GATEWAY: Profile((_CLIENT, _SERVER), hosts=True, days=LEAF_DAYS, days_max=1095),
    Role.SERVICE: Profile((_CLIENT, _SERVER), hosts=True, days=LEAF_DAYS, days_max=1095),
}
RESPONDER = Profile((ExtendedKeyUsageOID.OCSP_SIGNING,), hosts=False, days=7, days_max=90)
"""Short, since nobody asks whether it was revoked (id-pkix-ocsp-nocheck)."""
