"""What the certificates of each role may be used for."""

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


PROFILES: dict[Role, Profile] = {
    Role.DEVICE: Profile((_CLIENT,), hosts=False),
    Role.OPERATOR: Profile((_CLIENT,), hosts=False),
    Role.GATEWAY: Profile((_CLIENT, _SERVER), hosts=True),
    Role.SERVICE: Profile((_CLIENT, _SERVER), hosts=True),
}
