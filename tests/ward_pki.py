"""A ward's certificates, made once per test run: a gateway, devices, and who must stay out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding

from gateway.domain.devices import Device
from security import pki
from security.files import TlsFiles
from security.names import Role
from security.policybundle import Bundle, sign_bundle

TRUST_DOMAIN = "ward.example"


class Holder(NamedTuple):
    """One identity: its files, its certificate and the device that it names."""

    files: TlsFiles
    der: bytes
    device: Device


class WardPki:
    """Writes identities below a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._now = datetime.now(UTC)
        self._authority = self._new_authority()
        self.gateway = self._make(
            "gateway", pki.Subject(Role.GATEWAY, "gw-1", ("localhost", "127.0.0.1", "::1"))
        )

    def broker(self) -> Holder:
        """A ward's MQTT broker."""
        hosts = ("localhost", "127.0.0.1")
        return self._make("broker", pki.Subject(Role.SERVICE, "broker-1", hosts))

    def operator(self, name: str) -> Holder:
        """Somebody who asks the gateway on site."""
        return self._make(f"operator-{name}", pki.Subject(Role.OPERATOR, name))

    def device(self, device_id: str, name: str = "") -> Holder:
        """A device's good certificate; another ``name`` makes another one for the same device."""
        return self._make(name or device_id, pki.Subject(Role.DEVICE, device_id), device_id)

    def expired(self, device_id: str) -> Holder:
        """A device's certificate that ended yesterday."""
        return self._make(
            f"{device_id}-expired",
            pki.Subject(Role.DEVICE, device_id),
            device_id,
            began=self._now - timedelta(days=3),
        )

    def stranger(self, device_id: str) -> Holder:
        """A certificate with a device's name from an authority that nobody trusts."""
        ours, self._authority = self._authority, self._new_authority()
        try:
            holder = self._make(
                f"{device_id}-stranger", pki.Subject(Role.DEVICE, device_id), device_id
            )
        finally:
            self._authority = ours
        # It trusts the ward's root, so that it gets as far as showing its certificate.
        holder.files.trust.write_bytes(pki.to_pem(self._authority.root))
        return holder

    def policy(self, text: str, number: int = 1, **more: Any) -> bytes:
        """A policy that the ward's authority has signed; ``more`` is of the bundle."""
        now_us = round(self._now.timestamp() * 1e6)
        return sign_bundle(self._authority, Bundle(number, now_us, text, "", TRUST_DOMAIN, **more))

    def _new_authority(self) -> pki.Authority:
        began = self._now - timedelta(days=10)
        return pki.create_issuing(pki.create_root(TRUST_DOMAIN, began), began)

    def _make(
        self,
        name: str,
        subject: pki.Subject,
        device_id: str = "",
        began: datetime | None = None,
    ) -> Holder:
        validity = pki.Validity.days(began or self._now, 2)
        files, issued = pki.make_identity(
            self._authority, subject, self._directory / name, validity
        )
        der = issued.certificate.public_bytes(Encoding.DER)
        return Holder(files, der, Device(device_id, kind="monitor", bed="3A-07"))
