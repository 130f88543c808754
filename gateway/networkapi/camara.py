"""An operator's network by CAMARA's interfaces.

Location Verification 3.0.0, Quality On Demand 1.1.0 and Geofencing Subscriptions 0.5.0, as
published; tokens are two-legged, so that the device stands in each request.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from gateway.domain.errors import MalformedError
from gateway.mec.http import Platform, ProblemError
from gateway.networkapi.interface import (
    Circle,
    Edge,
    Flow,
    Located,
    Session,
    Status,
    Verdict,
    Whose,
)

EVENT: Final = "org.camaraproject.geofencing-subscriptions.v0."
UNABLE: Final = frozenset((404, 422))
"""The device is none of the network's, or it can't be located so well, there, or now."""
SUBSCRIPTIONS_MAX: Final = 4096


class Bases(NamedTuple):
    """Where each interface begins; empty: the network has none."""

    location: str = ""
    quality: str = ""
    geofencing: str = ""


class _Verification(msgspec.Struct, frozen=True):
    """``VerifyLocationResponse``."""

    verificationResult: Verdict  # noqa: N815  # as published
    lastLocationTime: datetime | None = None  # noqa: N815
    matchRate: int | None = None  # noqa: N815


class _Session(msgspec.Struct, frozen=True):
    """``SessionInfo``."""

    sessionId: str  # noqa: N815
    duration: int
    qosStatus: Status  # noqa: N815
    qosProfile: str = ""  # noqa: N815

    @property
    def told(self) -> Session:
        return Session(self.sessionId, self.qosStatus, float(self.duration))


class _Subscription(msgspec.Struct, frozen=True):
    """``Subscription``, and ``SubscriptionAsync`` where it is made later (202)."""

    id: str
    status: str = "ACTIVE"


Read = TypeVar("Read")


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
        found = _read(answer.body, _Verification)
        at_us = microseconds(found.lastLocationTime) if found.lastLocationTime else 0
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
        return _read(answer.body, _Session).told

    async def sessions_of(self, whose: Whose) -> list[_Session]:
        url = f"{self._bases.quality}/retrieve-sessions"
        answer = await self._call("POST", url, {"device": device(whose)})
        return _read(answer.body, list[_Session])

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
        return _read(answer.body, _Session).told

    async def extend_quality(self, session_id: str, seconds: int) -> Session:
        """``POST /sessions/{id}/extend``.

        Raises:
            PlatformError, ProblemError, MalformedError: see :mod:`gateway.networkapi.interface`.
        """
        body = {"requestedAdditionalDuration": seconds}
        answer = await self._call("POST", f"{self._session(session_id)}/extend", body)
        return _read(answer.body, _Session).told

    async def end_quality(self, session_id: str) -> None:
        """``DELETE /sessions/{id}``; 404 is fine.

        Raises:
            PlatformError, ProblemError: see :mod:`gateway.networkapi.interface`.
        """
        await self._call("DELETE", self._session(session_id), expect=(204, 404))

    def _session(self, session_id: str) -> str:
        return f"{self._bases.quality}/sessions/{quote(session_id, safe='')}"

    async def subscribe(self, whose: Whose, area: Circle, edge: Edge, sink: str) -> str:
        """``POST /subscriptions``; one event of one device each, as the release wants it.

        Raises:
            PlatformError, ProblemError, MalformedError: see :mod:`gateway.networkapi.interface`.
        """
        body = {
            "protocol": "HTTP",
            "sink": sink,
            "types": [EVENT + edge.value],
            "config": {
                "subscriptionDetail": {"device": device(whose), "area": circle(area)},
                "initialEvent": True,
            },
        }
        url = f"{self._bases.geofencing}/subscriptions"
        answer = await self._call("POST", url, body, expect=(201, 202))
        return _read(answer.body, _Subscription).id

    async def subscriptions(self) -> frozenset[str]:
        """``GET /subscriptions``.

        Raises:
            PlatformError, ProblemError, MalformedError: see :mod:`gateway.networkapi.interface`.
        """
        answer = await self._call("GET", f"{self._bases.geofencing}/subscriptions")
        found = _read(answer.body, list[_Subscription])
        if len(found) > SUBSCRIPTIONS_MAX:
            raise MalformedError("subscriptions", "too many")
        return frozenset(each.id for each in found if each.status not in ("EXPIRED", "DELETED"))

    async def unsubscribe(self, subscription_id: str) -> None:
        """``DELETE /subscriptions/{id}``; 404 is fine.

        Raises:
            PlatformError, ProblemError: see :mod:`gateway.networkapi.interface`.
        """
        url = f"{self._bases.geofencing}/subscriptions/{quote(subscription_id, safe='')}"
        await self._call("DELETE", url, expect=(202, 204, 404))


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


def microseconds(at: datetime) -> int:
    """Since 1970.

    Raises:
        MalformedError: it has no time zone.
    """
    if at.tzinfo is None:
        raise MalformedError("time", "it has no time zone")
    return int(at.timestamp() * 1e6)


def _family(server: str) -> str:
    network = ipaddress.ip_network(server, strict=False)
    return "ipv4Address" if network.version == 4 else "ipv6Address"


def _read(body: bytes, kind: type[Read]) -> Read:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedError("network", str(error)[:200]) from error
