"""The platform's state, and its interfaces over HTTP.

ETSI GS MEC 011, 012, 015 and 021; 013 in :mod:`firmware_sim.mec.location`; tokens by RFC 6749.
"""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
from aiohttp import web

from firmware_sim.mec.location import Whereabouts

APPS: Final = "/mec_app_support/v1"
SERVICES: Final = "/mec_service_mgmt/v1"
BANDWIDTH: Final = "/bwm/v1"
MOBILITY: Final = "/amsi/v1"
RADIO: Final = "/rni/v2"
TOKEN: Final = "/token"  # noqa: S105  # a path
TOKEN_LIFE_S: Final = 3600
TELL_TIMEOUT_S: Final = 30.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def traffic_rule(rule_id: str, address: str = "10.1.2.3", **changed: Any) -> dict[str, Any]:
    """A rule for a local breakout, as release 2.1.1 has it."""
    return {
        "trafficRuleId": rule_id,
        "filterType": "FLOW",
        "priority": 1,
        "trafficFilter": [{"dstAddress": ["10.1.0.0/16"]}],
        "action": "FORWARD_DECAPSULATED",
        "dstInterface": {"interfaceType": "IP", "dstIpAddress": address},
        "state": "ACTIVE",
    } | changed


def second_release(rule: dict[str, Any]) -> dict[str, Any]:
    """The same rule as release 2.2.1 has it: with a list of interfaces."""
    return rule | {"dstInterface": [rule["dstInterface"]]}


def dns_rule(rule_id: str, address: str = "10.1.2.3", **changed: Any) -> dict[str, Any]:
    """A DNS rule."""
    return {
        "dnsRuleId": rule_id,
        "domainName": "core.hospital.example",
        "ipAddressType": "IP_V4",
        "ipAddress": address,
        "ttl": 60,
        "state": "ACTIVE",
    } | changed


class Platform:
    """One platform with one application."""

    def __init__(self, app_instance: str, client: tuple[str, str] | None = None) -> None:
        """Begin without rules.

        Args:
            app_instance: the application that it knows.
            client: id and secret of who gets tokens; None: calls need none.
        """
        self.app_instance = app_instance
        self._client = client
        self._ids = itertools.count(1)
        self.traffic_rules: dict[str, dict[str, Any]] = {}
        self.dns_rules: dict[str, dict[str, Any]] = {}
        self.traceable = True
        self.clock_offset_s = 0.0
        self.busy = 0
        """So many calls are answered 503."""
        self.lose_answers = 0
        """So many more things are made of which nobody hears."""
        self.token_life_s: float = TOKEN_LIFE_S
        self.ready = 0
        """How often the application said that it is."""
        self.terminated: list[str] = []
        """Operations whose end was confirmed."""
        self.calls: list[str] = []
        """Method and path, in order."""
        self.whereabouts = Whereabouts()
        self.restart()

    def restart(self) -> None:
        """Forget everything that applications have told; rules are the orchestrator's and stay."""
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.services: dict[str, dict[str, Any]] = {}
        self.allocations: dict[str, dict[str, Any]] = {}
        self.mobility_services: dict[str, dict[str, Any]] = {}
        self.mobility_subscriptions: dict[str, dict[str, Any]] = {}
        self.radio_subscriptions: dict[str, dict[str, Any]] = {}
        self.whereabouts.restart()
        self._tokens: dict[str, float] = {}
        self._pending = ""

    # What happens

    async def terminate(self, grace_s: int, operation: str = "TERMINATING") -> int:
        """Tell every subscriber of the end; how many have heard."""
        self._pending = operation
        own = f"{APPS}/applications/{self.app_instance}"
        return await self._tell(
            self.subscriptions,
            lambda name: {
                "notificationType": "AppTerminationNotification",
                "operationAction": operation,
                "maxGracefulTimeout": grace_s,
                "_links": {
                    "subscription": {"href": f"{own}/subscriptions/{name}"},
                    "confirmTermination": {"href": f"{own}/confirm_termination"},
                },
            },
        )

    async def move(self, addresses: list[str], target: tuple[str, int]) -> int:
        """Tell every subscriber that devices have moved to another host."""
        host, port = target
        return await self._tell(
            self.mobility_subscriptions,
            lambda name: {
                "notificationType": "MobilityProcedureNotification",
                "associateId": [
                    {"type": "UE_IPV6_ADDRESS" if ":" in each else "UE_IPv4_ADDRESS", "value": each}
                    for each in addresses
                ],
                "mobilityStatus": "INTERHOST_MOVEOUT_COMPLETED",
                "targetAppInfo": {
                    "appInstanceId": "elsewhere",
                    "commInterface": {"ipAddresses": [{"host": host, "port": port}]},
                },
                "_links": {"subscription": {"href": f"{MOBILITY}/subscriptions/{name}"}},
            },
        )

    async def hand_over(self, address: str, cell: str) -> int:
        """Tell every subscriber that a device has changed to another cell."""
        plmn = {"mcc": "001", "mnc": "01"}
        return await self._tell(
            {
                name: each
                for name, each in self.radio_subscriptions.items()
                if each["subscriptionType"] == "CellChangeSubscription"
            },
            lambda name: {
                "notificationType": "CellChangeNotification",
                "associateId": [{"type": 1, "value": address}],
                "srcEcgi": {"plmn": plmn, "cellId": "0000000"},
                "trgEcgi": [{"plmn": plmn, "cellId": cell}],
                "hoStatus": 3,
                "_links": {"subscription": {"href": f"{RADIO}/subscriptions/{name}"}},
            },
        )

    async def measure(self, address: str, cell: str, rsrp: int, rsrq: int, sinr: int) -> int:
        """Tell every subscriber how a device hears its cell, as TS 38.331 numbers it."""
        levels = {"rsrp": rsrp, "rsrq": rsrq, "sinr": sinr}
        return await self._tell(
            {
                name: each
                for name, each in self.radio_subscriptions.items()
                if each["subscriptionType"] == "NrMeasRepUeSubscription"
            },
            lambda name: {
                "notificationType": "NrMeasRepUeNotification",
                "associateId": [{"type": 1, "value": address}],
                "triggerNr": 1,
                "servCellMeasInfo": [
                    {
                        "nrcgi": {"plmn": {"mcc": "001", "mnc": "01"}, "nrcellId": cell},
                        "sCell": {"measQuantityResultsSsbCell": levels},
                    }
                ],
                "_links": {"subscription": {"href": f"{RADIO}/subscriptions/{name}"}},
            },
        )

    async def _tell(
        self, subscriptions: dict[str, dict[str, Any]], words: Callable[[str], Any]
    ) -> int:
        heard = 0
        # Whose certificate answers is the platform's own business; here it is on loopback.
        connector = aiohttp.TCPConnector(ssl=False)
        timeout = aiohttp.ClientTimeout(total=TELL_TIMEOUT_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            for name, each in list(subscriptions.items()):
                async with session.post(each["callbackReference"], json=words(name)) as answer:
                    heard += answer.status == 204
        return heard

    # HTTP

    def application(self, *middlewares: Any) -> web.Application:
        """The interfaces; ``middlewares`` see every call."""
        app = web.Application(middlewares=[*middlewares, self._guard])
        own = f"{APPS}/applications/{{app}}"
        rules = self._collection(self.traffic_rules)
        dns = self._collection(self.dns_rules)
        routes: list[tuple[str, str, Handler]] = [
            ("POST", TOKEN, self._token),
            ("POST", f"{own}/confirm_ready", self._confirm_ready),
            ("POST", f"{own}/confirm_termination", self._confirm_termination),
            ("GET", f"{own}/traffic_rules", rules),
            ("GET", f"{own}/traffic_rules/{{id}}", self._item(lambda: self.traffic_rules)),
            ("PUT", f"{own}/traffic_rules/{{id}}", self._put(lambda: self.traffic_rules)),
            ("GET", f"{own}/dns_rules", dns),
            ("GET", f"{own}/dns_rules/{{id}}", self._item(lambda: self.dns_rules)),
            ("PUT", f"{own}/dns_rules/{{id}}", self._put(lambda: self.dns_rules)),
            (
                "PUT",
                f"{RADIO}/subscriptions/{{id}}",
                self._put(lambda: self.radio_subscriptions),
            ),
            ("GET", f"{own}/subscriptions", self._links),
            ("GET", f"{SERVICES}/applications/{{app}}/services", self._services),
            ("GET", f"{BANDWIDTH}/bw_allocations", self._allocations),
            ("GET", f"{APPS}/timing/current_time", self._current_time),
            ("GET", f"{APPS}/timing/timing_caps", self._timing_caps),
        ]
        stores: list[tuple[str, Callable[[], dict[str, dict[str, Any]]], str]] = [
            (f"{own}/subscriptions", lambda: self.subscriptions, ""),
            (
                f"{SERVICES}/applications/{{app}}/services",
                lambda: self.services,
                "serInstanceId",
            ),
            (f"{BANDWIDTH}/bw_allocations", lambda: self.allocations, "allocationId"),
            (
                f"{MOBILITY}/app_mobility_services",
                lambda: self.mobility_services,
                "appMobilityServiceId",
            ),
            (f"{MOBILITY}/subscriptions", lambda: self.mobility_subscriptions, ""),
            (f"{RADIO}/subscriptions", lambda: self.radio_subscriptions, ""),
        ]
        for path, store, field in stores:
            routes += [
                ("POST", path, self._post(store, field)),
                ("GET", f"{path}/{{id}}", self._item(store)),
                ("DELETE", f"{path}/{{id}}", self._delete(store)),
            ]
        for method, path, handler in (*routes, *self.whereabouts.routes()):
            app.router.add_route(method, path, handler)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Busy, unauthorised, unknown: what every interface answers alike."""
        self.calls.append(f"{request.method} {request.path}")
        if self.busy > 0:
            self.busy -= 1
            return _problem(503, "busy", {"Retry-After": "0"})
        if request.path != TOKEN and self._client is not None:
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if self._tokens.get(token, 0.0) <= time.monotonic():
                return _problem(401, "a token is needed")
        app = request.match_info.get("app", self.app_instance)
        if app != self.app_instance:
            return _problem(404, "there is no such application")
        try:
            answer = await handler(request)
        except web.HTTPException as error:
            return _problem(error.status, error.reason)
        if self.lose_answers and answer.status == 201:
            self.lose_answers -= 1
            return _problem(504, "lost on the way")
        return answer

    async def _token(self, request: web.Request) -> web.StreamResponse:
        fields = await request.post()
        wanted = base64.b64encode(":".join(self._client or ("", "")).encode()).decode()
        known = request.headers.get("Authorization") == f"Basic {wanted}"
        if not known or fields.get("grant_type") != "client_credentials":
            return web.json_response({"error": "invalid_client"}, status=401)
        token = f"token-{next(self._ids)}"
        self._tokens[token] = time.monotonic() + self.token_life_s
        return web.json_response(
            {"access_token": token, "token_type": "Bearer", "expires_in": int(self.token_life_s)}
        )

    async def _confirm_ready(self, request: web.Request) -> web.StreamResponse:
        if (await request.json()).get("indication") != "READY":
            return _problem(400, "READY is the only indication")
        self.ready += 1
        return web.Response(status=204)

    async def _confirm_termination(self, request: web.Request) -> web.StreamResponse:
        operation = (await request.json()).get("operationAction")
        if operation != self._pending:
            return _problem(409, "no such operation is under way")
        self.terminated.append(operation)
        return web.Response(status=204)

    async def _current_time(self, _request: web.Request) -> web.StreamResponse:
        seconds, part = divmod(time.time_ns() + round(self.clock_offset_s * 1e9), 1_000_000_000)
        status = "TRACEABLE" if self.traceable else "NONTRACEABLE"
        return web.json_response(
            {"seconds": seconds, "nanoSeconds": part, "timeSourceStatus": status}
        )

    async def _timing_caps(self, _request: web.Request) -> web.StreamResponse:
        now = {"seconds": int(time.time()), "nanoSeconds": 0}
        master = {
            "ptpMasterIpAddress": "10.1.0.1",
            "ptpMasterLocalPriority": 1,
            "delayReqMaxRate": 10,
        }
        return web.json_response({"timeStamp": now, "ptpMasters": [master]})

    async def _links(self, request: web.Request) -> web.StreamResponse:
        links = [
            {
                "href": f"{request.path}/{name}",
                "rel": each["subscriptionType"],
            }
            for name, each in self.subscriptions.items()
        ]
        own = {"href": request.path}
        return web.json_response({"_links": {"self": own, "subscriptions": links}})

    async def _services(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(list(self.services.values()))

    async def _allocations(self, request: web.Request) -> web.StreamResponse:
        wanted = request.query.getall("app_instance_id", [])
        found = [each for each in self.allocations.values() if each["appInsId"] in wanted]
        return web.json_response(found)

    def _collection(self, store: dict[str, dict[str, Any]]) -> Handler:
        async def answer(_request: web.Request) -> web.StreamResponse:
            return web.json_response(list(store.values()))

        return answer

    def _item(self, store: Callable[[], dict[str, dict[str, Any]]]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            found = store().get(request.match_info["id"])
            if found is None:
                return _problem(404, "there is none of this id")
            return web.json_response(found, headers={"ETag": _etag(found)})

        return answer

    def _put(self, store: Callable[[], dict[str, dict[str, Any]]]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            name = request.match_info["id"]
            found = store().get(name)
            if found is None:
                return _problem(404, "there is none of this id")
            if request.headers.get("If-Match", _etag(found)) != _etag(found):
                return _problem(412, "it was changed meanwhile")
            store()[name] = changed = await request.json()
            return web.json_response(changed, headers={"ETag": _etag(changed)})

        return answer

    def _post(self, store: Callable[[], dict[str, dict[str, Any]]], field: str) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            name = f"id-{next(self._ids)}"
            made: dict[str, Any] = await request.json()
            place = f"{request.path}/{name}"
            if field:
                made[field] = name
            if "subscriptionType" in made or field == "serInstanceId":
                made["_links"] = {"self": {"href": place}}
            store()[name] = made
            return web.json_response(made, status=201, headers={"Location": place})

        return answer

    def _delete(self, store: Callable[[], dict[str, dict[str, Any]]]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            if store().pop(request.match_info["id"], None) is None:
                return _problem(404, "there is none of this id")
            return web.Response(status=204)

        return answer


def _etag(found: dict[str, Any]) -> str:
    return f'"{hash(json.dumps(found, sort_keys=True)):x}"'


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> web.StreamResponse:
    return web.json_response(
        {"title": "problem", "status": status, "detail": detail},
        status=status,
        headers=headers,
        content_type="application/problem+json",
    )
