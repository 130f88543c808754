"""Ways out: what a service is shown, what counts as an answer, who is watching."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import ConfigError, MalformedError, NotSentError
from gateway.domain.labels import Zone
from gateway.notification import message
from gateway.notification.config import WatchOutlet, WebhookOutlet
from gateway.notification.outlets.sender import Letter
from gateway.notification.outlets.watch import AbsentError, Watchers, WatchSender
from gateway.notification.outlets.webhook import WebhookSender, bearer
from gateway.notification.statements import Seen
from security.files import read_secret
from security.tls import server_context
from tests.fakes import FakeClock
from tests.ward_pki import Holder, WardPki

# -- answers

GOOD = {"v": 1, "answer": "acknowledged", "alarm_id": "a", "n": 1, "by": "nurse-7"}


def test_an_answer_is_read():
    found = message.read_answer(json.dumps(GOOD).encode())
    assert (found.alarm_id, found.n, found.by, found.seen) == ("a", 1, "nurse-7", None)
    shown = message.read_answer(b'{"v":1,"answer":"displayed","alarm_id":"a","n":2}')
    assert shown.seen is Seen.DISPLAYED
    assert message.read_answer(b'{"v":1,"answer":"alive"}').seen is None


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"answer": "sing"},
        {"alarm_id": ""},
        {"n": 0},
        {"n": -1},
        {"n": "1"},
        {"by": " "},
        {"by": "x" * 121},
        {"alarm_id": "x" * 201},
        {"more": 1},
    ],
    ids=str,
)
def test_what_breaks_the_specification_is_refused(change):
    with pytest.raises(MalformedError):
        message.read_answer(json.dumps(GOOD | change).encode())


TEXTS = st.text().map(lambda text: json.dumps(text).encode())


@given(st.binary(max_size=300) | st.just(b" " * 3000) | TEXTS)
def test_nothing_else_is_raised(payload):
    with contextlib.suppress(MalformedError):
        message.read_answer(payload)


# -- webhooks


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> WardPki:
    return WardPki(tmp_path_factory.mktemp("pki"))


Answer = Callable[[web.Request], web.StreamResponse]


@asynccontextmanager
async def service(holder: Holder, answer: Answer, *, asks: bool) -> AsyncIterator[int]:
    context = server_context(holder.files)
    if not asks:
        context.verify_mode = ssl.CERT_NONE

    async def take(request: web.Request) -> web.StreamResponse:
        await request.read()
        return answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0, ssl_context=context)
    await site.start()
    try:
        assert site._server is not None
        yield site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    finally:
        await runner.cleanup()


def sender(pki: WardPki, port: int, **more: Any) -> WebhookSender:
    outlet = WebhookOutlet(
        name="hook",
        zone=Zone.PARTNER,
        address=f"localhost:{port}",
        path="/a?b=c",
        answer_s=60.0,
        **more,
    )
    return WebhookSender(outlet, pki.gateway.files, read_secret, FakeClock().monotonic)


LETTER = Letter({"v": 1}, "key-1", "a", 1)


async def test_a_service_that_asks_is_shown_our_certificate(pki):
    seen = []

    def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        tls = request.transport.get_extra_info("ssl_object")
        names = dict(part[0] for part in tls.getpeercert()["subject"])
        seen.append((names["commonName"], request.path_qs, request.headers["Idempotency-Key"]))
        return web.Response(status=204)

    async with service(pki.gateway, answer, asks=True) as port:
        way = sender(pki, port)
        await way.send(LETTER)
        await way.send(LETTER)
        await way.close()
    assert seen == [("gw-1", "/a?b=c", "key-1")] * 2


async def test_with_a_token_no_certificate_is_shown(pki, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("abc.def\n")
    secret.chmod(0o600)
    seen = []

    def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        tls = request.transport.get_extra_info("ssl_object")
        seen.append((tls.getpeercert(), request.headers["Authorization"]))
        return web.Response()

    async with service(pki.gateway, answer, asks=False) as port:
        way = sender(pki, port, bearer=secret)
        await way.send(LETTER)
        await way.close()
    assert seen == [(None, "Bearer abc.def")]


def redirect(_request: web.Request) -> web.Response:
    return web.Response(status=307, headers={"Location": "https://elsewhere.example/"})


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (redirect, "status_307"),
        (lambda _: web.Response(status=500), "status_500"),
        (lambda _: web.Response(status=401), "status_401"),
    ],
    ids=["redirect", "fault", "unauthorised"],
)
async def test_everything_but_success_is_no_receipt(pki, answer, reason):
    async with service(pki.gateway, answer, asks=True) as port:
        way = sender(pki, port)
        with pytest.raises(NotSentError) as caught:
            await way.send(LETTER)
        await way.close()
    assert caught.value.reason == reason


async def test_who_is_not_the_service_is_told_nothing(pki):
    asked: list[str] = []

    def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    for holder, more, reason in (
        (pki.stranger("monitor-9"), {}, "untrusted"),
        (pki.gateway, {"server_name": "other.example"}, "untrusted"),
        (pki.gateway, {"pins": ("sha256:" + "A" * 43 + "=",)}, "pin_refused"),
    ):
        async with service(holder, answer, asks=False) as port:
            way = sender(pki, port, **more)
            with pytest.raises(NotSentError) as caught:
                await way.send(LETTER)
            await way.close()
        assert caught.value.reason == reason
    way = sender(pki, port)  # nobody is there any more
    with pytest.raises(NotSentError) as caught:
        await way.send(LETTER)
    assert caught.value.reason == "unavailable"
    assert asked == []


@pytest.mark.parametrize("secret", [b"", b"two words", b"line\nline", "ü".encode(), b'quo"te'])
def test_what_is_no_token_is_refused(secret):
    with pytest.raises(ConfigError):
        bearer(secret)


# -- who watches


def watching(required: bool = False) -> tuple[Watchers, WatchSender]:
    watchers = Watchers()
    outlet = WatchOutlet(name="station", zone=Zone.WARD, required=required, answer_s=5.0)
    return watchers, WatchSender(outlet, watchers)


async def test_nobody_watching_is_a_failure_where_somebody_has_to():
    _, way = watching()
    with pytest.raises(AbsentError):
        await way.send(LETTER)
    _, way = watching(required=True)
    with pytest.raises(NotSentError) as caught:
        await way.send(LETTER)
    assert not isinstance(caught.value, AbsentError)
    with pytest.raises(NotSentError):
        await way.look()


async def test_a_notification_is_there_when_a_watchers_stream_has_taken_it():
    watchers, way = watching()
    watcher = watchers.open("station")
    other = watchers.open("elsewhere")
    assert watcher is not None
    assert other is not None
    sending = asyncio.create_task(way.send(LETTER))
    assert await watcher.wait(5) == ("a",)
    watchers.shown("station", "a", 0)
    await asyncio.sleep(0)
    assert not sending.done()
    watchers.shown("station", "a", 1)
    await sending
    watchers.close(watcher)
    with pytest.raises(AbsentError):
        await way.send(LETTER)


async def test_a_slow_watcher_hears_where_an_alarm_stands_once():
    watchers, _ = watching()
    watcher = watchers.open("station")
    assert watcher is not None
    for alarm_id in ("a", "b", "a", "", "b"):
        watchers.changed(alarm_id)
    assert await watcher.wait(5) == ("a", "b", "")
    assert await watcher.wait(0.01) == ()


async def test_watchers_are_bounded():
    watchers, _ = watching()
    opened = [watchers.open("station") for _ in range(65)]
    assert opened[-1] is None
    assert None not in opened[:-1]
