"""What a platform may answer, and what the client makes of it: an answer, or one of two errors."""

import asyncio
import contextlib
import gzip
import json
from random import Random
from typing import Any

import pytest
from aiohttp import web

from firmware_sim.mec.platform import traffic_rule
from gateway.clock import SystemClock
from gateway.domain.errors import ConfigError
from gateway.mec import http, oauth
from gateway.mec.apps import AppSupport
from gateway.mec.config import TokenTable
from gateway.mec.http import Answer, Platform, PlatformError, ProblemError, made_name
from gateway.mec.reading import decoded
from gateway.mec.rules import ACTIVE, TrafficRule
from security.files import SECRET_MODE, write_atomic
from tests.fakes import FakeCounters

TIMEOUT_S = 30.0
JSON = "application/json"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(http, "PAUSE_S", 0.001)


@contextlib.asynccontextmanager
async def serving(answer, token=None, context=lambda: None, timeout_s=TIMEOUT_S):
    """A platform that answers everything with one handler; the client, and what it asked."""
    asked = []

    async def hear(request):
        asked.append(request)
        return await answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hear)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    counters = FakeCounters()
    table = TokenTable(f"{base}/token", "gw", token) if token else None
    client = Platform(context, table, timeout_s, SystemClock(), counters, Random(1))
    try:
        yield client, base, asked
    finally:
        await client.close()
        await runner.cleanup()


def always(status=200, body=b"[]", **headers):
    async def answer(_request):
        return web.Response(
            status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    return answer


async def test_a_redirect_is_not_followed():
    async with serving(always(302, Location="http://127.0.0.1:1/elsewhere")) as (client, base, _):
        with pytest.raises(ProblemError) as caught:
            await client.call("GET", base)
        assert caught.value.status == 302


async def test_an_answer_without_end_is_left(monkeypatch):
    monkeypatch.setattr(http, "BODY_BYTES_MAX", 1000)
    async with serving(always(body=b"x" * 1000)) as (client, base, _):
        assert len((await client.call("GET", base)).body) == 1000
    async with serving(always(body=b"x" * 1001)) as (client, base, _):
        with pytest.raises(PlatformError, match="too long"):
            await client.call("GET", base)


async def test_nothing_is_unpacked():
    packed = gzip.compress(b"[]" * 1000)
    answer = always(body=packed, Content_Encoding="gzip")
    async with serving(answer) as (client, base, asked):
        assert (await client.call("GET", base)).body == packed
        assert asked[0].headers["Accept-Encoding"] == "identity"


async def test_half_an_answer_is_none():
    async def half(request):
        answer = web.StreamResponse(headers={"Content-Length": "100"})
        await answer.prepare(request)
        await answer.write(b"[")
        request.transport.close()
        return answer

    async with serving(half) as (client, base, asked):
        with pytest.raises(PlatformError):
            await client.call("GET", base)
        assert len(asked) == http.TRIES_MAX


async def test_an_answer_in_drops_is_one_in_time():
    async def drip(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                await answer.write(b" ")
                await asyncio.sleep(0.02)
        return answer

    async with serving(drip, timeout_s=0.3) as (client, base, _):
        with pytest.raises(PlatformError):
            await client.call("GET", base)


@pytest.mark.parametrize("status", sorted(http.PASSING))
async def test_what_passes_is_tried_again_and_then_told(status):
    async with serving(always(status, Retry_After="0")) as (client, base, asked):
        with pytest.raises(PlatformError, match=str(status)):
            await client.call("GET", base)
        assert len(asked) == http.TRIES_MAX


@pytest.mark.parametrize(
    "after", ["\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT THREE}", "nan", "-1"]
)
async def test_a_time_that_is_none_is_not_waited_for(after):
    async with serving(always(503, Retry_After=after)) as (client, base, _):
        with pytest.raises(PlatformError, match="503"):
            await client.call("GET", base)


@contextlib.asynccontextmanager
async def saying(answer):
    """A client, and the URL of a platform that says the same octets to everybody."""

    async def hear(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
        client = Platform(lambda: None, None, TIMEOUT_S, SystemClock(), FakeCounters(), Random(1))
        try:
            yield client, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            await client.close()


async def test_a_header_that_is_no_ascii_says_nothing():
    head = b"HTTP/1.1 201 Created\r\nLocation: /\xff\r\nETag: \xff\r\nContent-Length: 2\r\n\r\n{}"
    async with saying(head) as (client, base):
        answer = await client.call("POST", base, {}, expect=(201,))
        assert (answer.location, answer.etag) == ("", "")
        with pytest.raises(PlatformError, match="does not say"):
            made_name(answer)


async def test_a_refusal_is_told_at_once_in_the_platforms_words():
    body = json.dumps({"title": "no", "detail": "not\n\x1b yours" + "x" * 500}).encode()
    async with serving(always(403, body)) as (client, base, asked):
        with pytest.raises(ProblemError, match="403: not yours") as caught:
            await client.call("GET", base)
        assert len(asked) == 1
        assert len(str(caught.value)) < 220


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000, b'{"detail":"\xff"}'])
async def test_a_refusal_in_no_words_is_one_all_the_same(body):
    async with serving(always(400, body)) as (client, base, _):
        with pytest.raises(ProblemError) as caught:
            await client.call("GET", base)
        assert str(caught.value) == "400"


@pytest.mark.parametrize(("status", "there"), [(200, True), (404, False), (410, False)])
async def test_what_is_gone_is_known_to_be(status, there):
    async with serving(always(status)) as (client, base, _):
        assert await client.knows(base) is there
    async with serving(always(500)) as (client, base, _):
        with pytest.raises(PlatformError):
            await client.knows(base)
    async with serving(always(403)) as (client, base, _):
        with pytest.raises(ProblemError):
            await client.knows(base)


@pytest.mark.parametrize("status", [200, 204, 404, 410])
async def test_what_is_gone_need_not_be_ended(status):
    async with serving(always(status, b"")) as (client, base, asked):
        await client.end(base)
        assert [each.method for each in asked] == ["DELETE"]


def tokens(*, life=3600, status=200):
    """A platform that wants tokens; it forgets the first one."""
    given: list[str] = []

    async def answer(request):
        if request.path == "/token":
            if status != 200:
                return web.json_response({"error": "invalid_client"}, status=status)
            given.append(f"t{len(given)}")
            told = {"access_token": given[-1], "token_type": "Bearer", "expires_in": life}
            return web.json_response(told)
        known = request.headers.get("Authorization") in {f"Bearer {each}" for each in given[1:]}
        return web.json_response([], status=200 if known else 401)

    return answer, given


@pytest.fixture
def secret(tmp_path):
    write_atomic(tmp_path / "secret", b"hidden", SECRET_MODE)
    return tmp_path / "secret"


async def test_a_token_that_is_refused_is_renewed_once_per_call(secret):
    answer, given = tokens()
    async with serving(answer, secret) as (client, base, _):
        await client.call("GET", base)
        await client.call("GET", base)
        assert given == ["t0", "t1"]

    async def never(request):
        if request.path == "/token":
            return web.json_response({"access_token": "t", "token_type": "bearer"})
        return web.Response(status=401)

    async with serving(never, secret) as (client, base, asked):
        with pytest.raises(ProblemError) as caught:
            await client.call("GET", base)
        assert caught.value.status == 401
        assert [each.path for each in asked] == ["/token", "/", "/token", "/"]


async def test_a_secret_that_is_refused_is_not_said_again_and_again(secret):
    answer, _ = tokens(status=401)
    async with serving(answer, secret) as (client, base, asked):
        with pytest.raises(PlatformError, match="token endpoint answers 401"):
            await client.call("GET", base)
        assert len(asked) == 1
    answer, _ = tokens(status=503)
    async with serving(answer, secret) as (client, base, asked):
        with pytest.raises(PlatformError, match="token endpoint answers 503"):
            await client.call("GET", base)
        assert len(asked) == http.TRIES_MAX


async def test_a_token_ends_in_time(secret):
    answer, given = tokens(life=oauth.EARLY_S)
    async with serving(answer, secret) as (client, base, _):
        await client.call("GET", base)
        await client.call("GET", base)
        assert len(given) == 3  # one that was forgotten, and each is over at once


@pytest.mark.parametrize(
    "body", [b"", b"[" * 100_000, b'{"access_token":"\xff","token_type":"bearer"}', b"{}"]
)
async def test_what_is_no_token_is_no_answer(secret, body):
    async with serving(always(200, body), secret) as (client, base, _):
        with pytest.raises(PlatformError, match="token endpoint"):
            await client.call("GET", base)


async def test_certificates_that_can_not_be_used_now_are_no_fault_of_ours():
    def context():
        raise ConfigError("tls.key: of another certificate")

    async with serving(always(), context=context) as (client, base, _):
        with pytest.raises(PlatformError, match="another certificate"):
            await client.call("GET", base)


async def test_a_client_that_is_closed_calls_nobody():
    async with serving(always()) as (client, base, asked):
        await client.close()
        with pytest.raises(PlatformError, match="stops"):
            await client.call("GET", base)
        assert not asked


@pytest.mark.parametrize(
    ("answer", "path", "name"),
    [
        (Answer(201, b"", "https://mep/subscriptions/a"), (), "a"),
        (Answer(201, b"", "/subscriptions/a/"), (), "a"),
        (Answer(201, b"", "subscriptions/a?x=1"), (), "a"),
        (Answer(201, b"", "/subscriptions/a%2Fb%20c"), (), "a/b c"),
        (Answer(201, b"", "urn:a"), (), "urn:a"),
        (Answer(201, b'{"_links":{"self":{"href":"/x/a"}}}'), (), "a"),
        (Answer(201, b'{"serInstanceId":"a"}', "/x/b"), ("serInstanceId",), "a"),
        (Answer(201, b'{"serInstanceId":null}', "/x/b"), ("serInstanceId",), "b"),
        (Answer(201, b'{"z":{"resourceURL":"/x/a"}}'), ("z", "resourceURL"), "a"),
        *(
            (Answer(201, body), (), None)
            for body in (
                b"",
                b"[]",
                b'{"_links":null}',
                b'{"_links":{"self":[]}}',
                b'{"_links":{"self":{"href":3}}}',
                b'{"_links":{"self":{"href":"/"}}}',
                b"[" * 100_000,
            )
        ),
        (Answer(201, b'{"allocationId":null}'), ("allocationId",), None),
        (Answer(201, b"", "http://[x/"), (), "[x"),
    ],
)
def test_what_was_made_is_known_by_a_name(answer, path, name):
    if name is None:
        with pytest.raises(PlatformError):
            made_name(answer, *path)
    else:
        assert made_name(answer, *path) == name


@pytest.mark.parametrize("changed", [{}, {"action": "DROP"}, {"dstInterface": None}])
async def test_only_the_rule_that_was_judged_is_switched_on(changed):
    judged = traffic_rule("a/b", state="INACTIVE")

    async def answer(request):
        if request.method == "PUT":
            put.append((request.path_qs, request.headers.get("If-Match"), await request.json()))
        return web.json_response(judged | changed, headers={"ETag": '"one"'})

    put: list[Any] = []
    async with serving(answer) as (client, base, asked):
        apps = AppSupport(client, base, "i")
        rule = decoded(json.dumps(judged).encode(), TrafficRule, "rule")
        if changed:
            with pytest.raises(PlatformError, match="changed"):
                await apps.activate_traffic_rule(rule)
            assert not put
        else:
            await apps.activate_traffic_rule(rule)
            assert put == [
                ("/applications/i/traffic_rules/a%2Fb", '"one"', judged | {"state": ACTIVE})
            ]
        assert len(asked) == 1 + len(put)
