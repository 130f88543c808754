"""Every call of an operator's network against prism, serving CAMARA's published files.

As with :mod:`tests.integration.test_mec_prism`, it judges requests (400, 422). It answers with the
files' examples, and is not asked to judge these, too: what it makes of types where there is no
example is not always of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from gateway.mec.config import TokenTable
from gateway.mec.http import Platform, ProblemError
from gateway.networkapi.camara import Bases, Camara
from gateway.networkapi.interface import Circle, Flow, Verdict, Whose
from security.files import SECRET_MODE, write_atomic
from tests.integration import test_mec_prism as prism

pytestmark = prism.pytestmark
AREA = Circle(50.735851, 7.10066, 2000.0)
DEVICES = (Whose(phone="+8613800000001"), Whose(ipv4="10.1.2.3"))
SESSION = "123e4567-e89b-12d3-a456-426614174000"


@contextlib.asynccontextmanager
async def network(name: str, folder: Path) -> AsyncIterator[tuple[str, Platform]]:
    """The interface of one file, whose calls take a token, and a client that gets one."""

    async def token(request: web.Request) -> web.Response:
        assert (await request.post())["grant_type"] == "client_credentials"
        return web.json_response({"access_token": "t1", "token_type": "Bearer"})

    application = web.Application()
    application.router.add_post("/token", token)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    write_atomic(folder / "secret", b"hidden", SECRET_MODE)
    endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    table = TokenTable(endpoint, "wardgate", folder / "secret")
    try:
        async with prism.mocked(f"camara/{name}.yaml", folder, table, ()) as mocked:
            yield mocked
    finally:
        await runner.cleanup()


async def test_location_verification(tmp_path: Path) -> None:
    async with network("location-verification", tmp_path) as (base, platform):
        apis = Camara(platform, Bases(location=base))
        for whose in DEVICES:
            found = await apis.verify_location(whose, AREA, 120)
            assert found.verdict is not Verdict.UNKNOWN
            assert found.at_us
        # It is judged: this number is none.
        found = await apis.verify_location(Whose(phone="13800000001"), AREA, 120)
        assert found.verdict is Verdict.UNKNOWN


async def test_quality_on_demand(tmp_path: Path) -> None:
    async with network("quality-on-demand", tmp_path) as (base, platform):
        apis = Camara(platform, Bases(quality=base))
        for whose in DEVICES:
            for flow in (Flow("10.20.0.1", (8883, 5684)), Flow("fd00:20::/64")):
                session = await apis.request_quality(whose, flow, "QOS_E", 300)
                assert session.session_id
                assert session.duration_s >= 1
            assert isinstance(await apis.sessions_of(whose), list)
        assert await apis.quality(SESSION)
        assert (await apis.extend_quality(SESSION, 300)).session_id
        await apis.end_quality(SESSION)
        with pytest.raises(ProblemError):
            await apis.request_quality(DEVICES[0], Flow("10.20.0.1"), "no profile", 300)
