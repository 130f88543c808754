"""Who may tell the gateway something, how much, and for how long it may take."""

import asyncio
import contextlib
import json
import socket
import time

import aiohttp
import pytest

from gateway.mec import callbacks
from gateway.mec.apps import GRACE_S_MAX, Operation, Termination
from gateway.mec.callbacks import MEC, Callbacks
from gateway.mec.config import CallbackTable
from tests.fakes import FakeCounters

END = {
    "notificationType": "AppTerminationNotification",
    "operationAction": "TERMINATING",
    "maxGracefulTimeout": 10,
}
PATIENCE_S = 30


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Nobody here is late but who is meant to be."""
    monkeypatch.setattr(callbacks, "HEAD_TIMEOUT_S", 3600)
    monkeypatch.setattr(callbacks, "BODY_TIMEOUT_S", 3600)


@contextlib.asynccontextmanager
async def listening():
    table = CallbackTable("127.0.0.1:0", "http://127.0.0.1", plain=True)
    made = Callbacks(MEC, table, lambda: None, FakeCounters())
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def tell(made, body, kind="termination"):
    url = made.place.of(kind).replace("127.0.0.1", f"127.0.0.1:{made.port}")
    async with aiohttp.ClientSession() as session, session.post(url, data=body) as answer:
        return answer.status


async def test_what_is_told_waits_to_be_heard():
    async with listening() as made:
        assert await tell(made, json.dumps(END)) == 204
        assert made.told.get_nowait() == Termination(
            "AppTerminationNotification", Operation.TERMINATING, 10
        )
        far = END | {"maxGracefulTimeout": 10**9}
        assert await tell(made, json.dumps(far)) == 204
        assert made.told.get_nowait().max_graceful_timeout == GRACE_S_MAX


@pytest.mark.parametrize(
    "body",
    [b"", b"[" * 100_000, b'{"x":"\xff"', b'{"x":' + b"[" * 100_000, json.dumps(END)[:-3].encode()],
    ids=["nothing", "nested", "no UTF-8", "nested within", "cut off"],
)
@pytest.mark.parametrize("kind", callbacks.READERS)
async def test_what_can_not_be_read_is_refused(body, kind):
    async with listening() as made:
        assert await tell(made, body, kind) == 400
        assert made.told.empty()


async def test_more_than_a_platform_has_to_say_is_not_read():
    async with listening() as made:
        assert await tell(made, b" " * (callbacks.BODY_BYTES_MAX + 1)) == 413
        assert made._counters.counts["mec_told", "malformed"] == 1


@pytest.mark.parametrize(
    "told",
    [
        {"notificationType": "TestNotification", "_links": {}},
        {"notificationType": "ExpiryNotification", "expiryDeadline": {"seconds": 1}},
        {"expiryDeadline": {"seconds": 1}, "_links": {}},
    ],
    ids=["test", "expiry", "expiry of the first release"],
)
async def test_what_tells_nothing_is_answered(told):
    async with listening() as made:
        for kind in callbacks.READERS:
            assert await tell(made, json.dumps(told), kind) == 204
        assert made.told.empty()


async def test_what_finds_no_room_is_missed(monkeypatch):
    monkeypatch.setattr(callbacks, "WAITING_MAX", 1)
    async with listening() as made:
        assert await tell(made, json.dumps(END)) == 204
        assert not made.missed
        assert await tell(made, json.dumps(END)) == 503
        assert made.missed


async def idle(made):
    """Two who say nothing, or begin to."""
    peers = [await asyncio.open_connection("127.0.0.1", made.port) for _ in range(2)]
    peers[0][1].write(b"POST / HTTP/1.1\r\nHost: x\r\n")  # and no more
    return peers


async def test_who_finds_no_room_is_turned_away(monkeypatch):
    monkeypatch.setattr(callbacks, "CONNECTIONS_MAX", 2)
    async with listening() as made, asyncio.timeout(PATIENCE_S):
        peers = await idle(made)
        late, writer = await asyncio.open_connection("127.0.0.1", made.port)
        assert await late.read() == b""
        assert made._counters.counts["mec_told", "crowded"] == 1
        for each in (writer, *(writer for _, writer in peers)):
            each.close()


async def test_who_says_nothing_makes_room_for_others(monkeypatch):
    monkeypatch.setattr(callbacks, "CONNECTIONS_MAX", 2)
    async with listening() as made, asyncio.timeout(PATIENCE_S):
        with monkeypatch.context() as soon:
            soon.setattr(callbacks, "HEAD_TIMEOUT_S", 0.1)
            peers = await idle(made)
            for reader, writer in peers:
                assert await reader.read() == b""
                writer.close()
        assert await tell(made, json.dumps(END)) == 204


async def test_who_has_spoken_while_the_gateway_stood_still_is_heard(monkeypatch):
    monkeypatch.setattr(callbacks, "HEAD_TIMEOUT_S", 0.1)
    async with listening() as made, asyncio.timeout(PATIENCE_S):
        with socket.create_connection(("127.0.0.1", made.port), PATIENCE_S) as platform:
            while not made._door._silent:  # noqa: ASYNC110 - who comes in tells nobody
                await asyncio.sleep(0)
            body = json.dumps(END)
            path = made.place.of("termination").removeprefix("http://127.0.0.1")
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            platform.sendall((head + body).encode())
            time.sleep(callbacks.HEAD_TIMEOUT_S + 2 * callbacks.LATE_S)  # noqa: ASYNC251
            answer = await asyncio.to_thread(platform.recv, 1000)
        assert b" 204 " in answer
        assert made.told.qsize() == 1


async def test_a_body_in_drops_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(callbacks, "BODY_TIMEOUT_S", 0.1)
    async with listening() as made, asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        path = made.place.of("zone").removeprefix("http://127.0.0.1")
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{"
        writer.write(head.encode())
        assert b"408" in await reader.readline()
        writer.close()


@pytest.mark.parametrize(
    "said",
    [
        b"\0\r\n\r\n",
        b"POST /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone",
    ],
    ids=["no HTTP", "no URL", "no chunks", "not packed"],
)
async def test_what_is_no_request_is_answered_and_no_news(said, caplog):
    """Anybody who reaches the port may say it, and it may hold the secret."""
    async with listening() as made, asyncio.timeout(PATIENCE_S):
        path = made.place.of("zone").removeprefix("http://127.0.0.1").encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(said.replace(b"%s", path))
        assert b" 400 " in await reader.readline()
        writer.close()
    assert not [each for each in caplog.records if each.exc_info]


async def test_who_leaves_within_a_body_is_no_news(caplog):
    async with listening() as made, asyncio.timeout(PATIENCE_S):
        path = made.place.of("zone").removeprefix("http://127.0.0.1")
        _, writer = await asyncio.open_connection("127.0.0.1", made.port)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{"
        writer.write(head.encode())
        await writer.drain()
        writer.transport.abort()
        while not made._counters.counts["mec_told", "malformed"]:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    assert not [each for each in caplog.records if each.exc_info]


async def test_a_fault_of_ours_is_told(caplog, monkeypatch):
    def read(_body):
        raise ZeroDivisionError

    monkeypatch.setitem(callbacks.READERS, "termination", read)
    async with listening() as made:
        assert await tell(made, json.dumps(END)) == 500
    assert [each.exc_info[0] for each in caplog.records if each.exc_info] == [ZeroDivisionError]


async def test_a_gateway_that_is_always_late_still_finds_who_is_silent(monkeypatch):
    monkeypatch.setattr(callbacks, "HEAD_TIMEOUT_S", 0.1)
    monkeypatch.setattr(callbacks, "LATE_S", -1.0)
    async with listening() as made, asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        assert await reader.read() == b""
        writer.close()
