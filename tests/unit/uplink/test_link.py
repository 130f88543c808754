"""When a lane that backs off tries again."""

import asyncio
import random
from contextlib import closing
from typing import Any

import pytest

from gateway import dial
from gateway.dial import knock
from gateway.domain.labels import Lane, Zone
from gateway.uplink import link as link_module
from gateway.uplink.config import DestinationConfig
from gateway.uplink.link import Link
from gateway.uplink.uplink import open_surroundings
from tests.fakes import FakeClock, FakeCounters

LONG_S = 3600.0


class Door:
    """Answers knocks as it is told."""

    def __init__(self, listens):
        self.listens = listens
        self.knocks = 0
        self.knocked = asyncio.Event()

    async def __call__(self, address):
        assert address == "core:1"
        self.knocks += 1
        self.knocked.set()
        return self.listens


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(link_module, "KNOCK_INTERVAL_S", 0.002)


def make(door) -> Link:
    unused: Any = None
    around = open_surroundings(
        gateway_id="gw-1",
        software_version="test",
        journal=unused,
        ledger=unused,
        seal=unused,
        counters=FakeCounters(),
        clock=FakeClock(),
        on_trouble=unused,
        rng=random.Random(3),
    )
    config = DestinationConfig(
        name="core", zone=Zone.CAMPUS, purpose="care", tenant="hospital", address="core:1"
    )
    return Link(config, no_credentials, around, no_way, door)


def no_credentials(anchor=b""):
    raise AssertionError("nothing connects here")


async def no_way():
    raise AssertionError("nothing connects here")


async def test_a_lane_that_arrived_between_the_failure_and_the_pause_ends_it():
    link = make(Door(listens=True))
    signs = link.signs  # the try that will fail begins
    link.connected(Lane.ALARMS, up=True)
    async with asyncio.timeout(20):
        await link.pause(LONG_S, signs)


async def test_a_lane_that_arrives_ends_the_pauses_of_all():
    link = make(Door(listens=True))
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(link.pause(LONG_S, link.signs))
        await asyncio.sleep(0)
        link.connected(Lane.TELEMETRY, up=True)


async def test_a_receiver_that_begins_to_listen_ends_the_pauses_of_all():
    door = Door(listens=False)
    link = make(door)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(link.pause(LONG_S, link.signs))
        while door.knocks < 5:
            door.knocked.clear()
            await door.knocked.wait()
        door.listens = True


async def test_a_receiver_that_listens_and_refuses_gets_the_whole_pause():
    door = Door(listens=False)
    link = make(door)
    await link.pause(0.02, link.signs)
    door.listens = True
    await link.pause(LONG_S, link.signs)  # it began to listen: one try more
    signs = link.signs
    pause = asyncio.create_task(link.pause(LONG_S, signs))
    door.knocks = 0
    while door.knocks < 5:
        door.knocked.clear()
        await door.knocked.wait()
    assert not pause.done()
    assert link.signs == signs
    pause.cancel()
    await asyncio.gather(pause, return_exceptions=True)


async def test_a_knock_tells_whether_anybody_listens(monkeypatch):
    monkeypatch.setattr(dial, "KNOCK_TIMEOUT_S", 60)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    assert await knock(f"{host}:{port}")
    server.close()
    await server.wait_closed()
    assert not await knock(f"{host}:{port}")


async def test_a_knock_understands_ipv6_addresses():
    try:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "::1", 0)
    except OSError:
        pytest.skip("no IPv6 here")
    with closing(server):
        assert await knock(f"[::1]:{server.sockets[0].getsockname()[1]}")
