"""A cabinet from its reader to the core: a real gateway, TLS, doors, badges, outages, a kill -9."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.llrp.reader import Reader
from firmware_sim.llrp.server import ReaderServer
from gateway.clock import SystemClock
from gateway.config import load
from gateway.local.client import LocalClient
from protos.wardgate.v1 import cabinet_pb2 as pb
from security import pki, tls
from security.names import Role
from tests.integration.supervised import WAIT_S, Supervised, Ward

pytestmark = pytest.mark.timeout(480)
MORPHINE, KETAMINE = "3074257BF7194E4000001A85", "3074257BF7194E8000001A86"
OTHER = "E28011606000020400000099"
NURSE, PHARMACIST = "BAD6E0000000000000000017", "BAD6E0000000000000000018"
CABINET = """
[[drivers.llrp.readers]]
device_id = "reader-1"
tls = true
address = "localhost:{port}"
report_ms = 100
keepalive_s = 20.0

[[cabinets]]
name = "drugs-1"
kind = "controlled"
roles = ["nurse", "pharmacist"]
badge_antennas = ["reader-1:4"]
badge_before_s = 5.0
badge_grace_s = 10.0
two_person_window_s = 5.0

[[cabinets.places]]
name = "drawer-1"
antennas = ["reader-1:1"]

[[cabinets.places]]
name = "drawer-2"
antennas = ["reader-1:2"]

[[cabinets.doors]]
name = "front"
input = "reader-1:1"

[cabinets.reads]
reads = 3
absent_s = 5.0
missed_s = 20.0
reconcile_s = 20.0
"""
MISSED_LOOKS = 70
"""Seven seconds: longer than `absent_s`, and far shorter than `missed_s`."""
ITEMS = f"""epc;name;lot;expiry;controlled
{MORPHINE};Morphine 10 mg;L1;2099-12-31;yes
{KETAMINE};Ketamine 500 mg;L2;2020-01-31;yes
{OTHER};Saline;L3;;no
"""
BADGES = f"epc,staff,roles\n{NURSE},s-17,nurse\n{PHARMACIST},s-18,pharmacist\n"


AFTER_THE_DOOR_S = 2.5
"""What is read so long after a door was shut did not leave by it."""
SHOWN_S = 0.5
"""A badge is held there before the door is opened, and goes on to be."""


class Site(Ward):
    """A gateway, a core, and a reader with a certificate of theirs."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / "ward")
        self.directory = directory
        files, _ = pki.make_identity(
            pki.load_authority(self.plan.fleet / "authority"),
            pki.Subject(Role.SERVICE, "reader-1", ("localhost", "127.0.0.1")),
            directory / "reader",
            pki.Validity.days(datetime.now(UTC), 1),
        )
        self.reader = Reader(SystemClock())
        self.server = ReaderServer(self.reader, tls.server_context(files))
        self.lives = 0

    def configure(self) -> None:
        config = self.plan.gateway_config
        config.write_text(config.read_text() + CABINET.format(port=self.server.port))

    def gateway(self) -> Supervised:
        self.lives += 1
        life = self.directory / f"life-{self.lives}"
        life.mkdir()
        return Supervised(self.plan.gateway_config, life, self.plan.ports.mqtt)

    def core(self) -> subprocess.Popen[bytes]:
        log = (self.directory / "core.log").open("wb")
        with log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "wardgate", "core", "run"),
                    *("--config", str(self.plan.core_config)),
                ],
                stdout=log,
                stderr=log,
            )

    async def cli(self, *words: str, fails: bool = False) -> str:
        """``wardgate cabinet``: what it says, or what it complains of."""
        done = await asyncio.to_thread(
            subprocess.run,
            [
                *(sys.executable, "-m", "wardgate", "cabinet", *words),
                *("--config", str(self.plan.gateway_config)),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == (2 if fails else 0), done.stderr
        return done.stderr if fails else done.stdout

    async def shown(self) -> pb.CabinetState:
        """The cabinet, as the command line asks for it."""
        return await asyncio.to_thread(self._ask)

    def _ask(self) -> pb.CabinetState:
        request = pb.ShowCabinetsRequest(cabinet="drugs-1")
        socket = load(self.plan.gateway_config).local.socket_in(self.plan.gateway_state)
        with LocalClient.at_socket(socket) as client:
            found = client.call("CabinetService", "ShowCabinets", request, pb.ShowCabinetsResponse)
        return found.cabinets[0]

    async def until(self, what: Callable[[pb.CabinetState], object]) -> pb.CabinetState:
        """Wait for the cabinet to be shown so."""
        shown = await self.shown()
        try:
            async with asyncio.timeout(WAIT_S):
                while not what(shown := await self.shown()):  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(shown) from None
        return shown

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.plan.core_db)) as db:
            return db.execute(sql).fetchall()

    async def stored(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """Wait for the core to have it."""
        found = None
        try:
            async with asyncio.timeout(WAIT_S):
                while (found := self.rows(sql)) != rows:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(found) from None

    # What people do

    def show_badges(self, *badges: str) -> None:
        for badge in badges:
            self.reader.field.put(badge, 4)

    def door(self, *, is_open: bool) -> None:
        self.reader.set_input(1, high=is_open)
        self.server.flush()

    def leave(self) -> None:
        self.door(is_open=False)
        for badge in (NURSE, PHARMACIST):
            self.reader.field.take(badge)


def states(shown: pb.CabinetState) -> dict[str, str]:
    return {each.epc: each.state for each in shown.items}


ALL = dict.fromkeys((MORPHINE, KETAMINE, OTHER), "present")


async def test_a_controlled_cabinet_from_its_reader_to_the_core(tmp_path: Path) -> None:
    site = Site(tmp_path)
    for epc in ALL:
        site.reader.field.put(epc, 1)
    async with site.server:
        site.configure()
        core = site.core()
        gateway = site.gateway()
        try:
            await asyncio.to_thread(gateway.wait_for, "READY=1")
            await _day(site)
            gateway.process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(gateway.process.wait, WAIT_S)
            gateway.end()
            gateway = site.gateway()
            await asyncio.to_thread(gateway.wait_for, "READY=1")
            await _after_the_kill(site)
            await _at_the_core(site)
        finally:
            code = await asyncio.to_thread(gateway.end)
            core.terminate()
            core.wait(WAIT_S)
    assert code == 0, gateway.words()
    assert site.reader.written_to == 0


async def _day(site: Site) -> None:
    await site.until(lambda shown: states(shown) == ALL)
    for name, document in (("items", ITEMS), ("badges", BADGES)):
        path = site.directory / f"{name}.csv"
        path.write_text(document)
        assert "new or changed" in await site.cli("list-import", name, str(path))
    said = await site.cli("list-import", "items", str(site.directory / "badges.csv"), fails=True)
    columns = "epc, gtin, name, lot, expiry, controlled"
    assert said == f"wardgate: list: line 1: no column 'staff'; there are {columns}\n"

    # Two persons count; one is not enough.
    said = await site.cli("reconcile", "drugs-1", "--person", "s-17", fails=True)
    assert "two different persons" in said
    both = ("--person", "s-17", "--person", "s-18")
    assert "as expected; recorded" in await site.cli("reconcile", "drugs-1", *both)
    await site.until(lambda shown: list(shown.conditions) == ["cabinet_expired/80614141123465"])

    # Two persons take one out.
    site.show_badges(NURSE, PHARMACIST)
    await asyncio.sleep(SHOWN_S)
    site.door(is_open=True)
    await site.until(lambda shown: list(shown.doors[0].badges) == ["s-17", "s-18"])
    site.reader.field.take(MORPHINE)
    site.leave()
    await site.until(lambda shown: MORPHINE not in states(shown))

    # What is not read for a while is there nevertheless.
    await asyncio.sleep(AFTER_THE_DOOR_S)
    site.reader.field.miss(KETAMINE, MISSED_LOOKS)
    while site.reader.field.misses(KETAMINE):  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.1)
    assert states(await site.shown()) == {KETAMINE: "present", OTHER: "present"}

    # One person alone.
    site.show_badges(NURSE)
    await asyncio.sleep(SHOWN_S)
    site.door(is_open=True)
    await site.until(lambda shown: "cabinet_one_person/front" in shown.conditions)
    site.leave()

    # Nobody reaches the reader; something vanishes meanwhile.
    await site.until(lambda shown: shown.doors[0].state == "shut")
    await asyncio.sleep(AFTER_THE_DOOR_S)
    site.server.outage()
    await site.until(lambda shown: set(states(shown).values()) == {"doubted"} and not shown.seen)
    site.reader.field.take(OTHER)
    await site.server.restore()
    await site.until(
        lambda shown: (
            states(shown) == {KETAMINE: "present", OTHER: "unaccounted"}
            and {"cabinet_unaccounted", "cabinet_one_person/front"} <= set(shown.conditions)
        )
    )


async def _after_the_kill(site: Site) -> None:
    await site.until(
        lambda shown: (
            states(shown) == {KETAMINE: "present", OTHER: "unaccounted"}
            and {"cabinet_one_person/front", "cabinet_count"} <= set(shown.conditions)
        )
    )
    history = await site.cli("history", "drugs-1")
    for word in ("reconciled", "departed", "doubted", "one_person", "by s-17, s-18", "unseen"):
        assert word in history, history
    assert max(map(len, history.splitlines())) <= 80
    overview = await site.cli("show", "drugs-1")
    assert max(map(len, overview.splitlines())) <= 80, overview
    both = ("--person", "s-17", "--person", "s-18", "--reason", "the saline broke")
    said = await site.cli("reconcile", "drugs-1", *both)
    assert "1 in doubt are taken to be gone; recorded" in said
    shown = await site.until(
        lambda shown: list(shown.conditions) == ["cabinet_expired/80614141123465"]
    )
    assert states(shown) == {KETAMINE: "present"}


async def _at_the_core(site: Site) -> None:
    await site.stored(
        "SELECT action, epc, place, badges FROM inventory WHERE action <> 'arrived' ORDER BY id",
        [
            ("departed", MORPHINE, "drawer-1", '["s-17","s-18"]'),
            ("doubted", OTHER, "drawer-1", "[]"),
            ("departed", OTHER, "drawer-1", "[]"),
        ],
    )
    ((doubt,), (end,)) = site.rows("SELECT reason FROM inventory WHERE reason <> '' ORDER BY id")
    # Read again while nobody reached the reader, and held, it was last seen behind a shut door.
    assert doubt in {"outage", "absent_shut"}
    assert end == "reconciled"
    await site.stored("SELECT cabinet, epc, lot FROM stock", [("drugs-1", KETAMINE, "")])
    await site.stored(
        "SELECT kind, verdict, badges, reason FROM cabinet_events ORDER BY id",
        [
            ("reconciliation", "", '["s-17","s-18"]', ""),
            ("access", "authorised", '["s-17","s-18"]', ""),
            ("access", "one_person", '["s-17"]', ""),
            ("reconciliation", "", '["s-17","s-18"]', "the saline broke"),
        ],
    )
    # The outage, and the kill.
    await site.stored("SELECT count(*) FROM gaps WHERE reason = 'cabinet_unseen'", [(2,)])
    await site.stored(
        "SELECT condition, count(DISTINCT alarm_id) FROM alarms WHERE device_id = 'drugs-1'"
        " AND phase = 'start' GROUP BY condition ORDER BY condition",
        [
            ("cabinet_count", 1),
            ("cabinet_expired/80614141123465", 1),
            ("cabinet_one_person/front", 1),
            ("cabinet_unaccounted", 1),
        ],
    )
