"""A core network's NEF with a memory, held call by call against the contract of its interfaces."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
from aiohttp import web

from gateway.networkapi.modems import EVENT
from tests.integration import network_contracts as contracts
from tests.openapi import Specification, watching

QUALITY, MONITORING = "/3gpp-as-session-with-qos/v1", "/3gpp-monitoring-event/v1"
CHANGED = {"monitoringType": EVENT, "imeiChange": "IMEI"}
"""A report: the SIM of the number is in another modem."""
TELL_S_MAX = 20.0


class Core:
    """Keeps sessions for ever, and knows where each number is."""

    def __init__(self) -> None:
        self.sessions: dict[str, dict[str, Any]] = {}
        self.places: dict[str, dict[str, Any]] = {}
        """Number -> ``locationInfo``."""
        self.later = False
        """Places are told by a notification, later."""
        self.waiting: dict[str, dict[str, Any]] = {}
        self.made = 0
        """Sessions, and who waits for notifications, in sum."""
        self.lists = False
        """A report comes in a list of one."""
        self.asked: list[dict[str, Any]] = []
        self.lose_answers = 0
        """So many more are made of which nobody hears."""
        self.barred: set[str] = set()
        """Names of what it will not end, and numbers of which it will not tell."""
        self.answers = asyncio.Event()
        """Cleared: it takes calls, and answers none until it is set."""
        self.answers.set()
        self.unanswered = 0
        self.faults: list[str] = []
        self.monitoring = Specification(contracts.MONITORING_EVENT, MONITORING)
        self.context: ssl.SSLContext | None = None
        """By which it knows whom it tells; None: over HTTP."""
        self._names: defaultdict[int, Iterator[int]] = defaultdict(lambda: itertools.count(1))

    def forget(self) -> None:
        """As one that was started anew: it counts from one again."""
        self.sessions.clear()
        self.waiting.clear()
        self._names.clear()

    @contextlib.asynccontextmanager
    async def listening(
        self, context: ssl.SSLContext | None = None, port: int = 0
    ) -> AsyncIterator[int]:
        """It can be asked on loopback; its port. No call may have broken its interface."""
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        try:
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()
            assert self.faults == []

    async def tell(self, **said: Any) -> list[int]:
        """Notify everybody who waits; how each took it (0: nobody is there)."""
        answers = []
        connector = aiohttp.TCPConnector(ssl=self.context or True)
        timeout = aiohttp.ClientTimeout(total=TELL_S_MAX)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:
            for each in list(self.waiting.values()):
                notification = {"subscription": each["self"]} | said
                self.monitoring.check("MonitoringNotification", notification)
                try:
                    async with client.post(
                        each["notificationDestination"], json=notification
                    ) as answer:
                        answers.append(answer.status)
                except aiohttp.ClientConnectorError:
                    answers.append(0)
        return answers

    def _application(self) -> web.Application:
        watched = watching(
            Specification(contracts.AS_SESSION_WITH_QOS, QUALITY),
            self.monitoring,
            faults=self.faults,
        )
        application = web.Application(middlewares=[self._awaiting, watched])
        for base, make, kept in (
            (QUALITY, self._session, self.sessions),
            (MONITORING, self._monitored, self.waiting),
        ):
            self._serve(application.router, f"{base}/{{af}}/subscriptions", make, kept)
        return application

    @web.middleware
    async def _awaiting(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if not self.answers.is_set():
            self.unanswered += 1
            await request.read()
            await self.answers.wait()
        answer: web.StreamResponse = await handler(request)
        return answer

    def _serve(
        self, router: web.UrlDispatcher, at: str, make: Any, kept: dict[str, dict[str, Any]]
    ) -> None:
        async def listed(_request: web.Request) -> web.Response:
            return web.json_response(list(kept.values()))

        async def show(request: web.Request) -> web.Response:
            found = kept.get(request.match_info["name"])
            return web.json_response(found) if found else _problem(404)

        async def delete(request: web.Request) -> web.Response:
            if request.match_info["name"] in self.barred:
                return _problem(403)
            found = kept.pop(request.match_info["name"], None)
            return web.Response(status=204) if found else _problem(404)

        router.add_post(at, make)
        router.add_get(at, listed)
        router.add_get(f"{at}/{{name}}", show)
        router.add_delete(f"{at}/{{name}}", delete)

    def _made(self, request: web.Request, said: dict[str, Any], kept: Any) -> web.Response:
        name = str(next(self._names[id(kept)]))
        kept[name] = said | {"self": f"https://nef.example{request.path}/{name}"}
        self.made += 1
        if self.lose_answers:
            self.lose_answers -= 1
            return web.Response(status=504)
        return web.json_response(kept[name], status=201, headers={"Location": kept[name]["self"]})

    async def _session(self, request: web.Request) -> web.Response:
        said = await request.json()
        if said["qosReference"] != "gold":
            return _problem(403)
        return self._made(request, said, self.sessions)

    async def _monitored(self, request: web.Request) -> web.Response:
        said = await request.json()
        self.asked.append(said)
        if said.get("msisdn") in self.barred:
            return _problem(403)
        if self.later or said["monitoringType"] != "LOCATION_REPORTING":
            return self._made(request, said, self.waiting)
        found = self.places.get(said.get("msisdn", ""))
        if found is None:
            return _problem(404)
        report = {"monitoringType": "LOCATION_REPORTING", "locationInfo": found}
        return web.json_response({"monitoringEventReports": [report]} if self.lists else report)


def _problem(status: int) -> web.Response:
    return web.json_response(
        {"status": status, "title": "none of ours"},
        status=status,
        content_type="application/problem+json",
    )
