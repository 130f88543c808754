"""Where a stream goes, whatever the resolver or a proxy says; receivers are real gRPC servers."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import grpc
import grpc.aio
import pytest

from gateway.dial import (
    MisdirectedError,
    NotReachedError,
    Receiver,
    forget_proxies,
    open_channel,
    resolve,
    route,
)
from gateway.domain.errors import ConfigError
from gateway.domain.labels import Zone
from gateway.uplink.config import DestinationConfig
from security import pki
from security.files import TlsFiles
from security.names import Role
from security.pins import check_pins, pin_of, pinned
from security.tls import grpc_channel_credentials, grpc_server_credentials

PATIENCE_S = 30
REFUSED_S = 3
"""How long gRPC tries what must not come to be."""
NAME = "localhost"
NO_FILES = TlsFiles.within(Path())
OPENSSL_PIN = """\
openssl x509 -pubkey -noout -in %s | openssl pkey -pubin -outform der |
openssl dgst -sha256 -binary | base64 -w0"""


class Made(NamedTuple):
    """A CA's two receivers of the same name, its root, and a gateway."""

    authority: pki.Authority
    real: TlsFiles
    impostor: TlsFiles
    gateway: TlsFiles

    def pin(self, files: TlsFiles) -> str:
        return pin_of(pki.load_certificates(files.cert)[0])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder, now = tmp_path_factory.mktemp("pki"), datetime.now(UTC)
    authority = pki.create_issuing(pki.create_root("ward.test", now), now)

    def issue(role, name):
        subject = pki.Subject(role, name, (NAME, "127.0.0.1"))
        return pki.make_identity(authority, subject, folder / name, pki.Validity.days(now, 2))[0]

    return Made(
        authority,
        issue(Role.SERVICE, "core"),
        issue(Role.SERVICE, "other"),
        issue(Role.GATEWAY, "gw-1"),
    )


@asynccontextmanager
async def serving(files):
    """A gRPC server that requires a client certificate; its port."""
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", grpc_server_credentials(files))
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def reached(way, files, seconds=PATIENCE_S):
    """Whether a channel along the route comes up."""
    credentials = grpc_channel_credentials(files, way.anchor)
    async with open_channel(way, credentials, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            await asyncio.wait_for(channel.channel_ready(), seconds)
        except TimeoutError:
            return False
        return True


def saying(*addresses):
    """A resolver that says so, whatever it is asked."""

    async def answer(_host, _port):
        return list(addresses)

    return answer


# Addresses


async def test_an_address_outside_is_refused_before_anything_is_dialled(made):
    dialled = asyncio.Event()
    server = await asyncio.start_server(lambda *_: dialled.set(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    receiver = Receiver(f"core.example:{port}", networks=("10.2.0.0/16",), pins=("sha256:x",))
    with pytest.raises(MisdirectedError, match=r"core\.example is said to be at 127\.0\.0\.1") as e:
        await route(receiver, made.gateway, saying("127.0.0.1"))
    assert e.value.reason == "address_refused"
    await asyncio.sleep(0)
    assert not dialled.is_set()
    server.close()


async def test_of_several_addresses_those_inside_are_dialled_and_the_others_told(made):
    async with serving(made.real) as port:
        receiver = Receiver(f"core.example:{port}", NAME, ("127.0.0.0/8", "2001:db8::/32"))
        way = await route(receiver, made.gateway, saying("203.0.113.9", "127.0.0.1"))
        assert (way.door, way.outside) == (f"127.0.0.1:{port}", ("203.0.113.9",))
        assert await reached(way, made.gateway)


async def test_the_first_address_that_answers_is_taken(made):
    async with serving(made.real) as port:
        answer = saying("127.0.0.99", "127.0.0.1")
        way = await route(Receiver(f"core.example:{port}", NAME), made.gateway, answer)
        assert way.door == f"127.0.0.1:{port}"


async def test_grpc_gets_an_address_and_checks_the_name(made):
    async with serving(made.real) as port:
        way = await route(Receiver(f"core.example:{port}"), made.gateway, saying("127.0.0.1"))
        assert way.target == f"ipv4:127.0.0.1:{port}"
        assert not await reached(way, made.gateway, REFUSED_S)  # the certificate names localhost
        assert await reached(way._replace(name=NAME), made.gateway)


async def test_ipv6_and_names_without_an_address():
    way = await route(Receiver("[2001:db8::7]:443"), NO_FILES)
    assert (way.target, way.name) == ("ipv6:[2001:db8::7]:443", "2001:db8::7")
    with pytest.raises(NotReachedError):
        await route(Receiver("core.invalid:443"), NO_FILES)
    assert "127.0.0.1" in await resolve("localhost", 1)


# Keys


@pytest.mark.parametrize("pinned_is", ["the receiver", "its CA", "the root"])
async def test_a_pinned_receiver_is_reached(made, pinned_is):
    pin = {
        "the receiver": made.pin(made.real),
        "its CA": pin_of(made.authority.certificate),
        "the root": pin_of(made.authority.root),
    }[pinned_is]
    async with serving(made.real) as port:
        receiver = Receiver(f"127.0.0.1:{port}", NAME, pins=(made.pin(made.gateway), pin))
        assert await reached(await route(receiver, made.gateway), made.gateway)


async def test_another_certificate_of_the_same_ca_and_name_is_refused(made):
    async with serving(made.impostor) as port:
        receiver = Receiver(f"127.0.0.1:{port}", NAME, pins=(made.pin(made.real),))
        with pytest.raises(MisdirectedError) as refused:
            await route(receiver, made.gateway)
        assert refused.value.reason == "pin_refused"
        # Without the pin it would be taken: the test above fails for the pin's sake alone.
        way = await route(receiver._replace(pins=()), made.gateway)
        assert await reached(way, made.gateway)


async def test_an_impostor_between_the_two_handshakes_is_refused_by_grpc(made):
    """Our handshake meets the real one, gRPC's another: the anchor decides, not what we saw."""
    async with serving(made.real) as real, serving(made.impostor) as impostor:
        receiver = Receiver(f"127.0.0.1:{real}", NAME, pins=(made.pin(made.real),))
        way = await route(receiver, made.gateway)
        assert await reached(way, made.gateway)
        redirected = way._replace(target=f"ipv4:127.0.0.1:{impostor}")
        assert not await reached(redirected, made.gateway, REFUSED_S)


async def test_a_pinned_certificate_that_is_merely_sent_along_proves_nothing(made, tmp_path):
    """An impostor sends the real certificate, which is public, behind its own."""
    files = TlsFiles.within(tmp_path)
    files.cert.write_bytes(made.impostor.cert.read_bytes() + made.real.cert.read_bytes())
    files.key.write_bytes(made.impostor.key.read_bytes())
    files.key.chmod(0o600)
    files.trust.write_bytes(made.impostor.trust.read_bytes())
    async with serving(files) as port:
        receiver = Receiver(f"127.0.0.1:{port}", NAME, pins=(made.pin(made.real),))
        with pytest.raises(MisdirectedError):
            await route(receiver, made.gateway)


async def test_who_is_trusted_by_nobody_or_silent_is_not_reached(made, monkeypatch):
    now = datetime.now(UTC)
    other = pki.create_issuing(pki.create_root("ward.test", now), now)
    folder = made.gateway.cert.parent.parent / "stranger"
    if not folder.exists():
        pki.make_identity(
            other, pki.Subject(Role.SERVICE, "core", (NAME,)), folder, pki.Validity.days(now, 2)
        )
    async with serving(TlsFiles.within(folder)) as port:
        receiver = Receiver(f"127.0.0.1:{port}", NAME, pins=(made.pin(made.real),))
        with pytest.raises(NotReachedError) as error:
            await route(receiver, made.gateway)
        assert error.value.reason == "untrusted"
    monkeypatch.setattr("gateway.dial.HANDSHAKE_TIMEOUT_S", 0.2)
    silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    receiver = receiver._replace(address=f"127.0.0.1:{silent.sockets[0].getsockname()[1]}")
    with pytest.raises(NotReachedError) as error:
        await route(receiver, made.gateway)
    assert error.value.reason == "unavailable"
    silent.close()


async def test_a_pin_is_what_openssl_computes(made):
    process = await asyncio.create_subprocess_shell(
        OPENSSL_PIN % made.real.cert, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert made.pin(made.real) == f"sha256:{said.decode()}"
    certificates = pki.load_certificates(made.real.cert)
    assert pinned(certificates, [made.pin(made.impostor)]) is None


# Proxies


async def test_no_variable_puts_a_proxy_between(made, monkeypatch):
    contacted = asyncio.Event()
    proxy = await asyncio.start_server(lambda *_: contacted.set(), "127.0.0.1", 0)
    place = f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{place}")
    monkeypatch.setenv("GRPC_ADDRESS_HTTP_PROXY", place)
    monkeypatch.setenv("GRPC_ADDRESS_HTTP_PROXY_ENABLED_ADDRESSES", "127.0.0.0/8")
    async with serving(made.real) as port:
        way = await route(Receiver(f"{NAME}:{port}"), made.gateway)
        target = f"dns:///{NAME}:{port}"
        credentials = partial(grpc_channel_credentials, made.gateway)
        # gRPC itself would go there: this is what is being prevented.
        async with grpc.aio.secure_channel(target, credentials()) as channel:
            channel.get_state(try_to_connect=True)
            await asyncio.wait_for(contacted.wait(), PATIENCE_S)
        contacted.clear()
        assert len(forget_proxies()) >= 7  # the machine may have some of its own
        assert not [name for name in os.environ if "proxy" in name.lower()]
        assert await reached(way, made.gateway)
        monkeypatch.setenv("grpc_proxy", f"http://{place}")
        assert await reached(way._replace(target=target), made.gateway)
        assert not contacted.is_set()
    proxy.close()


# Configuration


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"networks": ("10.2.0.1/16",)}, "host bits"),
        ({"networks": ("the campus",)}, "the campus"),
        ({"networks": ("10.2.0.0/16",)}, "192.0.2.5 is in none"),
        ({"networks": ("10.2.0.0/16",) * 65}, "at most 64 networks"),
        ({"pins": ("sha256:AAAA",)}, "no pin"),
        ({"pins": ("md5:AAAA",)}, "no pin"),
        ({"pins": ("sha256:ä",)}, "no pin"),
    ],
)
def test_what_is_no_network_or_pin_is_refused_with_the_destinations_name(given, words):
    with pytest.raises(ConfigError, match=words) as refused:
        DestinationConfig(
            name="core", zone=Zone.CAMPUS, purpose="p", tenant="t", address="192.0.2.5:1", **given
        )
    assert "destination core" in str(refused.value)


def test_pins_and_networks_that_are_in_order():
    check_pins(["sha256:" + "A" * 43 + "="])
    made = DestinationConfig(
        name="core",
        zone=Zone.CAMPUS,
        purpose="p",
        tenant="t",
        address="[2001:db8::5]:1",
        networks=("10.2.0.0/16", "2001:db8::/32"),
    )
    assert made.receiver.name == "2001:db8::5"
