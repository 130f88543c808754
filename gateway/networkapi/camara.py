"""An operator's network by CAMARA's interfaces.

Location Verification 3.0.0, Quality On Demand 1.1.0, SIM Swap 2.1.0 and Device Swap 1.0.0, as
published; tokens are two-legged, so that the device stands in each request.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import quote

import msgspec
from msgspec import Meta

from gateway.domain.errors import MalformedError
from gateway.domain.network import Swapped
from gateway.mec.http import Platform, ProblemError
from gateway.networkapi.interface import (
    Circle,
    Flow,
    Located,
    Session,
    Status,
    Verdict,
    Whose,
)
from gateway.networkapi.reading import Read, read

UNABLE: Final = frozenset((404, 422))
"""The device is none of the network's, or it can't be located so well, there, or now."""


class Bases(NamedTuple):
    """Where each interface begins; empty: the network has none."""

    location: str = ""
    quality: str = ""
    sim_swap: str = ""
    device_swap: str = ""


class _Verification(msgspec.Struct, frozen=True):
    """``VerifyLocationResponse``."""

    verificationResult: Verdict  # noqa: N815  # as published
    lastLocationTime: datetime | None = None  # noqa: N815
    matchRate: Annotated[int, Meta(ge=0, le=100)] | None = None  # noqa: N815


class _Session(msgspec.Struct, frozen=True):
    """``SessionInfo``."""

    sessionId: str  # noqa: N815
    duration: Annotated[int, Meta(ge=0, lt=1 << 31)]
    qosStatus: Status  # noqa: N815
    qosProfile: str = ""  # noqa: N815

    @property
    def told(self) -> Session:
        return Session(self.sessionId, self.qosStatus, float(self.duration))


class _SimSwap(msgspec.Struct, frozen=True):
    """``SimSwapInfo``; no time: none within what the network may remember."""

    latestSimChange: datetime | None  # noqa: N815


class _DeviceSwap(msgspec.Struct, frozen=True):
    """``DeviceSwapInfo``."""

    latestDeviceChange: datetime | None  # noqa: N815


class Camara:
    """One operator. ``platform`` speaks HTTP and gets tokens; whoever made it closes it."""

    def __init__(self, platform: Platform, bases: Bases) -> None:
        self._call = platform.call
        self._bases = Bases(*(each.rstrip("/") for each in bases))

    async def verify_location(self, whose: Whose, area: Circle, age_s: int) -> Located:
        """``POST /verify``; what the network can't do is UNKNOWN, with its reason.

        Raises:
            PlatformError, ProblemError, MalformedError: see :mod:`gateway.networkapi.interface`.
        """
        body = {"device": device(whose), "area": circle(area), "maxAge": age_s}
        try:
            answer = await self._call("POST", f"{self._bases.location}/verify", body)
        except ProblemError as error:
            if error.status not in UNABLE:
                raise
            return Located(Verdict.UNKNOWN, why=str(error))
        found = read(answer.body, _Verification)
        at_us = _at_us(found.lastLocationTime)
        return Located(found.verificationResult, at_us, found.matchRate)

    async def request_quality(
        self, whose: Whose, flow: Flow, profile: str, seconds: int
    ) -> Session:
        """``POST /sessions``; where one is in the way (409), ``/retrieve-sessions`` says which.

        So a request whose answer was lost is made again without harm.

        Raises:
            PlatformError, ProblemError, MalformedError: see :mod:`gateway.networkapi.interface`.
        """
        body: dict[str, Any] = {
            "device": device(whose),
            "applicationServer": {_family(flow.server): flow.server},
            "qosProfile": profile,
            "duration": seconds,
        }
        if flow.ports:
            body["applicationServerPorts"] = {"ports": list(flow.ports)}
        try:
            answer = await self._call(
                "POST", f"{self._bases.quality}/sessions", body, expect=(201,)
            )
        except ProblemError as error:
            if error.status != 409:
                raise
            for each in await self.sessions_of(whose):
                if each.qosProfile == profile and each.qosStatus is not Status.UNAVAILABLE:
                    return each.told
            raise
        return read(answer.body, _Session).told

    async def sessions_of(self, whose: Whose) -> list[_Session]:
        url = f"{self._bases.quality}/retrieve-sessions"
        answer = await self._call("POST", url, {"device": device(whose)})
        return read(answer.body, list[_Session])

    async def quality(self, session_id: str) -> Session | None:
        """``GET /sessions/{id}``.

        Raises:
            PlatformError, ProblemError, MalformedError: see :mod:`gateway.networkapi.interface`.
        """
        try:
            answer = await self._call("GET", self._session(session_id))
        except ProblemError as error:
            if error.status == 404:
                return None
            raise
        return read(answer.body, _Session).told

    async def extend_quality(self, session_id: str, seconds: int) -> Session:
        """``POST /sessions/{id}/extend``.

        Raises:
            PlatformError, ProblemError, MalformedError: see :mod:`gateway.networkapi.interface`.
        """
        body = {"requestedAdditionalDuration": seconds}
        answer = await self._call("POST", f"{self._session(session_id)}/extend", body)
        return read(answer.body, _Session).told

    async def end_quality(self, session_id: str) -> None:
        """``DELETE /sessions/{id}``; 404 is fine.

        Raises:
            PlatformError, ProblemError: see :mod:`gateway.networkapi.interface`.
        """
        await self._call("DELETE", self._session(session_id), expect=(204, 404))

    def same(self, before: Whose, now: Whose) -> bool:
        """By its number, whatever its address; else by the address that it has, if it has one."""
        if before.phone or now.phone:
            return before.phone == now.phone
        return not now.ipv4 or before.ipv4 == now.ipv4

    def _session(self, session_id: str) -> str:
        return f"{self._bases.quality}/sessions/{quote(session_id, safe='')}"

    @property
    def swap_calls(self) -> int:
        """One for each interface that there is."""
        return bool(self._bases.sim_swap) + bool(self._bases.device_swap)

    async def swapped(self, whose: Whose) -> Swapped:
        """``POST /retrieve-date`` of both; what the network does not know is not said.

        Raises:
            PlatformError, ProblemError, MalformedError: see :mod:`gateway.networkapi.interface`.
        """
        sim = await self._swap(self._bases.sim_swap, whose, _SimSwap)
        modem = await self._swap(self._bases.device_swap, whose, _DeviceSwap)
        return Swapped(
            None if sim is None else _at_us(sim.latestSimChange),
            None if modem is None else _at_us(modem.latestDeviceChange),
        )

    async def _swap(self, base: str, whose: Whose, kind: type[Read]) -> Read | None:
        if not base:
            return None
        body = {"phoneNumber": whose.phone}
        try:
            answer = await self._call("POST", f"{base}/retrieve-date", body)
        except ProblemError as error:
            if error.status not in UNABLE:
                raise
            return None
        return read(answer.body, kind)


def device(whose: Whose) -> dict[str, Any]:
    """``Device``; an address without NAT is public and private (``DeviceIpv4Addr``).

    Raises:
        MalformedError: it is known by nothing.
    """
    if whose.phone:
        return {"phoneNumber": whose.phone}
    if whose.ipv4:
        return {"ipv4Address": {"publicAddress": whose.ipv4, "privateAddress": whose.ipv4}}
    raise MalformedError("device", "the network knows it by nothing")


def circle(area: Circle) -> dict[str, Any]:
    """``Circle``."""
    center = {"latitude": area.latitude, "longitude": area.longitude}
    return {"areaType": "CIRCLE", "center": center, "radius": area.radius_m}


def _at_us(at: datetime | None) -> int:
    """Since 1970; 0: none.

    Raises:
        MalformedError: it has no time zone.
    """
    if at is None:
        return 0
    if at.tzinfo is None:
        raise MalformedError("time", "it has no time zone")
    return int(at.timestamp() * 1e6)


def _family(server: str) -> str:
    network = ipaddress.ip_network(server, strict=False)
    return "ipv4Address" if network.version == 4 else "ipv6Address"
