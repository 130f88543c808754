"""Links that are dialled: order, back-pressure, loss, who is at the other end."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from demo.plan import free_ports
from drivers.transport.dialled import DialledLink, DialLimits, Secured
from gateway.domain.errors import RefusalReason
from security import tls
from security.pins import pin_of
from tests.ward_pki import WardPki

PATIENCE_S = 30
LIMITS = DialLimits(rest_min_s=0.02, rest_max_s=0.05, connect_s=5.0)


class Recorder:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.data = bytearray()
        self.longest = 0

    def link_up(self) -> None:
        self.told.append("up")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.longest = max(self.longest, len(data))

    def link_lost(self, reason: str) -> None:
        self.told.append(reason)


class Device(asyncio.Protocol):
    """What listens."""

    def __init__(self) -> None:
        self.connections: list[asyncio.Transport] = []
        self.data = bytearray()
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.connections.append(transport)

    def data_received(self, data: bytes) -> None:
        self.data += data


@asynccontextmanager
async def device(context: ssl.SSLContext | None = None):
    found = Device()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: found, "127.0.0.1", 0, ssl=context)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for each in found.connections:
            each.abort()


@asynccontextmanager
async def link(port: int, secured: Secured | None = None, limits: DialLimits = LIMITS):
    recorder = Recorder()
    made = DialledLink(("127.0.0.1", port), recorder, secured, random.Random(1), limits)
    made.start()
    try:
        yield made, recorder
    finally:
        await made.stop(0.5)
        await made.stop(0.5)  # idempotent


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def test_both_ways_and_again_after_a_loss() -> None:
    async with device() as far, link(far.port) as (made, heard):
        await until(lambda: heard.told == ["up"] and far.connections)
        far.connections[0].write(b"hello")
        assert made.write(b"you")
        await until(lambda: heard.data == b"hello" and far.data == b"you")
        far.connections[0].write(b"bye")
        far.connections[0].close()
        await until(lambda: heard.told[-2:] == ["hung_up", "up"])
        assert heard.data == b"hellobye"  # what it said before it went
        assert made.certificate == b""


async def test_it_is_asked_for_until_it_is_there() -> None:
    (port,) = free_ports(1)
    async with link(port) as (made, heard):
        await asyncio.sleep(0.1)
        assert not made.up
        assert not made.write(b"x")
        loop = asyncio.get_running_loop()
        found = Device()
        server = await loop.create_server(lambda: found, "127.0.0.1", port)
        await until(lambda: heard.told == ["up"])
        server.close()


async def test_rests_grow_while_nothing_lasts_and_begin_anew_after_what_did() -> None:
    made = DialledLink(("127.0.0.1", 1), Recorder(), None, random.Random(1), DialLimits())
    rests = [made._rest() for _ in range(9)]
    full = [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert all(most / 2 <= rest <= most for rest, most in zip(rests, full, strict=True))


async def test_while_it_is_paused_the_device_is_held_back() -> None:
    sent = bytes(range(256)) * 16 * 1024  # 4 MiB
    async with device() as far, link(far.port) as (made, heard):
        await until(lambda: heard.told and far.connections)
        made.pause()
        far.connections[0].write(sent)
        await asyncio.sleep(0.2)
        assert not heard.data
        assert made._kept_bytes <= LIMITS.kept_bytes_max
        assert far.connections[0].get_write_buffer_size() > 0
        made.resume()
        await until(lambda: len(heard.data) == len(sent))
        assert heard.data == sent
        assert heard.longest <= LIMITS.piece_bytes_max
        assert heard.told == ["up"]


async def test_a_flood_leaves_the_loop_its_turns() -> None:
    async with device() as far, link(far.port) as (made, heard):
        await until(lambda: heard.told and far.connections)
        far.connections[0].write(bytes(2 * 1024 * 1024))
        turns = 0
        while len(heard.data) < 2 * 1024 * 1024:
            before = len(heard.data)
            await asyncio.sleep(0)
            turns += 1
            assert len(heard.data) - before <= LIMITS.piece_bytes_max
        assert turns >= 128
        assert made.up


async def test_a_device_that_does_not_read_loses_its_link() -> None:
    async with device() as far, link(far.port) as (made, heard):
        await until(lambda: heard.told and far.connections)
        far.connections[0].pause_reading()
        for _ in range(10_000):
            if not made.write(bytes(32 * 1024)):
                break
            await asyncio.sleep(0)
        await until(lambda: "write_stuck" in heard.told)
        await until(lambda: heard.told[-1] == "up")


async def test_a_reset_is_told_once_and_followed_by_a_new_connection() -> None:
    async with device() as far, link(far.port) as (made, heard):
        await until(lambda: heard.told)
        made.reset("revoked")
        made.reset("revoked")
        await until(lambda: heard.told == ["up", "revoked", "up"])


# Who is there


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> WardPki:
    return WardPki(tmp_path_factory.mktemp("ward"))


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """A reader as it comes from the shop: a certificate of its own making, with an RSA key."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "impinj-10-ef-18")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now - timedelta(days=30))  # nobody has renewed it
        .sign(key, hashes.SHA256())
    )
    home = tmp_path_factory.mktemp("appliance")
    (home / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (home / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(home / "cert.pem", home / "key.pem")
    return context, pin_of(certificate)


async def test_a_certificate_of_ours_for_its_host(ward: WardPki) -> None:
    reader, refused = ward.broker(), list[str]()
    context = tls.server_context(reader.files)  # it demands ours
    client = tls.client_context(ward.gateway.files)
    secured = Secured(lambda: client, "localhost", refused.append)
    async with device(context) as far, link(far.port, secured) as (made, heard):
        await until(lambda: heard.told == ["up"])
        assert made.certificate == reader.der
        assert made.write(b"x")
        await until(lambda: far.data == b"x")
    assert not refused


async def test_a_certificate_for_another_host(ward: WardPki) -> None:
    context, refused = tls.server_context(ward.broker().files), list[str]()
    client = tls.client_context(ward.gateway.files)
    secured = Secured(lambda: client, "reader-9.ward.example", refused.append)
    async with device(context) as far, link(far.port, secured) as (_, heard):
        await until(lambda: refused)
        assert set(refused) == {RefusalReason.UNTRUSTED}
        assert not heard.told
        assert not far.data


async def test_a_stranger(ward: WardPki, appliance: tuple[ssl.SSLContext, str]) -> None:
    context, _ = appliance
    refused = list[str]()
    client = tls.client_context(ward.gateway.files)
    secured = Secured(lambda: client, "localhost", refused.append)
    async with device(context) as far, link(far.port, secured) as (_, heard):
        await until(lambda: refused)
        assert set(refused) <= {RefusalReason.UNTRUSTED, RefusalReason.EXPIRED}
        assert not heard.told


async def test_a_pinned_key(appliance: tuple[ssl.SSLContext, str]) -> None:
    context, pin = appliance
    secured = Secured(tls.pinned_context, "127.0.0.1", pytest.fail, pin)
    async with device(context) as far, link(far.port, secured) as (made, heard):
        await until(lambda: heard.told == ["up"])
        assert made.write(b"x")
        await until(lambda: far.data == b"x")


async def test_another_key_than_the_pinned_one_is_told_nothing(
    appliance: tuple[ssl.SSLContext, str], ward: WardPki
) -> None:
    context, _ = appliance
    other = pin_of(x509.load_der_x509_certificate(ward.gateway.der))
    refused = list[str]()
    secured = Secured(tls.pinned_context, "127.0.0.1", refused.append, other)
    async with device(context) as far, link(far.port, secured) as (made, heard):
        await until(lambda: len(refused) > 1)  # it is tried again
        assert set(refused) == {RefusalReason.IDENTITY_MISMATCH}
        assert not made.up
        assert not heard.told
        assert not far.data


async def test_stopping_while_it_dials() -> None:
    async with device() as far:
        made = DialledLink(("127.0.0.1", far.port), Recorder(), None, random.Random(1), LIMITS)
        made.start()
        await made.stop(0.5)
        assert not made.up
        made.reset("late")
        await asyncio.sleep(0.05)
        assert not made.up


def test_what_can_not_be_read_has_no_pin() -> None:
    assert tls.pin_of_peer(b"") == ""
    assert tls.pin_of_peer(b"\x30\x03\x02\x01\x01") == ""
