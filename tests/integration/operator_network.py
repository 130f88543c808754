"""An operator's network with a memory, held call by call against the interfaces it has."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import uuid
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from tests.integration import network_contracts as contracts
from tests.openapi import SHARED_FILES, Specification, watching

LOCATION, QUALITY = "/location-verification/v3", "/quality-on-demand/v1"
SIM_SWAP, DEVICE_SWAP = "/sim-swap/v2", "/device-swap/v1"


class Operator:
    """Grants what is asked for, one session per device, and knows where each is."""

    def __init__(self) -> None:
        self.sessions: dict[str, dict[str, Any]] = {}
        self.inside: dict[str, str] = {}
        self.sims: dict[str, str | None] = {}
        """Number -> when it got its SIM, RFC 3339; None: not within what may be remembered."""
        self.modems: dict[str, str | None] = {}
        self.granted_s_max = 86_400
        """Of a session at first; extensions are granted whole."""
        self.lose_answer = False
        self.answers = asyncio.Event()
        """Cleared: it takes calls, and answers none."""
        self.answers.set()
        self.unanswered = 0
        self.made = 0
        self.extended = 0
        self.faults: list[str] = []

    @property
    def granted(self) -> list[tuple[object, object]]:
        """Device and duration of each session."""
        return [(each["device"], each["duration"]) for each in self.sessions.values()]

    def application(self) -> web.Application:
        """Its interfaces; whatever their files do not allow is among ``faults``."""
        folder = SHARED_FILES / "camara"
        watched = watching(
            Specification(folder / "location-verification.yaml", LOCATION),
            Specification(folder / "quality-on-demand.yaml", QUALITY),
            Specification(contracts.SIM_SWAP, SIM_SWAP),
            Specification(contracts.DEVICE_SWAP, DEVICE_SWAP),
            faults=self.faults,
        )
        application = web.Application(middlewares=[self._awaiting, watched])
        post = application.router.add_post
        post(f"{LOCATION}/verify", self._verify)
        post(f"{SIM_SWAP}/retrieve-date", self._sim)
        post(f"{DEVICE_SWAP}/retrieve-date", self._modem)
        post(f"{QUALITY}/sessions", self._create)
        post(f"{QUALITY}/retrieve-sessions", self._retrieve)
        post(f"{QUALITY}/sessions/{{name}}/extend", self._extend)
        application.router.add_get(f"{QUALITY}/sessions/{{name}}", self._show)
        application.router.add_delete(f"{QUALITY}/sessions/{{name}}", self._delete)
        return application

    @contextlib.asynccontextmanager
    async def listening(self, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        """It can be asked on loopback; its port. No call may have broken its interface."""
        runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        try:
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()
            assert self.faults == []

    @web.middleware
    async def _awaiting(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if not self.answers.is_set():
            self.unanswered += 1
            await self.answers.wait()
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _verify(self, request: web.Request) -> web.Response:
        said = await request.json()
        verdict = self.inside.get(said["device"]["phoneNumber"])
        if verdict is None:
            return _error(422, "LOCATION_VERIFICATION.UNABLE_TO_LOCATE", "not seen")
        found = {"verificationResult": verdict, "lastLocationTime": "2026-01-01T00:00:00Z"}
        return web.json_response(found | ({"matchRate": 74} if verdict == "PARTIAL" else {}))

    async def _sim(self, request: web.Request) -> web.Response:
        return _date("latestSimChange", self.sims, await request.json())

    async def _modem(self, request: web.Request) -> web.Response:
        return _date("latestDeviceChange", self.modems, await request.json())

    async def _create(self, request: web.Request) -> web.Response:
        said = await request.json()
        if any(each["device"] == said["device"] for each in self.sessions.values()):
            return _error(409, "CONFLICT", "there is one")
        name = str(uuid.uuid4())
        granted = {"duration": min(said["duration"], self.granted_s_max)}
        self.sessions[name] = said | granted | {"sessionId": name, "qosStatus": "AVAILABLE"}
        self.made += 1
        if self.lose_answer:
            self.lose_answer = False
            return web.Response(status=503)
        return web.json_response(self.sessions[name], status=201)

    async def _retrieve(self, request: web.Request) -> web.Response:
        said = await request.json()
        found = [each for each in self.sessions.values() if each["device"] == said["device"]]
        return web.json_response(found)

    async def _extend(self, request: web.Request) -> web.Response:
        session = self.sessions[request.match_info["name"]]
        session["duration"] += (await request.json())["requestedAdditionalDuration"]
        self.extended += 1
        return web.json_response(session)

    async def _show(self, request: web.Request) -> web.Response:
        found = self.sessions.get(request.match_info["name"])
        return web.json_response(found) if found else _error(404, "NOT_FOUND", "none")

    async def _delete(self, request: web.Request) -> web.Response:
        found = self.sessions.pop(request.match_info["name"], None)
        return web.Response(status=204) if found else _error(404, "NOT_FOUND", "none")


def _date(field: str, dates: dict[str, str | None], said: dict[str, str]) -> web.Response:
    if said["phoneNumber"] not in dates:
        return _error(404, "IDENTIFIER_NOT_FOUND", "not one of ours")
    return web.json_response({field: dates[said["phoneNumber"]], "monitoredPeriod": 120})


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"status": status, "code": code, "message": message}, status=status)
