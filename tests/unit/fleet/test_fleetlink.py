"""The gateway's link without a fleet: its last word from disk, and words that are refused."""

import asyncio
import socket
import stat
from datetime import UTC, datetime

import grpc
import pytest

from gateway.commands import Commands
from gateway.desired import Desired
from gateway.domain.devices import Device, Standing
from gateway.domain.ports import Command
from gateway.fleetcommands import OUTCOMES_WAITING_MAX
from gateway.fleetlink import (
    DIRECTORY_FILE,
    REVOCATIONS_FILE,
    FleetLink,
    FleetLinkConfig,
)
from protos.wardgate.v1 import fleet_pb2 as pb
from security import pki
from security.files import TlsFiles
from security.identity import IdentityConfig, IdentityService
from security.names import Role
from security.revocations import RevocationBook, RevocationList, sign_list
from security.revocations_in_force import RevocationsInForce
from tests.fakes import FakeClock, FakeCounters

DOMAIN = "ward.example"


class Audit:
    def record(self, event, **fields):
        pass

    def refused(self, reason, transport, peer, device_id):
        pass

    def admitted(self, device_id, transport, peer):
        pass

    def left(self, device_id, transport):
        pass


class Edge:
    """A gateway's end of the link, that is never connected."""

    def __init__(self, directory, authority):
        self.authority = authority
        now = datetime.now(UTC)
        self.clock = FakeClock(round(now.timestamp() * 1e6))
        self.counters = FakeCounters()
        self.identity = IdentityService(IdentityConfig(DOMAIN), self.clock, self.counters, Audit())
        self.book = RevocationBook(
            directory / REVOCATIONS_FILE, lambda: (authority.root,), DOMAIN, self.clock
        )
        self.in_force = RevocationsInForce(
            self.book,
            lambda listed: self.identity.set_revocations(listed.serials, listed.number),
            self.counters,
        )
        self.link = FleetLink(
            FleetLinkConfig("localhost:1", directory, "0.1"),
            TlsFiles.within(directory),
            self.identity,
            self.in_force,
            lambda: (),
            self.clock,
            self.counters,
        )
        self.commands = Commands(self.clock)
        self.link.commands.use(self.commands)

    def load(self):
        """As a gateway does at its start."""
        self.in_force.load()
        self.link.load()

    async def revocations(self, number, *serials):
        said = RevocationList(number, self.clock.now_us(), frozenset(serials))
        signed = sign_list(self.authority, said)
        update = pb.RevocationUpdate(signed_list=signed)
        await self.link._take(pb.AttachResponse(revocations=update))

    async def directory(self, version, *devices):
        entries = [
            pb.DirectoryEntry(device_id=name, bed="7", standing=standing)
            for name, standing in devices
        ]
        directory = pb.Directory(version=version, devices=entries)
        await self.link._take(pb.AttachResponse(directory=directory))


@pytest.fixture(scope="module")
def authority():
    now = datetime.now(UTC)
    return pki.create_issuing(pki.create_root(DOMAIN, now), now)


@pytest.fixture
def edge(tmp_path, authority):
    made = Edge(tmp_path, authority)
    made.load()
    return made


async def test_the_last_word_is_there_after_a_restart(edge, tmp_path, authority):
    assert edge.identity.device("one") is None
    await edge.revocations(3, 4711)
    await edge.directory(5, ("one", pb.STANDING_ACTIVE), ("two", pb.STANDING_SUSPENDED))
    assert stat.S_IMODE((tmp_path / DIRECTORY_FILE).stat().st_mode) == 0o600
    again = Edge(tmp_path, authority)
    again.load()
    assert again.identity.device("one") == Device("one", bed="7")
    assert again.identity.device("two") == Device("two", bed="7", standing=Standing.SUSPENDED)
    assert again.counters.gauges[("revocations",)] == 1
    assert again.book.current.number == 3
    assert not again.book.stale()


async def test_a_fleet_outside_its_networks_is_not_dialled_and_told(edge, tmp_path):
    told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    edge.link.on_misdirected = lambda *said: told.put_nowait(said)
    edge.link.follow(FleetLinkConfig("localhost:1", tmp_path, "test", networks=("10.0.0.0/8",)))
    running = asyncio.create_task(edge.link.run())
    async with asyncio.timeout(20):
        reason, detail = await told.get()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert reason == "address_refused"
    assert "localhost is said to be at" in detail


DAMAGED = (
    b"",
    b"[]",
    b'{"version":"x"}',
    b'{"version":1,"devices":3}',
    b'{"version":1,"devices":[{"device_id":"\xff"}]}',
    b'{"x":' + b"[" * 100_000,
)


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_files_count_as_none(tmp_path, authority, content):
    (tmp_path / DIRECTORY_FILE).write_bytes(content)
    (tmp_path / REVOCATIONS_FILE).write_bytes(content)
    edge = Edge(tmp_path, authority)
    edge.load()
    assert edge.identity.device("one") is None
    assert edge.book.current.number == 0
    assert edge.link._directory.version == 0


async def test_an_older_or_forged_list_is_refused_and_the_rest_goes_on(edge, authority):
    await edge.revocations(3, 4711)
    await edge.revocations(2)
    now = datetime.now(UTC)
    edge.authority = pki.create_issuing(pki.create_root(DOMAIN, now), now)
    await edge.revocations(9)
    assert edge.book.current.serials == {4711}
    await edge.directory(1, ("one", pb.STANDING_ACTIVE))
    assert edge.identity.device("one")


async def test_what_a_newer_fleet_says_is_passed_over(edge):
    await edge.link._take(pb.AttachResponse())
    await edge.directory(1, ("one", pb.STANDING_ACTIVE), ("odd", 99))
    assert edge.identity.device("one")
    assert edge.identity.device("odd") is None


async def test_a_disk_that_is_full_does_not_stop_a_revocation(edge, tmp_path):
    (tmp_path / REVOCATIONS_FILE).mkdir()
    await edge.revocations(3, 4711)
    assert edge.counters.gauges[("revocations",)] == 1


async def test_a_stale_list_is_told_once_and_when_it_is_over(edge):
    told: list[bool] = []
    edge.in_force.on_stale = told.append
    edge.in_force.watch_age()  # none yet is stale
    await edge.revocations(3)
    for _ in range(3):
        edge.in_force.watch_age()
    edge.clock.advance(25 * 3600)
    for _ in range(3):
        edge.in_force.watch_age()
    assert told == [True, False, True]
    assert edge.counters.gauges[("revocations_age_seconds",)] == 25 * 3600


async def test_outcomes_wait_within_bounds(edge):
    asked = pb.DeviceCommand(device_id="one", kind=pb.COMMAND_KIND_IDENTIFY, valid_ms=1000)
    for number in range(OUTCOMES_WAITING_MAX + 10):
        asked.command_id = str(number)
        await edge.link._take(pb.AttachResponse(command=asked))
    assert edge.link.commands.waiting == OUTCOMES_WAITING_MAX


async def test_only_what_the_fleet_asked_is_answered_and_only_what_is_listed_is_sent(edge):
    sent: list[Command] = []
    edge.commands.subscribe("one", sent.append)
    edge.commands.answered("one", "mine", "done")
    assert not edge.link.commands.waiting
    odd: int = 99
    unknown = pb.DeviceCommand(command_id="a", device_id="one", valid_ms=1000)
    unknown.kind = odd  # type: ignore[assignment]  # of a newer fleet
    await edge.link._take(pb.AttachResponse(command=unknown))
    assert (await anext(edge.link.commands.outcomes_for(1))).state == pb.COMMAND_STATE_NOT_CONNECTED
    assert not sent
    expired = pb.DeviceCommand(
        command_id="b", device_id="one", kind=pb.COMMAND_KIND_REPORT, valid_ms=0
    )
    await edge.link._take(pb.AttachResponse(command=expired))
    assert (await anext(edge.link.commands.outcomes_for(1))).state == pb.COMMAND_STATE_NOT_CONNECTED
    assert not sent


async def test_a_service_that_is_away_is_never_attached_to(edge, tmp_path, authority):
    validity = pki.Validity.days(datetime.now(UTC), 1)
    pki.make_identity(authority, pki.Subject(Role.GATEWAY, "edge"), tmp_path, validity)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        edge.link.follow(edge.link._config._replace(address=f"127.0.0.1:{nobody.getsockname()[1]}"))
        shown: list[float] = []
        edge.counters.set = lambda name, value: shown.append(value)
        with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
            await edge.link._attach()
    assert 1 not in shown
    assert not edge.link.connected


async def test_a_changed_address_ends_the_attachment_and_nothing_else_does(edge, monkeypatch):
    attached = asyncio.Event()

    async def attach():
        attached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(edge.link, "_attach", attach)
    here = asyncio.ensure_future(edge.link._attach_here())
    await attached.wait()
    edge.link.follow(edge.link._config._replace(report_interval_s=9.0))
    await asyncio.sleep(0)
    assert not here.done()
    edge.link.follow(edge.link._config._replace(address="elsewhere:1"))
    assert await here is True


async def test_what_the_fleet_wants_is_handed_on(edge):
    wanted: list[Desired] = []
    message = pb.DesiredConfiguration(version=4, document=b"[pipeline]")
    await edge.link._take(pb.AttachResponse(configuration=message))  # nobody can change it
    edge.link.on_configuration = wanted.append
    await edge.link._take(pb.AttachResponse(configuration=message))
    assert wanted == [Desired(4, b"[pipeline]")]


async def test_a_report_can_be_hurried(edge):
    edge.link.commands.wake()
    assert [outcome async for outcome in edge.link.commands.outcomes_for(600)] == []
