"""The certificates of a bench: a gateway, a device, and a ward's own service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from contract.exhibit import DEVICE_ID
from security import pki
from security.files import TlsFiles
from security.names import Role

TRUST_DOMAIN = "contract.example"
HOSTS = ("localhost", "127.0.0.1")


class Certificates:
    """Written below a directory; valid for two days."""

    def __init__(self, directory: Path) -> None:
        began = datetime.now(UTC) - timedelta(days=1)
        authority = pki.create_issuing(pki.create_root(TRUST_DOMAIN, began), began)
        validity = pki.Validity.days(began, 2)

        def make(name: str, subject: pki.Subject) -> tuple[TlsFiles, bytes]:
            files, issued = pki.make_identity(authority, subject, directory / name, validity)
            return files, issued.certificate.public_bytes(Encoding.DER)

        self.gateway, _ = make("gateway", pki.Subject(Role.GATEWAY, "gw-1", HOSTS))
        self.service, _ = make("service", pki.Subject(Role.SERVICE, "service-1", HOSTS))
        self.device, self.device_der = make("device", pki.Subject(Role.DEVICE, DEVICE_ID))
