"""``[radius]``: the secondary authentication of a 5G network's SMFs, by FreeRADIUS.

Rules: the attribute maps say where each vendor's SMF puts what; several attributes are tried in
their order. Secrets are files.
"""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

import msgspec

from fleet.radius.dictionary import ATTRIBUTES
from gateway.tomlfile import address
from security.files import TlsFiles

Positive = Annotated[float, msgspec.Meta(gt=0)]
Word = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9_]{0,31}\Z")]
"""Becomes a name in FreeRADIUS' configuration."""

STANDARD = frozenset(
    ("User-Name", "Calling-Station-Id", "Called-Station-Id", "Chargeable-User-Identity")
)
"""Of RFC 2865 and RFC 4372, what an SMF may put an identity into."""


class AttributeMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an SMF puts what: TS 29.561, 11.2 and 11.3, unless it is said otherwise."""

    supi: tuple[str, ...] = ("3GPP-IMSI",)
    gpsi: tuple[str, ...] = ("Calling-Station-Id", "User-Name")
    imei: tuple[str, ...] = ("3GPP-IMEISV",)
    dnn: tuple[str, ...] = ("Called-Station-Id",)
    snssai: tuple[str, ...] = ("3GPP-Session-S-NSSAI",)
    tac: tuple[str, ...] = ("3GPP-User-Location-Info",)

    def __post_init__(self) -> None:
        """Refuse attributes that the dictionary does not have: FreeRADIUS would not start."""
        known = STANDARD | {each.name for each in ATTRIBUTES}
        for name in self.__struct_fields__:
            for attribute in getattr(self, name):
                if attribute not in known:
                    raise ValueError(f"{name}: no attribute {attribute!r} is known")


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An SMF."""

    address: str
    """A literal address, or a network in CIDR notation."""
    secret: Path
    """The shared secret: printable characters."""
    map: Word = "standard"
    disconnect: str = ""
    """``host:port`` that takes Disconnect-Requests (RFC 5176: port 3799); empty: it takes none."""

    def __post_init__(self) -> None:
        """Refuse what is no address."""
        ip_network(self.address, strict=False)
        if self.disconnect:
            address(self.disconnect, "disconnect")


class RadiusTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is generated, for whom, and where it will run."""

    directory: Path
    """Where the generated configuration is written; ``current`` below it is the newest."""
    in_force: Path = Path("/etc/freeradius/wardgate")
    """Where FreeRADIUS finds it: `wardgate fleet radius watch` puts it there."""
    certificate: Path
    """Of the EAP server, leaf and issuer: a service's, `wardgate ca issue service`. The fleet
    service reads it, renews it where it lies in two slots, and hands it on with the rest."""
    key: Path
    listen: str = "0.0.0.0:1812"
    accounting: str = "0.0.0.0:1813"
    run_dir: Path = Path("/run/wardgate-radius")
    log: Path = Path("/var/log/freeradius/wardgate.log")
    sessions: Path = Path("/var/log/freeradius/wardgate-sessions.log")
    """Who was accepted and refused, and what SMFs account; the fleet follows it."""
    libraries: Path = Path("/usr/lib/freeradius")
    group: str = "freerad"
    """Whom FreeRADIUS runs as: who may read what is in force."""
    clients: dict[Word, Client] = {}
    maps: dict[Word, AttributeMap] = {}
    """By name; ``standard`` is there without being said."""
    crl_hours: Positive = 72
    """After so long without the fleet FreeRADIUS lets nobody in."""

    def __post_init__(self) -> None:
        """Refuse a client whose map is not there."""
        for name, client in self.clients.items():
            if client.map not in self.all_maps:
                raise ValueError(f"clients.{name}: no map {client.map!r}")

    @property
    def identity(self) -> TlsFiles:
        """The EAP server's, as other services have theirs."""
        return TlsFiles(self.certificate, self.key, self.certificate.parent / "ca.pem")

    @property
    def all_maps(self) -> dict[str, AttributeMap]:
        """With the one that is there without being said."""
        return {"standard": AttributeMap(), **self.maps}
