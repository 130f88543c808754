"""Who a device is, and how a driver proves it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec

from gateway.domain.network import Binding


class Standing(StrEnum):
    """Where a device stands with the registry."""

    EXPECTED = "expected"
    ENROLLED = "enrolled"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    RETIRED = "retired"


class Device(msgspec.Struct, frozen=True):
    """A thing with an identity, as the registry knows it."""

    device_id: str
    kind: str = ""
    """``monitor``, ``drip``, ``ventilator``, …; empty when the registry doesn't know it."""
    ward: str = ""
    bed: str = ""
    standing: Standing = Standing.ACTIVE
    revoked: bool = False
    """Every certificate it had is revoked: it can't come back with one of them."""
    transport: str = ""
    """The only one allowed: ``mqtt``, ``coaps``, ``mllp``, ``llrp``, ``serial``, ``lan``,
    ``broker``; or any."""
    network: Binding = Binding()
    """What a mobile network must know it by."""

    @property
    def dismissed(self) -> bool:
        """Whether somebody decided that it is no longer in service."""
        return self.revoked or self.standing is Standing.RETIRED


class CertificateCredential(NamedTuple):
    """What a TLS or DTLS handshake proved."""

    der: bytes
    transport: str
    peer: str
    """Address and port, for the audit log only."""


class HostCredential(NamedTuple):
    """What a TLS handshake proved of a device that listens, at a host that is bound to it.

    The host's name was checked against the certificate.
    """

    device_id: str
    der: bytes
    transport: str
    peer: str
    """Host and port, for the audit log only."""


class PortCredential(NamedTuple):
    """A serial port that the configuration binds to one device."""

    device_id: str
    port: str


class AddressCredential(NamedTuple):
    """A network address that the configuration binds to one device: no proof of anything."""

    device_id: str
    address: str


class BrokerCredential(NamedTuple):
    """A device that somebody between it and us vouches for.

    That is a ward's broker, or a gateway that sends what its devices say under its own certificate
    (an IHE Device Observation Reporter).
    """

    device_id: str
    broker: str


Credential = (
    CertificateCredential | HostCredential | PortCredential | AddressCredential | BrokerCredential
)
