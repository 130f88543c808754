"""EST's client end against servers that are away, silent, strange, or not the fleet."""

import asyncio
import contextlib
import subprocess
import sys

import pytest

from gateway.clock import SystemClock
from gateway.domain.errors import ConfigError, RefusedError
from gateway.estanswer import OutageError
from gateway.estclient import EstClient
from security.tls import client_context, server_context
from tests.ward_pki import TRUST_DOMAIN, WardPki

HEAD = "HTTP/1.1 {status}\r\nConnection: close\r\nDate: Sun, 06 Nov 2044 08:49:37 GMT\r\n{more}\r\n"


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    return WardPki(tmp_path_factory.mktemp("pki"))


@contextlib.asynccontextmanager
async def serving(files, answer):
    """The address of something that answers every request with the same bytes."""

    async def serve(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context(files))
    try:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def client(url):
    return EstClient(url, "", TRUST_DOMAIN, SystemClock().now_us)


async def ask(ward, files, answer):
    async with serving(files, answer) as url:
        return await client(url).ca_certificates(client_context(ward.device("pump-1").files))


def said(status, more="", body=b""):
    return HEAD.format(status=status, more=more).encode() + body


@pytest.mark.parametrize(
    "url",
    ["", "http://fleet:8443", "https://", "https://fleet/else", "fleet:8443", "https://f?x=1"],
)
def test_an_address_is_https_host_and_port(url):
    with pytest.raises(ConfigError, match=r"renewal\.est"):
        client(url)


async def test_nobody_there_is_an_outage(ward):
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(OutageError):
        await client(f"https://localhost:{port}").ca_certificates(
            client_context(ward.device("pump-1").files)
        )


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        said("500 Oh dear"),
        said("200 OK", "Content-Type: text/html\r\n", b"<html>"),
        said("200 OK", "Content-Type: application/pkcs7-mime\r\n", b"AAAA"),
        said("200 OK", "Content-Type: application/pkcs7-mime\r\n", b"A" * 100_000),
    ],
    ids=["nothing", "no http", "500", "html", "no pkcs7", "too long"],
)
async def test_what_is_not_to_the_point_is_an_outage(ward, answer):
    with pytest.raises(OutageError):
        await ask(ward, ward.broker().files, answer)


async def test_a_refusal_is_one(ward):
    with pytest.raises(RefusedError, match="403 refused: revoked"):
        await ask(ward, ward.broker().files, said("403 Forbidden", "", b"refused: revoked\n"))


async def test_only_a_service_answers_for_the_fleet(ward):
    with pytest.raises(RefusedError, match="a gateway answers"):
        await ask(ward, ward.gateway.files, said("200 OK"))


async def test_a_server_of_another_authority_is_refused(ward, tmp_path):
    other = WardPki(tmp_path)
    trusting = other.gateway.files
    trusting.trust.write_bytes(trusting.trust.read_bytes() + ward.gateway.files.trust.read_bytes())
    with pytest.raises(RefusedError, match="the fleet's certificate"):
        await ask(ward, trusting, said("200 OK"))


def test_a_gateway_starts_without_loading_the_http_library():
    loaded = "import sys, gateway.daemon; print([m for m in ('aiohttp',) if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
