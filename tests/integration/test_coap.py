"""CoAP over real sockets: third-party clients, our own device, and a network that loses."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench import coap_load
from demo.plan import free_ports
from drivers.bedside.commands import encode_result
from drivers.coap.driver import FACTORY, CoapConfig, CoapDriver
from firmware_sim.coap import CoapLink, RefusedError, Settings
from firmware_sim.link import Outcome as Sent
from gateway.domain.ports import Command, Outcome, Ports
from gateway.domain.records import Report
from security import tls
from tests.fakes import (
    FakeAdmission,
    FakeAside,
    FakeCommands,
    FakeCounters,
    FakeSink,
    FakeState,
)
from tests.ward_pki import Holder, WardPki

VITALS = '{"v":1,"boot":"5f3a","n":17,"hr":72,"spo2":98}'
CLIENT_S_MAX = 120.0
STILL_S = 1.0
CLIENTS = ["coap-client-openssl", "coap-client-gnutls"]


class RealClock:
    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()


class Listener:
    """A driver on a loopback socket, with fakes where the gateway would be."""

    def __init__(self, ward: WardPki, *devices: Holder) -> None:
        self.sink = FakeSink(Outcome.COMMITTED)
        self.admission = FakeAdmission({each.der: each.device for each in devices})
        self.counters = FakeCounters()
        self.commands = FakeCommands()
        self._context = tls.dtls_server_context(ward.gateway.files)
        (self.port,) = free_ports(1)  # at two addresses, and again after a restart
        self.driver = self._new_driver()

    def _new_driver(self) -> CoapDriver:
        ports = Ports(
            self.admission,
            self.sink,
            self.counters,
            RealClock(),
            FakeAside(),
            FakeState(),
            self.commands,
            lambda: None,
            lambda: self._context,
            lambda: None,
        )
        return FACTORY.create(
            "coap", CoapConfig(listen=(f"127.0.0.1:{self.port}", f"[::1]:{self.port}")), ports
        )

    async def start(self) -> None:
        await self.driver.start()

    async def restart(self) -> None:
        """As after a kill: the sessions are gone and nobody was told."""
        for server in self.driver._servers:
            server.drop = lambda *_: None  # type: ignore[method-assign]
        await self.driver.stop(0.0)
        self.admission.live.clear()
        self.driver = self._new_driver()
        await self.start()

    def reports(self) -> list[Report]:
        return [record for record in self.sink.records if isinstance(record, Report)]

    def refusals(self) -> list[str]:
        return [each[0] for each in self.admission.refusals]


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> WardPki:
    return WardPki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def monitor(ward: WardPki) -> Holder:
    return ward.device("monitor-1")


@contextlib.asynccontextmanager
async def listening(ward: WardPki, *devices: Holder) -> AsyncIterator[Listener]:
    listener = Listener(ward, *devices)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.driver.stop(0.0)


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"needs {name} of libcoap3-bin")
    return name


async def run(client: str, port: int, holder: Holder | None, path: str, *options: str) -> str:
    """Run a third-party client; returns what it says."""
    key_pair = [] if holder is None else ["-c", holder.files.cert, "-j", holder.files.key]
    trust = [] if holder is None else ["-R", holder.files.trust]
    process = await asyncio.create_subprocess_exec(
        client,
        *("-v", "6", "-B", "10"),
        *map(str, key_pair),
        *map(str, trust),
        *options,
        f"coaps://127.0.0.1:{port}/{path}",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), CLIENT_S_MAX)
    except TimeoutError:
        process.kill()
        raise
    return said.decode(errors="replace")


async def post(client: str, port: int, holder: Holder | None, path: str, *options: str) -> str:
    if not options:
        options = ("-t", "50", "-e", VITALS)
    return await run(client, port, holder, path, "-m", "post", *options)


async def test_a_report_of_a_third_party_client(
    ward: WardPki, monitor: Holder, client: str
) -> None:
    async with listening(ward, monitor) as listener:
        said = await post(client, listener.port, monitor, "devices/monitor-1/vitals")
        assert "c:2.04" in said, said
        (report,) = listener.reports()
        assert (report.device_id, report.message_id) == ("monitor-1", "5f3a:17")


async def test_ipv6_is_another_way_in(ward: WardPki, monitor: Holder) -> None:
    async with listening(ward, monitor) as listener:
        context = tls.dtls_client_context(monitor.files)
        device = CoapLink(Settings("monitor-1", "::1", listener.port, context), Random(1))
        await device.connect()
        assert await device.send("vitals", VITALS.encode(), "5f3a:17") is Sent.ACKNOWLEDGED
        await device.close()


async def test_an_address_in_use_leaves_nothing_open(ward: WardPki, monitor: Holder) -> None:
    async with listening(ward, monitor) as listener:
        second = listener._new_driver()
        with pytest.raises(OSError, match="in use"):
            await second.start()
        assert not second.healthy()


async def test_a_non_confirmable_report(ward: WardPki, monitor: Holder, client: str) -> None:
    async with listening(ward, monitor) as listener:
        path = "devices/monitor-1/vitals"
        said = await post(client, listener.port, monitor, path, "-N", "-e", VITALS)
        assert "t:NON c:2.04" in said, said
        assert len(listener.reports()) == 1


async def test_another_devices_path(ward: WardPki, monitor: Holder, client: str) -> None:
    async with listening(ward, monitor) as listener:
        said = await post(client, listener.port, monitor, "devices/monitor-2/vitals")
        assert "4.03" in said, said
        assert not listener.reports()
        assert listener.refusals() == ["identity_mismatch"]


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        ("stranger", "untrusted"),
        ("expired", "expired"),
        ("revoked", "unknown_device"),  # the fake's word for a certificate that it does not admit
        ("nobody", "no_certificate"),
    ],
)
async def test_who_must_stay_out_sees_an_alert_and_nothing_else(
    ward: WardPki, monitor: Holder, client: str, who: str, reason: str
) -> None:
    holder = {
        "stranger": lambda: ward.stranger("monitor-1"),
        "expired": lambda: ward.expired("monitor-1"),
        "revoked": lambda: ward.device("monitor-1", "revoked"),
        "nobody": lambda: None,
    }[who]()
    async with listening(ward, monitor) as listener:
        said = await post(client, listener.port, holder, "devices/monitor-1/vitals")
        assert "t:ACK" not in said
        assert "c:2" not in said
        assert not listener.sink.submissions
        assert not listener.admission.live
        # GnuTLS and OpenSSL repeat the attempt or not: each is refused for the same reason.
        assert set(listener.refusals()) == {reason}


@pytest.mark.parametrize("block_bytes", [64, 1024])
async def test_six_kilobytes_in_blocks(
    ward: WardPki, monitor: Holder, client: str, tmp_path: Path, block_bytes: int
) -> None:
    body = tmp_path / "body"
    body.write_text(VITALS + " " * (6000 - len(VITALS)))
    async with listening(ward, monitor) as listener:
        options = ("-t", "50", "-b", str(block_bytes), "-f", str(body))
        said = await post(client, listener.port, monitor, "devices/monitor-1/vitals", *options)
        assert "c:2.04" in said, said
        assert len(listener.reports()) == 1


async def test_a_body_beyond_the_limit(
    ward: WardPki, monitor: Holder, client: str, tmp_path: Path
) -> None:
    body = tmp_path / "body"
    body.write_text(VITALS + " " * 9000)
    async with listening(ward, monitor) as listener:
        said = await post(
            client,
            listener.port,
            monitor,
            "devices/monitor-1/vitals",
            "-b",
            "1024",
            "-f",
            str(body),
        )
        assert "4.13" in said, said
        assert not listener.reports()


async def test_commands_reach_an_observer_until_it_is_revoked(
    ward: WardPki, monitor: Holder, client: str
) -> None:
    async with listening(ward, monitor) as listener:
        watching = asyncio.create_task(
            run(client, listener.port, monitor, "devices/monitor-1/command", "-s", "60")
        )
        await until(lambda: bool(listener.commands.subscribed.get("monitor-1")))
        listener.commands.send(Command("monitor-1", "c1", b'"identify-yourself"', 2**62))
        await asyncio.sleep(0.3)
        (session,) = listener.admission.live
        session.kill("revoked")
        assert not listener.commands.subscribed["monitor-1"]
        listener.commands.send(Command("monitor-1", "c2", b'"after-the-end"', 2**62))
        said = await watching
        assert "identify-yourself" in said, said
        assert "after-the-end" not in said


class LossyRelay(asyncio.DatagramProtocol):
    """Carries datagrams between one client and a server, but for those that it loses.

    ``loses(upward, n)`` decides on the n-th datagram of a direction.
    """

    def __init__(self, server_port: int, loses: Callable[[bool, int], bool]) -> None:
        self._server = ("127.0.0.1", server_port)
        self._loses = loses
        self._client: Any = None
        self._counts = [0, 0]
        self._transport: Any = None
        self.lost = 0
        self.port = 0

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        self.port = self._transport.get_extra_info("sockname")[1]

    def close(self) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        upward = addr != self._server
        if upward:
            self._client = addr
        n = self._counts[upward]
        self._counts[upward] += 1
        if self._loses(upward, n):
            self.lost += 1
        else:
            self._transport.sendto(data, self._server if upward else self._client)


@contextlib.asynccontextmanager
async def losing(
    listener: Listener, loses: Callable[[bool, int], bool]
) -> AsyncIterator[LossyRelay]:
    relay = LossyRelay(listener.port, loses)
    await relay.open()
    try:
        yield relay
    finally:
        relay.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what a peer does; pytest's timeout is the bound."""
    while not condition():  # noqa: ASYNC110 - a third-party process has no event of ours
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("lost", [(False, 1), (True, 2), (False, 3)])
async def test_a_lost_datagram_is_made_up_for(
    ward: WardPki, monitor: Holder, client: str, lost: tuple[bool, int]
) -> None:
    """Of the server's flight, the client's certificate flight, the server's Finished or later."""
    upward, _ = lost
    if upward and client == "coap-client-gnutls":
        pytest.skip("libcoap 4.3.1 on GnuTLS does not repeat a flight of its own")
    while True:
        async with (
            listening(ward, monitor) as listener,
            losing(listener, lambda upward, n: (upward, n) == lost) as relay,
            still() as stood_still,
        ):
            said = await post(client, relay.port, monitor, "devices/monitor-1/vitals")
            reports = listener.reports()
        if "c:2.04" in said or max(stood_still) < STILL_S:
            break  # it gives up while we stand still: then it tries again
    assert "c:2.04" in said, said
    assert len(reports) == 1


@contextlib.asynccontextmanager
async def still() -> AsyncIterator[list[float]]:
    """For how long this process stood still, each time."""
    found = [0.0]

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.05)
            found.append(time.monotonic() - before)

    ticking = asyncio.create_task(tick())
    try:
        yield found
    finally:
        ticking.cancel()


def link(port: int, holder: Holder, on_command: Callable[[bytes], bytes] | None = None) -> CoapLink:
    context = tls.dtls_client_context(holder.files)
    settings = Settings(holder.device.device_id, "127.0.0.1", port, context, ack_timeout_s=0.2)
    return CoapLink(settings, Random(1), on_command)


async def test_our_own_device_over_a_bad_network(ward: WardPki, monitor: Holder) -> None:
    """One datagram of seven is lost each way, and every report arrives."""
    async with (
        listening(ward, monitor) as listener,
        losing(listener, lambda _, n: n % 7 == 5) as relay,
    ):
        device = link(relay.port, monitor)
        await device.connect()
        payloads = [b'{"v":1,"boot":"b","n":%d,"hr":72}' % n for n in range(12)]
        sent = await asyncio.gather(
            *(device.send("vitals", each, f"b:{n}") for n, each in enumerate(payloads))
        )
        await device.close()
        assert sent == [Sent.ACKNOWLEDGED] * 12
        assert relay.lost > 2
        assert {report.message_id for report in listener.reports()} == {f"b:{n}" for n in range(12)}


async def test_our_own_device_answers_commands(ward: WardPki, monitor: Holder) -> None:
    async with listening(ward, monitor) as listener:
        device = link(
            listener.port, monitor, lambda command: encode_result(json.loads(command)["id"], "done")
        )
        await device.connect()
        await until(lambda: bool(listener.commands.subscribed.get("monitor-1")))
        listener.commands.send(Command("monitor-1", "c1", b"{}", 2**62))
        await until(lambda: bool(listener.commands.answers))
        assert listener.commands.answers == [("monitor-1", "c1", "done")]
        await device.close()


async def test_our_own_device_comes_back(ward: WardPki, monitor: Holder) -> None:
    """The gateway is killed and comes back: the device finds out and shakes hands anew."""
    async with listening(ward, monitor) as listener:
        device = link(listener.port, monitor)
        await device.connect()
        assert await device.send("vitals", VITALS.encode(), "5f3a:17") is Sent.ACKNOWLEDGED
        await listener.restart()
        assert await device.send("vitals", VITALS.encode(), "5f3a:17") is Sent.ACKNOWLEDGED
        assert device.connects == 2
        assert await device.trespass("monitor-2", "vitals", VITALS.encode()) is Sent.REFUSED
        device.drop()
        assert await device.send("vitals", VITALS.encode(), "5f3a:18") is Sent.ACKNOWLEDGED
        assert device.connects == 3
        await device.close()


async def test_our_own_device_with_a_strangers_certificate(ward: WardPki, monitor: Holder) -> None:
    async with listening(ward, monitor) as listener:
        device = link(listener.port, ward.stranger("monitor-1"))
        with pytest.raises(RefusedError):
            await device.connect()
        assert listener.refusals() == ["untrusted"]
        device = link(listener.port, ward.device("monitor-1", "revoked"))
        with pytest.raises(RefusedError, match="closed"):
            await device.connect()
        assert not listener.sink.submissions
    (port,) = free_ports(1)
    nobody = link(port, monitor)
    with pytest.raises(OSError, match="unreachable"):
        await asyncio.wait_for(nobody.connect(), 60)


async def test_a_device_waits_as_it_is_told(ward: WardPki, monitor: Holder) -> None:
    async with listening(ward, monitor) as listener:
        listener.sink.is_writable = False
        device = link(listener.port, monitor)
        await device.connect()
        sending = asyncio.create_task(device.send("vitals", VITALS.encode(), "5f3a:17"))
        closing = asyncio.create_task(device.send("vitals", VITALS.encode(), "5f3a:18"))
        await asyncio.sleep(0.2)
        assert not listener.reports()
        listener.sink.become_writable()
        assert await sending is Sent.ACKNOWLEDGED
        assert await closing is Sent.ACKNOWLEDGED
        listener.sink.automatic = None
        stuck = asyncio.create_task(device.send("vitals", VITALS.encode(), "5f3a:19"))
        await until(lambda: bool(listener.sink.waiting))
        await device.close()
        assert await stuck is Sent.GIVEN_UP


async def test_the_bench_client(ward: WardPki, monitor: Holder, tmp_path: Path) -> None:
    files = monitor.files
    identity = {"device_id": "monitor-1", "cert": str(files.cert), "key": str(files.key)}
    identities = tmp_path / "identities.json"
    identities.write_text(json.dumps([identity] * 2))
    async with listening(ward, monitor) as listener:
        arguments = argparse.Namespace(
            port=listener.port,
            ca=str(files.trust),
            identities=str(identities),
            devices=2,
            messages=60,
            window=5,
            boot="b000000000000000",
            timeout=30,
        )
        figures = await coap_load.main(arguments)
        assert (figures["messages"], figures["refused"]) == (60, 0)
        assert len({report.message_id for report in listener.reports()}) == 60
