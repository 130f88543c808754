"""The location service of a simulated platform (ETSI GS MEC 013): users who move between zones."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
from aiohttp import web

LOCATION: Final = "/location/v2"
TELL_TIMEOUT_S: Final = 30.0
ZONAL: Final = "zonalTrafficSubscription"
CIRCLE: Final = "circleNotificationSubscription"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Store = dict[str, dict[str, Any]]


class Whereabouts:
    """Who is where, and who is told of it."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self.users: dict[tuple[str, str], dict[str, Any]] = {}
        """(address, zone) -> what is said of it."""
        self.circled: dict[str, set[str]] = {}
        """Area (the last part of its subscriptions' ``callbackData``) -> who is in it."""
        self.restart()

    def restart(self) -> None:
        """Forget who wants to be told; where users are is the network's, and stays."""
        self.zonal: Store = {}
        self.circles: Store = {}
        self._ends: dict[str, float] = {}

    # What happens

    async def enter(self, address: str, zone: str, access_point: str = "ap-1") -> int:
        """A user comes into a zone; how many were told."""
        self._put(address, zone, access_point)
        return await self._tell_zone(address, zone, "Entering")

    async def leave(self, address: str, zone: str) -> int:
        """A user leaves a zone; how many were told."""
        gone = self.users.pop((address, zone))
        return await self._tell_zone(address, zone, "Leaving", gone["accessPointId"])

    async def transfer(self, address: str, zone: str, access_point: str) -> int:
        """A user changes the access point within a zone; how many were told."""
        self._put(address, zone, access_point)
        return await self._tell_zone(address, zone, "Transferring")

    async def cross(self, address: str, area: str, *, inwards: bool) -> int:
        """A user crosses the border of an area; how many were told."""
        inside = self.circled.setdefault(area, set())
        (inside.add if inwards else inside.discard)(address)
        return await self._tell_area(area, [address], "Entering" if inwards else "Leaving")

    def vanish(self, address: str) -> None:
        """A user is switched off: the network says nothing of it."""
        for key in [key for key in self.users if key[0] == address]:
            del self.users[key]

    def _put(self, address: str, zone: str, access_point: str) -> None:
        self.users[address, zone] = {
            "address": address,
            "accessPointId": access_point,
            "zoneId": zone,
            "resourceURL": f"{LOCATION}/queries/users?address={address}",
            "timestamp": _stamp(),
        }

    async def _tell_zone(self, address: str, zone: str, event: str, last: str = "") -> int:
        here = self.users.get((address, zone), {"accessPointId": last})
        notice = {
            "zonalPresenceNotification": {
                "zoneId": zone,
                "address": address,
                "userEventType": event,
                "currentAccessPointId": here["accessPointId"],
                "timestamp": _stamp(),
            }
        }
        wanted = [
            each
            for each in self._live(self.zonal)
            if each["zoneId"] == zone and event in each.get("userEventCriteria", [event])
        ]
        return await _post([(each["callbackReference"]["notifyURL"], notice) for each in wanted])

    async def _tell_area(self, area: str, addresses: list[str], criteria: str) -> int:
        return await _post(
            [
                (each["callbackReference"]["notifyURL"], _crossing(each, addresses))
                for each in self._live(self.circles)
                if _area(each) == area
                and each["enteringLeavingCriteria"] == criteria
                and set(addresses) <= set(each["address"])
            ]
        )

    def _live(self, store: Store) -> list[dict[str, Any]]:
        """The subscriptions whose time has not ended; the others are gone."""
        now = time.monotonic()
        for name in [each for each in store if self._ends.get(each, now + 1) <= now]:
            del store[name]
        return list(store.values())

    # HTTP

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and who answers."""
        found: list[tuple[str, str, Handler]] = [
            ("GET", f"{LOCATION}/queries/users", self._users),
        ]
        kinds: list[tuple[str, str, Callable[[], Store]]] = [
            ("zonalTraffic", ZONAL, lambda: self.zonal),
            ("area/circle", CIRCLE, lambda: self.circles),
        ]
        for path, wrapper, store in kinds:
            place = f"{LOCATION}/subscriptions/{path}"
            found += [
                ("POST", place, self._make(store, wrapper)),
                ("GET", f"{place}/{{id}}", self._one(store, wrapper)),
                ("PUT", f"{place}/{{id}}", self._change(store, wrapper)),
                ("DELETE", f"{place}/{{id}}", self._end(store)),
            ]
        return found

    async def _users(self, request: web.Request) -> web.StreamResponse:
        zones = request.query.getall("zoneId", [])
        found = [each for each in self.users.values() if not zones or each["zoneId"] in zones]
        return web.json_response({"userList": {"resourceURL": str(request.url), "user": found}})

    def _make(self, store: Callable[[], Store], wrapper: str) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            made = (await request.json())[wrapper]
            again = [
                name
                for name, each in store().items()
                if each.get("clientCorrelator") == made.get("clientCorrelator")
            ]
            name = again[0] if again else f"id-{next(self._ids)}"
            place = f"{request.path}/{name}"
            self._keep(store(), name, made | {"resourceURL": place})
            said = web.json_response(
                {wrapper: store()[name]}, status=201, headers={"Location": place}
            )
            if made.get("checkImmediate"):
                await self._say_at_once(made)
            return said

        return answer

    async def _say_at_once(self, made: dict[str, Any]) -> None:
        inside = self.circled.get(_area(made), set())
        entering = made["enteringLeavingCriteria"] == "Entering"
        found = [each for each in made["address"] if (each in inside) == entering]
        if found:
            url = made["callbackReference"]["notifyURL"]
            await _post([(url, _crossing(made, found))])

    def _keep(self, store: Store, name: str, made: dict[str, Any]) -> None:
        store[name] = made
        if made.get("duration"):
            self._ends[name] = time.monotonic() + made["duration"]

    def _one(self, store: Callable[[], Store], wrapper: str) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            self._live(store())
            found = store().get(request.match_info["id"])
            if found is None:
                raise web.HTTPNotFound
            return web.json_response({wrapper: found})

        return answer

    def _change(self, store: Callable[[], Store], wrapper: str) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            self._live(store())
            name = request.match_info["id"]
            if name not in store():
                raise web.HTTPNotFound
            self._keep(store(), name, (await request.json())[wrapper])
            return web.json_response({wrapper: store()[name]})

        return answer

    def _end(self, store: Callable[[], Store]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            if store().pop(request.match_info["id"], None) is None:
                raise web.HTTPNotFound
            return web.Response(status=204)

        return answer


def _area(subscription: dict[str, Any]) -> str:
    told: str = subscription["callbackReference"]["callbackData"]
    return told.rpartition("/")[2]


def _crossing(subscription: dict[str, Any], addresses: list[str]) -> dict[str, Any]:
    return {
        "subscriptionNotification": {
            "callbackData": subscription["callbackReference"]["callbackData"],
            "enteringLeavingCriteria": subscription["enteringLeavingCriteria"],
            "isFinalNotification": False,
            "terminalLocation": [
                {"address": each, "locationRetrievalStatus": "Retrieved"} for each in addresses
            ],
        }
    }


def _stamp() -> dict[str, int]:
    seconds, part = divmod(time.time_ns(), 1_000_000_000)
    return {"seconds": seconds, "nanoSeconds": part}


async def _post(notices: list[tuple[str, Any]]) -> int:
    heard = 0
    # Whose certificate answers is the platform's own business; here it is on loopback.
    connector = aiohttp.TCPConnector(ssl=False)
    timeout = aiohttp.ClientTimeout(total=TELL_TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        for url, notice in notices:
            async with session.post(url, json=notice) as answer:
                heard += answer.status == 204
    return heard
