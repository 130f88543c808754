"""GS MEC 013, location: who is in which zone, now and from now on.

Rules:

* One subscription per zone (zonalTraffic), and two per area (area/circle: entering, leaving),
  kept as :mod:`gateway.mec.kept` does.
* Areas name the addresses that are meant: their subscriptions follow the registry.
* Both releases' bodies are read; what a body says besides is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote

import msgspec

from gateway.domain.errors import MalformedError
from gateway.domain.network import ZoneEvent
from gateway.domain.ports import Clock
from gateway.fence.config import AreaTable, ZoneTable
from gateway.mec import kept
from gateway.mec.http import Platform, PlatformError
from gateway.mec.kept import Kept, Wish
from gateway.mec.reading import Stamp, decoded

ADDRESSES_MAX: Final = 10_000
"""In one notification."""
FREQUENCY_S: Final = 1
"""``frequency``: between two notifications of an area, at least."""
ZONAL: Final = "zonalTrafficSubscription"
CRITERIA: Final = ("Entering", "Leaving")
CIRCLE: Final = "circleNotificationSubscription"


class _ZonalPresence(msgspec.Struct, frozen=True, rename="camel"):
    zone_id: str
    address: str
    user_event_type: Literal["Entering", "Leaving", "Transferring"]
    timestamp: Stamp | None = None


class _ZonalNotice(msgspec.Struct, frozen=True, rename="camel"):
    zonal_presence_notification: _ZonalPresence


class _Located(msgspec.Struct, frozen=True):
    timestamp: Stamp | None = None


class _Terminal(msgspec.Struct, frozen=True, rename="camel"):
    address: str
    location_retrieval_status: Literal["Retrieved", "NotRetrieved", "Error"] = "Retrieved"
    current_location: _Located | None = None


class _Crossing(msgspec.Struct, frozen=True, rename="camel"):
    terminal_location: tuple[_Terminal, ...]
    callback_data: str
    """As it was given with the subscription: the criterion, and the area's name."""
    entering_leaving_criteria: Literal["Entering", "Leaving"] | None = None
    is_final_notification: bool = False


class _AreaNotice(msgspec.Struct, frozen=True, rename="camel"):
    subscription_notification: _Crossing


class _User(msgspec.Struct, frozen=True, rename="camel"):
    address: str
    timestamp: Stamp | None = None


class _Users(msgspec.Struct, frozen=True):
    user: tuple[_User, ...] = ()


class _UserList(msgspec.Struct, frozen=True, rename="camel"):
    user_list: _Users


class Wanted(NamedTuple):
    """What is asked for."""

    zones: tuple[ZoneTable, ...]
    areas: tuple[AreaTable, ...]
    addresses: Callable[[], tuple[str, ...]]
    """Everybody whom an area is about, as they are at any time."""
    zonal_callback: str
    area_callback: str


def read_zonal(body: bytes) -> ZoneEvent:
    """A ``ZonalPresenceNotification``; who changes access points within a zone is in it.

    Raises:
        MalformedError: it is none.
    """
    told = decoded(body, _ZonalNotice, "zonal notification").zonal_presence_notification
    at_us = told.timestamp.at_us if told.timestamp else 0
    return ZoneEvent(told.zone_id, (told.address,), told.user_event_type != "Leaving", at_us)


def read_crossing(body: bytes) -> ZoneEvent:
    """A ``SubscriptionNotification`` of an area; whoever was not found is left out.

    Raises:
        MalformedError: it is none, or names too many.
    """
    told = decoded(body, _AreaNotice, "notification of an area").subscription_notification
    if len(told.terminal_location) > ADDRESSES_MAX:
        raise MalformedError("crossing", "too many addresses")
    found = [each for each in told.terminal_location if _is_found(each)]
    stamps = [each.current_location for each in found if each.current_location]
    asked, _, area = told.callback_data.partition("/")
    if asked not in CRITERIA:
        raise MalformedError("crossing", "of no subscription of ours")
    return ZoneEvent(
        area,
        tuple(each.address for each in found),
        (told.entering_leaving_criteria or asked) == "Entering",
        max((each.timestamp.at_us for each in stamps if each.timestamp), default=0),
        told.is_final_notification,
    )


def _is_found(terminal: _Terminal) -> bool:
    return terminal.location_retrieval_status == "Retrieved"


class Location:
    """The subscriptions and questions of one application instance.

    Every call raises PlatformError (not now) or ProblemError (refused).

    Args:
        platform: the client.
        base: of the interface.
        instance: tells our subscriptions from others' of the platform.
        wanted: what is asked for.
        clock: monotonic time.
    """

    def __init__(
        self,
        platform: Platform,
        base: str,
        instance: str,
        wanted: Wanted,
        clock: Clock,
    ) -> None:
        self._platform = platform
        self._base = base.rstrip("/")
        self._instance = instance
        self._wanted = wanted
        self._kept = Kept(platform, clock)

    async def ensure(self) -> bool:
        """Make or renew what has to be; whether any of it was not there."""
        made = False
        for zone in self._wanted.zones:
            wish = self._wish(f"zone/{zone.zone}", "zonalTraffic", ZONAL, self._zonal(zone))
            made |= await self._kept.ensure(wish)
        addresses = self._wanted.addresses()
        for area in self._wanted.areas if addresses else ():
            for criteria in CRITERIA:
                body = self._circle(area, criteria, addresses)
                name = f"area/{criteria}/{area.name}"
                made |= await self._kept.ensure(self._wish(name, "area/circle", CIRCLE, body))
        return made

    def forget(self) -> None:
        """Make everything anew at the next occasion, so that areas say who is in them."""
        self._kept.forget()

    async def users(self) -> dict[str, dict[str, int]]:
        """Who is in each zone: zone -> address -> when that was found, 0: not said."""
        found: dict[str, dict[str, int]] = {}
        for zone in self._wanted.zones:
            url = f"{self._base}/queries/users?zoneId={quote(zone.zone, safe='')}"
            answer = await self._platform.call("GET", url)
            try:
                told = decoded(answer.body, _UserList, "list of users").user_list
            except MalformedError as error:
                raise PlatformError("the platform's list of users can't be read") from error
            found[zone.zone] = {
                each.address: each.timestamp.at_us if each.timestamp else 0 for each in told.user
            }
        return found

    async def withdraw(self) -> None:
        """End every subscription; idempotent."""
        await self._kept.withdraw()

    def _wish(self, name: str, kind: str, wrapper: str, wanted: dict[str, Any]) -> Wish:
        def body(url: str) -> Any:
            return {wrapper: wanted | ({"resourceURL": url} if url else {})}

        collection = f"{self._base}/subscriptions/{kind}"
        return Wish(name, collection, wanted, body, (wrapper, "resourceURL"))

    def _zonal(self, zone: ZoneTable) -> dict[str, Any]:
        return {
            "clientCorrelator": f"{self._instance}-{zone.zone}",
            "callbackReference": {"notifyURL": self._wanted.zonal_callback},
            "zoneId": zone.zone,
            "userEventCriteria": ["Entering", "Leaving", "Transferring"],
            "duration": kept.DURATION_S,
        }

    def _circle(self, area: AreaTable, criteria: str, addresses: tuple[str, ...]) -> dict[str, Any]:
        return {
            "clientCorrelator": f"{self._instance}-{area.name}-{criteria}",
            "callbackReference": {
                "notifyURL": self._wanted.area_callback,
                "callbackData": f"{criteria}/{area.name}",
            },
            "address": list(addresses),
            "latitude": area.latitude,
            "longitude": area.longitude,
            "radius": area.radius_m,
            "trackingAccuracy": area.accuracy_m,
            "enteringLeavingCriteria": criteria,
            "checkImmediate": True,
            "frequency": FREQUENCY_S,
            "duration": kept.DURATION_S,
        }
