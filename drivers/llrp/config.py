"""The driver's configuration: one entry per reader."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import ClassVar, Final, NamedTuple

import msgspec

from drivers.llrp.settings import ReaderSettings

PLAIN_PORT: Final = 5084
TLS_PORT: Final = 5085
PORT_MAX: Final = 65_535
PIN: Final = re.compile(r"sha256:[A-Za-z0-9+/]{43}=")
"""As ``wardgate gateway pin`` prints it."""
HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


class Place(NamedTuple):
    """Where a reader is."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Reader(ReaderSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One reader, and how it is known that it is this one."""

    device_id: str
    address: str
    """Host, with a port where it is not 5084, or 5085 over TLS. Without TLS a literal address
    within ``networks``: a name would let whoever answers for it be the reader."""
    tls: bool = False
    pin: str = ""
    """Over TLS, ``sha256:…``: the reader is who has this key (``wardgate gateway pin cert.pem``);
    then we show no certificate, and no authority is asked. Else its certificate is one of ours, for
    the host of ``address``."""

    def __post_init__(self) -> None:
        if not self.device_id:
            raise ValueError("device_id must not be empty")
        self.check()
        self.place()
        if self.pin and not PIN.fullmatch(self.pin):
            raise ValueError("pin is sha256: and 32 bytes in base64")
        if self.pin and not self.tls:
            raise ValueError("pin means something only with tls = true")

    def place(self) -> Place:
        """Where the reader is.

        Raises:
            ValueError: no host, or no port; without TLS, no literal address.
        """
        host, port = self.address, TLS_PORT if self.tls else PLAIN_PORT
        if host.startswith("[") or host.count(":") == 1:
            host, _, number = host.rpartition(":") if not host.endswith("]") else (host, "", "")
            if number or not self.address.endswith("]"):
                if not number.isdecimal() or not 0 < int(number) <= PORT_MAX:
                    raise ValueError(f"address {self.address!r} has no port number")
                port = int(number)
        host = host.strip("[]")
        try:
            return Place(str(ipaddress.ip_address(host)), port)
        except ValueError:
            if self.tls and HOST.fullmatch(host):
                return Place(host, port)
        what = "a host" if self.tls else "a literal address"
        raise ValueError(f"address {self.address!r} is not {what}")


class LlrpConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The readers of one driver instance."""

    readers: tuple[Reader, ...]
    networks: tuple[str, ...] = ()
    """Where readers without TLS may be, such as ``["10.20.30.0/24"]``: networks of their own, where
    nobody else has an address."""
    dials_over: ClassVar[int] = socket.SOCK_STREAM

    def __post_init__(self) -> None:
        networks = [ipaddress.ip_network(each) for each in self.networks]
        for each in self.readers:
            if each.tls:
                continue
            address = ipaddress.ip_address(each.place().host)
            if not any(address in network for network in networks):
                raise ValueError(f"{each.device_id}: {address} without TLS is in none of networks")
        for what, names in (
            ("address", [str(each.place()) for each in self.readers]),
            ("device_id", [each.device_id for each in self.readers]),
        ):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"{what} {min(twice)!r} is configured twice")

    @property
    def bound(self) -> tuple[Reader, ...]:
        """All that is configured."""
        return self.readers

    @property
    def dials(self) -> tuple[str, ...]:
        """The readers: the packet filter lets these through."""
        return tuple(str(each.place()) for each in self.readers)
