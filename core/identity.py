"""Which gateway opened a stream: its certificate's identity and serial number.

gRPC has no revocation, so the serial number is looked up for every stream.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.domain.errors import RefusalReason, RefusedError
from security.names import Identity, Role
from security.tls import grpc_peer_identity


def gateway_of(context: Any, trust_domain: str, revoked: frozenset[int]) -> Identity:
    """The gateway behind a servicer context.

    Raises:
        RefusedError: not a gateway's certificate, a revoked one, or a TLS version too old.
    """
    identity = grpc_peer_identity(context, trust_domain)
    if identity.role is not Role.GATEWAY:
        raise RefusedError(RefusalReason.IDENTITY_MISMATCH, f"a {identity.role}, not a gateway")
    if identity.is_in(revoked):
        raise RefusedError(RefusalReason.REVOKED)
    return identity


def read_revoked(path: Path | None) -> frozenset[int]:
    """Serial numbers, one in hexadecimal a line; an absent file revokes nothing.

    Raises:
        ValueError: a line that is no number.
        OSError: the file is there and can't be read.
    """
    if path is None or not path.exists():
        return frozenset()
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return frozenset(int(line, 16) for line in lines if line)
