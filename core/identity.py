"""Which gateway opened a stream: its certificate's identity and serial number.

gRPC has no revocation, so the serial number is looked up for every stream. Nor does it look at a
certificate's end again when it resumes a session, so that is done here, too.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

from gateway.domain.errors import RefusalReason, RefusedError
from security.names import Identity, Role
from security.tls import grpc_peer_identity


def gateway_of(context: Any, trust_domain: str, revoked: AbstractSet[int], now_us: int) -> Identity:
    """The gateway behind a servicer context.

    Raises:
        RefusedError: not a gateway's certificate, one that is revoked or has ended, or a TLS
            version too old.
    """
    identity = grpc_peer_identity(context, trust_domain)
    if identity.role is not Role.GATEWAY:
        raise RefusedError(RefusalReason.IDENTITY_MISMATCH, f"a {identity.role}, not a gateway")
    check_counts(identity, revoked, now_us)
    return identity


def check_counts(identity: Identity, revoked: AbstractSet[int], now_us: int) -> None:
    """Refuse a certificate that counts no longer.

    Raises:
        RefusedError: it is revoked or has ended.
    """
    reason = void(identity, revoked, now_us)
    if reason:
        raise RefusedError(reason, f"gateway {identity.id}")


def void(identity: Identity, revoked: AbstractSet[int], now_us: int) -> str:
    """Why a certificate counts no longer, a reason of RefusalReason; empty while it does."""
    if identity.is_in(revoked):
        return RefusalReason.REVOKED
    return RefusalReason.EXPIRED if identity.not_after <= now_us / 1e6 else ""
