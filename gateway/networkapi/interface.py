"""All that the rest of the gateway knows of a network that can be asked.

Rules:

* A device is named by its SIM's number or its address, an area by a circle, a flow by where it
  goes: no patient, bed, kind or alarm is ever said.
* A network that can't be asked now is :class:`~gateway.mec.http.PlatformError`; one that refuses
  is :class:`~gateway.mec.http.ProblemError`; an answer that makes no sense is
  :class:`~gateway.domain.errors.MalformedError`.
"""

from __future__ import annotations

import ipaddress
from enum import Enum
from typing import NamedTuple, Protocol

from gateway.domain.network import Binding, Swapped


class Whose(NamedTuple):
    """A device, as a network knows it; what is empty is not known. A number says more."""

    phone: str = ""
    """``+`` and 5 to 15 digits (E.164)."""
    ipv4: str = ""
    """Where the network's address is the one that the gateway sees: no NAT between them."""

    def __bool__(self) -> bool:
        return bool(self.phone or self.ipv4)


class Circle(NamedTuple):
    """An area."""

    latitude: float
    longitude: float
    radius_m: float


class Verdict(Enum):
    """Whether a device is in an area."""

    TRUE = "TRUE"
    FALSE = "FALSE"
    PARTIAL = "PARTIAL"
    """Where it may be lies partly outside."""
    UNKNOWN = "UNKNOWN"
    """The network has been asked, and can't say."""


class Located(NamedTuple):
    """What the network says of a device's place."""

    verdict: Verdict
    at_us: int = 0
    """When it was located; 0: it was not."""
    match_percent: int | None = None
    """Of a PARTIAL: how much of where it may be lies inside."""
    why: str = ""
    """Of an UNKNOWN."""


class Flow(NamedTuple):
    """What a device sends, and to where."""

    server: str
    """IP address or network."""
    ports: tuple[int, ...] = ()
    """Of the server; none: all."""


class Status(Enum):
    """What has become of a request for quality."""

    REQUESTED = "REQUESTED"
    AVAILABLE = "AVAILABLE"
    UNAVAILABLE = "UNAVAILABLE"


class Session(NamedTuple):
    """Quality that was asked for."""

    session_id: str
    status: Status
    duration_s: float
    """As granted, from its start on; extensions included."""


class LocationApi(Protocol):
    """A network that can be asked where a device is."""

    async def verify_location(self, whose: Whose, area: Circle, age_s: int) -> Located:
        """Whether a device is in an area, by a place that is at most ``age_s`` old."""


class QualityApi(Protocol):
    """A network that can be asked to put a flow first."""

    async def request_quality(
        self, whose: Whose, flow: Flow, profile: str, seconds: int
    ) -> Session:
        """A session for a flow; one that stands already is taken up."""

    async def quality(self, session_id: str) -> Session | None:
        """What has become of a session; None: the network knows none."""

    async def extend_quality(self, session_id: str, seconds: int) -> Session:
        """More of it."""

    async def end_quality(self, session_id: str) -> None:
        """No more of it; one that has ended is fine."""

    def same(self, before: Whose, now: Whose) -> bool:
        """Whether a session that was asked for then is still for the device's flow."""


class SwapApi(Protocol):
    """A network that can be asked when SIM and modem of a device were last changed."""

    @property
    def swap_calls(self) -> int:
        """How many calls one question takes at most; 0: it can't be asked."""

    async def swapped(self, whose: Whose) -> Swapped:
        """When; of a device that has a number."""


class NetworkApis(LocationApi, QualityApi, SwapApi, Protocol):
    """A network that can be asked for all of it."""


def whose(binding: Binding, addresses: frozenset[str] = frozenset()) -> Whose:
    """A device by what the registry binds it to, and by the one IPv4 address it has.

    Args:
        binding: the registry's.
        addresses: of its live sessions; empty where addresses are translated.
    """
    phone = f"+{binding.gpsi.removeprefix('msisdn-')}" if binding.gpsi else ""
    found = [each for each in addresses if _is_ipv4(each)]
    return Whose(phone, found[0] if len(found) == 1 else "")


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
