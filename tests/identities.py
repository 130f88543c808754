"""Certificates for tests, made by the project's own PKI: one root, and a stranger's."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding

from security import pki
from security.files import TlsFiles
from security.pki import Authority, Subject, Validity
from security.tls import server_context

TRUST_DOMAIN = "ward.test"


class Holder(NamedTuple):
    """An identity's files and its leaf."""

    files: TlsFiles
    der: bytes


class Identities:
    """Issues into ``directory``; every name gets its own subdirectory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._now = datetime.now(UTC)
        root = pki.create_root(TRUST_DOMAIN, self._now)
        self._issuing = pki.create_issuing(root, self._now)
        self.gateway = self._make(
            self._issuing, pki.Role.GATEWAY, "gw-1", ("localhost", "127.0.0.1")
        )

    def device(self, device_id: str, days: float = 30) -> Holder:
        """A device's; negative days make it expired."""
        return self._make(self._issuing, pki.Role.DEVICE, device_id, days=days)

    def stranger(self, device_id: str) -> Holder:
        """The same name, certified by another authority of the same trust domain."""
        root = pki.create_root(TRUST_DOMAIN, self._now)
        issuing = pki.create_issuing(root, self._now)
        return self._make(issuing, pki.Role.DEVICE, device_id, prefix="stranger-")

    def server_context(self) -> ssl.SSLContext:
        return server_context(self.gateway.files)

    def client_context(self, holder: Holder | None) -> ssl.SSLContext:
        """A client's that trusts the gateway; None shows no certificate."""
        context = ssl.create_default_context(cafile=str(self.gateway.files.trust))
        context.check_hostname = False
        if holder is not None:
            context.load_cert_chain(holder.files.cert, holder.files.key)
        return context

    def _make(
        self,
        authority: Authority,
        role: pki.Role,
        name: str,
        hosts: tuple[str, ...] = (),
        days: float = 30,
        prefix: str = "",
    ) -> Holder:
        files, issued = pki.make_identity(
            authority,
            Subject(role, name, hosts),
            self._directory / f"{prefix}{name}{'-expired' if days < 0 else ''}",
            Validity.days(self._now, days),
        )
        der = issued.certificate.public_bytes(Encoding.DER)
        return Holder(files, der)
